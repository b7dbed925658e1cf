"""From a batch to a record, and to the gradients of the objective."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import cache, reduce
from typing import Any

import numpy as np

from lossmeter.engine.calls import Call
from lossmeter.engine.compute import Engine
from lossmeter.errors import Flaw, Invalid, pointer
from lossmeter.evaluation import hardest
from lossmeter.evaluation.inputs import Inputs, checked
from lossmeter.evaluation.plan import Plan
from lossmeter.evaluation.record import Record
from lossmeter.evaluation.reports import report, tensor_warnings
from lossmeter.metrics import Ratio, Statistics, Weighting
from lossmeter.metrics._batches import Batch
from lossmeter.metrics._draws import Draws, draws
from lossmeter.metrics._states import Quotient, State
from lossmeter.metrics._weighting import Booleans, Integers, drawn_sums, quotient
from lossmeter.metrics.evaluation import slabs
from lossmeter.tensors import Array, Datatype, Tensor

MAX_SLICES = 1000
"""Values of one column in one batch; a column with more of them is an id."""

Rows = Sequence[tuple[Array, Array, Array]]
"""For each loss, what each sample adds to its numerator, to its denominator and to its count."""


@cache
def _own_engine() -> Engine:
    return Engine()


def measure(
    plan: Plan, fields: Mapping[str, Any], *, batch_id: str = "", engine: Engine | None = None, paired: bool = True
) -> Record:
    """What a batch adds to what is known.

    Args:
        plan: what is measured.
        fields: `predictions` and `labels`, tensors; if wanted `sample_weight` and `mask`, tensors; `sample_ids` and `groups`,
            lists; `slices`, lists by column, one value for each sample.
        batch_id: with the position, stands in for the ids of samples that have none.
        engine: computes the losses; one of its own, if not given.
        paired: whether the record may be compared with another one; without that a report is made with fewer replicates.

    Raises:
        Invalid: with a pointer to the field and the index of its first wrong element.
        DoesNotFit: the device has too little memory.
    """
    return _record(plan, checked(plan, fields, batch_id), batch_id, engine or _own_engine(), paired=paired)


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
    found = report(plan, _record(plan, inputs, "", engine, paired=False))
    gradients = {"predictions": _gradient(plan, inputs, engine)} if wanted else {}
    objective = {**found["objective"], "gradients": gradients}
    more = [
        warning
        for name, tensor in gradients.items()
        for warning in tensor_warnings(tensor, ("objective", "gradients", name))
    ]
    return {**found, "objective": objective, "warnings": [*found["warnings"], *more]}


def _record(plan: Plan, inputs: Inputs, batch_id: str, engine: Engine, *, paired: bool) -> Record:
    rows = _rows(plan, inputs, engine)
    coded = [_coded(plan, inputs, column) for column in plan.slices]
    with np.errstate(invalid="ignore", over="ignore"):
        samples, states = _states(plan, inputs, rows, None)
        names = _replicated(plan, states, clustered=inputs.clustered, paired=paired)
        drawn, parts = _replicates(plan, inputs, rows, names, [(len(values), codes) for values, codes in coded])
        whole = Statistics(samples, inputs.clustered, states, drawn)
        sliced = {}
        for column, (values, codes), found in zip(plan.slices, coded, parts, strict=True):
            sliced[column] = {
                value: Statistics(counted, inputs.clustered, of, found[number])
                for number, value in enumerate(values)
                for counted, of in [_states(plan, inputs, rows, codes == number)]
            }
        hard = hardest.of_batch(plan.hardest, _objective(plan, rows), inputs.ids, batch_id)
    return Record(inputs.classes, whole, sliced, plan.hardest, hard)


def _replicated(plan: Plan, states: Mapping[str, State], *, clustered: bool, paired: bool) -> frozenset[str]:
    """The names of the states of which replicates are kept; of losses, those that a comparison or the objective needs."""
    names = plan.evaluation.replicated(states, clustered=clustered, paired=paired)
    if not plan.evaluation.replicates:
        return names
    return names | {one.key for one in plan.criteria if one.weight or clustered or paired}


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


def _rows(plan: Plan, inputs: Inputs, engine: Engine) -> Rows:
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


def _objective(plan: Plan, rows: Rows) -> Array:
    """The weighted sum of its losses for each sample; -inf for a sample that counts in none."""
    if not rows:
        return np.zeros(0)
    total = np.zeros(len(rows[0][0]))
    counts = np.zeros(len(total), bool)
    for one, (numerator, denominator, _) in zip(plan.criteria, rows, strict=True):
        total += one.weight * quotient(numerator, denominator, 0.0)
        counts |= (denominator != 0) & (one.weight != 0)
    return np.where(counts, total, -np.inf)


def _coded(plan: Plan, inputs: Inputs, column: str) -> tuple[list[str], Integers]:
    """The values of a column as JSON text, and for each sample the number of its own."""
    values = inputs.slices[column]
    # By type too, because True equals 1.
    pairs = list(zip(map(type, values), values, strict=True))
    known = {pair: code for code, pair in enumerate(dict.fromkeys(pairs))}
    codes = np.fromiter(map(known.__getitem__, pairs), np.int64, len(pairs))
    for (kind, value), code in known.items():
        if kind not in (str, int, bool):
            position = int(np.argmax(codes == code))
            message = f"slices.{column}[{position}] is {value!r}; expected a string, an integer or a boolean"
            raise Invalid.at(plan.task, pointer("slices", column), message, (position,))
    if len(known) > MAX_SLICES:
        message = f"slices.{column} has {len(known)} different values; expected at most {MAX_SLICES}"
        raise Invalid.at(plan.task, pointer("slices", column), message)
    return [json.dumps(value) for _, value in known], codes


def _states(plan: Plan, inputs: Inputs, rows: Rows, chosen: Booleans | None) -> tuple[int, dict[str, State]]:
    """How many of the chosen samples count, or of all; the states of metrics and losses over them."""
    batch = inputs.batch if chosen is None else inputs.batch.where(chosen)
    states = plan.evaluation.states(batch)
    place = slice(None) if chosen is None else chosen
    for one, (numerator, denominator, count) in zip(plan.criteria, rows, strict=True):
        states[one.key] = _ratio(numerator[place], denominator[place], count[place])
    return batch.units, states


def _ratio(numerator: Array, denominator: Array, count: Array) -> State:
    # Under label smoothing, a label whose class weighs nothing adds to the numerator alone.
    kept = (denominator != 0) | (numerator != 0)
    weighting = Weighting(np.ones(int(kept.sum())), None, int(kept.sum()))
    ratio = Ratio.of(numerator[kept], weighting, denominator[kept])
    return replace(ratio, elements=np.asarray(count.sum()))  # type: ignore[call-arg]


def _replicates(
    plan: Plan, inputs: Inputs, rows: Rows, names: Collection[str], codes: Sequence[tuple[int, Integers]]
) -> tuple[dict[str, State], list[list[dict[str, State]]]]:
    """The replicates of all samples, and for each column of slices those of every slice.

    The slices of a column are all samples, so that what all samples add up to is what its slices do.

    Args:
        names: of the states of which replicates are kept.
        codes: of each column, how many slices there are, and that of each sample.
    """
    columns = [array for one, row in zip(plan.criteria, rows, strict=True) if one.key in names for array in row[:2]]
    sums = np.stack(columns, axis=1) if columns else np.zeros((inputs.samples, 0))
    losses = [one.key for one in plan.criteria if one.key in names]

    def states(batch: Batch, drawn: Draws) -> dict[str, State]:
        found = plan.evaluation.drawn(batch, drawn, names)
        both = drawn_sums(sums[batch.samples], drawn)
        return found | {key: Quotient(both[:, 2 * place], both[:, 2 * place + 1]) for place, key in enumerate(losses)}

    whole: dict[str, State] = {}
    slices: list[list[dict[str, State]]] = [[{} for _ in range(count)] for count, _ in codes]
    for batch in slabs(inputs.batch, plan.evaluation.replicates) if names else ():
        drawn = draws(batch.hashes, 0, plan.evaluation.replicates)
        if not any(slices):
            whole = _merged(whole, states(batch, drawn))
        for parts, (_, code) in zip(slices, codes, strict=True):
            for number in range(len(parts)):
                chosen = code[batch.samples] == number
                parts[number] = _merged(parts[number], states(batch.take(chosen), drawn[chosen]))
    if any(slices) and names:
        whole = reduce(_merged, slices[0])
    return whole, slices


def _merged(one: dict[str, State], other: dict[str, State]) -> dict[str, State]:
    return {key: one[key].merge(state) for key, state in other.items()} if one else other
