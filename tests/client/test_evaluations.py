"""The client evaluates, lists, compares; what it returns can be read, by people and by programs."""

from __future__ import annotations

import asyncio
import pickle
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from lossmeter.client import AsyncClient, Client, InvalidRequest, NotFound, Report
from lossmeter.reporting import report_page, text
from tests.support.evaluations import tumours

DATA = tumours()
ARGUMENTS: dict[str, Any] = {
    "task": "binary",
    "predictions_are": "logits",
    "metrics": [
        "accuracy",
        {"metric": "f1", "average": "weighted"},
        {"metric": "f1", "average": "micro"},
        "confusion_matrix",
    ],
    "slices": {"half": np.where(np.arange(len(DATA["labels"])) % 2 == 0, "even", "odd")},
    "gates": [{"metric": "accuracy", "minimum": 0.5}, {"loss": "binary_cross_entropy_with_logits", "maximum": 1e-9}],
    "hardest": 3,
    "replicates": 20,
}


@pytest.fixture(scope="module")
def report(url: str) -> Report:
    with Client(url) as client:
        return client.evaluate(DATA["predictions"], DATA["labels"], gradients=["predictions"], **ARGUMENTS)


def test_figures_are_attributes_and_keys(report: Report) -> None:
    expected = float(((DATA["predictions"] > 0) == (DATA["labels"] == 1)).mean())
    assert report.metrics.accuracy.value == pytest.approx(expected)
    assert report.metrics["accuracy"] is report.metrics[0]
    assert report.metrics.accuracy.interval is not None
    assert report.metrics.accuracy.interval.low <= expected <= report.metrics.accuracy.interval.high
    assert report.metrics["f1(average=micro)"].parameters["average"] == "micro"
    assert {"accuracy", "f1"} <= set(dir(report.metrics))
    with pytest.raises(AttributeError, match="2 figures of the name 'f1'"):
        _ = report.metrics.f1
    with pytest.raises(KeyError, match="no figures of the name 'recall'"):
        _ = report.metrics["recall"]
    assert report.losses[0].loss == "binary_cross_entropy_with_logits"
    assert report["metrics"][0]["value"] == report.metrics.accuracy.value


def test_everything_else_of_a_report_is_typed(report: Report) -> None:
    assert (report.passed, [one.passed for one in report.gates]) == (False, [True, False])
    assert report.gates[1].limit == 1e-9
    assert report.gates[1].observed == report.losses[0].value
    assert report.slice("half", "odd").samples + report.slice("half", "even").samples == report.samples
    assert [one.sample_id for one in report.hardest] == [None] * 3
    assert report.gradients["predictions"].shape == DATA["predictions"].shape
    assert report.run is None
    with pytest.raises(KeyError, match="no slice half='neither'"):
        report.slice("half", "neither")
    assert pickle.loads(pickle.dumps(report)).metrics.accuracy == report.metrics.accuracy


def test_a_report_is_shown_as_the_command_line_shows_it(report: Report) -> None:
    assert repr(report) + "\n" == text(report_page(report.to_dict()))
    assert "FAILED: 1 of 2 gates" in repr(report)
    shown = report._repr_html_()
    assert shown.startswith("<div><h1>")
    assert "f1(average=micro)" in shown
    assert "❌" in report.to_markdown()
    whole = report.to_html()
    assert whole.startswith("<!doctype html>")
    assert shown.removeprefix("<div>").removesuffix("</div>") in whole
    assert 'failures="1"' in report.to_junit()


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_report_is_a_data_frame(report: Report, library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = ModuleType(library)
    stand_in.DataFrame = list  # type: ignore[attr-defined]
    for name in ("pandas", "polars"):
        monkeypatch.setitem(sys.modules, name, stand_in if name == library else None)
    rows = report.to_frame() if library == "pandas" else report.to_frame("polars")
    assert len(rows) == 3 * (1 + 3)
    first = next(row for row in rows if row["figure"] == "accuracy")
    assert (first["slice"], first["kind"], first["value"]) == ("", "metric", report.metrics.accuracy.value)
    assert {row["slice"] for row in rows} == {"", "half=even", "half=odd"}


def test_a_frame_without_a_library_is_refused(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pandas", "polars"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match="to_frame needs pandas or polars"):
        report.to_frame()


def test_runs_are_listed_compared_and_deleted(url: str) -> None:
    ids = np.arange(len(DATA["labels"]))
    with Client(url) as client:
        runs = []
        for name, predictions in (("a", DATA["predictions"]), ("b", np.round(DATA["predictions"]))):
            plan = {"task": "binary", "predictions_are": "logits", "metrics": ["accuracy"], "replicates": 20}
            with client.run(f"compared {name}", tags=["compared"], **plan) as run:
                run.add(predictions, DATA["labels"], sample_ids=ids)
            runs.append(run)
        listed = client.runs(tags=["compared"])
        assert [one.name for one in listed] == ["compared b", "compared a"]
        assert [one.id for one in client.runs(name="compared a", task="binary")] == [runs[0].id]
        assert listed[0].closed is not None
        assert "compared b · binary" in " ".join(repr(listed).split())
        first = client.runs(tags=["compared"], limit=1)
        assert [one.id for one in client.runs(tags=["compared"], cursor=first.next or "")] == [runs[0].id]
        comparison = client.compare(runs[0], runs[1].id, gates=[{"metric": "accuracy", "margin": 0.5}])
        assert comparison.candidate.name == "compared b"
        assert comparison.passed
        figure = comparison.metrics.accuracy
        assert figure.difference == pytest.approx(figure.candidate - figure.baseline)
        assert "compared b against compared a" in repr(comparison)
        assert "accuracy worse by at most 0.5" in " ".join(repr(comparison).split())
        assert repr(runs[0].report()).startswith(f"{len(ids):,} samples")
        runs[0].delete()
        with pytest.raises(NotFound):
            client.compare(runs[0], runs[1])


def test_the_catalogue_of_metrics_is_there(url: str) -> None:
    with Client(url) as client:
        assert {"accuracy", "f1"} <= {one["name"] for one in client.metrics()}
        assert client.describe_metric("f1")["kind"] == "scalar"


def test_what_is_wrong_is_raised(url: str) -> None:
    with Client(url) as client, pytest.raises(InvalidRequest, match="expected a probability"):
        client.evaluate([1.5], [1], task="binary", predictions_are="probabilities")


def test_the_other_client_does_the_same(url: str, report: Report) -> None:
    async def ask() -> tuple[Report, int, str]:
        async with AsyncClient(url, wire="json") as client:
            found = await client.evaluate(DATA["predictions"], DATA["labels"], **ARGUMENTS)
            async with client.run("async", task="regression", predictions_are="values") as run:
                await run.add([1.0, 2.0], [1.0, 3.0])
            comparison = await client.compare(run, run)
            count = len(await client.runs(name="async"))
            await run.delete()
            assert (await client.describe_metric("f1"))["name"] == "f1"
            assert len(await client.metrics()) > 50
            return found, count, comparison.baseline.name

    found, count, name = asyncio.run(ask())
    assert (count, name) == (1, "async")
    assert found.metrics.accuracy == report.metrics.accuracy
    assert found.gradients == {}
