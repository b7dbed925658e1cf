"""Verdicts hold to the last sample: nothing passes where nothing is known, and rounding decides nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sklearn.metrics as sk
from scipy import stats

from lossmeter.evaluation import ComparisonGate, Plan, compare, evaluate, measure, report
from lossmeter.metrics.states import from_json
from tests.support.evaluations import fields, plan

COUNT_METRICS = ("f1", "matthews", "cohen_kappa", "jaccard", "balanced_accuracy")


def figure(task: str, are: str, metric: str, data: dict[str, Any], **options: Any) -> dict[str, Any]:
    parameters = options.pop("parameters", {})
    wanted = plan(
        task=task,
        predictions_are=are,
        losses=[],
        replicates=200,
        metrics=[{"metric": metric, **parameters}],
        **options,
    )
    return dict(evaluate(wanted, fields(data))["metrics"][0])


def passes(task: str, are: str, data: dict[str, Any], **gate: Any) -> bool:
    wanted = plan(task=task, predictions_are=are, losses=[], metrics=[], replicates=200, gates=[gate], classes=2)
    return bool(evaluate(wanted, fields(data))["passed"])


@pytest.mark.parametrize("metric", [*COUNT_METRICS, "auroc", "average_precision"])
@pytest.mark.parametrize("groups", [None, np.zeros(40, int)])
def test_no_gate_on_the_lower_end_passes_on_one_sample_or_one_group(metric: str, groups: Any) -> None:
    n = 1 if groups is None else 40
    labels = np.arange(n) % 2 == 0
    data = {"predictions": labels * 0.9, "labels": labels.astype(int)}
    if groups is not None:
        data["groups"] = groups
    assert not passes("binary", "probabilities", data, metric=metric, minimum=0.9, at="lower")


@pytest.mark.parametrize("metric", COUNT_METRICS)
def test_perfect_decisions_have_an_interval_like_that_of_no_failures(metric: str) -> None:
    labels = np.arange(30) % 2
    found = figure("binary", "classes", metric, {"predictions": labels, "labels": labels})
    assert (found["value"], found["interval"]["high"]) == (1.0, 1.0)
    # Clopper and Pearson's interval of 30 trials without a failure begins at 0.025^(1/30).
    exact = 1 - 0.025 ** (1 / 30)
    slope = 2.0 if metric in ("matthews", "cohen_kappa", "jaccard") else 1.0
    assert 0.5 * exact < 1 - found["interval"]["low"] < 1.5 * slope * exact


def test_a_loss_has_the_interval_of_the_metric_of_the_same_values() -> None:
    rng = np.random.default_rng(3)
    labels = rng.gamma(3, 1, 12)
    data = {"predictions": labels * rng.gamma(4, 0.25, 12), "labels": labels}
    for more in ({}, {"groups": np.arange(12) // 2}):
        wanted = plan(task="regression", predictions_are="values", losses=["mse"], metrics=["mse"], replicates=50)
        found = evaluate(wanted, fields({**data, **more}))
        loss, metric = found["losses"][0]["interval"], found["metrics"][0]["interval"]
        # The longer of the two reaches is the upper one: errors are never negative.
        assert 0 < loss["low"] < loss["high"]
        assert loss["high"] - found["losses"][0]["value"] > found["losses"][0]["value"] - loss["low"]
        assert [loss["low"], loss["high"]] == pytest.approx([metric["low"], metric["high"]], rel=1e-6)


F_ENDS = {"jaccard": (1.0, 1.0), "f1": (0.5, 0.5), "f_beta": (4 / 5, 1 / 5)}
"""What a wrong decision weighs against a right one, at the lower end and at the upper; f_beta with beta 2."""


@pytest.mark.parametrize("metric", F_ENDS)
@pytest.mark.parametrize(("right", "wrong"), [(0, 1), (1, 0), (1, 1), (0, 2), (2, 0)])
def test_one_or_two_decisions_have_an_interval_as_wide_as_the_exact_one(metric: str, right: int, wrong: int) -> None:
    exact = stats.binomtest(right, right + wrong).proportion_ci(0.95, "exact")
    ends = [share / (share + w * (1 - share)) for share, w in zip(exact, F_ENDS[metric], strict=True)]
    told = [(1, 1)] * right + [(1, 0)] * wrong
    decided, labels = np.array(told + [(0, 0)] * (10 - len(told))).T
    more = {"parameters": {"beta": 2.0}} if metric == "f_beta" else {}
    for weights in ({}, {"sample_weight": np.full(10, 3.0)}):
        found = figure("binary", "classes", metric, {"predictions": decided, "labels": labels, **weights}, **more)
        low, high = found["interval"]["low"], found["interval"]["high"]
        assert low <= ends[0] + 1e-12
        assert high >= ends[1] - 1e-12
        if right == 0:  # half counts alone end much lower
            assert (low, high) == (0.0, pytest.approx(ends[1], abs=1e-12))


def test_the_exact_interval_is_that_of_all_batches_together_and_of_groups() -> None:
    wanted = plan(task="binary", predictions_are="classes", losses=[], metrics=[{"metric": "f1"}], replicates=200)
    one = fields({"predictions": np.array([1, 0, 0, 0]), "labels": np.zeros(4, int)})
    merged = measure(wanted, one, batch_id="a").merge(measure(wanted, one, batch_id="b"))
    share = 1 - 0.025**0.5  # Clopper and Pearson's upper end of none of two
    assert report(wanted, merged)["metrics"][0]["interval"]["high"] == pytest.approx(2 * share / (1 + share), rel=1e-12)
    merged = measure(wanted, one, batch_id="c").merge(merged)
    assert report(wanted, merged)["metrics"][0]["interval"]["high"] < 0.9  # of three decisions, as half counts have it
    # Thirty decisions of one group out of ten are one decision, whose number is known from the replicates alone.
    group = np.repeat(np.arange(10), 30)
    data = {"predictions": (group == 0).astype(int), "labels": np.zeros(300, int), "groups": group}
    assert figure("binary", "classes", "f1", data)["interval"]["high"] > 0.95


def test_separated_scores_have_newcombes_interval() -> None:
    # Newcombe 2006, method 5, for 15 against 15: θ from which 1 is 1.96 errors away, solved with scipy.optimize.brentq.
    from scipy.optimize import brentq

    def error(theta: float) -> float:
        inner = 1 + 14 * (1 - theta) / (2 - theta) + 14 * theta / (1 + theta)
        return float((1 - theta) ** 2 - 1.959963984540054**2 * theta * (1 - theta) * inner / 225)

    labels = np.arange(30) % 2
    data = {"predictions": labels + np.arange(30) / 100, "labels": labels}
    found = figure("binary", "scores", "auroc", data)
    assert found["interval"]["low"] == pytest.approx(brentq(error, 0.1, 0.999999), rel=1e-9)
    assert (found["value"], found["interval"]["high"], found["interval"]["method"]) == (1.0, 1.0, "newcombe")


def test_equal_errors_have_no_interval_in_any_order() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        weight = rng.gamma(1, 1, 50)
        found = figure(
            "regression",
            "values",
            "mae",
            {"predictions": np.full(50, 0.1), "labels": np.zeros(50), "sample_weight": weight},
        )
        assert found["interval"] is None


@pytest.mark.parametrize("metric", ["r2", "pearson", "spearman", "kendall", "d2_tweedie", "explained_variance"])
def test_nothing_is_explained_of_constants(metric: str) -> None:
    rng = np.random.default_rng(2)
    for constant in (0.1, 1e8 / 3, 1e-9):
        data = {
            "predictions": rng.gamma(1, 1, 60),
            "labels": np.full(60, constant),
            "sample_weight": rng.gamma(1, 1, 60),
        }
        wanted = plan(task="regression", predictions_are="values", losses=[], metrics=[{"metric": metric}])
        parts = [measure(wanted, fields(data, rows)) for rows in np.array_split(rng.permutation(60), 7)]
        merged = parts[0]
        for one in parts[1:]:
            merged = merged.merge(one)
        assert np.isnan(report(wanted, merged)["metrics"][0]["value"])
        found = figure("regression", "values", metric, data)
        assert np.isnan(found["value"])
        assert found["interval"] is None


def test_replicates_with_nearly_constant_labels_do_not_decide() -> None:
    rng = np.random.default_rng(3)
    for _ in range(10):
        y = rng.normal(100, 1, 7)
        found = figure("regression", "values", "r2", {"predictions": y + 0.1 * rng.normal(size=7), "labels": y})
        assert found["interval"] is None or found["interval"]["standard_error"] < 1e6


@pytest.mark.parametrize("metric", ["mae", "wape", "smape", "r2"])
def test_numbers_whose_squares_overflow_have_no_interval_in_groups(metric: str) -> None:
    x = np.array([1e300, -1e299, 2e300, 3e300])
    data = {"predictions": x, "labels": -x, "groups": np.array(list("abca"))}
    interval = figure("regression", "values", metric, data)["interval"]
    assert interval is None or np.isfinite([interval[end] for end in ("low", "high", "standard_error")]).all()


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_matthews_of_one_class_is_nothing_under_any_weights(task: str) -> None:
    rng = np.random.default_rng(4)
    for _ in range(30):
        data = {
            "predictions": rng.integers(0, 2, 40),
            "labels": np.ones(40, int),
            "sample_weight": rng.gamma(0.3, 1, 40),
        }
        assert figure(task, "classes", "matthews", data, classes=2)["value"] == 0.0


@pytest.mark.parametrize(
    ("task", "are", "metric"),
    [
        *(("multiclass", "classes", name) for name in (*COUNT_METRICS, "precision", "recall", "accuracy")),
        *(("binary", "scores", name) for name in ("auroc", "average_precision")),
        *(("clustering", "classes", name) for name in ("nmi", "v_measure", "adjusted_rand")),
        *(("regression", "values", name) for name in ("r2", "pearson", "spearman", "kendall", "concordance")),
        ("ranking", "scores", "ndcg"),
    ],
)
def test_perfect_predictions_are_exactly_best_under_any_weights(task: str, are: str, metric: str) -> None:
    rng = np.random.default_rng(5)
    for _ in range(20):
        labels = rng.integers(0, 4, (40, 6) if task == "ranking" else 40)
        if task == "binary":
            labels = labels % 2
        data = {
            "predictions": labels.astype(float) if are in ("scores", "values") else labels,
            "labels": labels.astype(float) if task == "regression" else labels,
            "sample_weight": rng.gamma(1, 1, 40) + (1 if task == "clustering" else 0),
        }
        found = figure(task, are, metric, data, **({"classes": 4} if task == "multiclass" else {}))
        assert found["value"] == 1.0
        assert found["interval"] is None or found["interval"]["high"] == 1.0


def test_weights_below_one_make_no_pairs() -> None:
    rng = np.random.default_rng(6)
    cluster, label = rng.integers(0, 3, (2, 60))
    data = {"predictions": cluster, "labels": label}
    whole = figure("clustering", "classes", "adjusted_rand", {**data, "sample_weight": np.full(60, 3.0)})["value"]
    assert whole == pytest.approx(sk.adjusted_rand_score(np.repeat(label, 3), np.repeat(cluster, 3)), rel=1e-12)
    for weight in (rng.uniform(0, 0.1, 60), rng.uniform(0, 1, 60)):
        value = figure("clustering", "classes", "adjusted_rand", {**data, "sample_weight": weight})["value"]
        assert -0.5 <= value <= 1


def test_logits_are_ranked_by_the_logits() -> None:
    data = {"predictions": np.array([40.0, 50.0, 800.0, 900.0]), "labels": np.array([0, 1, 0, 1])}
    assert figure("binary", "logits", "auroc", data)["value"] == sk.roc_auc_score(data["labels"], data["predictions"])
    rows = np.array([[800.0, 0, -900], [900.0, 0, -900], [0.0, 5, 1], [1.0, 2, 3]])
    labels = np.array([1, 0, 1, 2])
    odds = rows - np.stack([np.logaddexp.reduce(np.delete(rows, c, axis=1), axis=1) for c in range(3)], axis=1)
    each = [sk.roc_auc_score(labels == c, odds[:, c]) for c in range(3)]
    found = figure("multiclass", "logits", "auroc", {"predictions": rows, "labels": labels})
    assert found["value"] == pytest.approx(np.mean(each), rel=1e-12)


def test_log_probabilities_are_not_clipped() -> None:
    data = {"predictions": np.array([[-50.0, 0.0], [0.0, -100.0]]), "labels": np.array([0, 1])}
    assert figure("multiclass", "log_probabilities", "log_loss", data)["value"] == 75.0


def test_old_states_of_scores_add_to_new_ones() -> None:
    wanted = plan(task="binary", predictions_are="logits", losses=[], metrics=[{"metric": "auroc"}])
    data = {"predictions": np.array([-1.0, 2.0, 0.5]), "labels": np.array([0, 1, 1])}
    (state,) = measure(wanted, fields(data)).whole.states.values()
    written = state.to_json()
    assert written["version"] == 2
    old = {**written, "version": 1, "x": (1 / (1 + np.exp(-data["predictions"]))).tolist()}
    del old["logits"]
    for merged in (from_json(old).merge(state), state.merge(from_json(old))):
        np.testing.assert_allclose(np.sort(merged.x), np.sort(np.tile(data["predictions"], 2)), rtol=1e-12)  # type: ignore[attr-defined]


@pytest.mark.parametrize("absent", ["zero", "one"])
@pytest.mark.parametrize("metric", ["f1", "precision", "recall", "jaccard", "auroc", "balanced_accuracy"])
def test_where_nothing_counts_no_gate_passes(metric: str, absent: str) -> None:
    data = {"predictions": np.array([0.2, 0.8]), "labels": np.array([0, 1]), "mask": np.zeros(2, bool)}
    gate = {"metric": metric, "absent": absent}
    for bound in ({"minimum": -1.0}, {"maximum": 2.0}):
        wanted = plan(task="binary", predictions_are="probabilities", losses=[], metrics=[], gates=[{**gate, **bound}])
        assert not evaluate(wanted, fields(data))["passed"]
    wanted = plan(task="binary", predictions_are="probabilities", losses=[], metrics=[gate])
    record = measure(wanted, fields(data))
    margin = ComparisonGate.of({**gate, "margin": 10.0}, 0)
    assert not compare((wanted, wanted), (record, record), [margin])["passed"]


@pytest.mark.parametrize("metric", ["specificity", "npv"])
def test_what_is_undefined_has_no_interval(metric: str) -> None:
    data = {"predictions": np.zeros(10, int), "labels": np.zeros(10, int)}
    found = figure("binary", "classes", metric, data)
    assert np.isnan(found["value"])
    assert found["interval"] is None
    assert not passes("binary", "classes", data, metric=metric, minimum=0.5, at="lower")


def test_micro_precision_of_what_was_never_predicted_is_zero() -> None:
    data = {"predictions": np.zeros((4, 3), int), "labels": np.eye(4, 3, dtype=int)}
    found = figure("multilabel", "classes", "precision", data, parameters={"average": "micro"})
    assert (
        found["value"] == sk.precision_score(data["labels"], data["predictions"], average="micro", zero_division=0) == 0
    )


def test_thresholds_are_decimals_and_rounding_does_not_fail_them() -> None:
    labels = np.ones(10, int)
    seven = {"predictions": (np.arange(10) < 7).astype(int), "labels": labels}
    for gate, passed in (
        ({"baseline": 0.8, "margin": 0.1}, True),
        ({"baseline": 0.8, "margin": 0.1 - 1e-8}, False),
        ({"minimum": 0.7}, True),
        ({"minimum": 0.7 + 1e-8}, False),
        ({"maximum": 0.7}, True),
        ({"maximum": 0.7 - 1e-8}, False),
    ):
        assert passes("binary", "classes", seven, metric="accuracy", **gate) is passed, gate
    wrong = {"predictions": seven["predictions"], "labels": np.zeros(10, int)}
    assert passes("binary", "classes", wrong, metric="hamming", baseline=0.6, margin=0.1)


@pytest.mark.parametrize("metric", ["f1", "precision", "recall", "f_beta", "jaccard"])
@pytest.mark.parametrize("average", ["macro", "weighted", "micro", "binary"])
def test_averages_of_two_classes_are_those_of_scikit_learn(metric: str, average: str) -> None:
    rng = np.random.default_rng(7)
    data = {
        "predictions": rng.integers(0, 2, 50),
        "labels": rng.integers(0, 2, 50),
        "sample_weight": rng.gamma(1, 1, 50),
    }
    theirs = {
        "f1": sk.f1_score,
        "precision": sk.precision_score,
        "recall": sk.recall_score,
        "f_beta": lambda *a, **k: sk.fbeta_score(*a, beta=2.0, **k),
        "jaccard": sk.jaccard_score,
    }[metric]
    expected = theirs(data["labels"], data["predictions"], average=average, sample_weight=data["sample_weight"])
    more = {"beta": 2.0} if metric == "f_beta" else {}
    found = figure("binary", "classes", metric, data, parameters={"average": average, **more})
    assert found["value"] == pytest.approx(expected, rel=1e-12)
    if average == "binary":
        default = figure("binary", "classes", metric, data, parameters=more)
        assert default["value"] == found["value"]


def test_plans_of_before_mean_the_positive_class() -> None:
    wanted = plan(task="binary", predictions_are="classes", losses=[], metrics=[{"metric": "f1"}], classes=2)
    old = {**wanted.to_json(), "version": 1}
    old["metrics"] = [{**old["metrics"][0], "average": "macro"}]
    assert Plan.from_json(old).metrics.choices[0].arguments["average"] == "binary"


def compared(first: dict[str, Any], second: dict[str, Any], metric: str, task: str, are: str) -> dict[str, Any]:
    wanted = plan(task=task, predictions_are=are, losses=[], metrics=[{"metric": metric}], replicates=200)
    records = (measure(wanted, fields(first)), measure(wanted, fields(second)))
    return dict(compare((wanted, wanted), records)["metrics"][0])


@pytest.mark.parametrize("n", [1, 2, 5, 10])
def test_n_pairs_never_say_more_than_their_signs(n: int) -> None:
    labels = np.zeros(n)
    ids = np.arange(n)
    same = {"labels": labels, "sample_ids": ids}
    found = compared(
        {**same, "predictions": labels + 1}, {**same, "predictions": labels + 2}, "mae", "regression", "values"
    )
    assert np.isnan(found["p_value"]) if n == 1 else found["p_value"] >= 2.0 ** (1 - n)
    assert found["interval"] is None


@pytest.mark.parametrize("n", [5, 10, 30])
def test_equally_good_models_are_rarely_told_apart(n: int) -> None:
    rng = np.random.default_rng(8)
    rejected = 0
    for trial in range(200):
        labels = np.zeros(n)
        same = {"labels": labels, "sample_ids": np.arange(n) + 1000 * trial}
        first, second = rng.normal(size=(2, n))
        found = compared({**same, "predictions": first}, {**same, "predictions": second}, "mae", "regression", "values")
        rejected += found["p_value"] <= 0.05
    # Of 200 trials at a true 5 %, more than 19 happen once in 200 times.
    assert rejected <= 19
