"""A replicate is the data with each unit weighted by how often it was drawn, however the sums are made."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import sklearn.metrics as sk

from lossmeter.evaluation import metrics as chosen_metrics
from lossmeter.evaluation.figures import replicate_values
from lossmeter.metrics import TASKS, levels, scores
from lossmeter.metrics.draws import draws, hashes
from lossmeter.metrics.levels import LEVELS
from tests.metrics.evaluations import SEED, batches, everything, measured, metrics_of, report
from tests.metrics.test_merging import same_report

REPLICATES = 12
COUNTS = ("squares", "units", "elements", "rr", "rb", "bb", "fourth")


def weighted(data: dict[str, Any], drawn: np.ndarray) -> dict[str, Any]:
    """The batch with each sample weighted by how often it was drawn."""
    return {**data, "sample_weight": data["sample_weight"] * drawn}


@pytest.mark.parametrize("spread", [1, 40])
@pytest.mark.parametrize("task", TASKS)
def test_a_replicate_is_the_data_weighted_by_draws(task: str, spread: int) -> None:
    are, data = batches(np.random.default_rng(SEED))[task]
    # Many places for few elements are added up in another way than few places for many.
    made = everything(task, are, exact=False, replicates=REPLICATES, bins=2 * spread)
    statistics = measured(made, data)
    assert statistics.replicates
    drawn = draws(hashes(data["sample_ids"]), 0, REPLICATES)
    assert drawn.min() == 0
    assert drawn.max() > 1
    for number in range(REPLICATES):
        alone = measured(made, weighted(data, drawn[:, number])).states
        for key, state in statistics.replicates.items():
            for name in set(state.arrays()) - set(COUNTS):
                mine, theirs = getattr(state, name), getattr(alone[key], name)
                if state.kind == "contingency":
                    mine, theirs = pairs(state, number), pairs(alone[key], None)
                    assert mine == pytest.approx(theirs)
                else:
                    np.testing.assert_allclose(mine[number], theirs, rtol=1e-9, atol=1e-9, err_msg=f"{key} {name}")


def pairs(state: Any, number: int | None) -> dict[tuple[float, float], float]:
    weight = state.weight if number is None else state.weight[number]
    named = zip(zip(state.cluster.tolist(), state.label.tolist(), strict=True), weight.tolist(), strict=True)
    return {pair: value for pair, value in named if value}


@pytest.mark.parametrize("task", TASKS)
def test_it_does_not_matter_how_many_are_drawn_at_a_time(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    are, data = batches(np.random.default_rng(SEED))[task]
    for exact in (True, False):
        made = everything(task, are, exact=exact)
        whole = measured(made, data)
        with monkeypatch.context() as patched:
            for module in (levels, chosen_metrics):
                patched.setattr(module, "SLAB_DRAWS", 7 * 12)
            for module in (levels, scores):
                patched.setattr(module, "SLAB_ELEMENTS", 300)
            same_report(made, whole, measured(made, data))


def scored(n: int, positives: int) -> dict[str, Any]:
    rng = np.random.default_rng(SEED)
    labels = np.zeros(n, np.int64)
    labels[:positives] = 1
    scores = rng.normal(size=n) + 1.5 * labels
    return {"predictions": scores.round(6), "labels": labels, "sample_ids": list(range(n))}


@pytest.mark.parametrize("positives", [60, 8000])
def test_levels_keep_the_spread_of_many_scores(positives: int) -> None:
    data = scored(20_000, positives)
    assert len(np.unique(data["predictions"])) > 10 * LEVELS
    wanted = [{"metric": "auroc"}, {"metric": "average_precision"}]
    made = metrics_of("binary", "scores", wanted, replicates=40)
    found = report(made, measured(made, data))
    drawn = draws(hashes(data["sample_ids"]), 0, 40).T
    for item, theirs in zip(found, (sk.roc_auc_score, sk.average_precision_score), strict=True):
        each = [theirs(data["labels"], data["predictions"], sample_weight=row) for row in drawn]
        assert item.interval is not None
        assert item.interval.standard_error == pytest.approx(np.std(each, ddof=1), rel=2e-3)
        assert item.value == pytest.approx(theirs(data["labels"], data["predictions"]), rel=1e-12)


@pytest.mark.parametrize("weight", [1.0, 0.3])
def test_levels_that_are_drawn_with_counts_are_those_of_the_samples(
    weight: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = {**scored(5000, 1500), "sample_weight": np.full(5000, weight), "mask": np.arange(5000) % 7 > 0}
    data["predictions"] = 1 / (1 + np.exp(-data["predictions"]))
    wanted = [{"metric": name} for name in ("auroc", "f1", "average_precision")]
    made = metrics_of("binary", "probabilities", wanted, replicates=9)
    monkeypatch.setattr(chosen_metrics, "SLAB_DRAWS", 9 * 600)
    found = measured(made, data, paired=False)
    assert bool(found.levels) == (weight == 1)
    with monkeypatch.context() as patched:
        for name in ("draws", "drawn_tally", "add_counts"):
            if found.levels:
                patched.delattr(levels, name)  # nothing is drawn again
        together = report(made, found)
    assert repr(together) == repr(report(made, replace(found, levels={})))
    assert not found.merge(measured(made, data, "more", paired=False)).levels


def test_few_scores_are_all_told_apart() -> None:
    data = scored(1500, 300)
    made = metrics_of("binary", "scores", [{"metric": "average_precision"}], replicates=9)
    statistics = measured(made, data)
    (found,) = replicate_values(made.metrics, statistics.states, statistics).values()
    drawn = draws(hashes(data["sample_ids"]), 0, 9).T
    theirs = [sk.average_precision_score(data["labels"], data["predictions"], sample_weight=row) for row in drawn]
    np.testing.assert_allclose(found, theirs, rtol=1e-12)


@pytest.mark.parametrize("task", TASKS)
def test_a_report_needs_no_replicates_where_intervals_have_formulas(task: str) -> None:
    are, data = batches(np.random.default_rng(SEED))[task]
    made = everything(task, are, exact=False)
    paired, alone = (measured(made, data, paired=one) for one in (True, False))
    assert repr(report(made, alone)) == repr(report(made, paired))
    formulas = [one for one in made.metrics.choices if one.scattered and one.has_formula(alone.states)]
    others = {
        key for one in made.metrics.choices if one.scattered and not one.has_formula(alone.states) for key in one.keys
    }
    spared = {key for one in formulas for key in one.keys} - others
    assert not spared & alone.replicates.keys()
    assert spared <= paired.replicates.keys()
    groups = {**data, "groups": data["sample_ids"]}
    clustered = measured(made, groups, paired=False)
    assert clustered.replicates.keys() == paired.replicates.keys()


@pytest.mark.parametrize("name", ["auroc", "average_precision"])
def test_the_micro_average_pools_the_scores_of_all_classes(name: str) -> None:
    rng = np.random.default_rng(SEED)
    p, y = rng.integers(0, 200, (150, 3)) / 200, rng.integers(0, 2, (150, 3))
    ids = [f"sample {number}" for number in range(150)]
    wanted = [{"metric": name, "average": "micro"}]
    together = {"predictions": p, "labels": y, "sample_ids": ids}
    # Each score of a sample is drawn with the sample: as if it were one of a group.
    apart = {"predictions": p.reshape(-1), "labels": y.reshape(-1), "groups": np.repeat(ids, 3).tolist()}
    for curves in ({}, {"bins": 200}):
        found = []
        for task, data in (("multilabel", together), ("binary", apart)):
            made = metrics_of(task, "probabilities", wanted, curves=curves, replicates=30)
            found.extend(report(made, measured(made, data)))
        assert found[0].value == pytest.approx(found[1].value, rel=1e-12)
        assert found[0].interval is not None
        assert found[1].interval is not None
        assert found[0].interval.standard_error == pytest.approx(found[1].interval.standard_error, rel=1e-9)
        assert found[0].error_bound == pytest.approx(found[1].error_bound, rel=1e-9)
