"""The routes of runs keep the contract."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from lossmeter.api.routes import runs as routes
from lossmeter.runs import SqlStore
from lossmeter.runs.run import new_id
from lossmeter.tensors import Datatype, Tensor
from lossmeter.wire import safetensors
from tests.support.runs import FIGURES, PLAN, alike, data, part
from tests.support.service import serving

RUN = {**PLAN, "name": "nightly", "tags": ["a", "b", "a"]}
NOWHERE = "00000000-0000-7000-8000-000000000000"


def opened(http: httpx.Client, **fields: Any) -> str:
    answer = http.post("/v1/runs", json={**RUN, **fields})
    assert answer.status_code == 201, answer.text
    return str(answer.headers["location"])


def problem(answer: httpx.Response, status: int, code: str) -> Any:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    assert answer.json()["code"] == code
    return answer.json()


def test_a_run_from_its_opening_to_its_end(http: httpx.Client) -> None:
    answer = http.post("/v1/runs", json=RUN)
    run = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/v1/runs/{run['id']}"
    assert (run["name"], run["tags"], run["closed"], run["batches"]) == ("nightly", ["a", "b"], None, 0)
    path, whole = answer.headers["location"], data(20)
    assert http.get(path).json()["samples"] == 0
    for number, rows in enumerate((range(5), range(5, 20))):
        one = http.put(f"{path}/batches/{number}", json=part(whole, rows))
        assert (one.status_code, one.json()) == (201, {"run": run["id"], "batch": str(number), "added": True})
    again = http.put(f"{path}/batches/1", json=part(whole, range(5, 20)))
    assert (again.status_code, again.json()["added"]) == (200, False)
    problem(http.put(f"{path}/batches/1", json=part(whole, range(4, 20))), 409, "conflict")
    closed = http.post(f"{path}/close").json()
    assert closed["closed"] > closed["created"]
    problem(http.put(f"{path}/batches/2", json=part(whole, range(5))), 409, "conflict")
    assert http.delete(path).status_code == 204
    for answer in (http.get(path), http.delete(path), http.get(path + "/state"), http.post(path + "/close")):
        problem(answer, 404, "not_found")


def test_the_id_of_a_batch_may_have_slashes(http: httpx.Client) -> None:
    path, rows = opened(http), data(5)
    for batch_id, expected in (("2026/07/08", 201), ("2026%2F07%2F08", 200), ("2026%252F07", 201), ("a b?%23", 201)):
        written = batch_id.replace(" ", "%20").replace("?", "%3F")
        answer = http.put(f"{path}/batches/{written}", json=rows)
        assert answer.status_code == expected, answer.text
        assert answer.json()["batch"] == httpx.URL(f"http://x/{written}").path[1:]
    assert http.get(path).json()["run"]["batches"] == 3


def test_the_report_has_the_form_and_the_figures_of_one_evaluation(http: httpx.Client) -> None:
    path, whole = opened(http), data(30)
    for number in range(3):
        http.put(f"{path}/batches/{number}", json=part(whole, range(number, 30, 3)))
    found = http.get(path).json()
    plan = {name: value for name, value in PLAN.items() if name != "slices"}
    direct = http.post("/v1/evaluate", json={**plan, **whole}).json()
    direct["objective"].pop("gradients")
    assert alike({name: found[name] for name in FIGURES}, {name: direct[name] for name in FIGURES})
    assert found.keys() - {"run"} == direct.keys()


def test_a_report_is_computed_again_once_there_is_something_new(
    http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, rows = opened(http), data(10)
    http.put(f"{path}/batches/0", json=rows)
    first = http.get(path)
    assert first.headers["cache-control"] == "no-cache"
    tag = {"if-none-match": f'"other", {first.headers["etag"]}'}
    with monkeypatch.context() as patch:
        patch.setattr(routes, "_encode_report", None)
        again = http.get(path, headers=tag)
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert "text/html" in http.get(path, headers={**tag, "accept": "text/html"}).headers["content-type"]
    http.put(f"{path}/batches/1", json=rows)
    second = http.get(path, headers=tag)
    assert second.json()["run"]["batches"] == 2
    http.post(f"{path}/close")
    assert http.get(path, headers={"if-none-match": second.headers["etag"]}).json()["run"]["closed"]
    http.delete(path)
    problem(http.get(path, headers=tag), 404, "not_found")


def test_a_batch_is_the_same_in_any_format(http: httpx.Client) -> None:
    path = opened(http, slices=[])
    logits, labels = np.random.default_rng(0).normal(size=(6, 3)), np.arange(6) % 3
    fields = {
        "predictions": Tensor(Datatype.FP64, (6, 3), logits.reshape(-1)),
        "labels": Tensor(Datatype.INT64, (6,), labels),
        "sample_ids": list("abcdef"),
    }
    request = {name: value for name, value in fields.items() if not isinstance(value, Tensor)}
    body = _file({"predictions": logits, "labels": labels}, request)
    answer = http.put(f"{path}/batches/a", content=body, headers={"content-type": safetensors.MEDIA_TYPE})
    assert answer.status_code == 201, answer.text
    objects = {
        "predictions": {"datatype": "FP64", "shape": [6, 3], "data": logits.reshape(-1).tolist()},
        "labels": {"datatype": "INT64", "shape": [6], "data": labels.tolist()},
    }
    assert http.put(f"{path}/batches/a", json={**request, **objects}).status_code == 200


def _file(arrays: dict[str, Any], request: dict[str, Any]) -> bytes:
    import json

    from safetensors.numpy import save

    return bytes(save(arrays, {"request": json.dumps(request)}))


@pytest.mark.parametrize(
    ("change", "status", "pointer"),
    [
        ({"slices": {}}, 422, "/slices/site"),
        ({"slices": {"site": ["a"] * 6, "other": ["a"] * 6}}, 422, "/slices/other"),
        ({"labels": [0, 1]}, 422, "/labels"),
        ({"predictions": [0.5] * 6}, 422, "/predictions"),
        ({"labels": None}, 422, "/labels"),
        ({"metrics": []}, 422, "/metrics"),
    ],
)
def test_a_bad_batch_is_told_where_and_leaves_nothing(
    http: httpx.Client, change: dict[str, Any], status: int, pointer: str
) -> None:
    path = opened(http)
    found = problem(http.put(f"{path}/batches/a", json={**data(6), **change}), status, "invalid")
    assert found["errors"][0]["pointer"] == pointer
    assert http.get(path).json()["run"]["batches"] == 0


def test_what_is_no_batch_at_all(http: httpx.Client) -> None:
    path = opened(http)
    problem(http.put(f"{path}/batches/a", content=b"{"), 400, "malformed_body")
    problem(
        http.put(f"{path}/batches/a", content=b"x", headers={"content-type": "text/csv"}), 415, "unsupported_format"
    )
    problem(http.put(f"{path}/batches/{'a' * 201}", json=data(3)), 422, "invalid")
    problem(http.put(f"{path}/batches/a%00", json=data(3)), 422, "invalid")
    problem(http.put(f"{path}/batches/", json=data(3)), 422, "invalid")
    problem(http.put(f"/v1/runs/{NOWHERE}/batches/a", json=data(3)), 404, "not_found")
    problem(http.put("/v1/runs/x%00/batches/a", json=data(3)), 404, "not_found")
    problem(http.post(f"{path}/batches/a", json=data(3)), 405, "method_not_allowed")


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"task": "magic"}, "/task"),
        ({"metrics": [{"metric": "mse"}]}, "/metrics/0/metric"),
        ({"name": "a\nb"}, "/name"),
        ({"tags": [""]}, "/tags/0"),
        ({"tags": ["a" * 201]}, "/tags/0"),
        ({"unknown": 1}, "/unknown"),
    ],
)
def test_a_bad_run_is_told_where(http: httpx.Client, change: dict[str, Any], pointer: str) -> None:
    found = problem(http.post("/v1/runs", json={**RUN, **change}), 422, "invalid")
    assert found["errors"][0]["pointer"] == pointer


def test_pages_of_runs_follow_each_other(http: httpx.Client) -> None:
    tag = f"page {np.random.default_rng().integers(1 << 60)}"
    paths = [opened(http, tags=[tag]) for _ in range(5)]
    found, cursor = [], ""
    while True:
        page = http.get("/v1/runs", params={"tag": tag, "limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        found += [f"/v1/runs/{run['id']}" for run in page["runs"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert found == paths[::-1]
    for bad in ({"limit": "0"}, {"limit": "x"}, {"limit": "501"}, {"cursor": "x"}):
        problem(http.get("/v1/runs", params=bad), 422, "invalid")


def test_the_state_adds_up(http: httpx.Client) -> None:
    whole = data(30)
    paths = [opened(http) for _ in range(3)]
    assert http.get(f"{paths[0]}/state").json()["record"] is None
    for number, rows in enumerate((range(10), range(10, 30), range(30))):
        http.put(f"{paths[number]}/batches/{number}", json=part(whole, rows))
    one, other, both = (http.get(f"{path}/state").json()["record"]["whole"] for path in paths)
    assert one["samples"] + other["samples"] == both["samples"]
    key = "right_decisions[threshold=0.5]"
    for field in ("numerator", "denominator", "units"):
        added = one["states"][key][field] + other["states"][key][field]
        assert added == pytest.approx(both["states"][key][field], rel=1e-12)


@pytest.fixture(scope="module")
def lonely() -> Iterator[str]:
    """A service that can keep nothing."""
    with serving(store_url="sqlite:////proc/lossmeter/runs.sqlite") as url:
        yield url


def test_without_a_place_for_runs_everything_else_works(lonely: str) -> None:
    with httpx.Client(base_url=lonely) as client:
        answer = client.post("/v1/runs", json=RUN)
        assert "cannot be kept here" in problem(answer, 503, "store_unavailable")["detail"]
        assert answer.headers["retry-after"] == "2"
        problem(client.get("/v1/runs"), 503, "store_unavailable")
        assert client.post("/v1/losses/mse", json={"predictions": [1.0], "labels": [0.0]}).json()["value"] == 1.0
        assert client.get("/readyz").status_code == 200


def test_lists_of_runs_have_no_arrays_and_reports_do(http: httpx.Client) -> None:
    tag, weight = new_id(), [0.5, 1.0, 2.0, 1.0]
    path = opened(http, tags=[tag], losses=[{"loss": "cross_entropy", "weight": weight, "label_smoothing": 0.1}])
    (run,) = http.get("/v1/runs", params={"tag": tag}).json()["runs"]
    assert run["plan"]["losses"] == [{"loss": "cross_entropy", "weight_in_objective": 1.0, "label_smoothing": 0.1}]
    assert http.get(path).json()["run"]["plan"]["losses"][0]["weight"] == weight


def test_a_plan_is_no_place_for_much(http: httpx.Client) -> None:
    weight = gzip.compress(
        b'{"task":"binary","predictions_are":"logits","losses":[{"loss":"x","weight":[%s0]}]}' % (b"0," * 2_000_000)
    )
    answer = http.post(
        "/v1/runs", content=weight, headers={"content-type": "application/json", "content-encoding": "gzip"}
    )
    problem(answer, 413, "too_large")
    problem(
        http.post("/v1/comparisons", content=b" " * (1 << 21), headers={"content-type": "application/json"}),
        413,
        "too_large",
    )
    problem(http.post("/v1/runs", json={**PLAN, "slices": ["x" * 257]}), 422, "invalid")


@pytest.mark.parametrize("confidence", [0.9999999999999999, 1.0, 0.0, 5e-324])
def test_a_confidence_that_nothing_could_be_said_with_is_refused(http: httpx.Client, confidence: float) -> None:
    answer = http.post("/v1/runs", json={**PLAN, "confidence": confidence})
    problem(answer, 422, "invalid")
    assert answer.json()["errors"][0]["pointer"] == "/confidence"


@pytest.mark.parametrize("confidence", [0.000001, 0.999999])
def test_a_run_with_any_other_confidence_can_be_read(http: httpx.Client, confidence: float) -> None:
    path, rows = opened(http, confidence=confidence), data(20)
    assert http.put(f"{path}/batches/0", json=rows).status_code == 201
    assert http.get(path).status_code == 200


@pytest.mark.parametrize(
    ("fields", "pointer", "index"),
    [
        ({"sample_ids": ["a", "b", "x" * 257, "d", "e"]}, "/sample_ids", [2]),
        ({"groups": ["x" * 1_000_000, "b", "c", "d", "e"]}, "/groups", [0]),
        ({"slices": {"site": ["a", "b", "c", "d", "y" * 257]}}, "/slices/site", [4]),
        ({"slices": {"site": ["a", {}, "c", "d", "e"]}}, "/slices/site", [1]),
        ({"slices": {"site": [[]] * 5}}, "/slices/site", [0]),
    ],
    ids=["sample_ids", "groups", "slice", "object", "array"],
)
def test_names_are_short_and_plain(http: httpx.Client, fields: dict[str, Any], pointer: str, index: list[int]) -> None:
    path = opened(http)
    plan = {name: value for name, value in PLAN.items() if name != "slices"}
    for answer in (
        http.put(f"{path}/batches/0", json={**data(5), **fields}),
        http.post("/v1/evaluate", json={**plan, **data(5), **fields}),
    ):
        problem(answer, 422, "invalid")
        (flaw,) = answer.json()["errors"]
        assert (flaw["pointer"], flaw["index"]) == (pointer, index)
        assert len(flaw["message"]) < 200
    assert (
        http.put(f"{path}/batches/0", json={**data(5), "sample_ids": ["x" * 256, "b", "c", "d", "e"]}).status_code
        == 201
    )


@pytest.mark.parametrize("shape", [[0, 4611686018427387904], [1152921504606846976, 0], [0, 2**60, 1]])
def test_a_tensor_that_no_memory_could_hold_is_refused_though_it_is_empty(http: httpx.Client, shape: list[int]) -> None:
    tensor = {"datatype": "FP32", "shape": shape, "data": []}
    both = {"predictions": tensor, "labels": tensor}
    plan = {"task": "regression", "predictions_are": "values"}
    path = http.post("/v1/runs", json=plan).headers["location"]
    for answer in (
        http.post("/v1/losses/mse", json=both),
        http.post("/v1/evaluate", json={**plan, **both}),
        http.put(f"{path}/batches/0", json=both),
    ):
        problem(answer, 422, "invalid")
        assert answer.json()["errors"][0]["pointer"] == "/predictions"


def test_a_bug_is_a_problem_with_its_id_on_every_route(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("no business of callers")

    monkeypatch.setattr(routes, "_encode_report", fail)
    monkeypatch.setattr(SqlStore, "find", fail)
    monkeypatch.setattr(SqlStore, "delete", fail)
    with serving() as url, httpx.Client(base_url=url) as plain:
        path = opened(plain)
        for method, address in (("GET", path), ("GET", "/v1/runs"), ("DELETE", path)):
            answer = plain.request(method, address, headers={"x-request-id": "mine"})
            problem(answer, 500, "internal")
            assert answer.json()["request_id"] == answer.headers["x-request-id"] == "mine"
            assert "business" not in answer.text
