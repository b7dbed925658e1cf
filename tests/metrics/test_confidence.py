"""Intervals agree with scipy where it has them, hold as often as they say, and pair what was measured on the same samples."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from lossmeter.evaluation.figures import Figure, contrasts
from lossmeter.metrics import Ratio, Weighting, discordant, mcnemar, student, wilson
from lossmeter.metrics._distributions import binomial_tail, student_quantile, student_tail
from lossmeter.metrics.confidence import bootstrap
from tests.metrics import evaluations
from tests.metrics.evaluations import SEED, batches, measured, merge_all, metrics_of, part
from tests.programs.coverage import CASES, coverages


def ratio(values: np.ndarray, weight: np.ndarray | None = None) -> Ratio:
    state = Ratio.of(values, Weighting(np.ones(len(values)) if weight is None else weight, None, len(values)))
    assert isinstance(state, Ratio)
    return state


@pytest.mark.parametrize("freedom", [1, 2, 3.5, 10, 199, 1e4, 1e7, 1e12])
def test_student_agrees_with_scipy(freedom: float) -> None:
    for t in (1e-3, 0.5, 1.96, 7.0, 40.0):
        assert student_tail(t, freedom) == pytest.approx(2 * stats.t.sf(t, freedom), rel=1e-7)
    for level in (0.5, 0.95, 0.999):
        assert student_quantile(level, freedom) == pytest.approx(stats.t.ppf((1 + level) / 2, freedom), rel=1e-7)


def test_binomial_tail_agrees_with_scipy() -> None:
    for trials in (1, 2, 9, 100, 2001):
        for least in {0, 1, trials // 3, trials // 2, trials}:
            assert binomial_tail(least, trials) == pytest.approx(stats.binom.cdf(least, trials, 0.5), rel=1e-10)


def test_the_interval_of_a_mean_agrees_with_scipy() -> None:
    values = np.random.default_rng(SEED).gamma(2, 1, 37)
    interval = student(merge_all_ratios(np.split(values, [4, 4, 20])), 0.9)
    assert interval is not None
    low, high = stats.t.interval(0.9, 36, values.mean(), stats.sem(values))
    assert [interval.low, interval.high] == pytest.approx([low, high], rel=1e-10)
    assert interval.standard_error == pytest.approx(stats.sem(values), rel=1e-10)


def merge_all_ratios(parts: list[np.ndarray]) -> Ratio:
    state = ratio(parts[0])
    for values in parts[1:]:
        state = state.merge(ratio(values))
    return state


def test_the_error_of_a_weighted_mean_is_linearised() -> None:
    rng = np.random.default_rng(SEED)
    values, weight = rng.normal(5, 1, 50), rng.gamma(2, 1, 50)
    mean = np.average(values, weights=weight)
    expected = math.sqrt(50 / 49 * ((weight * (values - mean)) ** 2).sum()) / weight.sum()
    assert float(ratio(values, weight).standard_error) == pytest.approx(expected, rel=1e-9)
    assert float(ratio(values, weight).effective_units) == pytest.approx(weight.sum() ** 2 / (weight**2).sum())


def test_wilson_agrees_with_scipy() -> None:
    for successes, trials in [(0, 5), (3, 7), (50, 50), (190, 1000)]:
        theirs = stats.binomtest(successes, trials).proportion_ci(0.95, method="wilson")
        ours = wilson(successes, trials, 0.95)
        assert ours is not None
        assert [ours.low, ours.high] == pytest.approx([theirs.low, theirs.high], abs=1e-12)
    assert wilson(0, 0, 0.95) is None


def test_proportions_of_weighted_decisions_use_effective_trials() -> None:
    rng = np.random.default_rng(SEED)
    data = {
        "predictions": rng.integers(0, 2, 80),
        "labels": rng.integers(0, 2, 80),
        "sample_weight": rng.gamma(1, 1, 80),
    }
    (item,) = report("binary", "classes", [{"metric": "recall"}], data)
    actual = data["labels"] == 1
    trials = data["sample_weight"][actual]
    found = data["sample_weight"][actual & (data["predictions"] == 1)]
    expected = wilson(found.sum(), trials.sum(), 0.95, trials.sum() ** 2 / (trials**2).sum())
    assert item.interval is not None
    assert expected is not None
    assert [item.interval.low, item.interval.high] == pytest.approx([expected.low, expected.high], rel=1e-12)


def test_ends_of_a_function_of_a_mean_are_those_of_the_mean() -> None:
    rng = np.random.default_rng(SEED)
    data = {"predictions": rng.normal(size=50), "labels": np.zeros(50)}
    wanted = [{"metric": "mse"}, {"metric": "rmse"}]
    mse, rmse = (item.interval for item in report("regression", "values", wanted, data))
    assert mse is not None
    assert rmse is not None
    assert [rmse.low**2, rmse.high**2] == pytest.approx([mse.low, mse.high])
    assert rmse.standard_error == pytest.approx(
        mse.standard_error / (2 * math.sqrt((data["predictions"] ** 2).mean())), rel=1e-6
    )


def report(task: str, are: str, wanted: list[dict], data: dict, **options: object) -> list[Figure]:
    chosen = metrics_of(task, are, wanted, **options)
    return evaluations.report(chosen, measured(chosen, data))


def test_the_bootstrap_of_a_mean_finds_its_standard_error() -> None:
    rng = np.random.default_rng(SEED)
    data = {"predictions": rng.normal(size=2000), "labels": np.zeros(2000)}
    evaluation = metrics_of("regression", "values", [{"metric": "mae"}], replicates=400)
    (moments,), (drawn,) = (
        evaluations.report(evaluation, measured(evaluation, {**data, **names}))
        for names in ({}, {"groups": [f"/{place}" for place in range(2000)]})
    )
    assert moments.interval is not None
    assert drawn.interval is not None
    assert (moments.interval.method, drawn.interval.method) == ("student", "bootstrap")
    assert drawn.interval.standard_error == pytest.approx(moments.interval.standard_error, rel=0.12)


def test_replicates_of_exact_samples_and_of_histograms_agree() -> None:
    _, data = batches(np.random.default_rng(SEED), 800)["binary"]
    both = [report("binary", "logits", [{"metric": "auroc"}], data, curves={"bins": bins})[0] for bins in (0, 2000)]
    errors = [item.interval.standard_error for item in both if item.interval is not None]
    assert errors[0] == pytest.approx(errors[1], rel=0.05)


def test_samples_of_a_group_are_drawn_together() -> None:
    rng = np.random.default_rng(SEED)
    values = np.repeat(rng.normal(size=100), 20)
    data = {"predictions": values, "labels": np.zeros(2000)}
    evaluation = metrics_of("regression", "values", [{"metric": "mae"}])
    errors = []
    for groups in (np.arange(2000), np.repeat(np.arange(100), 20)):
        (item,) = evaluations.report(evaluation, measured(evaluation, {**data, "groups": groups}))
        assert item.interval is not None
        errors.append(item.interval.standard_error)
    assert errors[1] / errors[0] == pytest.approx(math.sqrt(20), rel=0.25)


def test_comparisons_are_paired() -> None:
    rng = np.random.default_rng(SEED)
    labels = rng.normal(size=1500)
    hard = rng.gamma(1, 1, 1500)
    first = {"predictions": labels + hard, "labels": labels, "sample_ids": range(1500)}
    second = {**first, "predictions": labels + hard + 0.02 + 0.1 * rng.normal(size=1500)}
    wanted = [{"metric": "mae"}, {"metric": "r2"}, {"metric": "median_absolute_error"}, {"metric": "max_error"}]
    evaluation = metrics_of("regression", "values", wanted)
    one = measured(evaluation, first)
    order = rng.permutation(1500)
    arrays = {name: np.asarray(value)[order] for name, value in second.items()}
    other = merge_all([measured(evaluation, part(arrays, some)) for some in np.split(np.arange(1500), [200, 900])])
    mae, r2, median, largest = contrasts(evaluation.metrics, one, other)
    exact = np.abs(second["predictions"] - labels) - hard
    assert mae.difference.interval is not None
    assert mae.difference.value == pytest.approx(exact.mean())
    assert mae.difference.interval.standard_error == pytest.approx(stats.sem(exact), rel=0.2)
    assert mae.difference.interval.standard_error < 0.2 * hard.std() / math.sqrt(1500)
    assert mae.difference.p_value < 1e-4
    assert median.difference.interval is not None
    assert r2.first > r2.second
    assert largest.difference.interval is None
    assert all(item.difference.p_value == 1 for item in contrasts(evaluation.metrics, one, one)[:3])


def test_mcnemar_is_the_mid_p_of_a_fair_coin() -> None:
    for b, c in [(0, 0), (1, 5), (5, 1), (7, 7), (30, 12)]:
        least = min(b, c)
        expected = 2 * stats.binom.cdf(least, b + c, 0.5) - stats.binom.pmf(least, b + c, 0.5)
        assert mcnemar(b, c) == pytest.approx(min(expected, 1.0))
    assert discordant([1, 1, 0, 0, 1], [1, 0, 1, 0, 0]) == (2, 1)


def test_a_bootstrap_interval_stays_within_the_bounds() -> None:
    rng = np.random.default_rng(SEED)
    near = bootstrap(0.99, 1 - rng.gamma(1, 0.01, 500), 0.95, (0.0, 1.0))
    on = bootstrap(1.0, np.minimum(1, rng.normal(1, 0.01, 500)), 0.95, (0.0, 1.0))
    assert near is not None
    assert on is not None
    assert 0 < near.low < 0.99 < near.high < 1
    assert 0.9 < on.low < on.high == 1
    assert bootstrap(0.5, np.array([0.4, np.nan, np.nan]), 0.95) is None
    assert bootstrap(np.nan, np.ones(5), 0.95) is None


@pytest.mark.parametrize(("n", "sigma"), [(10, 1.2), (30, 1.5), (100, 1.5)])
def test_means_of_heavy_tails_hold(n: int, sigma: float) -> None:
    # The mean of a log-normal is exp(σ²/2). A quarter of the correction lets 86 to 89 % hold.
    values = np.exp(np.random.default_rng(SEED).normal(0, sigma, (2000, n)))
    found = [student(ratio(row), 0.95, bounds=(0.0, None)) for row in values]
    held = [one.low <= math.exp(sigma**2 / 2) <= one.high for one in found if one is not None]
    apart = np.ptp(np.quantile(values.mean(axis=1), [0.025, 0.975]))
    assert len(held) == 2000
    assert np.mean(held) >= 0.91
    assert np.mean([one.high - one.low for one in found if one is not None]) <= 3 * apart


def test_a_replicate_far_out_does_not_make_the_interval() -> None:
    drawn = 0.5 + 0.1 * stats.norm.ppf((np.arange(199) + 0.5) / 199)
    with_one = [bootstrap(0.5, np.append(drawn, out), 0.95, (None, 1.0)) for out in (0.3, -1e12)]
    assert all(one is not None for one in with_one)
    near, far = (one for one in with_one if one is not None)
    assert [far.low, far.high] == pytest.approx([near.low, near.high], abs=0.03)
    assert far.standard_error == pytest.approx(near.standard_error, rel=0.1)


def test_the_page_names_every_interval_that_does_not_hold() -> None:
    page = (Path(__file__).parents[2] / "docs" / "confidence.md").read_text()
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.count(" % |") == 4]
    assert len(rows) == len(CASES)
    missing = {(row[0], row[2], row[3]) for row in rows if float(row[5].rstrip(" %")) < 91}
    assert missing == set()


QUICK = [
    case
    for case in CASES
    if (case.metric, case.made.__name__, case.n)
    in {
        ("mae", "numbers", 300),
        ("accuracy", "weighted_classes", 300),
        ("r2", "numbers", 300),
        ("auroc", "two_classes", 300),
    }
]


def test_intervals_hold_as_often_as_they_say() -> None:
    # 300 trials: a true 95 % stays above 90.5 % but in one case of two thousand. The full table is docs/confidence.md.
    results = coverages(300, QUICK, replicates=60)
    assert len(results) == 4
    for case, found in results.items():
        assert 0.905 <= found.inside <= 0.99, (case.metric, found.inside)
        assert found.method in {"student", "wilson", "bootstrap", "newcombe"}
