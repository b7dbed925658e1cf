"""A file as the body of an evaluation gives what its tensors give; reports come as Markdown, HTML and JUnit XML."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import re
import zipfile
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import httpx
import numpy as np
import pyarrow
import pytest
from pyarrow import csv, parquet

from lossmeter.api.models.evaluation import EXAMPLES
from lossmeter.client import Client
from lossmeter.wire import tables
from tests.support.service import serving

PATH = "/v1/evaluate"
QUERY = "task=binary&predictions=p&labels=y&predictions_are=probabilities"
ROWS = 500
P = np.random.default_rng(7).uniform(0, 1, ROWS).round(4)
Y = (np.random.default_rng(8).uniform(0, 1, ROWS) < P).astype(np.int64)
COUNTRY = np.where(np.arange(ROWS) % 3 == 0, "de", "fr")
COLUMNS: dict[str, Any] = {"p": P, "y": Y, "country": COUNTRY}
TABLE = pyarrow.table(COLUMNS)


def as_csv(table: Any) -> bytes:
    sink = io.BytesIO()
    csv.write_csv(table, sink)
    return sink.getvalue()


def as_parquet(table: Any, **options: Any) -> bytes:
    sink = io.BytesIO()
    parquet.write_table(table, sink, **options)
    return sink.getvalue()


def as_stream(table: Any, compression: str | None = None) -> bytes:
    sink = io.BytesIO()
    with pyarrow.ipc.new_stream(
        sink, table.schema, options=pyarrow.ipc.IpcWriteOptions(compression=compression)
    ) as writer:
        writer.write_table(table, max_chunksize=111)
    return sink.getvalue()


def as_npz(table: Any) -> bytes:
    sink = io.BytesIO()
    np.savez(sink, **{name: np.array(table.column(name).to_pylist()) for name in table.column_names})
    return sink.getvalue()


def as_lines(table: Any) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in table.to_pylist()).encode()


FORMS: dict[str, Callable[[Any], bytes]] = {
    "text/csv; charset=utf-8": as_csv,
    "application/vnd.apache.parquet": as_parquet,
    "application/vnd.apache.arrow.stream": as_stream,
    "application/x-npz": as_npz,
    "application/x-ndjson": as_lines,
    "application/jsonl": as_lines,
}


def post(http: httpx.Client, query: str, body: bytes, kind: str = "text/csv", **headers: str) -> httpx.Response:
    return http.post(f"{PATH}?{query}", content=body, headers={"Content-Type": kind, **headers})


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables are read in many pieces."""
    monkeypatch.setattr(tables, "ROWS", 90)


@pytest.mark.parametrize("kind", FORMS)
def test_a_file_gives_what_its_tensors_give(http: httpx.Client, kind: str) -> None:
    more = "&slice=country&gate=accuracy>=0.5&gate=recall[country]>=0.9999&metric=accuracy&metric=f1(average=macro)&hardest=2"
    response = post(http, QUERY + more + "&bins=0", FORMS[kind](TABLE), kind)
    assert response.status_code == 200, response.text
    body = {
        "task": "binary",
        "predictions_are": "probabilities",
        "predictions": P.tolist(),
        "labels": Y.tolist(),
        "sample_ids": list(range(ROWS)),
        "slices": {"country": COUNTRY.tolist()},
        "metrics": [{"metric": "accuracy"}, {"metric": "f1", "average": "macro"}],
        "gates": [{"metric": "accuracy", "minimum": 0.5}, {"metric": "recall", "minimum": 0.9999, "slice": "country"}],
        "hardest": 2,
    }
    expected = http.post(PATH, json=body).json()
    found = response.json()
    assert found.keys() == expected.keys()
    for one, other in zip([found, *found["slices"]], [expected, *expected["slices"]], strict=True):
        assert one["samples"] == other["samples"]
        for a, b in zip(one["losses"] + one["metrics"], other["losses"] + other["metrics"], strict=True):
            assert a["value"] == pytest.approx(b["value"], rel=1e-12)
            assert a["interval"]["low"] == pytest.approx(b["interval"]["low"], rel=1e-9)
    assert [one["passed"] for one in found["gates"]] == [one["passed"] for one in expected["gates"]]
    assert [one["sample_id"] for one in found["hardest"]] == [one["sample_id"] for one in expected["hardest"]]


@pytest.mark.parametrize("kind", FORMS)
def test_labels_may_be_texts(http: httpx.Client, kind: str) -> None:
    words = np.where(Y == 1, "yes", "no")
    table = pyarrow.table({"p": P, "y": words, "guess": np.where(P > 0.5, "yes", "no")})
    plain = post(http, QUERY, FORMS[kind](TABLE), kind).json()
    found = post(http, QUERY, FORMS[kind](table), kind).json()
    assert found["metrics"] == plain["metrics"]
    query = "task=multiclass&predictions_are=classes&predictions=guess&labels=y&metric=accuracy&class_names=yes,no"
    (accuracy,) = post(http, query, FORMS[kind](table), kind).json()["metrics"]
    assert accuracy["value"] == pytest.approx(((P > 0.5) == (Y == 1)).mean())


def test_a_body_may_be_compressed_on_its_way(http: httpx.Client) -> None:
    plain = post(http, QUERY, as_csv(TABLE)).json()
    coded = post(http, QUERY, gzip.compress(as_csv(TABLE)), **{"Content-Encoding": "gzip"})
    assert coded.json() == plain


@pytest.mark.parametrize(
    ("query", "status", "messages"),
    [
        ("predictions=p", 422, ["task is missing", "labels is missing"]),
        (QUERY + "&tasks=x", 422, ["tasks is not a parameter; expected one of predictions, labels"]),
        (QUERY + "&task=binary", 422, ["task is given 2 times"]),
        (QUERY + "&confidence=high", 422, ["confidence is 'high'; expected a number"]),
        (QUERY + "&confidence=2", 422, ["confidence is 2"]),
        (QUERY + "&gate=accuracy", 422, ["is not of the form"]),
        (QUERY + "&metric=nothing", 422, ["nothing"]),
        (QUERY + "&slice=land", 422, ["there is no column 'land'; there are p, y, country"]),
        (QUERY.replace("=p&", "=country&"), 422, ["expected a number, as predictions_are is"]),
    ],
)
def test_what_is_wrong_with_a_query_is_said(http: httpx.Client, query: str, status: int, messages: list[str]) -> None:
    refused = post(http, query, as_csv(TABLE))
    assert refused.status_code == status, refused.text
    told = [one["message"] for one in refused.json().get("errors", ())] + [refused.json()["detail"]]
    for message in messages:
        assert any(message in one for one in told), told


@pytest.mark.parametrize("kind", FORMS)
def test_bytes_that_are_no_such_file_are_refused(http: httpx.Client, kind: str) -> None:
    whole = FORMS[kind](TABLE)
    for body in (b"", b"\xff\xff\xff\xff" + bytes(12), b"PK\x03\x04nothing", whole[: len(whole) // 2 - 3], whole[::-1]):
        refused = post(http, QUERY, body, kind)
        assert refused.status_code in (200, 415, 422), (body[:20], refused.text)  # half a table of text is a table
        assert refused.status_code != 200 or "csv" in kind or "json" in kind


def test_a_bad_row_is_named(http: httpx.Client) -> None:
    body = b"p,y\n" + b"0.5,1\n" * 200 + b"1.5,1\n"
    refused = post(http, QUERY, body)
    assert refused.status_code == 422
    assert "the body, row 200: binary: predictions[20] is 1.5" in refused.json()["detail"]


def test_small_files_that_become_large_are_refused() -> None:
    many = pyarrow.table({"p": np.zeros(60_000), "y": np.zeros(60_000, np.int64)})
    lists = pyarrow.table({"p": [[0.0] * 30_000] * 4, "y": [0] * 4})
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("p.npy", bytes(1_000_000))
    bombs = [
        ("application/vnd.apache.parquet", as_parquet(many, compression="zstd")),
        ("application/vnd.apache.parquet", as_parquet(lists, compression="zstd")),
        ("application/x-npz", archive.getvalue()),
        ("application/vnd.apache.arrow.stream", as_stream(many)),
        ("text/csv", as_csv(many)),
    ]
    with serving(max_elements=50_000) as url, httpx.Client(base_url=url, timeout=60) as http:
        for kind, body in bombs:
            refused = post(http, QUERY, body, kind)
            assert refused.status_code == 413, (kind, refused.text)
            assert "LOSSMETER_MAX_ELEMENTS" in refused.json()["detail"]
        for compression in ("zstd", "lz4"):
            refused = post(http, QUERY, as_stream(many, compression), "application/vnd.apache.arrow.stream")
            assert refused.status_code == 415
            assert "compressed buffers" in refused.json()["detail"]


def test_an_unknown_type_is_answered_with_those_that_are_known(http: httpx.Client) -> None:
    refused = post(http, QUERY, b"a", "application/vnd.ms-excel")
    assert refused.status_code == 415
    for kind in ("application/json", "text/csv", "application/vnd.apache.parquet"):
        assert kind in refused.json()["detail"]


def test_a_report_comes_in_the_form_that_is_asked_for(http: httpx.Client, url: str) -> None:
    answers = {}
    for accept in ("text/markdown", "text/html", "application/junit+xml"):
        answers[accept] = http.post(PATH, json=EXAMPLES["multiclass"], headers={"Accept": accept})
        assert answers[accept].headers["content-type"] == f"{accept}; charset=utf-8"
    assert "❌ **FAILED: 1 of 2 gates**" in answers["text/markdown"].text
    suite = ElementTree.fromstring(answers["application/junit+xml"].content)[0]
    assert [(case.get("name"), len(case)) for case in suite] == [
        ("accuracy>=0.7", 0),
        ("cross_entropy[country]<=0.4", 1),
    ]
    page = answers["text/html"]
    assert page.text.startswith("<!doctype html>")
    assert "src=" not in page.text
    assert "href=" not in page.text
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    (script,) = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
    assert base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() in policy
    (figures,) = re.findall(r'<script type="application/json" id="report-data">(.*?)</script>', page.text, re.DOTALL)
    report = http.post(PATH, json=EXAMPLES["multiclass"]).json()
    assert json.loads(figures)["metrics"] == report["metrics"]
    assert len(page.content) < 500_000
    with Client(url) as client, client.run("a<b>", task="regression", predictions_are="values", slices=["s"]) as run:
        run.add([1.0, 2.0], [1.5, 2.5], slices={"s": ["<script>", "a|b\x01"]})
        for accept in answers:
            answer = http.get(f"/v1/runs/{run.id}", headers={"Accept": accept})
            assert answer.headers["content-type"] == f"{accept}; charset=utf-8"
            assert "<script>" not in answer.text.replace("<script>" + script, "")
    browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    assert http.get(f"/v1/runs/{run.id}", headers={"Accept": browser}).text.startswith("<!doctype html>")
    assert http.get(f"/v1/runs/{run.id}", headers={"Accept": "image/png"}).status_code == 406
    assert http.get(f"/v1/runs/{run.id}").json()["samples"] == 2


def test_runs_are_listed_by_name_and_task(http: httpx.Client) -> None:
    for name, task, are in (("n1", "regression", "values"), ("n1", "binary", "classes"), ("n2", "binary", "classes")):
        fields = {"name": f"listed {name}", "task": task, "predictions_are": are}
        assert http.post("/v1/runs", json=fields).status_code == 201

    def listed(**filters: str) -> list[tuple[str, str]]:
        runs = http.get("/v1/runs", params=filters).json()["runs"]
        return [(one["name"], one["plan"]["task"]) for one in runs]

    assert listed(name="listed n1") == [("listed n1", "binary"), ("listed n1", "regression")]
    assert listed(name="listed n1", task="regression") == [("listed n1", "regression")]
    assert {task for _, task in listed(task="binary")} == {"binary"}
    assert listed(name="listed") == []
    assert http.get("/v1/runs", params={"task": "nothing"}).status_code == 422
