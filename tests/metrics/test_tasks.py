"""Bad input is refused with the place of its first wrong element; choices of meaning are never guessed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lossmeter.errors import Invalid
from tests.metrics.evaluations import SEED, evaluate, measured, metrics_of, report

P = [[0.2, 0.8], [0.5, 0.5]]
BAD: list[tuple[str, str, dict[str, Any], str, tuple[int, ...] | None, str]] = [
    (
        "regression",
        "values",
        {"predictions": [1, 2], "labels": [1]},
        "/labels",
        None,
        "labels has shape [1]; expected [2]",
    ),
    ("regression", "values", {"predictions": [1, np.nan], "labels": [1, 2]}, "/predictions", (1,), "finite"),
    ("regression", "values", {"predictions": 1.0, "labels": 1.0}, "/predictions", None, "at least one dimension"),
    ("binary", "probabilities", {"predictions": [0.1, 1.5], "labels": [0, 1]}, "/predictions", (1,), "a probability"),
    ("binary", "logits", {"predictions": [0.1, 1.5], "labels": [0, 2]}, "/labels", (1,), "from 0 to 1"),
    (
        "binary",
        "logits",
        {"predictions": [0.1, 1.5], "labels": [0, 0.5]},
        "/labels",
        (1,),
        "is 0.5; expected a whole number",
    ),
    ("binary", "values", {"predictions": [0.1], "labels": [0]}, "/predictions_are", None, "expected one of logits"),
    ("cooking", "logits", {"predictions": [0.1], "labels": [0]}, "/task", None, "expected 'regression'"),
    ("multiclass", "logits", {"predictions": [1, 2], "labels": [0, 1]}, "/predictions", None, "expected (N, C, …)"),
    (
        "multiclass",
        "logits",
        {"predictions": P, "labels": [0, 2]},
        "/labels",
        (1,),
        "is 2; expected an index from 0 to 1",
    ),
    ("multiclass", "logits", {"predictions": P, "labels": [0, 1], "classes": 3}, "/predictions", None, "has 2 classes"),
    ("multiclass", "probabilities", {"predictions": [[0.2, 0.2]], "labels": [0]}, "/predictions", (0,), "expected 1"),
    (
        "multiclass",
        "classes",
        {"predictions": [0], "labels": [0]},
        "/classes",
        None,
        "classes is missing; expected the number",
    ),
    (
        "multiclass",
        "logits",
        {"predictions": P, "labels": [0, 0.5]},
        "/labels",
        (1,),
        "is 0.5; expected a whole number",
    ),
    ("multilabel", "logits", {"predictions": [1.0], "labels": [1]}, "/predictions", None, "expected (N, L)"),
    ("ranking", "scores", {"predictions": [[1.0]], "labels": [[-1]]}, "/labels", (0, 0), "relevance of 0 or more"),
    ("ranking", "scores", {"predictions": [1.0], "labels": [1]}, "/predictions", None, "whole queries"),
    ("regression", "values", {"predictions": P, "labels": P, "mask": [1, 0]}, "/mask", None, "expected booleans"),
    ("regression", "values", {"predictions": P, "labels": P, "mask": [True]}, "/mask", None, "expected [2] or [2, 2]"),
    (
        "regression",
        "values",
        {"predictions": P, "labels": P, "sample_weight": [1, -1]},
        "/sample_weight",
        (1,),
        "0 or more",
    ),
    (
        "regression",
        "values",
        {"predictions": P, "labels": P, "sample_ids": ["a"]},
        "/sample_ids",
        None,
        "1 entries; expected 2",
    ),
]


@pytest.mark.parametrize(("task", "are", "data", "pointer", "index", "message"), BAD)
def test_bad_input_is_refused_with_its_place(
    task: str, are: str, data: dict[str, Any], pointer: str, index: tuple[int, ...] | None, message: str
) -> None:
    with pytest.raises(Invalid) as caught:
        measured(metrics_of(task, are, []), data)
    flaw = caught.value.flaws[0]
    assert (flaw.pointer, flaw.index) == (pointer, index)
    assert message in flaw.message


@pytest.mark.parametrize(
    ("task", "are", "wanted", "options", "message"),
    [
        ("binary", "classes", {"metric": "log_loss"}, {}, "needs probabilities; predictions_are is classes"),
        ("binary", "classes", {"metric": "auroc"}, {}, "needs scores"),
        ("binary", "logits", {"metric": "mse"}, {}, "not for the task binary; for regression"),
        ("regression", "values", {"metric": "spearman"}, {"curves": {"bins": 10}}, "needs all samples at hand"),
        ("binary", "values", {"metric": "f1"}, {}, "predictions_are is 'values'"),
        ("binary", "logits", {"metric": "f1"}, {"confidence": 1.0}, "confidence is 1.0; expected a number less than 1"),
    ],
)
def test_a_metric_that_cannot_be_is_refused(
    task: str, are: str, wanted: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(Invalid, match=message):
        metrics_of(task, are, [wanted], **options)


def test_an_unknown_metric_or_task_is_refused() -> None:
    with pytest.raises(Invalid, match="no metric 'f2'"):
        metrics_of("binary", "logits", [{"metric": "f2"}])
    with pytest.raises(Invalid, match="task is 'cooking'; expected 'regression'"):
        metrics_of("cooking", "logits")


@pytest.mark.parametrize(
    ("metric", "parameters", "predictions", "labels", "pointer"),
    [
        ("msle", {}, [1.0, -2.0], [1.0, 1.0], "/predictions"),
        ("msle", {}, [1.0, 1.0], [1.0, -1.0], "/labels"),
        ("tweedie_deviance", {"power": 1.5}, [1.0, 0.0], [1.0, 1.0], "/predictions"),
        ("poisson_deviance", {}, [1.0, 1.0], [1.0, -1.0], "/labels"),
        ("tweedie_deviance", {"power": 2.0}, [1.0, 1.0], [1.0, 0.0], "/labels"),
        ("tweedie_deviance", {"power": 0.5}, [1.0, 1.0], [1.0, 1.0], "/power"),
    ],
)
def test_numbers_outside_the_domain_of_a_metric_are_refused(
    metric: str, parameters: dict[str, float], predictions: list[float], labels: list[float], pointer: str
) -> None:
    data = {"predictions": [0.5, *predictions], "labels": [1.0, *labels], "mask": [False, True, True]}
    with pytest.raises(Invalid) as caught:
        evaluate("regression", "values", metric, data, **parameters)
    assert caught.value.flaws[0].pointer == pointer
    assert pointer == "/power" or caught.value.flaws[0].index == (2,)


def test_scores_out_of_the_declared_range_are_refused() -> None:
    evaluation = metrics_of("binary", "scores", [{"metric": "auroc"}], curves={"bins": 10, "low": -1.0, "high": 1.0})
    with pytest.raises(Invalid, match="from -1 to 1") as caught:
        measured(evaluation, {"predictions": [0.5, 3.0], "labels": [0, 1]})
    assert caught.value.flaws[0].index == (1,)


ABSENT = {"predictions": [0, 0, 1, 3], "labels": [0, 1, 1, 0], "classes": 4}


@pytest.mark.parametrize(
    ("absent", "expected"),
    [("skip", (0.5 + 2 / 3) / 3), ("zero", (0.5 + 2 / 3) / 4), ("one", (1.5 + 2 / 3) / 4), ("nan", np.nan)],
)
def test_a_class_without_samples_follows_the_policy(absent: str, expected: float) -> None:
    # Class 2 is absent; class 3 was predicted wrongly, so it is there, and has 0.
    assert evaluate("multiclass", "classes", "f1", ABSENT, absent=absent) == pytest.approx(expected, nan_ok=True)
    alone = {"predictions": [0, 0], "labels": [0, 0]}
    stand_in = {"skip": np.nan, "zero": 0.0, "one": 1.0, "nan": np.nan}[absent]
    assert evaluate("binary", "classes", "f1", alone, absent=absent) == pytest.approx(stand_in, nan_ok=True)
    scored = {"predictions": [0.1, 0.2], "labels": [0, 0]}
    ours = evaluate("binary", "probabilities", "auroc", scored, absent=absent)
    assert ours == pytest.approx(stand_in, nan_ok=True)
    queries = {"predictions": [[2.0, 1.0], [2.0, 1.0]], "labels": [[1, 0], [0, 0]]}
    value = {"skip": 1.0, "zero": 0.5, "one": 1.0, "nan": np.nan}[absent]
    for metric in ("ndcg", "mean_average_precision", "mrr", "recall_at_k"):
        assert evaluate("ranking", "scores", metric, queries, absent=absent) == pytest.approx(value, nan_ok=True)


def test_probabilities_and_logits_of_them_decide_alike() -> None:
    z = np.random.default_rng(SEED).normal(0, 30, 200)
    labels = (z > 5).astype(int)
    p = 1 / (1 + np.exp(-np.clip(z, -700, 700)))
    for threshold in (0.0, 0.2, 0.5, 0.9, 1.0):
        by_logits = evaluate("binary", "logits", "accuracy", {"predictions": z, "labels": labels}, threshold=threshold)
        if threshold < 1:  # a probability of 1 is not above 1; a saturated sigmoid says it is
            by_chance = evaluate(
                "binary", "probabilities", "accuracy", {"predictions": p, "labels": labels}, threshold=threshold
            )
            assert by_logits == by_chance


def test_extreme_logits_have_finite_losses() -> None:
    data = {"predictions": [1e4, -1e4, 1e300], "labels": [1, 1, 1]}
    assert evaluate("binary", "logits", "log_loss", data) == pytest.approx(1e4 / 3)
    many = {"predictions": [[1e4, -1e4, 0.0]], "labels": [1]}
    assert evaluate("multiclass", "logits", "log_loss", many) == pytest.approx(2e4)


def test_tokens_are_elements_and_sequences_are_units() -> None:
    rng = np.random.default_rng(SEED)
    z, labels = rng.normal(size=(6, 5, 9)), rng.integers(0, 5, (6, 9))
    mask = rng.random((6, 9)) > 0.3
    evaluation = metrics_of("multiclass", "logits", [{"metric": "token_accuracy"}, {"metric": "perplexity"}])
    statistics = measured(evaluation, {"predictions": z, "labels": labels, "mask": mask})
    accuracy, perplexity = report(evaluation, statistics)
    log_p = z - np.log(np.exp(z).sum(1, keepdims=True))
    own = np.take_along_axis(log_p, labels[:, None], 1)[:, 0]
    assert perplexity.value == pytest.approx(np.exp(-own[mask].mean()), rel=1e-12)
    assert accuracy.value == pytest.approx((z.argmax(1) == labels)[mask].mean(), rel=1e-12)
    assert accuracy.metric == "accuracy"
    assert accuracy.interval is not None
    assert accuracy.interval.method == "student"


def test_the_error_bound_of_histograms_holds() -> None:
    for seed in range(40):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(5, 400))
        z = rng.normal(0, 2, n)
        data = {
            "predictions": 1 / (1 + np.exp(-z)),
            "labels": (rng.random(n) < 1 / (1 + np.exp(2 - z))).astype(int),
            "sample_weight": rng.uniform(0.1, 2, n),
        }
        wanted = [{"metric": "auroc"}, {"metric": "average_precision"}]
        exact, coarse = (
            metrics_of("binary", "probabilities", wanted, curves={"bins": bins}, replicates=0) for bins in (0, 16)
        )
        for one, other in zip(
            report(exact, measured(exact, data)), report(coarse, measured(coarse, data)), strict=True
        ):
            assert one.error_bound == 0
            assert np.isnan(one.value) or abs(one.value - other.value) <= other.error_bound + 1e-12
            assert np.isnan(one.value) or 0 <= other.error_bound < 0.5


@pytest.mark.parametrize("falling", [False, True])
@pytest.mark.parametrize("metric", ["auroc", "average_precision"])
def test_the_error_bound_holds_for_the_worst_order_within_a_bin(metric: str, falling: bool) -> None:
    # One bin, in which all positives stand above all negatives, or below them.
    predictions = np.linspace(0.1, 0.9, 100)
    labels = (np.arange(100) >= 10).astype(int) if not falling else (np.arange(100) < 90).astype(int)
    batch = {"predictions": predictions, "labels": labels}
    exact, coarse = (
        metrics_of("binary", "probabilities", [{"metric": metric}], curves={"bins": bins}, replicates=0)
        for bins in (0, 1)
    )
    (one,), (other,) = report(exact, measured(exact, batch)), report(coarse, measured(coarse, batch))
    assert 0.6 * other.error_bound < abs(one.value - other.value) <= other.error_bound


def test_rounding_of_weights_does_not_make_true_negatives() -> None:
    for seed in range(50):
        rng = np.random.default_rng(seed)
        data = {"predictions": rng.integers(0, 3, 9), "labels": np.zeros(9, int), "classes": 3}
        data["predictions"][0] = 0
        values = evaluate(
            "multiclass", "classes", "specificity", {**data, "sample_weight": rng.uniform(0.1, 1, 9)}, average="none"
        )
        assert values[0] == 0


def test_the_points_of_a_histogram_lie_on_the_exact_curve() -> None:
    rng = np.random.default_rng(SEED)
    p = rng.random(300)
    batch = {"predictions": p, "labels": (rng.random(300) < p).astype(int)}
    exact, coarse = (
        metrics_of("binary", "probabilities", [{"metric": "roc_curve"}], curves={"bins": bins}, replicates=0)
        for bins in (0, 8)
    )
    (full,) = report(exact, measured(exact, batch))[0].value
    (few,) = report(coarse, measured(coarse, batch))[0].value
    points = set(zip(full["false_positive_rate"], full["true_positive_rate"], strict=True))
    assert set(zip(few["false_positive_rate"], few["true_positive_rate"], strict=True)) <= points


def test_errors_name_the_place_in_the_whole_tensor() -> None:
    data = {
        "predictions": [[1.0, 2.0], [3.0, -3.0]],
        "labels": [[1.0, 1.0], [1.0, 1.0]],
        "mask": [[False, True], [True, True]],
    }
    with pytest.raises(Invalid) as caught:
        evaluate("regression", "values", "msle", data)
    assert caught.value.flaws[0].index == (1, 1)


def test_inputs_are_not_modified() -> None:
    predictions, labels, weight = np.array([0.2, 0.8]), np.array([0, 1]), np.array([1.0, 0.0])
    copies = [item.copy() for item in (predictions, labels, weight)]
    evaluate("binary", "probabilities", "f1", {"predictions": predictions, "labels": labels, "sample_weight": weight})
    for one, other in zip((predictions, labels, weight), copies, strict=True):
        np.testing.assert_array_equal(one, other)
