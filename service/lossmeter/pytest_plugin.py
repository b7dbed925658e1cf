"""A plugin of pytest: the fixture `lossmeter` turns gates of a model into a test, whose failure shows the report.

    def test_the_model_is_good_enough(lossmeter):
        lossmeter.check(probabilities, labels, task="binary", predictions_are="probabilities",
                        gates=["accuracy@lower>=0.9", "recall[country]>=0.7"], slices={"country": countries})

It evaluates in the process of the test; with `--lossmeter-server`, the setting `lossmeter_server` or the variable
`LOSSMETER_SERVER`, at a service, and then needs nothing but the client.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from lossmeter.client import Report

Choices = Sequence[str | Mapping[str, Any]]
SERVER = "LOSSMETER_SERVER"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds where to evaluate."""
    help_text = "URL of a service that evaluates; otherwise this process does"
    parser.getgroup("lossmeter").addoption("--lossmeter-server", metavar="URL", default=None, help=help_text)
    parser.addini("lossmeter_server", help_text, default="")


@pytest.fixture(scope="session")
def lossmeter(pytestconfig: pytest.Config) -> Evaluator:
    """Evaluates predictions, and fails the test where a gate does not hold."""
    option = pytestconfig.getoption("--lossmeter-server")
    return Evaluator(option or pytestconfig.getini("lossmeter_server") or os.environ.get(SERVER, ""))


class Evaluator:
    """Evaluates predictions in this process, or at a service.

    Args:
        server: its URL; empty for this process.
    """

    def __init__(self, server: str = "") -> None:
        self.server = server

    def check(
        self, predictions: Any, labels: Any, *, task: str, gates: Choices, metrics: Choices = (), **fields: Any
    ) -> Report:
        """Fails the test where a gate does not hold, with the report; returns it otherwise.

        Args:
            predictions, labels: arrays of numpy, tensors of torch, or lists.
            gates: what must hold: `accuracy>=0.9`, `f1(average=micro)@lower[country]>=0.8`, `cross_entropy<=0.4`, …
            metrics: what is measured besides; what the gates name, if left out.
            task, fields: as of `Client.evaluate`.

        Raises:
            lossmeter.errors.Invalid, lossmeter.client.InvalidRequest: if something does not fit together.
        """
        __tracebackhide__ = True
        report = self.evaluate(predictions, labels, task=task, gates=gates, metrics=metrics, **{"losses": [], **fields})
        if not report.passed:
            pytest.fail(failure_text(report), pytrace=False)
        return report

    def evaluate(
        self,
        predictions: Any,
        labels: Any,
        *,
        task: str,
        gates: Choices = (),
        metrics: Choices | None = None,
        losses: Choices | None = None,
        **fields: Any,
    ) -> Report:
        """Returns the report, as `Client.evaluate` does."""
        chosen = {"losses": _written("loss", losses), "metrics": _written("metric", metrics)}
        plan = {"task": task, **fields, **chosen, "gates": _written("gate", gates)}
        if not self.server:
            return _evaluate_here(predictions, labels, plan)
        from lossmeter.client import Client

        with Client(self.server) as client:
            return client.evaluate(predictions, labels, **plan)


def failure_text(report: Report) -> str:
    """Says which gates do not hold, and shows the report."""
    from lossmeter.reporting.junit import failure_lines

    failed = [verdict for verdict in report["gates"] if not verdict["passed"]]
    lines = [f"{len(failed)} of {len(report.gates)} gates failed:"]
    for verdict in failed:
        first, *rest = failure_lines(verdict)
        lines += [f"  {first}", *(f"    {one}" for one in rest)]
    return "\n".join([*lines, "", repr(report)])


def _written(kind: str, choices: Choices | None) -> list[Any] | None:
    """Makes objects of choices that are texts; without the packages of the service, which read them, it does so itself."""
    if choices is None:
        return None
    try:
        from lossmeter.evaluation.grammar import parse_criterion, parse_gate
    except ModuleNotFoundError:
        return list(choices)
    read: Callable[[str], Any] = parse_gate if kind == "gate" else lambda text: parse_criterion(kind, text)
    return [read(one) if isinstance(one, str) else dict(one) for one in choices]


def _evaluate_here(predictions: Any, labels: Any, plan: dict[str, Any]) -> Report:
    import numpy as np
    import orjson

    from lossmeter.client import Report
    from lossmeter.client.arrays import tensor_of
    from lossmeter.client.calls import batch_fields
    from lossmeter.evaluation import Plan, SlicedFields, evaluate
    from lossmeter.tensors import Texts
    from lossmeter.validation import validate

    arrays = {"predictions": predictions, "labels": labels}
    arrays |= {role: plan.pop(role) for role in ("sample_weight", "mask") if plan.get(role) is not None}
    arrays = {role: value if hasattr(value, "__array__") else np.asarray(value) for role, value in arrays.items()}
    named = {role: plan.pop(role) for role in ("sample_ids", "groups", "slices") if plan.get(role) is not None}
    rest, lists = batch_fields({**arrays, **named})
    rest |= {role: np.asarray(lists.pop(role)) for role in ("predictions", "labels") if role in lists}
    tensors = {
        role: Texts(value.shape, value.ravel().tolist())
        if isinstance(value, np.ndarray) and value.dtype.kind == "U"
        else tensor_of(role, value)
        for role, value in rest.items()
    }
    chosen = {name: value for name, value in plan.items() if value is not None}
    fields = validate(SlicedFields, "evaluate", {**chosen, "slices": list(lists.get("slices", ()))})
    report = evaluate(Plan.of(fields), {**tensors, **lists})
    return Report(orjson.loads(orjson.dumps({**report, "objective": {**report["objective"], "gradients": {}}})))
