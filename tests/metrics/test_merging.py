"""Any partition of the data into batches, in any order, gives what one pass gives; masks are rows that were never sent."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lossmeter.errors import Invalid, MalformedBody
from lossmeter.evaluation import Plan, Statistics, measure
from lossmeter.metrics import TASKS
from lossmeter.metrics._counts import ClassCounts, Confusion
from lossmeter.metrics.states import STATES, from_json
from tests.metrics.evaluations import SEED, batches, everything, measured, merge_all, metrics_of, part, report
from tests.support.evaluations import TENSORS, tensor


def close(one: Any, other: Any, relative: float = 1e-12) -> None:
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            close(one[key], other[key], relative)
    elif isinstance(one, list) and one and isinstance(one[0], dict):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            close(a, b, relative)
    else:
        np.testing.assert_allclose(one, other, rtol=relative, atol=1e-13)


def same_report(evaluation: Plan, one: Statistics, other: Statistics) -> None:
    assert one.samples == other.samples
    for a, b in zip(report(evaluation, one), report(evaluation, other), strict=True):
        close(a.value, b.value)
        close(a.error_bound, b.error_bound)
        assert (a.interval is None) == (b.interval is None)
        if a.interval is not None and b.interval is not None:
            # The error of a mean is a root: where it is zero in truth, rounding stands at its own root.
            ends = [[i.standard_error, i.low, i.high] for i in (a.interval, b.interval)]
            np.testing.assert_allclose(*ends, rtol=1e-10, atol=1e-9)


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("task", TASKS)
def test_any_partition_and_order_gives_one_pass(task: str, exact: bool) -> None:
    for seed in range(3):
        rng = np.random.default_rng(seed)
        are, data = batches(rng)[task]
        evaluation = everything(task, are, exact=exact)
        whole = measured(evaluation, data)
        order = rng.permutation(60)
        cuts = np.sort(rng.integers(0, 61, 7))
        parts = [measured(evaluation, part(data, chosen)) for chosen in np.split(order, cuts)]
        same_report(evaluation, whole, merge_all(parts))
        left = parts[0]
        for one in reversed(parts[1:]):
            left = left.merge(one)
        same_report(evaluation, whole, left)


@given(st.lists(st.integers(0, 20), min_size=1, max_size=6), st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_unweighted_counts_merge_exactly(cuts: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    data = {"predictions": rng.integers(0, 4, 20), "labels": rng.integers(0, 4, 20), "classes": 4}
    evaluation = metrics_of("multiclass", "classes", [{"metric": "f1"}, {"metric": "confusion_matrix"}], replicates=8)
    whole = measured(evaluation, {**data, "sample_ids": range(20)})
    arrays = {name: data[name] for name in ("predictions", "labels")} | {"sample_ids": np.arange(20)}
    parts = [
        measured(evaluation, {**part(arrays, chosen), "classes": 4})
        for chosen in np.split(rng.permutation(20), sorted(cuts))
    ]
    assert merge_all(parts).to_json() == whole.to_json()


@pytest.mark.parametrize("task", TASKS)
def test_states_survive_json(task: str) -> None:
    are, data = batches(np.random.default_rng(SEED))[task]
    for exact in (True, False):
        evaluation = everything(task, are, exact=exact)
        statistics = measured(evaluation, data)
        text = json.dumps(statistics.to_json(), allow_nan=False)
        again = Statistics.from_json(json.loads(text))
        assert json.dumps(again.to_json(), allow_nan=False) == text
        assert repr(report(evaluation, again)) == repr(report(evaluation, statistics))


@pytest.mark.parametrize("task", TASKS)
def test_a_mask_or_a_weight_of_zero_equals_dropping_the_rows(task: str) -> None:
    are, data = batches(np.random.default_rng(SEED), 40)[task]
    keep = data.pop("mask")
    evaluation = everything(task, are)
    dropped = measured(evaluation, part(data, np.flatnonzero(keep)))
    spoilt = {**data, "predictions": data["predictions"].astype(float)}
    spoilt["predictions"][~keep] = np.nan
    for hidden in ({"mask": keep}, {"sample_weight": data["sample_weight"] * keep}):
        assert repr(report(evaluation, measured(evaluation, {**spoilt, **hidden}))) == repr(report(evaluation, dropped))
    assert not keep.all()


def test_exact_samples_give_the_same_bits_in_any_order() -> None:
    rng = np.random.default_rng(SEED)
    _, data = batches(rng)["regression"]
    wanted = [{"metric": name} for name in ("spearman", "kendall", "median_absolute_error", "d2_pinball")]
    evaluation = metrics_of("regression", "values", wanted, replicates=8)
    shown = {repr(report(evaluation, measured(evaluation, part(data, rng.permutation(60))))) for _ in range(10)}
    assert len(shown) == 1


def sliced_by(evaluation: Plan, data: dict[str, Any], chosen: np.ndarray) -> list[Statistics]:
    """The statistics of the samples that are chosen, and of the others."""
    sent = {name: tensor(value) if name in TENSORS else value for name, value in data.items()}
    record = measure(replace(evaluation, slices=("chosen",)), {**sent, "slices": {"chosen": chosen.tolist()}})
    return [record.slices["chosen"][value] for value in ("true", "false")]


@pytest.mark.parametrize("task", TASKS)
def test_a_slice_is_the_samples_that_it_names(task: str) -> None:
    are, data = batches(np.random.default_rng(SEED), 40)[task]
    evaluation = everything(task, are)
    chosen = np.arange(40) % 3 == 0
    sliced, rest = sliced_by(evaluation, data, chosen)
    alone = measured(evaluation, part(data, np.flatnonzero(chosen)))
    assert repr(report(evaluation, sliced)) == repr(report(evaluation, alone))
    same_report(evaluation, sliced.merge(rest), measured(evaluation, data))


@pytest.mark.parametrize("task", TASKS)
def test_the_size_of_states_does_not_depend_on_the_number_of_samples(task: str) -> None:
    sizes = []
    for n in (200, 2000):
        are, data = batches(np.random.default_rng(SEED), n)[task]
        statistics = measured(everything(task, are, exact=False), data)
        states = (*statistics.states.values(), *statistics.replicates.values())
        sizes.append([getattr(state, name).shape for state in states for name in state.arrays()])
    assert sizes[0] == sizes[1]


def test_no_samples_give_nan_and_merge_as_nothing() -> None:
    for task, (are, data) in batches(np.random.default_rng(SEED)).items():
        evaluation = everything(task, are)
        full = measured(evaluation, data)
        empty = measured(evaluation, {**data, "mask": np.zeros(60, bool)})
        assert empty.samples == 0
        for item in report(evaluation, empty):
            assert item.interval is None
            if item.kind == "scalar":
                assert np.isnan(item.value), item.metric
        same_report(evaluation, full, full.merge(empty))
        same_report(evaluation, full, empty.merge(full))


def test_large_means_do_not_cancel() -> None:
    rng = np.random.default_rng(SEED)
    x, noise = rng.normal(size=(2, 300))
    evaluation = metrics_of("regression", "values", [{"metric": "r2"}, {"metric": "pearson"}, {"metric": "mse"}])
    y = x + 0.1 * noise
    grid = 2.0**-12  # so that adding the offset is exact
    x, y = np.round(x / grid) * grid, np.round(y / grid) * grid
    near, far = (
        merge_all(
            [
                measured(evaluation, {"predictions": a, "labels": b})
                for a, b in zip(np.split(x + o, 6), np.split(y + o, 6), strict=True)
            ]
        )
        for o in (0.0, 1e8)
    )
    for one, other in zip(report(evaluation, near), report(evaluation, far), strict=True):
        np.testing.assert_allclose(one.value, other.value, rtol=1e-9)
        assert one.metric == "mse" or one.value <= 1


def test_states_of_different_shape_do_not_merge() -> None:
    evaluation = metrics_of("multiclass", "logits", [{"metric": "f1"}], replicates=0)
    three, four = (measured(evaluation, {"predictions": np.zeros((2, c)), "labels": [0, 1]}) for c in (3, 4))
    with pytest.raises(Invalid, match="the two states class_counts differ in the shape of true_positive"):
        three.merge(four)
    other = metrics_of("multiclass", "logits", [{"metric": "accuracy"}], replicates=0)
    with pytest.raises(Invalid, match="cannot be added"):
        three.merge(measured(other, {"predictions": np.zeros((2, 3)), "labels": [0, 1]}))
    with pytest.raises(Invalid, match="cannot take confusion"):
        ClassCounts(*[np.zeros(1)] * 5).merge(Confusion(np.zeros((1, 1))))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "broken", [{}, {"state": "ratio"}, {"state": "ratio", "version": 1}, {"state": "nothing", "version": 1}]
)
def test_what_is_no_state_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(MalformedBody):
        from_json(broken)
    with pytest.raises(MalformedBody):
        Statistics.from_json(broken)


def test_every_kind_of_state_is_met_above() -> None:
    met = set()
    for task, (are, data) in batches(np.random.default_rng(SEED)).items():
        for exact in (True, False):
            statistics = measured(everything(task, are, exact=exact), data)
            met |= {state.kind for state in (*statistics.states.values(), *statistics.replicates.values())}
    assert met == set(STATES)
