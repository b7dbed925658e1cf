"""Measures a batch: makes a record of it, and the gradients of the objective."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, reduce
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lossmeter import memory
from lossmeter.budget import Budget, spend
from lossmeter.errors import Flaw, Invalid, pointer
from lossmeter.evaluation import hardest
from lossmeter.evaluation.costs import MAX_SLICES, Extent, cost_of
from lossmeter.evaluation.criteria import Criterion
from lossmeter.evaluation.inputs import Inputs, check_fields, check_lengths
from lossmeter.evaluation.labels import name_classes
from lossmeter.evaluation.loss_inputs import LossInputs
from lossmeter.evaluation.metrics import slabs
from lossmeter.evaluation.plan import Plan
from lossmeter.evaluation.record import Record
from lossmeter.evaluation.reports import report, tensor_warnings
from lossmeter.evaluation.statistics import Statistics, merged
from lossmeter.metrics import Ratio, Weighting
from lossmeter.metrics.batches import Batch
from lossmeter.metrics.draws import Draws, draws
from lossmeter.metrics.levels import LevelCounts
from lossmeter.metrics.states import Quotient, State
from lossmeter.metrics.weighting import Booleans, Integers, drawn_sums, quotient
from lossmeter.stopping import checkpoint
from lossmeter.tensors import Array, Tensor
from lossmeter.validation import shown

if TYPE_CHECKING:
    from lossmeter.engine.compute import Engine


class LossRows(NamedTuple):
    """Per sample, the amounts that it adds to numerator, denominator and count of elements of a loss."""

    numerator: Array
    denominator: Array
    elements: Array


Rows = Sequence[LossRows]
"""Of each loss of the plan."""


@cache
def _own_engine() -> Engine:
    from lossmeter.engine.compute import Engine  # with torch: metrics do without

    return Engine()


@cache
def _own_budget() -> Budget:
    return Budget(memory.available())


@contextmanager
def _reserved(plan: Plan, fields: Mapping[str, Any], engine: Engine | None) -> Iterator[None]:
    """Holds what a batch takes, which may be one of many that a request has."""
    budget = _own_budget() if engine is None else engine.budget
    cost = cost_of(plan, Extent.of_batch(plan, fields))
    with budget.reserve(plan.task.name, cost):
        spend(plan.task.name, cost)
        yield


def measure(
    plan: Plan, fields: Mapping[str, Any], *, batch_id: str = "", engine: Engine | None = None, paired: bool = True
) -> Record:
    """Measures one batch.

    Args:
        plan: what is measured.
        fields: `predictions` and `labels`, tensors; if wanted `sample_weight` and `mask`, tensors; `sample_ids` and `groups`,
            lists; `slices`, lists by column, one value for each sample.
        batch_id: with the position, stands in for the ids of samples that have none.
        engine: computes the losses; one of its own, if not given.
        paired: whether the record may be compared with another one; without that a report is made with fewer replicates.

    Raises:
        Invalid: with a pointer to the field and the index of its first wrong element.
        TooLarge: it takes more memory or operations than one request may.
        Busy: there is no room for it at present.
        DoesNotFit: the device has too little memory.
        TookTooLong: its time is over.
    """
    with _reserved(plan, fields, engine):
        inputs = check_fields(plan, fields, batch_id)
        rows, _ = _run_losses(plan, inputs, engine, gradient=False)
        return _make_record(plan, inputs, rows, batch_id, paired=paired)


def evaluate(
    plan: Plan, fields: Mapping[str, Any], wanted: Sequence[str] = (), *, engine: Engine | None = None
) -> dict[str, Any]:
    """Measures one batch and reports on it, with the gradients of the objective.

    Args:
        plan, fields, engine: as for `measure`.
        wanted: `predictions`, or nothing.

    Raises:
        Invalid, TooLarge, Busy, DoesNotFit, TookTooLong: as `measure`.
    """
    if wanted and not any(one.weight for one in plan.criteria):
        raise Invalid.at(
            plan.task.name, pointer("gradients"), "no loss is in the objective, so there is nothing to derive"
        )
    plan = name_classes(plan, fields)
    with _reserved(plan, fields, engine):
        inputs = check_fields(plan, fields, "")
        rows, gradient = _run_losses(plan, inputs, engine, gradient=bool(wanted))
        answer = report(plan, _make_record(plan, inputs, rows, "", paired=False))
    gradients = {} if gradient is None else {"predictions": gradient}
    objective = {**answer["objective"], "gradients": gradients}
    more = [
        warning
        for name, tensor in gradients.items()
        for warning in tensor_warnings(tensor, ("objective", "gradients", name))
    ]
    return {**answer, "objective": objective, "warnings": [*answer["warnings"], *more]}


def _run_losses(plan: Plan, inputs: Inputs, engine: Engine | None, *, gradient: bool) -> tuple[Rows, Tensor | None]:
    """Runs each loss once; returns what its rows add, and the gradient of the objective with respect to the predictions."""
    if inputs.losses is None:
        return [], None
    engine = engine or _own_engine()
    total = np.zeros(inputs.losses.predictions.shape, inputs.losses.datatype.dtype) if gradient else None
    rows = []
    for number, one in enumerate(plan.criteria):
        checkpoint()
        try:
            sums, gradients = engine.by_row(one.call(inputs.losses, gradient=gradient), one.weight)
        except Invalid as error:
            flaws = [
                Flaw(pointer("losses", number) + flaw.pointer, flaw.message, flaw.index)
                if flaw.pointer[1:] in one.tensors
                else flaw
                for flaw in error.flaws
            ]
            raise Invalid.of(one.loss.name, flaws) from error
        rows.append(LossRows(*(part.numpy() for part in sums)))
        if total is not None and "predictions" in gradients:
            total += _through_logarithm(one, inputs.losses, gradients["predictions"].numpy())
    return rows, None if total is None else Tensor(inputs.losses.datatype, total.shape, total.reshape(-1))


def _through_logarithm(one: Criterion, inputs: LossInputs, gradient: Array) -> Array:
    """Carries a gradient back through the logarithm that was taken of the predictions, if any was."""
    if not one.logarithm:
        return gradient
    # d log p = dp / p; where nothing flows, nothing flows, even if p is 0
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(gradient == 0, 0.0, gradient / inputs.predictions)


def _make_record(plan: Plan, inputs: Inputs, rows: Rows, batch_id: str, *, paired: bool) -> Record:
    coded = [_code_slices(plan, inputs, column) for column in plan.slices]
    with np.errstate(invalid="ignore", over="ignore"):
        samples, states = _measure_states(plan, inputs, rows, None)
        measured = [
            [_measure_states(plan, inputs, rows, codes == number) for number in range(len(values))]
            for values, codes in coded
        ]
        every = [states, *(of for column in measured for _, of in column)]
        names = _replicated(plan, every, clustered=inputs.clustered, paired=paired)
        counts = {} if paired or coded or not names else _count_levels(plan, inputs.batch, states)
        parts_of = [(len(values), codes) for values, codes in coded]
        drawn, parts = _draw_replicates(plan, inputs, rows, names, parts_of, list(counts.values()))
        levels = {key: count.levels for key, count in counts.items()}
        whole = Statistics(samples, inputs.clustered, states, drawn, levels)
        sliced = {
            column: {
                value: Statistics(counted, inputs.clustered, of, replicates)
                for value, (counted, of), replicates in zip(values, found, drawn_parts, strict=True)
            }
            for column, (values, _), found, drawn_parts in zip(plan.slices, coded, measured, parts, strict=True)
        }
        hard = hardest.of_batch(plan.hardest, _objective(plan, rows), inputs.ids, batch_id)
    return Record(inputs.classes, whole, sliced, plan.hardest, hard)


def _replicated(plan: Plan, parts: Sequence[Mapping[str, State]], *, clustered: bool, paired: bool) -> frozenset[str]:
    """Names the states of which replicates are kept; of losses, those that a comparison or the objective needs.

    Args:
        parts: the states of all samples, and of each slice.
    """
    named = (plan.metrics.replicated(states, clustered=clustered, paired=paired) for states in parts)
    names = frozenset[str]().union(*named)
    if not plan.metrics.replicates:
        return names
    return names | {one.key for one in plan.criteria if one.weight or clustered or paired}


def _objective(plan: Plan, rows: Rows) -> Array:
    """Returns the weighted sum of the losses of each sample; -inf for a sample that counts in none."""
    if not rows:
        return np.zeros(0)
    total = np.zeros(len(rows[0][0]))
    counts = np.zeros(len(total), bool)
    for one, (numerator, denominator, _) in zip(plan.criteria, rows, strict=True):
        total += one.weight * quotient(numerator, denominator, 0.0)
        counts |= (denominator != 0) & (one.weight != 0)
    return np.where(counts, total, -np.inf)


def _code_slices(plan: Plan, inputs: Inputs, column: str) -> tuple[list[str], Integers]:
    """Returns the values of a column as JSON text, and for each sample the number of its own."""
    values = inputs.slices[column]
    for kind in set(map(type, values)) - {str, int, bool}:
        position = next(place for place, value in enumerate(values) if type(value) is kind)
        message = (
            f"slices.{column}[{position}] is {shown(values[position])}; expected a string, an integer or a boolean"
        )
        raise Invalid.at(plan.task.name, pointer("slices", column), message, (position,))
    check_lengths(plan.task.name, "slices." + column, pointer("slices", column), values)
    # By type too, because True equals 1.
    pairs = list(zip(map(type, values), values, strict=True))
    codes_of = {pair: code for code, pair in enumerate(dict.fromkeys(pairs))}
    codes = np.fromiter(map(codes_of.__getitem__, pairs), np.int64, len(pairs))
    if len(codes_of) > MAX_SLICES:
        message = f"slices.{column} has {len(codes_of)} different values; expected at most {MAX_SLICES}"
        raise Invalid.at(plan.task.name, pointer("slices", column), message)
    return [json.dumps(value) for _, value in codes_of], codes


def _measure_states(plan: Plan, inputs: Inputs, rows: Rows, chosen: Booleans | None) -> tuple[int, dict[str, State]]:
    """Returns how many of the chosen samples (or of all) count, and the states of metrics and losses over them."""
    checkpoint()
    batch = inputs.batch if chosen is None else inputs.batch.where(chosen)
    states = plan.metrics.states(batch)
    place = slice(None) if chosen is None else chosen
    for one, (numerator, denominator, elements) in zip(plan.criteria, rows, strict=True):
        states[one.key] = _ratio(numerator[place], denominator[place], elements[place])
    return batch.units, states


def _ratio(numerator: Array, denominator: Array, elements: Array) -> State:
    # Under label smoothing, a label whose class weighs nothing adds to the numerator alone.
    kept = (denominator != 0) | (numerator != 0)
    weighting = Weighting(np.ones(int(kept.sum())), None, int(kept.sum()))
    ratio = Ratio.of(numerator[kept], weighting, denominator[kept])
    return replace(ratio, elements=np.asarray(elements.sum()))  # type: ignore[call-arg]


def _count_levels(plan: Plan, batch: Batch, states: Mapping[str, State]) -> dict[str, LevelCounts]:
    """Begins to count the levels of scores, by the name of their samples, which are then drawn once for all replicates."""
    if batch.unit is not None:
        return {}
    wanted = plan.metrics.levelled(states)
    counts = {key: LevelCounts.of(samples, plan.metrics.replicates) for key, samples in wanted.items()}
    return {key: count for key, count in counts.items() if count is not None}


def _draw_replicates(
    plan: Plan,
    inputs: Inputs,
    rows: Rows,
    names: Collection[str],
    codes: Sequence[tuple[int, Integers]],
    levels: Sequence[LevelCounts],
) -> tuple[dict[str, State], list[list[dict[str, State]]]]:
    """Draws the replicates of all samples, and for each column of slices those of every slice.

    The slices of a column are all samples, so that what all samples add up to is what its slices do.

    Args:
        names: of the states of which replicates are kept.
        codes: of each column, how many slices there are, and that of each sample.
        levels: of scores, one for each unit of the batch in order, that count their draws.
    """
    columns = [array for one, row in zip(plan.criteria, rows, strict=True) if one.key in names for array in row[:2]]
    sums = np.stack(columns, axis=1) if columns else np.zeros((inputs.samples, 0))
    losses = [one.key for one in plan.criteria if one.key in names]

    def states(batch: Batch, drawn: Draws) -> dict[str, State]:
        both = drawn_sums(sums[batch.samples], drawn)
        return plan.metrics.drawn(batch, drawn, names) | {
            key: Quotient(both[:, 2 * place], both[:, 2 * place + 1]) for place, key in enumerate(losses)
        }

    whole: dict[str, State] = {}
    slices: list[list[dict[str, State]]] = [[{} for _ in range(count)] for count, _ in codes]
    start = 0
    for batch in slabs(inputs.batch, plan.metrics.replicates) if names else ():
        drawn = draws(batch.hashes, 0, plan.metrics.replicates)
        for level in levels:
            level.add(start, drawn)
        start += batch.units
        if not any(slices):
            whole = _merge_into(whole, states(batch, drawn))
        for parts, (_, code) in zip(slices, codes, strict=True):
            for number in range(len(parts)):
                checkpoint()
                chosen = code[batch.samples] == number
                parts[number] = _merge_into(parts[number], states(batch.take(chosen), drawn[chosen]))
    if any(slices) and names:
        whole = reduce(_merge_into, slices[0])
    return whole, slices


def _merge_into(sums: dict[str, State], more: dict[str, State]) -> dict[str, State]:
    return merged(sums, more) if sums else more
