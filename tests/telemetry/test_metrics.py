"""What `/metrics` says is what happened."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

import lossmeter
from lossmeter.telemetry.measures import BOUNDS, MEASURES, merge
from lossmeter.telemetry.snapshots import Snapshots, retire
from tests.support.processes import started, wait_until
from tests.support.runs import SMALL
from tests.support.service import serving

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
CE = {"predictions": [[2.0, -1.0, 0.3]], "labels": [0], "gradients": ["predictions"]}
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scraped(url: str) -> Samples:
    answer = httpx.get(url + "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return samples(text_string_to_metric_families(answer.text))


def samples(families: Iterable[Any]) -> Samples:
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def of(found: Samples, name: str, **labels: str) -> float:
    """The sum of all samples of a name that have these labels."""
    return sum(v for (n, given), v in found.items() if n == "lossmeter_" + name and given >= set(labels.items()))


def test_every_request_is_counted_once() -> None:
    with serving() as url, httpx.Client(base_url=url) as http:
        for _ in range(3):
            assert http.post("/v1/losses/cross_entropy", json=CE).status_code == 200
        assert http.post("/v1/losses/l1", json={"predictions": [1.0], "labels": [0.0]}).status_code == 200
        assert http.post("/v1/losses/mse", json={"predictions": [1.0], "labels": []}).status_code == 422
        assert http.post("/v1/losses/mse", content=b"{").status_code == 400
        body = {"predictions": [[[1e30], [1.0]]], "labels": [[[-1e30], [1.0]]]}
        assert http.post("/v1/losses/mse", json=body).json()["warnings"]
        assert http.get("/v1/losses/mse").status_code == 200
        path = http.post("/v1/runs", json=SMALL).headers["location"]
        for expected in (201, 200):
            answer = http.put(f"{path}/batches/a", json={"predictions": [1.0, 2.0], "labels": [0.0, 1.0]})
            assert answer.status_code == expected
        infer = {
            "inputs": [{"name": n, "datatype": "FP32", "shape": [1], "data": [1]} for n in ("predictions", "labels")]
        }
        assert http.post("/v2/models/mae/versions/1/infer", json=infer).status_code == 200
        # A batch is counted once its folding, for which nobody waits, is over.
        wait_until(lambda: of(scraped(url), "run_batches_total") == 2, "batches counted")
        found = scraped(url)
    losses = "/v1/losses/{loss}"
    batches = "/v1/runs/{run_id}/batches/{batch_id}"
    assert of(found, "requests_total", method="POST", route=losses, loss="cross_entropy", status="200") == 3
    assert of(found, "requests_total", method="POST", route=losses, loss="mae", status="200") == 1
    assert of(found, "requests_total", method="POST", route=losses, loss="mse", status="422") == 1
    assert of(found, "requests_total", method="POST", route=losses, loss="mse", status="400") == 1
    assert of(found, "requests_total", method="GET", route=losses, loss="mse") == 1
    assert of(found, "requests_total", route="/v2/models/{loss}/versions/{version}/infer", loss="mae") == 1
    assert of(found, "requests_total", route=batches) == 2
    assert of(found, "run_batches_total", outcome="added") == of(found, "run_batches_total", outcome="repeated") == 1
    assert of(found, "elements_total", route=losses, loss="cross_entropy") == 3 * 4
    assert of(found, "errors_total", code="invalid") == of(found, "errors_total", code="malformed_body") == 1
    assert of(found, "warnings_total", code="non_finite") >= 1
    assert of(found, "request_duration_seconds_count", route=losses) == 8
    for stage in ("decode", "compute", "encode"):
        assert of(found, "stage_duration_seconds_count", route=losses, stage=stage) == 5
        assert 0 < of(found, "stage_duration_seconds_sum", route=losses, stage=stage) < 60
    sent = 3 * len(httpx.Request("POST", "http://x", json=CE).content)
    assert of(found, "request_bytes_total", route=losses) > sent
    assert of(found, "response_bytes_total", route=losses) > 0
    assert of(found, "requests_in_flight") == 1  # the one that asks
    assert of(found, "workers") == of(found, "ready") == of(found, "build_info", version=lossmeter.__version__) == 1
    assert of(found, "resident_memory_bytes") > 50e6


def test_both_formats_say_the_same_and_hold_everything_that_is_declared() -> None:
    with serving() as url, httpx.Client(base_url=url) as http:
        http.post("/v1/losses/cross_entropy", json=CE)
        plain = list(text_string_to_metric_families(http.get("/metrics").text))
        answer = http.get("/metrics", headers={"accept": OPENMETRICS})
        assert answer.headers["content-type"].startswith("application/openmetrics-text")
        modern = list(openmetrics.text_string_to_metric_families(answer.text))
    assert {family.name for family in plain} == {family.name for family in modern}
    assert {family.name for family in plain} == {"lossmeter_" + name for name in MEASURES}
    requests = (
        "lossmeter_request_duration_seconds_bucket",
        frozenset({("route", "/v1/losses/{loss}"), ("le", "+Inf")}),
    )
    assert samples(plain)[requests] == samples(modern)[requests] == 1


def test_what_clients_choose_never_becomes_a_label() -> None:
    with serving() as url, httpx.Client(base_url=url) as http:
        for number in range(50):
            http.post(f"/v1/losses/chosen{number}", json={})
            http.get(f"/v1/losses/chosen{number}")
            http.get(f"/chosen{number}")
            http.request("PROPFIND", "/v1/losses/mse")
            http.get(f"/v1/runs/chosen{number}")
            http.post("/v1/losses/mse", headers={"x-request-id": f"chosen{number}", "content-type": f"chosen/{number}"})
            http.get(f"/static/chosen{number}")
            http.post(f"/v2/models/chosen{number}/infer", json={})
        text = http.get("/metrics").text
        found = samples(text_string_to_metric_families(text))
    assert "chosen" not in text.lower()
    assert of(found, "requests_total", route="/v1/losses/{loss}", loss="unknown", status="404") == 100
    assert of(found, "requests_total", method="other") == 50
    assert of(found, "requests_total") == 400
    assert len(found) < 400


def test_workers_add_up_and_what_a_dead_one_counted_remains(tmp_path: Path) -> None:
    body = {"predictions": [1.0, 2.0], "labels": [0.0, 0.0]}

    async def post(url: str) -> None:
        async with httpx.AsyncClient(base_url=url, limits=httpx.Limits(max_connections=8), timeout=60) as http:
            answers = await asyncio.gather(*(http.post("/v1/losses/mse", json=body) for _ in range(200)))
        assert {answer.status_code for answer in answers} == {200}

    with started("--workers", "2", TMPDIR=str(tmp_path)) as service:

        def count() -> float:
            return of(scraped(service.url), "requests_total", loss="mse")

        for expected in (200, 400):
            asyncio.run(post(service.url))
            wait_until(lambda expected=expected: count() == expected, "all counted")  # type: ignore[misc]
        wait_until(lambda: of(scraped(service.url), "workers") == of(scraped(service.url), "ready") == 2, "both there")
        first, _ = sorted(service.workers())
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: first not in service.workers() and len(service.workers()) == 2, "replaced")
        wait_until(lambda: of(scraped(service.url), "workers") == 2, "the new one shows itself")
        for _ in range(20):
            assert count() == 400
        assert of(scraped(service.url), "elements_total", loss="mse") == 400 * 4
        assert [path.name for path in tmp_path.glob("lossmeter-metrics-*/*")]
        assert service.stop() == 0
        assert list(tmp_path.glob("lossmeter-metrics-*")) == []


def test_a_count_survives_its_worker_and_a_gauge_does_not(tmp_path: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    gone, here = Snapshots(tmp_path), Snapshots(tmp_path)
    gone.name = f"{ended.pid}-x"
    histogram = [1.0] * (len(BOUNDS) + 2)
    reading = {"requests": {("GET", "/", "", "200"): 5.0}, "workers": {(): 1.0}}
    gone.publish(reading | {"request_duration_seconds": {("/",): list(histogram)}})
    expected = {"requests": {("GET", "/", "", "200"): 5.0}, "request_duration_seconds": {("/",): histogram}}
    assert merge(here.others()) == expected
    retire(tmp_path, ended.pid)
    assert merge(here.others()) == expected
    assert [path.name for path in tmp_path.iterdir()] == ["ended"]
    gone.name = f"{ended.pid}-y"  # another worker with the same number
    gone.publish(reading)
    retire(tmp_path, ended.pid)
    assert merge(here.others())["requests"] == {("GET", "/", "", "200"): 10.0}


def test_a_file_that_was_added_and_is_not_yet_removed_counts_once(tmp_path: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    gone, here = Snapshots(tmp_path), Snapshots(tmp_path)
    gone.name = f"{ended.pid}-x"
    gone.publish({"requests": {("GET", "/", "", "200"): 5.0}})
    kept = (tmp_path / gone.name).read_bytes()
    retire(tmp_path, ended.pid)
    (tmp_path / gone.name).write_bytes(kept)
    assert merge(here.others())["requests"] == {("GET", "/", "", "200"): 5.0}


@pytest.mark.parametrize("rule", ["sum", "max"])
def test_gauges_merge_as_declared(rule: str) -> None:
    name = next(name for name, measure in MEASURES.items() if measure.kind == "gauge" and measure.merge == rule)
    labels = tuple("x" for _ in MEASURES[name].labels)
    assert merge([{name: {labels: 2.0}}, {name: {labels: 3.0}}])[name][labels] == {"sum": 5.0, "max": 3.0}[rule]
