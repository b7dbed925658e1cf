"""From a batch to a record, and to the gradients of the objective."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from lossmeter.engine.calls import Call
from lossmeter.engine.compute import Engine
from lossmeter.engine.evaluation import hardest
from lossmeter.engine.evaluation.inputs import Inputs, checked
from lossmeter.engine.evaluation.plan import Plan
from lossmeter.engine.evaluation.record import Record
from lossmeter.engine.evaluation.reports import report, tensor_warnings
from lossmeter.errors import Flaw, Invalid, pointer
from lossmeter.metrics import Ratio, Statistics, Weighting
from lossmeter.metrics._draws import Hashes, draws
from lossmeter.metrics._states import Quotient, State
from lossmeter.metrics._weighting import quotient
from lossmeter.tensors import Array, Datatype, Tensor

MAX_SLICES = 1000
"""Values of one column in one batch; a column with more of them is an id."""
SLAB_ELEMENTS = 1 << 21

Booleans = npt.NDArray[np.bool_]


@cache
def _own_engine() -> Engine:
    return Engine()


def measure(plan: Plan, fields: Mapping[str, Any], *, batch_id: str = "", engine: Engine | None = None) -> Record:
    """What a batch adds to what is known.

    Args:
        plan: what is measured.
        fields: `predictions` and `labels`, tensors; if wanted `sample_weight` and `mask`, tensors; `sample_ids` and `groups`,
            lists; `slices`, lists by column, one value for each sample.
        batch_id: with the position, stands in for the ids of samples that have none.
        engine: computes the losses; one of its own, if not given.

    Raises:
        Invalid: with a pointer to the field and the index of its first wrong element.
        DoesNotFit: the device has too little memory.
    """
    return _record(plan, checked(plan, fields, batch_id), batch_id, engine or _own_engine())


def evaluate(
    plan: Plan, fields: Mapping[str, Any], wanted: Sequence[str] = (), *, engine: Engine | None = None
) -> dict[str, Any]:
    """One batch from end to end: its report, with the gradients of the objective.

    Args:
        plan, fields, engine: as for `measure`.
        wanted: `predictions`, or nothing.

    Raises:
        Invalid, DoesNotFit: as `measure`.
    """
    if wanted and not any(one.weight for one in plan.criteria):
        raise Invalid.at(plan.task, pointer("gradients"), "no loss is in the objective, so there is nothing to derive")
    engine = engine or _own_engine()
    inputs = checked(plan, fields, "")
    found = report(plan, _record(plan, inputs, "", engine))
    gradients = {"predictions": _gradient(plan, inputs, engine)} if wanted else {}
    objective = {**found["objective"], "gradients": gradients}
    more = [
        warning
        for name, tensor in gradients.items()
        for warning in tensor_warnings(tensor, ("objective", "gradients", name))
    ]
    return {**found, "objective": objective, "warnings": [*found["warnings"], *more]}


def _record(plan: Plan, inputs: Inputs, batch_id: str, engine: Engine) -> Record:
    rows = _rows(plan, inputs, engine)
    with np.errstate(invalid="ignore", over="ignore"):
        sliced = {
            column: {name: _statistics(plan, inputs, rows, codes == code) for code, name in enumerate(names)}
            for column, (names, codes) in ((column, _coded(plan, inputs, column)) for column in plan.slices)
        }
        whole = _statistics(plan, inputs, rows, None)
        hard = hardest.of_batch(plan.hardest, _objective(plan, rows), inputs.ids, batch_id)
    return Record(inputs.classes, whole, sliced, plan.hardest, hard)


def _gradient(plan: Plan, inputs: Inputs, engine: Engine) -> Tensor:
    """Of the objective, with respect to the predictions."""
    shape = inputs.predictions.shape
    datatype = Datatype.FP32 if plan.precision == "float32" else Datatype.FP64
    total = np.zeros(shape, datatype.dtype)
    for number, one in enumerate(plan.criteria):
        if not one.weight:
            continue
        upstream = Tensor(Datatype.FP64, (), np.array([one.weight]))
        call = replace(_call(plan, inputs, number), gradients=("predictions",), upstream=upstream)
        gradient = engine.compute(call).gradients["predictions"].data.reshape(shape)
        if one.logarithm:
            # d log p = dp / p; where nothing flows, nothing flows, even if p is 0
            with np.errstate(divide="ignore", invalid="ignore"):
                gradient = np.where(gradient == 0, 0.0, gradient / inputs.predictions)
        total += gradient
    return Tensor(datatype, shape, total.reshape(-1))


def _call(plan: Plan, inputs: Inputs, number: int) -> Call:
    return plan.criteria[number].call(
        inputs.predictions, inputs.labels, inputs.sample_weight, inputs.mask, plan.precision
    )


def _rows(plan: Plan, inputs: Inputs, engine: Engine) -> list[tuple[Array, Array, Array]]:
    """For each loss, what each sample adds to its numerator, to its denominator and to its count."""
    found = []
    for number, one in enumerate(plan.criteria):
        try:
            rows = engine.by_row(_call(plan, inputs, number))
        except Invalid as error:
            flaws = [
                Flaw(pointer("losses", number) + flaw.pointer, flaw.message, flaw.index)
                if flaw.pointer[1:] in one.tensors
                else flaw
                for flaw in error.flaws
            ]
            raise Invalid.of(one.loss.name, flaws) from error
        found.append((rows.numerator.numpy(), rows.denominator.numpy(), rows.counted.numpy()))
    return found


def _objective(plan: Plan, rows: Sequence[tuple[Array, Array, Array]]) -> Array:
    """The weighted sum of its losses for each sample; -inf for a sample that counts in none."""
    if not rows:
        return np.zeros(0)
    total = np.zeros(len(rows[0][0]))
    counts = np.zeros(len(total), bool)
    for one, (numerator, denominator, _) in zip(plan.criteria, rows, strict=True):
        total += one.weight * quotient(numerator, denominator, 0.0)
        counts |= (denominator != 0) & (one.weight != 0)
    return np.where(counts, total, -np.inf)


def _coded(plan: Plan, inputs: Inputs, column: str) -> tuple[list[str], npt.NDArray[np.int64]]:
    """The values of a column as JSON text, and for each sample the number of its own."""
    known: dict[tuple[type, Any], int] = {}
    values = inputs.slices[column]
    # By type too, because True equals 1.
    codes = np.fromiter((known.setdefault((type(one), one), len(known)) for one in values), np.int64, len(values))
    for (kind, value), code in known.items():
        if kind not in (str, int, bool):
            position = int(np.argmax(codes == code))
            message = f"slices.{column}[{position}] is {value!r}; expected a string, an integer or a boolean"
            raise Invalid.at(plan.task, pointer("slices", column), message, (position,))
    if len(known) > MAX_SLICES:
        message = f"slices.{column} has {len(known)} different values; expected at most {MAX_SLICES}"
        raise Invalid.at(plan.task, pointer("slices", column), message)
    return [json.dumps(value) for _, value in known], codes


def _statistics(
    plan: Plan, inputs: Inputs, rows: Sequence[tuple[Array, Array, Array]], chosen: Booleans | None
) -> Statistics:
    """The states of metrics and losses over the chosen samples, or over all."""
    batch = inputs.batch if chosen is None else inputs.batch.where(chosen)
    measured = plan.evaluation.measure(batch, clustered=inputs.clustered)
    place = slice(None) if chosen is None else chosen
    part = [tuple(array[place] for array in one) for one in rows]
    states: dict[str, State] = dict(measured.states)
    for one, (numerator, denominator, count) in zip(plan.criteria, part, strict=True):
        states[one.key] = _ratio(numerator, denominator, count)
    replicates = dict(measured.replicates)
    if plan.evaluation.replicates and part:
        hashes = np.zeros(inputs.samples, np.uint64)
        hashes[inputs.batch.samples] = inputs.batch.hashes
        sums = _drawn(np.stack([array for one in part for array in one[:2]], axis=1), hashes[place], plan)
        for number, one in enumerate(plan.criteria):
            replicates[one.key] = Quotient(sums[:, 2 * number], sums[:, 2 * number + 1])
    return Statistics(measured.samples, measured.clustered, states, replicates)


def _ratio(numerator: Array, denominator: Array, count: Array) -> State:
    # Under label smoothing, a label whose class weighs nothing adds to the numerator alone.
    kept = (denominator != 0) | (numerator != 0)
    weighting = Weighting(np.ones(int(kept.sum())), None, int(kept.sum()))
    ratio = Ratio.of(numerator[kept], weighting, denominator[kept])
    return replace(ratio, elements=np.asarray(count.sum()))  # type: ignore[call-arg]


def _drawn(columns: Array, hashes: Hashes, plan: Plan) -> Array:
    """The sums of the columns in every replicate."""
    count = plan.evaluation.replicates
    step = max(1, SLAB_ELEMENTS // count)
    total = np.zeros((count, columns.shape[1]))
    for start in range(0, len(columns), step):
        part = slice(start, start + step)
        total += draws(hashes[part], 0, count) @ columns[part]
    return total
