"""Two nodes of a real cluster on this machine: what is evaluated there is reported as here, whatever nodes are lost on the way.

A node is lost by killing all of its processes. Needs Ray: `make test-ray`.
"""

from __future__ import annotations

import json
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow
import pytest
from pyarrow import parquet
from typer.testing import CliRunner

from lossmeter.cli import program
from lossmeter.cli.measurement import LocalRunner, opened
from lossmeter.evaluation import Plan, SlicedFields, evaluate
from lossmeter.tensors import Datatype, Tensor
from lossmeter.validation import validate
from lossmeter.wire.datasets import Dataset
from lossmeter.wire.tables import Columns
from tests.support.ray import Held

with warnings.catch_warnings():  # those of Ray's own code
    warnings.simplefilter("ignore")
    ray = pytest.importorskip("ray", reason="Ray is not installed: make test-ray")
    from ray import serve
    from ray.cluster_utils import Cluster

    from lossmeter.cluster import RayRunner
    from lossmeter.cluster.deployment import application
    from lossmeter.cluster.runner import FEW

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore")]

FILES, ROWS = 16, 2_000
MANY = 100
"""Parts of which records are merged in tasks."""
COLUMNS = Columns(("p0", "p1", "p2"), ("y",), slices=("country",))
OPTIONS = ["--predictions", "p0,p1,p2", "--labels", "y", "--slice", "country", "--hardest", "3", "--json"]
TASK = ["--task", "multiclass", "--predictions-are", "logits", "--replicates", "20"]
PLAN = validate(
    SlicedFields,
    "plan",
    {"task": "multiclass", "predictions_are": "logits", "replicates": 20, "hardest": 3, "slices": ["country"]},
)


def kill(cluster: Cluster, node: Any) -> None:
    """Takes a node away as a power cut does."""
    cluster.remove_node(node, allow_graceful=False)


def write(folder: Path) -> Path:
    """Files of logits, labels and countries."""
    rng = np.random.default_rng(7)
    for number in range(FILES):
        columns: dict[str, Any] = {f"p{one}": rng.normal(size=ROWS) for one in range(3)}
        columns |= {"y": rng.integers(0, 3, ROWS), "country": rng.choice(["de", "fr"], ROWS)}
        parquet.write_table(pyarrow.table(columns), folder / f"{number:02}.parquet")
    return folder


def plain(report: Mapping[str, Any]) -> str:
    """The report as text: equal texts have equal bits."""
    return json.dumps(report, sort_keys=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("data"))


def test_the_report_is_that_of_this_machine_to_the_last_digit(cluster: Cluster, folder: Path) -> None:
    command = ["evaluate", str(folder / "*.parquet"), *TASK, *OPTIONS]
    here = CliRunner().invoke(program, command)
    there = CliRunner().invoke(program, [*command, "--engine", "ray"])
    assert there.exit_code == 0, there.output
    assert json.loads(there.stdout)["samples"] == FILES * ROWS
    assert json.loads(there.stdout) == json.loads(here.stdout)


def test_records_of_many_parts_merge_in_tasks_to_the_same_bits(cluster: Cluster, tmp_path: Path) -> None:
    assert MANY > FEW
    rng = np.random.default_rng(11)
    for number in range(MANY):
        labels = rng.integers(0, 2, 50)
        columns = {"p": rng.random(50), "y": labels, "country": rng.choice(["de", "fr"], 50)}
        parquet.write_table(pyarrow.table(columns), tmp_path / f"{number:03}.parquet")
    fields = {"task": "binary", "predictions_are": "probabilities", "replicates": 20, "hardest": 3}
    plan = validate(SlicedFields, "plan", {**fields, "slices": ["country"]})
    columns_read = Columns(("p",), ("y",), slices=("country",))
    with opened(str(tmp_path), None) as dataset:
        here = LocalRunner("cpu").report(dataset, columns_read, plan)
        there = RayRunner("cpu").report(dataset, columns_read, plan)
    assert here["samples"] == MANY * 50
    assert plain(there) == plain(here)


def test_a_file_that_is_wrong_is_named_with_its_row(cluster: Cluster, tmp_path: Path) -> None:
    good = {"p": [0.5, 0.25, 0.75], "y": [1, 0, 1]}
    for number in range(3):
        columns = {**good, "p": [0.5, 1.5, 0.75]} if number == 1 else good
        parquet.write_table(pyarrow.table(columns), tmp_path / f"{number}.parquet")
    options = ["--task", "binary", "--predictions-are", "probabilities", "--predictions", "p", "--labels", "y"]
    here, there = (
        CliRunner().invoke(program, ["evaluate", str(tmp_path), *options, "--engine", engine])
        for engine in ("local", "ray")
    )
    assert (here.exit_code, there.exit_code) == (2, 2)
    assert "1.parquet, row 1: binary: predictions[1] is 1.5" in here.stderr
    assert there.stderr.splitlines()[-1] == here.stderr.splitlines()[-1]  # Ray tells its own before


def test_names_of_classes_are_found_in_all_files(cluster: Cluster, tmp_path: Path) -> None:
    for number, names in enumerate((["cat", "dog"], ["dog", "eel"], ["cat", "eel"])):
        parquet.write_table(pyarrow.table({"p": names, "y": names[::-1]}), tmp_path / f"{number}.parquet")
    plan = validate(SlicedFields, "plan", {"task": "multiclass", "predictions_are": "classes"})
    with opened(str(tmp_path), None) as dataset:
        found = RayRunner("cpu").report(dataset, Columns(("p",), ("y",)), plan)
        assert found["class_names"] == ["cat", "dog", "eel"]
        assert plain(found) == plain(LocalRunner("cpu").report(dataset, Columns(("p",), ("y",)), plan))


def test_what_is_lost_with_a_node_is_computed_again(
    cluster: Cluster, second: Callable[[], Any], folder: Path, tmp_path: Path
) -> None:
    node = second()
    killed = threading.Thread(target=_kill_at_work, args=(cluster, node, tmp_path))
    with opened(str(folder), None) as dataset:
        here = LocalRunner("cpu").report(dataset, COLUMNS, PLAN)
        parts = [Held(part, number, tmp_path, node.node_id) for number, part in enumerate(dataset.parts)]
        killed.start()
        there = RayRunner("cpu").report(Dataset(dataset.name, parts), COLUMNS, PLAN)
    killed.join()
    begun = [int(note.name.partition("-")[0]) for note in tmp_path.iterdir()]
    assert len(begun) > len(set(begun))  # what it was at was begun elsewhere
    assert plain(there) == plain(here)


def _kill_at_work(cluster: Cluster, node: Any, folder: Path) -> None:
    while not list(folder.glob(f"*-{node.node_id}")):
        time.sleep(0.05)
    kill(cluster, node)


@pytest.mark.usefixtures("serve_ended")
def test_both_replicas_serve_and_nothing_acknowledged_is_lost_with_one(
    cluster: Cluster, second: Callable[[], Any]
) -> None:
    lost = second()
    address = "http://127.0.0.1:8123"
    serve.start(proxy_location="HeadOnly", http_options={"host": "127.0.0.1", "port": 8123})
    nodes = {"num_replicas": 2, "max_replicas_per_node": 1, "health_check_period_s": 2, "health_check_timeout_s": 10}
    serve.run(application(**nodes), route_prefix="/")
    with httpx.Client(base_url=address, timeout=60) as client:
        sent = 60
        with ThreadPoolExecutor(8) as threads:
            body = {"predictions": [[0.5, 1.0]], "labels": [1]}
            answers = list(threads.map(lambda _: client.post("/v1/losses/cross_entropy", json=body), range(sent)))
        assert {one.status_code for one in answers} == {200}
        assert all(
            0 < _computed(client) < sent for _ in range(10)
        )  # whichever is asked: the other one has answered the rest

        batches = [_batch(number) for number in range(60)]
        run = client.post("/v1/runs", json=RUN).raise_for_status().json()["id"]
        refused: list[object] = []
        acknowledged = threading.Event()

        def add(number: int) -> None:
            for _ in range(600):
                try:
                    answer = client.put(f"/v1/runs/{run}/batches/{number}", json=batches[number])
                    if answer.status_code in (200, 201):
                        if number > 15:
                            acknowledged.set()
                        return
                    refused.append(answer.status_code)
                except httpx.HTTPError as error:
                    refused.append(type(error).__name__)
                time.sleep(0.1)
            raise AssertionError(f"batch {number} was never taken: {refused[-5:]}")

        with ThreadPoolExecutor(4) as threads:
            added = [threads.submit(add, number) for number in range(len(batches))]
            assert acknowledged.wait(120)
            kill(cluster, lost)
            for one in added:
                one.result()
        found = client.get(f"/v1/runs/{run}").raise_for_status().json()
    joined = {
        name: [value for batch in batches for value in batch[name]] for name in ("predictions", "labels", "sample_ids")
    }
    fields = {
        "predictions": Tensor(Datatype.FP64, (3000,), np.array(joined["predictions"])),
        "labels": Tensor(Datatype.INT64, (3000,), np.array(joined["labels"])),
        "sample_ids": joined["sample_ids"],
    }
    expected = evaluate(Plan.of(validate(SlicedFields, "plan", RUN)), fields)
    assert found["run"]["batches"] == len(batches)
    for kind in ("losses", "metrics"):
        for one, other in zip(found[kind], expected[kind], strict=True):
            assert one["value"] == pytest.approx(other["value"], rel=1e-12)
            if other["interval"] is not None:
                assert one["interval"]["low"] == pytest.approx(other["interval"]["low"], rel=1e-9)


RUN = {"task": "binary", "predictions_are": "probabilities", "metrics": ["recall", "f1"], "replicates": 20}


def _batch(number: int) -> dict[str, Any]:
    rng = np.random.default_rng(number)
    ids = [f"{number}/{row}" for row in range(50)]
    return {"predictions": rng.random(50).tolist(), "labels": rng.integers(0, 2, 50).tolist(), "sample_ids": ids}


def _computed(client: httpx.Client) -> int:
    """How many losses the replica that happens to answer has computed."""
    lines = client.get("/metrics").raise_for_status().text.splitlines()
    counts = [line for line in lines if line.startswith("lossmeter_requests_total") and "/v1/losses" in line]
    return int(sum(float(line.rpartition(" ")[2]) for line in counts))
