"""The cost of an evaluation or a report: follows from the plan and the extent of the data, before anything is allocated."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Any, NamedTuple

from lossmeter.cost import TEXT_BYTES, Cost
from lossmeter.errors import pointer
from lossmeter.evaluation.metrics import REPLICATE_BINS, ChosenMetric, MetricSet
from lossmeter.evaluation.plan import Plan
from lossmeter.evaluation.record import Record
from lossmeter.metrics import Contingency, Statistic
from lossmeter.metrics.draws import SLAB_DRAWS
from lossmeter.metrics.levels import LEVELS
from lossmeter.metrics.scores import SLAB_ELEMENTS, Samples

NUMBER = 8
PREDICTION_COPIES, LABEL_COPIES = 5, 8
"""Arrays as large as predictions and as labels that are held at a time."""
SAMPLE_BYTES = 96
"""Bytes of a sample: its id, as text and as a hash, its weight and its place."""
STATE_COPIES = 3
"""Arrays as large as a state that are held while a figure is made of it."""
SAMPLE_FIELDS = 6
GROWING = (Samples, Contingency)
"""States that are as large as the data."""
SLAB_COPIES = 10
"""Arrays as large as the weights of some replicates that are held at a time."""
LISTED_BYTES = 64 + TEXT_BYTES
"""Bytes of a number of an answer: as a number of Python, and as text."""
FIGURE_BYTES = 4096
"""Bytes of a figure that is a number, with its parameters and its interval."""
SWEEPS = 20
MAX_SLICES = 1000
"""Values of one column in one batch; a column with more of them is an id."""
STEP_OPERATIONS = 50_000
"""Operations that an array of few elements takes anyway, in a figure or a statistic."""
LEVEL_COPIES, MOST_PLACES = 3, 8 * LEVELS
"""Arrays as large as the levels of all replicates that are held at a time, and how many places those can have."""
COLUMN_STEPS = 10
COLUMN_SWEEPS = 40
REPLICATE_SWEEPS = 60
"""Operations on the elements of a column of scores, and on each number of a replicate: a weight, or one of a state."""


@dataclass(frozen=True)
class Extent:
    """How much data there is.

    Attributes:
        samples: their number.
        predictions, labels: elements.
        classes: their number; None where the task has none.
        slices: by column, how many values it has.
    """

    samples: int
    predictions: int
    labels: int
    classes: int | None
    slices: Mapping[str, int]

    @classmethod
    def of_batch(cls, plan: Plan, fields: Mapping[str, Any]) -> Extent:
        """Measures a batch as it was sent; whatever is wrong with it is refused later."""
        predictions, labels = (_Shaped(_shape(fields.get(role))) for role in ("predictions", "labels"))
        classes = plan.task.classes(predictions, plan.predictions_are, plan.classes)
        samples = labels.shape[0] if labels.shape else 0
        columns = fields.get("slices") or {}
        values = {name: min(samples, MAX_SLICES, _distinct(columns[name])) for name in plan.slices if name in columns}
        return cls(samples, math.prod(predictions.shape), math.prod(labels.shape), classes, values)

    @classmethod
    def of_record(cls, record: Record) -> Extent:
        """Measures what a record holds."""
        states = record.whole.states.values()
        kept = [
            len(state.x if isinstance(state, Samples) else state.cluster)
            for state in states
            if isinstance(state, GROWING)
        ]
        elements = max(kept, default=0)
        slices = {column: len(parts) for column, parts in record.slices.items()}
        return cls(elements, elements, elements, record.classes, slices)

    @property
    def parts(self) -> int:
        """Counts the slices, and the whole."""
        return 1 + sum(self.slices.values())


class _Shaped(NamedTuple):
    """What tasks ask of predictions to count classes."""

    shape: tuple[int, ...]

    @property
    def ndim(self) -> int:
        return len(self.shape)


def _shape(field: Any) -> tuple[int, ...]:
    return field.shape if hasattr(field, "shape") else (len(field),) if isinstance(field, Sized) else ()


def _distinct(values: Sequence[Any]) -> int:
    try:
        return len(set(values))
    except TypeError:  # it has values that no column may have, which is said later
        return len(values)


def cost_of(plan: Plan, extent: Extent) -> Cost:
    """Returns what it takes to measure data and to report on them, without the losses, whose calls have costs of their own."""
    metrics, parts, columns = plan.metrics, extent.parts, 1 + len(extent.slices)
    elements = extent.predictions + extent.labels
    statistics = metrics.statistics
    drawn = min(extent.samples * metrics.replicates, SLAB_DRAWS)
    figures = len(plan.criteria) + len(metrics.choices)
    rows = extent.samples * (columns * metrics.replicates + 10 * sum(extent.slices.values()))
    total = Cost(
        NUMBER * (PREDICTION_COPIES * extent.predictions + LABEL_COPIES * extent.labels)
        + SAMPLE_BYTES * extent.samples
        + 3 * drawn
        + parts * figures * FIGURE_BYTES,
        SWEEPS * elements * (1 + len(statistics) + len(plan.criteria))
        + parts * (len(statistics) + figures) * STEP_OPERATIONS
        + 2 * rows * (1 + len(statistics) + len(plan.criteria)),
        "predictions",
        pointer("predictions"),
    )
    seen: set[str] = set()
    largest = Cost(0, 0)  # on the way to a figure: one is made after the other
    for number, choice in enumerate(metrics.choices):
        held, working = Cost(0, 0), 0
        for key, item in zip(choice.keys, choice.metric.statistics, strict=True):
            state, more = _state(metrics, item, choice, extent)
            held += state if key not in seen else Cost(0, state.operations)
            working += more
            seen.add(key)
        answered = parts * _values(metrics, choice, extent)
        parameters = ", ".join(f"{name} {value}" for name, value in choice.arguments.items())
        cause = f"{choice.metric.name}{f' ({parameters})' if parameters else ''}"
        if extent.classes is not None and extent.classes > 1:
            cause += f" of {extent.classes} classes"
        memory, place = held.memory + LISTED_BYTES * answered, pointer("metrics", number)
        total += Cost(memory, held.operations + 10 * answered, cause, place)
        largest = max(largest, Cost(working, 0, cause, place), key=lambda cost: cost.memory)
    return total + largest


def _state(metrics: MetricSet, item: Statistic, choice: ChosenMetric, extent: Extent) -> tuple[Cost, int]:
    """Returns what the states of a statistic take, and the bytes that a figure of one takes besides."""
    classes, parts, columns = extent.classes or 1, extent.parts, 1 + len(extent.slices)
    elements, replicates = extent.predictions, metrics.replicates if choice.scattered else 0
    if "samples" in item.needs or ("curves" in item.parameters and not metrics.curves.bins):
        state = columns * SAMPLE_FIELDS * elements
        slab = SLAB_COPIES * min(elements * (1 + replicates), SLAB_ELEMENTS)
        operations = columns * elements * (classes * COLUMN_SWEEPS + (1 + replicates) * REPLICATE_SWEEPS)
        steps = parts * classes * COLUMN_STEPS * STEP_OPERATIONS
        if choice.of_scores and classes == 1:
            # Levels drawn with the other replicates, if not too many: what there is, what a slab adds, and their order.
            places = min(2 * elements, MOST_PLACES)
            state += LEVEL_COPIES * min(places * replicates, SLAB_ELEMENTS) + 2 * elements
        return Cost(NUMBER * state, operations + steps), NUMBER * slab
    bins = choice.arguments.get("bins", metrics.curves.bins)
    drawn = replicates if item.replicated else 0
    size = item.size(classes, bins, extent.samples)
    replicated = drawn * item.size(classes, min(bins, REPLICATE_BINS), extent.samples)
    working = item.working(extent.samples, classes)
    operations = SWEEPS * (parts * size + columns * working) + REPLICATE_SWEEPS * parts * replicated
    size += replicated
    return Cost(NUMBER * parts * size, operations), NUMBER * (STATE_COPIES * size + working)


def _values(metrics: MetricSet, choice: ChosenMetric, extent: Extent) -> int:
    """Counts the numbers that a metric answers for one part of the data."""
    classes = extent.classes or 1
    if choice.kind == "matrix":
        return classes * classes
    if choice.kind == "per_class":
        return 2 * classes
    if choice.kind == "curve":
        if "bins" in choice.arguments:
            return 4 * int(choice.arguments["bins"])
        return 4 * (classes * metrics.curves.bins or extent.predictions)
    return 2
