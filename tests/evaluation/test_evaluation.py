"""An evaluation says what torch and scikit-learn say, however the data were split."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn
from torch.nn import functional as F

from lossmeter.engine import Call, Engine
from lossmeter.errors import Invalid, MalformedBody
from lossmeter.evaluation import Plan, Record, evaluate, measure, merge_all, report
from lossmeter.evaluation.criteria import usual
from lossmeter.losses import find
from lossmeter.metrics import TASKS
from tests.support.evaluations import DATA, diabetes, digits, fields, figure, plan, softmax, tensor, tumours

ENGINE = Engine("cpu")
WEIGHT = [1.0, 2.0, 0.0, 1.0, 1.0, 0.5, 1.0, 3.0, 1.0, 1.0]
LOSSES: dict[str, list[dict[str, Any]]] = {
    "multiclass": [
        {"loss": "cross_entropy", "weight": WEIGHT, "label_smoothing": 0.1},
        {"loss": "cross_entropy", "ignore_index": 3},
        {"loss": "focal", "gamma": 2.0, "weight_in_objective": 0.5},
        {"loss": "multi_margin", "weight_in_objective": 0.0},
    ],
    "binary": [
        {"loss": "binary_cross_entropy_with_logits", "pos_weight": [2.0]},
        {"loss": "binary_cross_entropy_with_logits", "pos_weight": 3.0, "weight_in_objective": 0.0},
        {"loss": "soft_margin", "weight_in_objective": 0.25},
    ],
    "regression": [{"loss": "mse"}, {"loss": "huber", "delta": 30.0}, {"loss": "poisson_nll", "log_input": False}],
}


def full(task: str, **more: Any) -> Plan:
    gates = [{"loss": LOSSES[task][-1]["loss"], "maximum": 1.0, "slice": "country"}]
    base = {"losses": LOSSES[task], "slices": ["country", "fold"], "hardest": 7, "gates": gates}
    return plan(task=task, predictions_are=DATA[task][1], **{**base, **more})


def close(one: Any, other: Any, path: str = "") -> None:
    """Equal: numbers to 1e-12, whole ones exactly."""
    if isinstance(one, dict):
        assert one.keys() == other.keys(), path
        for name in one:
            close(one[name], other[name], f"{path}/{name}")
    elif isinstance(one, list):
        assert len(one) == len(other), path
        for number, (a, b) in enumerate(zip(one, other, strict=True)):
            close(a, b, f"{path}/{number}")
    elif isinstance(one, float):
        # The error of a function of a mean, a root say, comes from its slope, which is a difference.
        tolerance = 1e-9 if path.endswith("standard_error") else 1e-12
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=1e-14, err_msg=path)
    else:
        assert one == other, path


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("task", DATA)
@pytest.mark.parametrize("hidden", [(), ("sample_weight", "mask")])
def test_losses_are_those_of_one_call_on_all_data(task: str, precision: Any, hidden: tuple[str, ...]) -> None:
    data = {name: value for name, value in DATA[task][0]().items() if name not in ("sample_weight", "mask") or hidden}
    found = evaluate(full(task, precision=precision), fields(data), engine=ENGINE)
    tolerance = 1e-12 if precision == "float64" else 1e-6
    for one, answer in zip(LOSSES[task], found["losses"], strict=True):
        parameters = {k: v for k, v in one.items() if k not in ("loss", "weight_in_objective")}
        constant = {k: tensor(np.array(parameters.pop(k))) for k in ("weight", "pos_weight") if k in parameters}
        labels = data["labels"] * 2 - 1 if one["loss"] == "soft_margin" else data["labels"]
        loss = find(one["loss"])
        call = Call(
            loss,
            {"predictions": tensor(data["predictions"]), "labels": tensor(labels), **constant},
            {item.name: item.default for item in loss.parameters} | parameters,
            precision=precision,
            **{name: tensor(data[name]) for name in hidden},
        )
        expected = ENGINE.compute(call)
        np.testing.assert_allclose(answer["value"], expected.value, rtol=tolerance)
        np.testing.assert_allclose(answer["sum"], expected.sum, rtol=tolerance)
        np.testing.assert_allclose(answer["normalizer"], expected.normalizer, rtol=1e-12)
        assert answer["count"] == expected.count


def test_figures_are_those_of_torch_and_scikit_learn() -> None:
    data = digits()
    x, y = data["predictions"], data["labels"]
    bare = {"predictions": x, "labels": y}
    found = evaluate(plan(task="multiclass", predictions_are="logits"), fields(bare))
    expected = F.cross_entropy(torch.from_numpy(x), torch.from_numpy(y), reduction="none").numpy()
    loss = figure(found, "cross_entropy")
    np.testing.assert_allclose(loss["value"], expected.mean(), rtol=1e-12)
    np.testing.assert_allclose(loss["standard_error"], expected.std(ddof=1) / np.sqrt(len(y)), rtol=1e-12)
    assert loss["interval"]["method"] == "student"
    np.testing.assert_allclose(figure(found, "accuracy")["value"], sklearn.accuracy_score(y, x.argmax(1)), rtol=1e-12)
    macro = sklearn.f1_score(y, x.argmax(1), average="macro")
    np.testing.assert_allclose(figure(found, "f1")["value"], macro, rtol=1e-12)
    assert found["samples"] == loss["count"] == len(y)


def test_weighted_figures_are_those_of_scikit_learn() -> None:
    data = tumours()
    weight = data["sample_weight"] * data["mask"]
    found = evaluate(plan(task="binary", predictions_are="logits", slices=["country", "fold"]), fields(data))
    y, x = data["labels"], data["predictions"]
    area = sklearn.roc_auc_score(y, x, sample_weight=weight)
    np.testing.assert_allclose(figure(found, "auroc")["value"], area, rtol=1e-12)
    probability = torch.sigmoid(torch.from_numpy(x)).numpy()
    for name in ("log_loss", "binary_cross_entropy_with_logits"):
        expected = sklearn.log_loss(y, probability, sample_weight=weight)
        np.testing.assert_allclose(figure(found, name)["value"], expected, rtol=1e-10)
    assert found["samples"] == np.count_nonzero(weight)


@pytest.mark.parametrize("task", DATA)
@settings(max_examples=4, deadline=None)
@given(cuts=st.lists(st.integers(0, 200), max_size=6), seed=st.integers(0, 99))
def test_any_partition_gives_the_report_of_one_pass(task: str, cuts: list[int], seed: int) -> None:
    data, order = DATA[task][0](), np.random.default_rng(seed).permutation(200)
    chosen = full(task)
    whole = measure(chosen, fields(data, order), engine=ENGINE)
    parts = [measure(chosen, fields(data, one), engine=ENGINE) for one in np.split(order, sorted(cuts))]
    close(report(chosen, merge_all(parts)), report(chosen, whole))


@pytest.mark.parametrize("task", DATA)
def test_a_slice_is_its_samples_alone(task: str) -> None:
    data = DATA[task][0]()
    found = evaluate(full(task), fields(data), engine=ENGINE)
    assert [(one["column"], one["value"]) for one in found["slices"]] == [
        ("country", "de"),
        ("country", "fr"),
        ("country", "it"),
        ("fold", 0),
        ("fold", 1),
    ]
    for part in found["slices"]:
        alone = fields(data, np.flatnonzero(data["slices"][part["column"]] == part["value"]))
        expected = evaluate(full(task), alone, engine=ENGINE)
        objective = {name: value for name, value in expected["objective"].items() if name != "gradients"}
        figures = {"samples": expected["samples"], "losses": expected["losses"], "metrics": expected["metrics"]}
        close({name: part[name] for name in ("samples", "losses", "metrics")}, figures)
        close(part["objective"], objective)


def test_one_and_true_and_the_text_1_are_three_slices() -> None:
    found = evaluate(
        plan(task="regression", predictions_are="values", slices=["c"]),
        {"predictions": tensor([1.0, 2.0, 3.0]), "labels": tensor([0.0] * 3), "slices": {"c": [1, True, "1"]}},
    )
    assert {repr(one["value"]): one["samples"] for one in found["slices"]} == {"True": 1, "1": 1, "'1'": 1}


@pytest.mark.parametrize("task", DATA)
def test_the_gradient_is_that_of_autograd(task: str) -> None:
    data = DATA[task][0]()
    found = evaluate(full(task), fields(data), ["predictions"], engine=ENGINE)
    x = torch.from_numpy(data["predictions"]).requires_grad_()
    weight = torch.from_numpy(data["sample_weight"] * data["mask"])
    y = torch.from_numpy(data["labels"])

    def mean(values: torch.Tensor, share: torch.Tensor | None = None) -> torch.Tensor:
        return (values * weight).sum() / (weight if share is None else weight * share).sum()

    if task == "multiclass":
        classes = torch.tensor(WEIGHT, dtype=torch.float64)
        smooth = F.cross_entropy(x, y, classes, label_smoothing=0.1, reduction="none")
        p = torch.softmax(x, 1).gather(1, y[:, None])[:, 0]
        ignoring = F.cross_entropy(x, y, ignore_index=3, reduction="none")
        objective = mean(smooth, classes[y]) + mean(ignoring, (y != 3).double())
        objective = objective + 0.5 * mean((1 - p) ** 2 * -p.log())
    elif task == "binary":
        bce = F.binary_cross_entropy_with_logits(
            x, y.double(), pos_weight=torch.tensor([2.0], dtype=torch.float64), reduction="none"
        )
        objective = mean(bce) + 0.25 * mean(F.soft_margin_loss(x, 2.0 * y - 1, reduction="none"))
    else:
        poisson = F.poisson_nll_loss(x, y, log_input=False, reduction="none")
        objective = mean((x - y) ** 2) + mean(F.huber_loss(x, y, delta=30.0, reduction="none")) + mean(poisson)
    (expected,) = torch.autograd.grad(objective, x)
    np.testing.assert_allclose(found["objective"]["value"], objective.item(), rtol=1e-12)
    gradient = found["objective"]["gradients"]["predictions"]
    np.testing.assert_allclose(gradient.data.reshape(gradient.shape), expected.numpy(), rtol=1e-9, atol=1e-15)


def test_probabilities_and_their_logarithms_give_the_same_loss() -> None:
    data = digits()
    p = softmax(data["predictions"])
    results = {}
    for are, x in (("logits", data["predictions"]), ("probabilities", p), ("log_probabilities", np.log(p))):
        found = evaluate(
            plan(task="multiclass", predictions_are=are), fields({"predictions": x, "labels": data["labels"]})
        )
        results[are] = (found["losses"][0]["value"], figure(found, "log_loss")["value"])
    np.testing.assert_allclose(list(results.values()), results["logits"][0], rtol=1e-12)


def test_the_gradient_with_respect_to_probabilities_passes_through_the_logarithm() -> None:
    p, y = softmax(digits()["predictions"][:20]), digits()["labels"][:20]
    found = evaluate(
        plan(task="multiclass", predictions_are="probabilities"),
        fields({"predictions": p, "labels": y}),
        ["predictions"],
    )
    x = torch.from_numpy(p).requires_grad_()
    (expected,) = torch.autograd.grad(F.nll_loss(x.log(), torch.from_numpy(y)), x)
    gradient = found["objective"]["gradients"]["predictions"]
    np.testing.assert_allclose(gradient.data.reshape(gradient.shape), expected.numpy(), rtol=1e-12)


def test_a_label_that_is_ignored_counts_nowhere() -> None:
    data = digits()
    x, y = data["predictions"][:300], data["labels"][:300]
    keep = y != 3
    chosen = plan(task="multiclass", predictions_are="logits", ignore_index=-100)
    hidden = evaluate(chosen, fields({"predictions": x, "labels": np.where(keep, y, -100)}), ["predictions"])
    gradient = hidden["objective"]["gradients"]["predictions"]
    assert not gradient.data.reshape(gradient.shape)[~keep].any()
    alone = evaluate(chosen, fields({"predictions": x[keep], "labels": y[keep]}))
    for name in ("accuracy", "f1", "cross_entropy"):
        np.testing.assert_allclose(figure(hidden, name)["value"], figure(alone, name)["value"], rtol=1e-12)
    assert hidden["losses"][0]["count"] == hidden["samples"] == keep.sum()


def test_what_is_masked_may_be_anything() -> None:
    x = np.array([[1.0, 2.0], [np.nan, np.inf], [0.0, 1.0]])
    data = {"predictions": x, "labels": np.array([0, 99, 1]), "mask": np.array([True, False, True])}
    chosen = plan(task="multiclass", predictions_are="logits")
    found = evaluate(chosen, fields(data), ["predictions"])
    alone = evaluate(chosen, fields(data, [0, 2]))
    assert found["losses"][0] == alone["losses"][0]
    assert found["objective"]["gradients"]["predictions"].data[2:4].tolist() == [0.0, 0.0]


def test_without_losses_there_is_no_objective_and_no_gradient() -> None:
    chosen = plan(task="ranking", predictions_are="scores")
    data = {"predictions": tensor([[0.5, 0.1], [0.2, 0.9]]), "labels": tensor([[1, 0], [1, 0]])}
    found = evaluate(chosen, data)
    assert found["objective"] == {"value": None, "interval": None, "gradients": {}}
    assert found["warnings"] == []
    assert 0 < figure(found, "mrr")["value"] < 1
    with pytest.raises(Invalid, match="nothing to derive"):
        evaluate(chosen, data, ["predictions"])


@pytest.mark.parametrize("hidden", [False, True])
def test_pixels_are_elements_of_their_image(hidden: bool) -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(6, 3, 4, 5)), rng.integers(0, 3, (6, 4, 5))
    mask = rng.random(y.shape) > 0.3 if hidden else np.ones(y.shape, bool)
    found = evaluate(
        plan(task="segmentation", predictions_are="logits"), fields({"predictions": x, "labels": y, "mask": mask})
    )
    losses = F.cross_entropy(torch.from_numpy(x), torch.from_numpy(y), reduction="none").numpy() * mask
    loss = figure(found, "cross_entropy")
    assert (found["samples"], loss["count"]) == (6, mask.sum())
    np.testing.assert_allclose(loss["value"], losses.sum() / mask.sum(), rtol=1e-12)
    residual = losses.sum((1, 2)) - loss["value"] * mask.sum((1, 2))
    expected = np.sqrt(6 / 5 * (residual**2).sum()) / mask.sum()
    np.testing.assert_allclose(loss["standard_error"], expected, rtol=1e-9)


def test_whole_numbers_are_numbers() -> None:
    chosen = plan(task="regression", predictions_are="values", losses=[{"loss": "mse"}])
    found = evaluate(chosen, {"predictions": tensor([1, 2, 4]), "labels": tensor([1, 1, 1])}, ["predictions"])
    assert found["losses"][0]["sum"] == 10.0


def test_the_hardest_are_those_of_the_highest_loss() -> None:
    data = {name: digits()[name] for name in ("predictions", "labels", "sample_ids")}
    chosen = plan(task="multiclass", predictions_are="logits", hardest=5)
    losses = F.cross_entropy(
        torch.from_numpy(data["predictions"]), torch.from_numpy(data["labels"]), reduction="none"
    ).numpy()
    order = np.argsort(-losses)[:5]
    found = evaluate(chosen, fields(data))["hardest"]
    assert [one["sample_id"] for one in found] == data["sample_ids"][order].tolist()
    np.testing.assert_allclose([one["loss"] for one in found], losses[order], rtol=1e-12)
    del data["sample_ids"]
    found = report(chosen, measure(chosen, fields(data), batch_id="monday"))["hardest"]
    assert [(one["batch_id"], one["position"]) for one in found] == [("monday", int(place)) for place in order]


def test_groups_widen_the_intervals() -> None:
    x, y = (np.repeat(diabetes()[name], 10) for name in ("predictions", "labels"))
    chosen = plan(task="regression", predictions_are="values", replicates=200)
    alone = evaluate(chosen, fields({"predictions": x, "labels": y}))
    groups = np.repeat(np.arange(len(y) // 10), 10)
    grouped = evaluate(chosen, fields({"predictions": x, "labels": y, "groups": groups}))
    for name in ("mae", "huber"):
        one, other = (
            (figure(found, name) for found in (alone, grouped))
            if name == "huber"
            else (next(f for f in found["losses"] if f["loss"] == name) for found in (alone, grouped))
        )
        assert other["interval"]["method"] == "bootstrap"
        assert 2.5 < other["standard_error"] / one["standard_error"] < 3.9


def gates(*wanted: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    chosen = plan(task="multiclass", predictions_are="logits", slices=["country", "fold"], gates=list(wanted), **more)
    return evaluate(chosen, fields(digits()))["gates"]


def test_gates_pass_and_fail() -> None:
    accuracy = figure(evaluate(full("multiclass"), fields(digits())), "accuracy")
    value, interval = accuracy["value"], accuracy["interval"]
    high, low, exact, sure, unsure = gates(
        {"metric": "accuracy", "minimum": value + 1e-9},
        {"metric": "accuracy", "minimum": value - 1e-9, "maximum": 1.0},
        {"metric": "accuracy", "minimum": value, "maximum": value},
        {"metric": "accuracy", "minimum": interval["low"], "at": "lower"},
        {"metric": "accuracy", "minimum": interval["low"] + 1e-9, "at": "lower"},
    )
    assert [one["passed"] for one in (high, low, exact, sure, unsure)] == [False, True, True, True, False]
    assert high["observed"] == value
    assert high["threshold"] == value + 1e-9
    assert sure["observed"] == interval["low"]
    assert high["where"] is None


def test_a_gate_against_a_baseline_is_not_worse_by_more_than_the_margin() -> None:
    found = evaluate(full("multiclass"), fields(digits()))
    accuracy, loss = figure(found, "accuracy"), figure(found, "log_loss")
    within, beyond, sure, easier, harder, per_slice = gates(
        {"metric": "accuracy", "baseline": accuracy["value"] + 0.01, "margin": 0.0100001},
        {"metric": "accuracy", "baseline": accuracy["value"] + 0.01, "margin": 0.0099999},
        {"metric": "accuracy", "baseline": accuracy["value"], "margin": 0.0, "at": "lower"},
        {"metric": "log_loss", "baseline": loss["value"]},
        {"loss": "cross_entropy", "baseline": loss["value"] - 0.2, "margin": 0.1},
        {"metric": "accuracy", "baseline": accuracy["value"], "slice": "country"},
    )
    verdicts = [one["passed"] for one in (within, beyond, sure, easier, harder, per_slice)]
    assert verdicts == [True, False, False, True, False, False]
    assert beyond["threshold"] == pytest.approx(accuracy["value"] + 0.01 - 0.0099999)
    assert harder["threshold"] == pytest.approx(loss["value"] - 0.1)
    assert sure["observed"] == accuracy["interval"]["low"]
    assert per_slice["failed_slices"]


def test_a_gate_on_a_column_holds_in_every_slice_or_names_where_it_does_not() -> None:
    found = evaluate(full("multiclass"), fields(digits()))
    by_country = {
        one["value"]: figure(one | {"losses": []}, "accuracy")["value"]
        for one in found["slices"]
        if one["column"] == "country"
    }
    worst, best = min(by_country, key=by_country.__getitem__), max(by_country, key=by_country.__getitem__)
    every, most, one_slice, absent = gates(
        {"metric": "accuracy", "minimum": by_country[worst], "slice": "country"},
        {"metric": "accuracy", "minimum": by_country[best], "slice": "country"},
        {"metric": "accuracy", "minimum": by_country[best], "slice": {"column": "country", "value": best}},
        {"metric": "accuracy", "minimum": 0.0, "slice": {"column": "country", "value": "es"}},
    )
    assert every["passed"]
    assert every["where"] == {"column": "country", "value": worst}
    assert not most["passed"]
    assert most["observed"] == by_country[worst]
    assert {one["value"] for one in most["failed_slices"]} == set(by_country) - {best}
    assert one_slice["passed"]
    assert not absent["passed"]


def test_a_gate_measures_what_nobody_asked_for() -> None:
    chosen = plan(
        task="multiclass",
        predictions_are="logits",
        metrics=[],
        losses=[{"loss": "focal"}],
        gates=[
            {"metric": "f1", "average": "micro", "minimum": 0.5},
            {"loss": "cross_entropy", "label_smoothing": 0.1, "maximum": 9.0},
        ],
    )
    found = evaluate(chosen, fields({name: digits()[name] for name in ("predictions", "labels")}))
    assert [one["metric"] for one in found["metrics"]] == ["f1"]
    assert [(one["loss"], one["weight_in_objective"]) for one in found["losses"]] == [
        ("focal", 1.0),
        ("cross_entropy", 0.0),
    ]
    assert found["objective"]["value"] == found["losses"][0]["value"]
    assert found["passed"]


def test_what_is_not_defined_passes_no_gate() -> None:
    chosen = plan(task="binary", predictions_are="logits", gates=[{"metric": "auroc", "minimum": 0.0}])
    found = evaluate(chosen, fields({"predictions": np.array([1.0, 2.0]), "labels": np.array([1, 1])}))
    assert not found["gates"][0]["passed"]
    assert "/gates/0/observed" in {one["pointer"] for one in found["warnings"]}


@pytest.mark.parametrize("task", DATA)
def test_plans_and_records_survive_json(task: str) -> None:
    chosen = full(
        task, gates=[{"metric": "r2" if task == "regression" else "accuracy", "minimum": 0.5, "slice": "fold"}]
    )
    record = measure(chosen, fields(DATA[task][0]()), engine=ENGINE)
    text = json.dumps([chosen.to_json(), record.to_json()], allow_nan=False)
    plain = json.loads(text)
    again, kept = Plan.from_json(plain[0]), Record.from_json(plain[1])
    assert json.dumps([again.to_json(), kept.to_json()]) == text
    assert repr(report(again, kept)) == repr(report(chosen, record))
    merged = kept.merge(measure(again, fields(DATA[task][0]()), engine=ENGINE))
    assert merged.samples == 2 * record.samples


@pytest.mark.parametrize("broken", [{}, {"format": "lossmeter.record", "version": 1}, {"format": "x", "version": 9}])
def test_what_is_no_plan_and_no_record_is_refused(broken: dict[str, Any]) -> None:
    for kind in (Plan, Record):
        with pytest.raises(MalformedBody):
            kind.from_json(broken)
    with pytest.raises(MalformedBody):
        Plan.from_json({"format": "lossmeter.plan", "version": 1, "task": "x"})


def test_no_data_is_reported_as_nothing() -> None:
    for task in DATA:
        chosen = full(task)
        found = report(chosen, None)
        assert found["samples"] == 0
        assert [one["count"] for one in found["losses"]] == [0] * len(LOSSES[task])
        assert not found["passed"]
        empty = measure(
            chosen, {**fields(DATA[task][0]()), "mask": tensor(np.zeros(len(DATA[task][0]()["labels"]), bool))}
        )
        for one, other in zip(report(chosen, empty)["losses"], found["losses"], strict=True):
            assert repr(one) == repr(other)


def test_usual_losses_suit_their_tasks() -> None:
    for name, task in TASKS.items():
        for are in task.kinds:
            assert len(plan(task=name, predictions_are=are, classes=3).criteria) == len(usual(task, are))
        assert set(task.losses.usual) <= set(task.kinds)


@pytest.mark.parametrize(
    ("changed", "place", "message"),
    [
        ({"predictions_are": "values"}, "/predictions_are", "expected one of logits"),
        ({"losses": [{"loss": "mse"}]}, "/losses/0/loss", "not for the task multiclass"),
        ({"losses": [{"loss": "nll"}]}, "/losses/0/loss", "takes predictions that are log-probabilities"),
        ({"losses": [{"loss": "ctc"}]}, "/losses/0/loss", "an evaluation has predictions and labels"),
        ({"losses": [{"loss": "focal"}, {"loss": "focal"}]}, "/losses/1", "stands twice"),
        (
            {"losses": [{"loss": "focal", "gamma": -1.0}]},
            "/losses/0/gamma",
            "gamma is -1.0; expected a number of at least 0",
        ),
        (
            {"losses": [{"loss": "focal", "delta": 1.0}]},
            "/losses/0/delta",
            "delta is not a parameter; expected one of .*gamma",
        ),
        (
            {"losses": [{"loss": "cross_entropy", "weight": [[1], [2, 3]]}]},
            "/losses/0/weight",
            "no number or rectangular",
        ),
        (
            {"losses": [{"loss": "cross_entropy", "weight": [1.0, True]}]},
            "/losses/0/weight",
            "no number or rectangular",
        ),
        ({"metrics": [{"metric": "mse"}]}, "/metrics/0/metric", "not for the task"),
        ({"metrics": [{"metric": "f1", "average": "x"}]}, "/metrics/0/average", "average"),
        ({"gates": [{"metric": "accuracy"}]}, "/gates/0", "minimum, a maximum or a baseline"),
        ({"gates": [{"minimum": 0.5}]}, "/gates/0", "either a metric or a loss"),
        ({"gates": [{"metric": "accuracy", "minimum": 2.0, "maximum": 1.0}]}, "/gates/0", "above maximum"),
        (
            {"gates": [{"metric": "accuracy", "minimum": 0, "slice": "c"}]},
            "/gates/0/slice",
            "slices is empty; expected 'c'",
        ),
        ({"gates": [{"metric": "accuracy", "minimum": 0, "slice": {"column": "c"}}]}, "/gates/0/slice", "neither"),
        ({"gates": [{"metric": "confusion_matrix", "minimum": 0}]}, "/gates/0/metric", "no single number"),
        ({"gates": [{"metric": "accuracy", "minimum": 0, "average": "x"}]}, "/gates/0/average", "average"),
        ({"gates": [{"metric": "accuracy", "baseline": 0.9, "minimum": 0.1}]}, "/gates/0", "or else a baseline"),
        ({"gates": [{"metric": "accuracy", "minimum": 0.9, "margin": 0.1}]}, "/gates/0/margin", "needs a baseline"),
        (
            {
                "metrics": [{"metric": "f1"}, {"metric": "f1", "average": "micro"}],
                "gates": [{"metric": "f1", "minimum": 0.5}],
            },
            "/gates/0/metric",
            "measured 2 times",
        ),
        ({"curves": {"bins": 3, "low": 1.0}}, "/curves", "expected low < high"),
    ],
)
def test_a_plan_that_does_not_fit_together_is_refused(changed: dict[str, Any], place: str, message: str) -> None:
    with pytest.raises(Invalid, match=message) as caught:
        plan(**{"task": "multiclass", "predictions_are": "logits", **changed})
    assert caught.value.flaws[0].pointer == place


@pytest.mark.parametrize(
    ("changed", "place", "message"),
    [
        ({"predictions": None}, "/predictions", "predictions is missing"),
        ({"labels": tensor([0, 1, 2])}, "/labels", r"labels has shape \[3\]; expected \[4\]"),
        ({"labels": tensor([0, 1, 2, 7])}, "/labels", r"labels\[3\] is 7; expected an index from 0 to 2"),
        ({"predictions": tensor(np.full((4, 3), np.nan))}, "/predictions", "expected a finite number"),
        ({"sample_ids": ["a"]}, "/sample_ids", "expected 4, one for each sample"),
        (
            {"sample_ids": ["a", 1, 2.5, None]},
            "/sample_ids",
            r"sample_ids\[2\] is 2.5; expected a string or an integer",
        ),
        ({"slices": {}}, "/slices/c", "slices.c is missing"),
        ({"slices": {"c": [1, 2]}}, "/slices/c", "slices.c has 2 values; expected 4"),
        ({"slices": {"c": [1] * 4, "d": [1] * 4}}, "/slices/d", "none of the columns c"),
        ({"slices": {"c": [1, 2, None, 4]}}, "/slices/c", r"slices.c\[2\] is None; expected a string"),
        ({"sample_weight": tensor([1.0, -1.0, 1.0, 1.0])}, "/sample_weight", "expected 0 or more"),
        ({"mask": tensor([1, 0, 1, 1])}, "/mask", "expected booleans"),
    ],
)
def test_a_batch_that_does_not_fit_is_refused(changed: dict[str, Any], place: str, message: str) -> None:
    good = {"predictions": tensor(np.zeros((4, 3))), "labels": tensor([0, 1, 2, 0]), "slices": {"c": [1, 2, 1, 2]}}
    with pytest.raises(Invalid, match=message) as caught:
        measure(plan(task="multiclass", predictions_are="logits", slices=["c"]), {**good, **changed})
    assert caught.value.flaws[0].pointer == place


def test_records_of_different_plans_or_classes_do_not_merge() -> None:
    def record(classes: int, **more: Any) -> Record:
        data = {"predictions": np.zeros((2, classes)), "labels": np.array([0, 1])}
        return measure(plan(task="multiclass", predictions_are="logits", **more), fields(data))

    for other in (record(4), record(3, hardest=3), record(3, metrics=[])):
        with pytest.raises(Invalid):
            record(3).merge(other)


def test_statistics_that_would_fill_the_memory_are_refused() -> None:
    from lossmeter.errors import TooLarge

    chosen = plan(task="multiclass", predictions_are="classes", classes=10**6, metrics=[{"metric": "confusion_matrix"}])
    with pytest.raises(TooLarge, match="confusion_matrix"):
        measure(chosen, fields({"predictions": np.array([1]), "labels": np.array([1])}))
