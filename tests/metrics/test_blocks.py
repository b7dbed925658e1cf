"""A large batch is measured in blocks, which changes nothing; and R² of many samples has an interval of its own."""

from __future__ import annotations

import math
from functools import reduce
from typing import Any

import numpy as np
import pytest

from lossmeter.errors import Invalid
from lossmeter.evaluation import Statistics, evaluate
from lossmeter.metrics.correlation import MANY
from lossmeter.metrics.states import State, from_json, joined
from tests.metrics.evaluations import batches, everything, measured, merge_all, metrics_of, part, report
from tests.metrics.test_merging import same_report
from tests.support.evaluations import tensor

R2 = metrics_of("regression", "values", ["r2"], replicates=20)


def regression(n: int, offset: float = 3.0) -> dict[str, Any]:
    rng = np.random.default_rng(n)
    labels = rng.gamma(3.0, 1.0, n) + offset
    return {"predictions": labels + rng.normal(0.2, 1.0, n), "labels": labels}


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("offset", [0.1, 1e3])
def test_blocks_give_what_one_piece_gives(weighted: bool, offset: float, monkeypatch: pytest.MonkeyPatch) -> None:
    are, data = batches(np.random.default_rng(0))["regression"]
    data = data if weighted else regression(60, offset)
    evaluation = everything("regression", are, replicates=0)
    whole = measured(evaluation, data)
    for size in (7, 20, 59):
        monkeypatch.setattr("lossmeter.evaluation.metrics.BLOCK", size)
        same_report(evaluation, whole, measured(evaluation, data))


def test_states_that_are_joined_are_those_that_are_merged_one_by_one() -> None:
    evaluation = everything("regression", "values", exact=False, replicates=0)
    for count in (1, 2, 3, 5, 8, 11):
        parts = [measured(evaluation, regression(10 + seed)).states for seed in range(count)]
        for key in parts[0]:
            several = [states[key] for states in parts]
            merged: State = reduce(lambda one, other: one.merge(other), several)
            for name in merged.arrays():
                np.testing.assert_allclose(getattr(joined(several), name), getattr(merged, name), rtol=1e-11, atol=1e-9)


def test_an_error_in_a_later_block_names_the_place_in_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lossmeter.evaluation.metrics.BLOCK", 7)
    data = regression(60)
    data["predictions"][30] = -2.0
    data["mask"] = np.arange(60) != 5
    with pytest.raises(Invalid) as raised:
        measured(metrics_of("regression", "values", ["msle"], replicates=0), data)
    assert raised.value.flaws[0].index == (30,)


def test_float32_is_measured_as_the_float64_numbers_that_it_stands_for() -> None:
    narrow = {name: value.astype(np.float32) for name, value in regression(500).items()}
    wide = {name: value.astype(np.float64) for name, value in narrow.items()}
    evaluation = everything("regression", "values", replicates=0)
    answers = [evaluate(evaluation, {name: tensor(value) for name, value in data.items()}) for data in (narrow, wide)]
    assert answers[0] == answers[1]


def test_r2_of_many_samples_has_the_linearised_error_of_a_ratio() -> None:
    for weight in (None, np.random.default_rng(1).gamma(2.0, 1.0, MANY)):
        data = regression(MANY) | ({} if weight is None else {"sample_weight": weight})
        (figure,) = report(R2, measured(R2, data, paired=False))
        w = np.ones(MANY) if weight is None else weight
        apart = data["labels"] - w @ data["labels"] / w.sum()
        squares = (data["labels"] - data["predictions"]) ** 2
        share = (w @ squares) / (w @ apart**2)
        rest = w * (squares - share * apart**2)
        error = math.sqrt(MANY / (MANY - 1) * (rest @ rest)) / (w @ apart**2)
        assert figure.value == pytest.approx(1 - share, rel=1e-12)
        assert figure.interval is not None
        assert figure.interval.method == "student"
        assert figure.interval.standard_error == pytest.approx(error, rel=1e-9)
        # Student's quantile of so many is the normal one; the ends are taken on the logarithm of the share.
        assert figure.interval.high == pytest.approx(1 - share * math.exp(-1.9602 * error / share), rel=1e-4)


def test_few_samples_and_groups_have_the_interval_of_the_bootstrap() -> None:
    few = {name: value[1:] for name, value in regression(MANY).items()}
    groups = regression(MANY) | {"groups": [f"g{i % 300}" for i in range(MANY)]}
    for data in (few, groups):
        (figure,) = report(R2, measured(R2, data, paired=False))
        assert figure.interval is not None
        assert figure.interval.method == "bootstrap"


def test_the_interval_of_many_samples_does_not_depend_on_how_they_came() -> None:
    data = regression(MANY) | {"sample_ids": [str(i) for i in range(MANY)]}
    order = np.random.default_rng(2).permutation(MANY)
    parts = [measured(R2, part(data, chosen)) for chosen in np.array_split(order, 7)]
    (whole,), (merged,) = report(R2, measured(R2, data, paired=False)), report(R2, merge_all(parts))
    assert whole.interval is not None
    assert merged.interval is not None
    assert merged.interval.method == "student"
    for name in ("low", "high", "standard_error"):
        assert getattr(merged.interval, name) == pytest.approx(getattr(whole.interval, name), rel=1e-9)


def test_a_slice_of_few_among_many_has_the_interval_of_the_bootstrap() -> None:
    data = {name: tensor(value) for name, value in regression(MANY + 50).items()}
    sliced = metrics_of("regression", "values", ["r2"], replicates=20, slices=["part"])
    answer = evaluate(sliced, data | {"slices": {"part": ["few"] * 50 + ["many"] * MANY}})
    methods = {one["value"]: one["metrics"][0]["interval"]["method"] for one in answer["slices"]}
    assert methods == {"few": "bootstrap", "many": "student"}
    assert answer["metrics"][0]["interval"]["method"] == "student"


def test_moments_of_version_1_are_read_and_leave_the_interval_to_the_bootstrap() -> None:
    now = measured(R2, regression(MANY))
    state = now.states["cross_moments"].to_json()
    old = from_json({name: value for name, value in state.items() if name != "fourth"} | {"version": 1})
    for states in (old, old.merge(now.states["cross_moments"]), now.states["cross_moments"].merge(old)):
        statistics = Statistics(MANY, clustered=False, states={"cross_moments": states}, replicates=now.replicates)
        (figure,) = report(R2, statistics)
        assert figure.interval is not None
        assert figure.interval.method == "bootstrap"
