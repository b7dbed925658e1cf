"""Every metric that scikit-learn has too gives the same number, in float64, with weights and without."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import datasets, linear_model

from tests.metrics.evaluations import SEED, evaluate, softmax

RELATIVE = 1e-12
Weights = Any


REGRESSION: dict[str, tuple[dict[str, Any], Callable[[Any, Any, Weights], float]]] = {
    "mse": ({}, lambda y, x, w: sk.mean_squared_error(y, x, sample_weight=w)),
    "rmse": ({}, lambda y, x, w: sk.root_mean_squared_error(y, x, sample_weight=w)),
    "mae": ({}, lambda y, x, w: sk.mean_absolute_error(y, x, sample_weight=w)),
    "mape": ({}, lambda y, x, w: sk.mean_absolute_percentage_error(y, x, sample_weight=w)),
    "msle": ({}, lambda y, x, w: sk.mean_squared_log_error(y, x, sample_weight=w)),
    "r2": ({}, lambda y, x, w: sk.r2_score(y, x, sample_weight=w)),
    "explained_variance": ({}, lambda y, x, w: sk.explained_variance_score(y, x, sample_weight=w)),
    "max_error": ({}, lambda y, x, _: sk.max_error(y, x)),
    "pinball": ({"quantile": 0.9}, lambda y, x, w: sk.mean_pinball_loss(y, x, sample_weight=w, alpha=0.9)),
    "tweedie_deviance": ({"power": 1.5}, lambda y, x, w: sk.mean_tweedie_deviance(y, x, sample_weight=w, power=1.5)),
    "poisson_deviance": ({}, lambda y, x, w: sk.mean_poisson_deviance(y, x, sample_weight=w)),
    "d2_tweedie": ({"power": 1.0}, lambda y, x, w: sk.d2_tweedie_score(y, x, sample_weight=w, power=1)),
    "median_absolute_error": ({}, lambda y, x, w: sk.median_absolute_error(y, x, sample_weight=w)),
    "d2_pinball": ({"quantile": 0.3}, lambda y, x, w: sk.d2_pinball_score(y, x, sample_weight=w, alpha=0.3)),
    "d2_absolute_error": ({}, lambda y, x, w: sk.d2_absolute_error_score(y, x, sample_weight=w)),
}


def counted(average: str) -> dict[str, tuple[str, dict[str, Any], Callable[..., Any]]]:
    shown = None if average == "none" else average
    named = {
        "precision": ({}, sk.precision_score),
        "recall": ({}, sk.recall_score),
        "f1": ({}, sk.f1_score),
        "jaccard": ({}, sk.jaccard_score),
    }
    found = {
        f"{name} {average}": (
            name,
            {"average": average},
            lambda y, p, w, f=f: f(y, p, sample_weight=w, average=shown, zero_division=0),
        )
        for name, (_, f) in named.items()
    }
    found[f"f_beta {average}"] = (
        "f_beta",
        {"average": average, "beta": 2.0},
        lambda y, p, w: sk.fbeta_score(y, p, beta=2, sample_weight=w, average=shown, zero_division=0),
    )
    return found


DECISIONS: dict[str, tuple[str, dict[str, Any], Callable[..., Any]]] = {
    "accuracy": ("accuracy", {}, lambda y, p, w: sk.accuracy_score(y, p, sample_weight=w)),
    "hamming": ("hamming", {}, lambda y, p, w: sk.hamming_loss(y, p, sample_weight=w)),
    "balanced": ("balanced_accuracy", {}, lambda y, p, w: sk.balanced_accuracy_score(y, p, sample_weight=w)),
    "adjusted": (
        "balanced_accuracy",
        {"adjusted": True},
        lambda y, p, w: sk.balanced_accuracy_score(y, p, sample_weight=w, adjusted=True),
    ),
    "matthews": ("matthews", {}, lambda y, p, w: sk.matthews_corrcoef(y, p, sample_weight=w)),
    "kappa": ("cohen_kappa", {}, lambda y, p, w: sk.cohen_kappa_score(y, p, sample_weight=w, labels=range(5))),
    "linear kappa": (
        "cohen_kappa",
        {"weights": "linear"},
        lambda y, p, w: sk.cohen_kappa_score(y, p, sample_weight=w, weights="linear", labels=range(5)),
    ),
    "quadratic kappa": (
        "cohen_kappa",
        {"weights": "quadratic"},
        lambda y, p, w: sk.cohen_kappa_score(y, p, sample_weight=w, weights="quadratic", labels=range(5)),
    ),
    "confusion": ("confusion_matrix", {}, lambda y, p, w: sk.confusion_matrix(y, p, sample_weight=w, labels=range(5))),
    "confusion by row": (
        "confusion_matrix",
        {"normalize": "actual"},
        lambda y, p, w: sk.confusion_matrix(y, p, sample_weight=w, labels=range(5), normalize="true"),
    ),
    **{name: entry for average in ("macro", "micro", "weighted") for name, entry in counted(average).items()},
}


def agrees(ours: Any, theirs: Any) -> None:
    np.testing.assert_allclose(ours, theirs, rtol=RELATIVE, atol=1e-14)


def weighted(data: dict[str, Any], w: Weights) -> dict[str, Any]:
    return data if w is None else {**data, "sample_weight": w}


def weights_of(rng: np.random.Generator, n: int) -> list[Weights]:
    return [None, rng.integers(1, 5, n).astype(float), rng.uniform(0.1, 3, n)]


@pytest.mark.parametrize("name", REGRESSION)
def test_regression_agrees_on_diabetes(name: str) -> None:
    x, y = datasets.load_diabetes(return_X_y=True)
    predicted = np.maximum(linear_model.LinearRegression().fit(x[:200], y[:200]).predict(x), 1)
    parameters, theirs = REGRESSION[name]
    for w in weights_of(np.random.default_rng(SEED), len(y)):
        if w is not None and name == "max_error":
            continue
        ours = evaluate(
            "regression", "values", name, weighted({"predictions": predicted, "labels": y}, w), **parameters
        )
        agrees(ours, theirs(y, predicted, w))


@given(st.integers(0, 2**32), st.integers(2, 40), st.booleans())
@settings(max_examples=40, deadline=None)
def test_regression_agrees_on_made_batches(seed: int, n: int, large: bool) -> None:
    rng = np.random.default_rng(seed)
    y = rng.gamma(2, 1, n).round(2) + 0.5
    y[:2] = (0.6, 2.5)
    x = y * rng.uniform(0.2, 2, n)
    if large:
        x, y = x + 1e6, y + 1e6
    for w in weights_of(rng, n):
        for name, (parameters, theirs) in REGRESSION.items():
            if large and name in {"tweedie_deviance", "poisson_deviance", "d2_tweedie", "msle"}:
                continue  # scikit-learn's closed forms cancel here; test_states has an exact reference
            if w is None or name != "max_error":
                data = weighted({"predictions": x, "labels": y}, w)
                agrees(evaluate("regression", "values", name, data, **parameters), theirs(y, x, w))


def test_correlations_agree_with_scipy() -> None:
    rng = np.random.default_rng(SEED)
    for n in (5, 50, 501):
        x, y = rng.integers(0, 20, (2, n)) / 7
        data = {"predictions": x, "labels": y}
        agrees(evaluate("regression", "values", "pearson", data), stats.pearsonr(x, y)[0])
        agrees(evaluate("regression", "values", "spearman", data), stats.spearmanr(x, y)[0])
        agrees(evaluate("regression", "values", "kendall", data), stats.kendalltau(x, y)[0])
        lin = 2 * np.cov(x, y, bias=True)[0, 1] / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)
        agrees(evaluate("regression", "values", "concordance", data), lin)


def test_whole_weights_of_rank_metrics_repeat_samples() -> None:
    rng = np.random.default_rng(SEED)
    x, y = rng.integers(0, 9, (2, 30)) / 3
    w = rng.integers(1, 4, 30)
    repeated = {"predictions": np.repeat(x, w), "labels": np.repeat(y, w)}
    for name in ("spearman", "pearson", "median_absolute_error", "d2_absolute_error"):
        ours = evaluate("regression", "values", name, {"predictions": x, "labels": y, "sample_weight": w})
        agrees(ours, evaluate("regression", "values", name, repeated))


@pytest.mark.parametrize("name", DECISIONS)
@given(st.integers(0, 2**32), st.integers(3, 60))
@settings(max_examples=25, deadline=None)
def test_decisions_agree_on_made_batches(name: str, seed: int, n: int) -> None:
    metric, parameters, theirs = DECISIONS[name]
    rng = np.random.default_rng(seed)
    y, p = rng.integers(0, 5, (2, n))
    y[:2] = (0, 1)
    for w in weights_of(rng, n):
        data = weighted({"predictions": p, "labels": y, "classes": 5}, w)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of classes that are missing on one side
            expected = theirs(y, p, w)
        agrees(evaluate("multiclass", "classes", metric, data, **parameters), expected)


@pytest.mark.parametrize("name", ["precision", "recall", "f1", "jaccard", "accuracy", "matthews", "cohen_kappa"])
def test_binary_decisions_agree(name: str) -> None:
    rng = np.random.default_rng(SEED)
    y, p = rng.integers(0, 2, (2, 80))
    theirs = {
        "precision": sk.precision_score,
        "recall": sk.recall_score,
        "f1": sk.f1_score,
        "jaccard": sk.jaccard_score,
        "accuracy": sk.accuracy_score,
        "matthews": sk.matthews_corrcoef,
        "cohen_kappa": sk.cohen_kappa_score,
    }[name]
    for w in weights_of(rng, 80):
        agrees(
            evaluate("binary", "classes", name, weighted({"predictions": p, "labels": y}, w)),
            theirs(y, p, sample_weight=w),
        )
    specificity = evaluate("binary", "classes", "specificity", {"predictions": p, "labels": y})
    agrees(specificity, sk.recall_score(y, p, pos_label=0))
    agrees(evaluate("binary", "classes", "npv", {"predictions": p, "labels": y}), sk.precision_score(y, p, pos_label=0))


@pytest.mark.parametrize("average", ["macro", "micro", "weighted", "none"])
def test_multilabel_decisions_agree(average: str) -> None:
    rng = np.random.default_rng(SEED)
    y, p = rng.integers(0, 2, (2, 40, 6))
    y[:, 2] = p[:, 2] = 0
    for w in weights_of(rng, 40):
        data = weighted({"predictions": p, "labels": y}, w)
        for name, (metric, parameters, theirs) in counted(average).items():
            absent = {} if average == "micro" else {"absent": "zero"}
            agrees(evaluate("multilabel", "classes", metric, data, **parameters, **absent), theirs(y, p, w))
            assert average in name
        agrees(evaluate("multilabel", "classes", "exact_match", data), sk.accuracy_score(y, p, sample_weight=w))
        agrees(evaluate("multilabel", "classes", "hamming", data), sk.hamming_loss(y, p, sample_weight=w))


def test_probabilities_and_curves_agree_on_breast_cancer() -> None:
    x, y = datasets.load_breast_cancer(return_X_y=True)
    model = linear_model.LogisticRegression(max_iter=5000).fit(x[:150, :4], y[:150])
    p = model.predict_proba(x[:, :4])[:, 1].round(3)
    z = model.decision_function(x[:, :4])
    for w in weights_of(np.random.default_rng(SEED), len(y)):
        data, logits = (weighted({"predictions": scores, "labels": y}, w) for scores in (p, z))
        agrees(evaluate("binary", "probabilities", "log_loss", data), sk.log_loss(y, p, sample_weight=w))
        agrees(evaluate("binary", "logits", "log_loss", logits), sk.log_loss(y, 1 / (1 + np.exp(-z)), sample_weight=w))
        agrees(evaluate("binary", "probabilities", "brier", data), sk.brier_score_loss(y, p, sample_weight=w))
        agrees(evaluate("binary", "probabilities", "auroc", data), sk.roc_auc_score(y, p, sample_weight=w))
        average_precision = evaluate("binary", "probabilities", "average_precision", data)
        agrees(average_precision, sk.average_precision_score(y, p, sample_weight=w))
        fpr, tpr, thresholds = sk.roc_curve(y, p, sample_weight=w, drop_intermediate=False)
        (roc,) = evaluate("binary", "probabilities", "roc_curve", data)
        agrees([roc["threshold"], roc["false_positive_rate"], roc["true_positive_rate"]], [thresholds, fpr, tpr])
        precision, recall, thresholds = sk.precision_recall_curve(y, p, sample_weight=w)
        (pr,) = evaluate("binary", "probabilities", "pr_curve", data)
        agrees(
            [pr["threshold"][::-1], pr["precision"][::-1], pr["recall"][::-1]],
            [thresholds, precision[:-1], recall[:-1]],
        )


def test_many_classes_agree_on_digits_and_iris() -> None:
    for load in (datasets.load_digits, datasets.load_iris):
        x, y = load(return_X_y=True)
        model = linear_model.LogisticRegression(max_iter=5000).fit(x[::7], y[::7])
        z = model.decision_function(x)
        p = softmax(z)
        classes = p.shape[1]
        for w in weights_of(np.random.default_rng(SEED), len(y)):
            data = weighted({"predictions": z, "labels": y}, w)
            agrees(evaluate("multiclass", "logits", "log_loss", data), sk.log_loss(y, p, sample_weight=w))
            agrees(evaluate("multiclass", "logits", "perplexity", data), np.exp(sk.log_loss(y, p, sample_weight=w)))
            agrees(evaluate("multiclass", "logits", "brier", data), sk.brier_score_loss(y, p, sample_weight=w))
            top = evaluate("multiclass", "logits", "top_k_accuracy", data, k=2)
            agrees(top, sk.top_k_accuracy_score(y, p, k=2, sample_weight=w, labels=range(classes)))
            # scikit-learn's own "weighted" of several classes takes no weights of samples
            for average in ("macro", "weighted") if w is None else ("macro",):
                ours = evaluate("multiclass", "logits", "auroc", data, average=average)
                agrees(ours, sk.roc_auc_score(y, p, multi_class="ovr", average=average, sample_weight=w))
            hot = np.eye(classes, dtype=int)[y]
            for average in ("macro", "micro", "weighted"):
                ours = evaluate("multiclass", "logits", "average_precision", data, average=average)
                agrees(ours, sk.average_precision_score(hot, p, average=average, sample_weight=w))
            ours = evaluate("multiclass", "logits", "auroc", data, average="micro")
            agrees(ours, sk.roc_auc_score(hot, p, average="micro", sample_weight=w))


@given(st.integers(0, 2**32), st.integers(2, 40), st.sampled_from(["macro", "micro", "weighted", "none"]))
@settings(max_examples=40, deadline=None)
def test_curves_of_many_labels_agree_on_made_batches(seed: int, n: int, average: str) -> None:
    rng = np.random.default_rng(seed)
    p, y = rng.integers(0, 12, (n, 4)) / 11, rng.integers(0, 2, (n, 4))
    y[0], y[1] = 0, 1  # without positives or negatives there is no curve
    shown = None if average == "none" else average
    for w in weights_of(rng, n):
        data = weighted({"predictions": p, "labels": y}, w)
        for name, theirs in (("auroc", sk.roc_auc_score), ("average_precision", sk.average_precision_score)):
            ours = evaluate("multilabel", "probabilities", name, data, average=average)
            agrees(ours, theirs(y, p, average=shown, sample_weight=w))


def test_rankings_agree() -> None:
    rng = np.random.default_rng(SEED)
    scores, grades = rng.integers(0, 6, (30, 8)).astype(float), rng.integers(0, 3, (30, 8))
    grades[:, 0] = 1
    for w in weights_of(rng, 30):
        data = weighted({"predictions": scores, "labels": grades}, w)
        for k in (3, 8):
            agrees(
                evaluate("ranking", "scores", "ndcg", data, k=k), sk.ndcg_score(grades, scores, k=k, sample_weight=w)
            )
        mean = sk.label_ranking_average_precision_score(grades > 0, scores, sample_weight=w)
        agrees(evaluate("ranking", "scores", "mean_average_precision", data), mean)


def test_clusterings_agree() -> None:
    rng = np.random.default_rng(SEED)
    for n in (4, 50, 500):
        clusters = rng.integers(0, 5, n)
        labels = np.where(rng.random(n) < 0.6, clusters // 2, rng.integers(0, 4, n))
        data = {"predictions": clusters, "labels": labels}
        agrees(evaluate("clustering", "classes", "adjusted_rand", data), sk.adjusted_rand_score(labels, clusters))
        agrees(evaluate("clustering", "classes", "nmi", data), sk.normalized_mutual_info_score(labels, clusters))
        agrees(
            evaluate("clustering", "classes", "v_measure", data, beta=2.0), sk.v_measure_score(labels, clusters, beta=2)
        )
        w = rng.integers(1, 4, n)
        repeated = sk.adjusted_rand_score(np.repeat(labels, w), np.repeat(clusters, w))
        agrees(evaluate("clustering", "classes", "adjusted_rand", {**data, "sample_weight": w}), repeated)


def test_calibration_bins_agree() -> None:
    from sklearn.calibration import calibration_curve

    rng = np.random.default_rng(SEED)
    p = rng.random(400).round(2)
    y = (rng.random(400) < p).astype(int)
    (curve,) = evaluate("binary", "probabilities", "reliability_diagram", {"predictions": p, "labels": y}, bins=10)
    observed, predicted = calibration_curve(y, p, n_bins=10)
    agrees([curve["frequency"], curve["confidence"]], [observed, predicted])
    gaps = np.abs(observed - predicted)
    ece = evaluate("binary", "probabilities", "ece", {"predictions": p, "labels": y}, bins=10)
    agrees(ece, (gaps * np.array(curve["weight"])).sum() / 400)
    agrees(evaluate("binary", "probabilities", "mce", {"predictions": p, "labels": y}, bins=10), gaps.max())


@pytest.mark.parametrize("weights", ["none", "linear", "quadratic"])
def test_kappa_of_many_classes_is_that_of_the_few_that_occur(weights: str) -> None:
    """A table of 200,000 classes by as many would have 320 GB."""
    rng = np.random.default_rng(SEED)
    far = np.array([0, 7, 1000, 150_000, 199_999])
    y, p = (far[rng.integers(0, 5, 300)] for _ in range(2))
    penalty = {"none": lambda d: d != 0, "linear": lambda d: d, "quadratic": lambda d: d.astype(float) ** 2}[weights]
    expected = 1 - penalty(abs(y - p)).mean() / penalty(abs(y[:, None] - p)).mean()
    data = {"predictions": p, "labels": y, "classes": 200_000}
    assert evaluate("multiclass", "classes", "cohen_kappa", data, weights=weights) == pytest.approx(expected, rel=1e-9)
