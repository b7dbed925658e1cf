"""No small valid request hurts the service: it is refused before anything is allocated, or it ends in time."""

from __future__ import annotations

import gzip
import io
import json
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest
import torch
from pyarrow import parquet
from safetensors.torch import save

from lossmeter.api.body import SMALL_EXPANDED, Body
from lossmeter.engine import Engine
from lossmeter.engine.costs import LONG_OPERATIONS
from lossmeter.errors import TooLarge
from lossmeter.losses import LOSSES
from lossmeter.metrics.draws import hashes
from lossmeter.wire import safetensors
from lossmeter.wire.safetensors_layout import REQUEST
from tests.programs import small
from tests.support.costs import call_of
from tests.support.service import serving

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

SECONDS = 4.0
SAFETENSORS = {"content-type": "application/vnd.safetensors"}


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    settings = {"max_request_memory": 1 << 30, "max_request_operations": 20_000_000_000, "compute_seconds": SECONDS}
    with serving(**settings) as url, httpx.Client(base_url=url, timeout=120) as http:
        yield http


def classes(number: int, *metrics: dict[str, Any]) -> dict[str, Any]:
    data = {"predictions": [0], "labels": [0], "losses": [], "metrics": [*metrics]}
    return {"task": "multiclass", "predictions_are": "classes", "classes": number, **data}


def of_shape(*shape: int) -> dict[str, Any]:
    return {"datatype": "FP32", "shape": [*shape], "data": []}


def refused(answer: httpx.Response, setting: str, pointer: str) -> None:
    assert answer.status_code == 413, answer.text[:300]
    problem = answer.json()
    assert setting in problem["detail"]
    assert [flaw["pointer"] for flaw in problem["errors"]] == [pointer]


def ended(answer: httpx.Response, *statuses: int) -> None:
    """Either is an end: an answer, or the news that there is none in time."""
    assert answer.status_code in (statuses or (200, 413, 503, 504)), answer.text[:300]


MEMORY, OPERATIONS = "LOSSMETER_MAX_REQUEST_MEMORY", "LOSSMETER_MAX_REQUEST_OPERATIONS"
EVALUATIONS = {
    "a confusion matrix of 11,000 classes": (
        classes(11_000, {"metric": "confusion_matrix"}),
        MEMORY,
        "/metrics/0",
    ),
    "f1 of 600,000 classes": (classes(600_000, {"metric": "f1", "average": "macro"}), MEMORY, "/metrics/0"),
    "f-beta of every class, forty times": (
        classes(200_000, *({"metric": "f_beta", "average": "none", "beta": 1.0 + one} for one in range(40))),
        MEMORY,
        "/metrics/0",
    ),
}


@pytest.mark.parametrize("name", EVALUATIONS)
def test_an_evaluation_that_becomes_large_is_refused(client: httpx.Client, name: str) -> None:
    body, setting, pointer = EVALUATIONS[name]
    refused(client.post("/v1/evaluate", json=body), setting, pointer)


def test_what_a_request_may_take_grows_with_what_was_sent(client: httpx.Client) -> None:
    body = {**classes(60_000, {"metric": "f1", "average": "macro"}), "replicates": 20}
    answer = client.post("/v1/evaluate", json=body)
    refused(answer, MEMORY, "/metrics/0")
    assert f"one that comes as {len(answer.request.content)} bytes" in answer.json()["detail"]
    more = {**body, "predictions": [0] * 4000, "labels": [0] * 4000}
    ended(client.post("/v1/evaluate", json=more), 200, 503, 504)
    squeezed = gzip.compress(json.dumps(more).encode())
    small = client.post("/v1/evaluate", content=squeezed, headers={"content-encoding": "gzip"})
    refused(small, MEMORY, "/metrics/0")


def test_few_bytes_become_no_more_than_many() -> None:
    def expanded(coding: str, size: int) -> int:
        compress = {"gzip": gzip.compress, "zstd": zstd.compress}[coding]
        return len(Body(bytearray(compress(bytes(size))), (coding,), 1 << 28, lambda _: None).take())

    assert expanded("zstd", SMALL_EXPANDED) == SMALL_EXPANDED
    assert expanded("gzip", 5 * SMALL_EXPANDED) == 5 * SMALL_EXPANDED  # it makes no more than 1032 of anything
    with pytest.raises(TooLarge, match="as that few bytes"):
        expanded("zstd", 5 * SMALL_EXPANDED)


def test_classes_without_samples_are_refused(client: httpx.Client) -> None:
    wanted = {"task": "multiclass", "predictions_are": "logits", "losses": [], "metrics": [{"metric": "f1"}]}
    body = {
        **wanted,
        "predictions": of_shape(0, 100_000_000),
        "labels": {"datatype": "INT64", "shape": [0], "data": []},
    }
    refused(client.post("/v1/evaluate", json=body), MEMORY, "/metrics/0")


def test_a_dimension_that_no_memory_has_is_refused(client: httpx.Client) -> None:
    body = {"predictions": of_shape(0, 1 << 62), "labels": of_shape(0, 1 << 62)}
    asked = {"task": "regression", "predictions_are": "values", **body}
    for path, request in (("/v1/losses/mse", body), ("/v1/evaluate", asked)):
        answer = client.post(path, json=request)
        assert answer.status_code == 422, answer.text
        assert answer.json()["errors"][0]["pointer"] == "/predictions"


def zeros(**shapes: tuple[tuple[int, ...], torch.dtype]) -> bytes:
    return gzip.compress(save({name: torch.zeros(shape, dtype=dtype) for name, (shape, dtype) in shapes.items()}))


def test_a_product_of_matrices_from_few_bytes_is_refused(client: httpx.Client) -> None:
    narrow = ((40_000, 1), torch.float32)
    body = zeros(features=narrow, classifier=narrow, labels=((40_000,), torch.int64))
    answer = client.post(
        "/v1/losses/linear_cross_entropy", content=body, headers={**SAFETENSORS, "content-encoding": "gzip"}
    )
    refused(answer, MEMORY, "/features")
    assert "1600000000 elements (N C | C)" in answer.json()["detail"]


def test_long_transcripts_are_refused(client: httpx.Client) -> None:
    lengths = {"prediction_lengths": ((), torch.int64), "label_lengths": ((), torch.int64)}
    tensors = {
        name: torch.full(shape, 40_000 if "prediction" in name else 20_000) for name, (shape, _) in lengths.items()
    }
    tensors |= {"predictions": torch.full((40_000, 2), -0.7), "labels": torch.ones(20_000, dtype=torch.int64)}
    answer = client.post("/v1/losses/ctc", content=save(tensors), headers=SAFETENSORS)
    refused(answer, MEMORY, "/predictions")


def test_comparisons_of_all_classes_with_each_other_are_refused(client: httpx.Client) -> None:
    body = zeros(predictions=((1, 1_000_000), torch.float32), labels=((1, 1_000_000), torch.int64))
    headers = {**SAFETENSORS, "content-encoding": "gzip"}
    refused(client.post("/v1/losses/multilabel_margin", content=body, headers=headers), OPERATIONS, "/predictions")


def wide(count: int) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    return {"predictions": ((count,), torch.float32), "labels": ((count,), torch.float32)}


def test_terms_that_are_small_by_themselves_are_refused_where_they_are_too_many(client: httpx.Client) -> None:
    def objective(terms: int) -> httpx.Response:
        tensors = {name: torch.zeros(shape, dtype=dtype) for name, (shape, dtype) in wide(200_000).items()}
        body = save(tensors, {REQUEST: json.dumps({"losses": [{"loss": "barron"}] * terms})})
        headers = {**SAFETENSORS, "content-encoding": "gzip"}
        return client.post("/v1/objectives", content=gzip.compress(body), headers=headers)

    ended(objective(2), 200)
    answer = objective(32)
    refused(answer, OPERATIONS, "/predictions")
    assert "in all" in answer.json()["detail"]


def test_losses_that_are_small_by_themselves_are_refused_where_they_are_too_many(client: httpx.Client) -> None:
    def evaluation(losses: int) -> httpx.Response:
        body = {"task": "regression", "predictions_are": "values", "predictions": [1] * 30_000, "labels": [0] * 30_000}
        wanted = {
            **body,
            "metrics": [],
            "replicates": 0,
            "losses": [{"loss": "barron", "scale": 1.0 + one} for one in range(losses)],
        }
        content = zstd.compress(json.dumps(wanted).encode())
        return client.post("/v1/evaluate", content=content, headers={"content-encoding": "zstd"})

    ended(evaluation(2), 200)
    refused(evaluation(60), OPERATIONS, "/predictions")


def test_a_file_that_becomes_many_rows_is_refused(client: httpx.Client) -> None:
    def file(rows: int, value: Any, **plan: str) -> httpx.Response:
        column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int8)), pa.array([value]))
        table = pa.table({"p": column, "y": column})
        once = {"row_group_size": rows, "max_rows_per_page": rows, "write_batch_size": rows}
        parquet.write_table(table, content := io.BytesIO(), compression="zstd", **once)
        query = {"predictions": "p", "labels": "y", "replicates": "0", **plan}
        headers = {"content-type": "application/vnd.apache.parquet"}
        return client.post("/v1/evaluate", params=query, content=content.getvalue(), headers=headers)

    for value, plan, pointer in (
        (0.5, {"task": "regression"}, "/predictions"),
        ("a", {"task": "multiclass", "predictions_are": "classes", "metric": "accuracy"}, ""),
    ):
        answer = file(2_000_000, value, **plan)
        assert len(answer.request.content) < 4096
        refused(answer, OPERATIONS, pointer)
        assert "in all" in answer.json()["detail"]
        assert file(1000, value, **plan).status_code != 413


def test_programs_that_look_for_the_dearest_ask_for_gradients() -> None:
    for request in (small.of_loss(LOSSES["mse"], 100, "all"), small.of_loss(LOSSES["mse"], 100, "all", terms=2)):
        assert request is not None
        fields = safetensors.decode(request.content, {"predictions", "labels"}, set())
        assert fields["gradients"] == ["predictions", "labels"]
    assert fields["losses"] == [{"loss": "mse"}] * 2


def test_a_graph_that_becomes_large_is_refused(client: httpx.Client) -> None:
    def step(name: str, target: str, *arguments: Any) -> dict[str, Any]:
        return {"op": "call_function", "name": name, "target": target, "args": [*arguments]}

    nodes = [
        {"op": "placeholder", "name": "x", "target": "x"},
        step("a", "torch.ones", [60_000_000]),
        step("b", "torch.sum", {"ref": "a"}),
        {"op": "output", "name": "output", "target": "output", "args": [{"ref": "b"}]},
    ]
    body = {"graph": {"format": 1, "nodes": nodes}, "x": [1.0], "gradients": ["x"]}
    refused(client.post("/v1/losses/custom", json=body), MEMORY, "/graph/nodes")


def transcript(frames: int, symbols: int) -> dict[str, Any]:
    predictions = [[round(float(np.log(0.5)), 2)] * 2] * frames
    lengths = {"prediction_lengths": frames, "label_lengths": symbols}
    return {"predictions": predictions, "labels": [1] * symbols, **lengths, "gradients": []}


def test_what_is_small_and_long_leaves_the_event_loop_to_others(client: httpx.Client) -> None:
    # In 32 KB; each would hold the event loop for a second or more.
    body = json.dumps(transcript(2000, 900), separators=(",", ":")).encode()
    assert len(body) < 32 * 1024
    statuses: list[int] = []

    def send() -> None:
        statuses.append(
            client.post("/v1/losses/ctc", content=body, headers={"content-type": "application/json"}).status_code
        )

    senders = [threading.Thread(target=send) for _ in range(12)]
    for sender in senders:
        sender.start()
    answered_meanwhile = 0
    while any(sender.is_alive() for sender in senders):
        answered_meanwhile += client.post("/v1/losses/mse", json={"predictions": [1.0], "labels": [0.0]}).is_success
    for sender in senders:
        sender.join()
    assert set(statuses) <= {200, 503, 504}
    assert answered_meanwhile >= 3


def test_which_thread_computes_follows_from_the_cost_and_not_from_the_bytes() -> None:
    engine = Engine("cpu")
    long = engine.check(call_of(LOSSES["ctc"], {"T": 2000, "N": 1, "C": 3, "S": 900})).plan
    short = engine.check(call_of(LOSSES["cross_entropy"], {"N": 32, "C": 200, "*d": 1})).plan
    assert (long.long, short.long) == (True, False)
    assert long.cost.operations > LONG_OPERATIONS > 10 * short.cost.operations


def regression(samples: int, **wanted: Any) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    data = {name: rng.normal(size=samples).round(3).tolist() for name in ("predictions", "labels")}
    return {"task": "regression", "predictions_are": "values", "losses": [{"loss": "mse"}], **data, **wanted}


def test_an_id_of_a_megabyte_is_hashed_as_any_other() -> None:
    ids = ["a" * 100_000, "ä" * 1000, "", *(f"id {one}" * 3 for one in range(20)), "b" * 999]
    assert hashes(ids).tolist() == [fnv(one.encode()) for one in ids]


def fnv(text: bytes) -> int:
    """Hashes a text with FNV-1a, 64 bits, as its authors describe it."""
    state = 0xCBF29CE484222325
    for letter in text:
        state = (state ^ letter) * 0x100000001B3 % (1 << 64)
    return state


def test_an_id_of_a_megabyte_is_refused(client: httpx.Client) -> None:
    body = regression(3, sample_ids=["a" * 1_000_000, "b", "c"], metrics=[{"metric": "mse"}])
    answer = client.post("/v1/evaluate", json=body)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/sample_ids"), answer.text


def test_scores_of_twenty_thousand_classes_end_in_time(client: httpx.Client) -> None:
    wanted = {"losses": [], "metrics": [{"metric": "auroc", "average": "macro"}]}
    scores = {"predictions": [np.linspace(0, 1, 20_000).round(4).tolist()], "labels": [0]}
    ended_in_time(client, {"task": "multiclass", "predictions_are": "scores", **wanted, **scores})


def test_a_hundred_columns_of_a_thousand_slices_end_in_time(client: httpx.Client) -> None:
    columns = {f"column{one}": list(range(1000)) for one in range(100)}
    ended_in_time(client, regression(1000, slices=columns, metrics=[{"metric": "mse"}]))


def ended_in_time(client: httpx.Client, body: dict[str, Any]) -> None:
    """Sends something that may take long, and then waits until the thread that computes it is free again."""
    ended(client.post("/v1/evaluate", json=body))
    ended(client.post("/v1/evaluate", json=regression(40_000, metrics=[{"metric": "mse"}])))


def test_reports_that_take_long_end_in_time_and_hold_up_nobody(client: httpx.Client) -> None:
    plan = {"task": "regression", "predictions_are": "values", "metrics": [{"metric": "kendall"}], "replicates": 2000}
    run = client.post("/v1/runs", json=plan).json()["id"]
    batch = regression(3000)
    added = client.put(f"/v1/runs/{run}/batches/one", json={name: batch[name] for name in ("predictions", "labels")})
    assert added.status_code == 201, added.text[:300]
    answers: list[httpx.Response] = []
    readers = [threading.Thread(target=lambda: answers.append(client.get(f"/v1/runs/{run}"))) for _ in range(4)]
    for reader in readers:
        reader.start()
    healthy = 0
    while any(reader.is_alive() for reader in readers):
        assert client.get("/readyz").status_code == client.get("/v1/runs").status_code == 200
        healthy += client.post("/v1/losses/mse", json={"predictions": [1.0], "labels": [0.0]}).is_success
        time.sleep(0)
    for reader in readers:
        reader.join()
    assert [answer.status_code for answer in answers] == [504] * 4
    assert healthy >= 3
    compared = client.post("/v1/comparisons", json={"baseline": run, "candidate": run})
    assert (compared.status_code, compared.json()["code"]) == (504, "took_too_long")


def test_a_state_of_many_classes_is_written_without_a_number_of_python_for_each(client: httpx.Client) -> None:
    plan = {**classes(500, {"metric": "confusion_matrix"}), "replicates": 0}
    run = client.post(
        "/v1/runs", json={name: plan[name] for name in plan if name not in ("predictions", "labels")}
    ).json()["id"]
    assert client.put(f"/v1/runs/{run}/batches/one", json={"predictions": [1], "labels": [2]}).status_code == 201
    state = client.get(f"/v1/runs/{run}/state").json()["record"]["whole"]["states"]
    (matrix,) = (one for one in state.values() if one["state"] == "confusion")
    counts = np.asarray(next(value for value in matrix.values() if isinstance(value, list)))
    assert counts.shape[-1] == 500
    assert counts.sum() == counts[2, 1] == 1
