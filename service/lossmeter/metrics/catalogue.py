"""Metrics and their two decorators: `statistic` turns a batch into a state, `metric` turns states into a result.

A metric names its states in the annotations of its positional arguments, `Annotated[Ratio, squared_error]`; metrics that name
the same statistic with the same parameters share the state. Everything else is read as for losses: parameters from keyword-only
arguments, prose from the docstring, the family from the `FAMILY` of the module. Whatever is missing is refused at import.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, create_model

from lossmeter.catalogue import Catalogue, Entry, Parameter, annotated, read
from lossmeter.metrics.tasks import KINDS, TASKS
from lossmeter.validation import validate

Kind = Literal["scalar", "per_class", "matrix", "curve"]
Uncertainty = Literal["mean", "proportion", "bootstrap", "none"]
Needs = Literal["classes", "scores", "probabilities", "samples"]

FEW = 8
"""Numbers of a state that does not depend on the classes, at most."""
# Given by the evaluation as a whole rather than by each metric.
SETTINGS = {"curves"}


@dataclass(frozen=True, eq=False)
class Statistic:
    """Makes the state of a batch: a function of the batch and its weighting, and of named parameters.

    Attributes:
        needs: what predictions must be or be convertible to; `samples` if the state grows with the data.
        replicated: whether bootstrap replicates of it are kept.
        blocks: whether a large batch is measured in blocks that fit the cache, which then merge as batches of a run do.
        size: how many numbers a state of it holds, given the number of classes, of bins, and of samples.
        working: how many numbers are held besides while it is made, given the number of samples and of classes.
    """

    name: str
    function: Callable[..., Any]
    parameters: tuple[str, ...]
    needs: tuple[Needs, ...]
    replicated: bool
    blocks: bool
    size: Callable[[int, int, int], int]
    working: Callable[[int, int], int]

    def key(self, arguments: Mapping[str, Any]) -> str:
        """Returns the name under which the state is kept: `top_k_hits[k=5]`."""
        inner = ",".join(f"{name}={arguments[name]}" for name in self.parameters)
        return f"{self.name}[{inner}]" if inner else self.name


def statistic(
    *,
    needs: Sequence[Needs] = (),
    replicated: bool = True,
    blocks: bool = False,
    size: Callable[[int, int, int], int] = lambda classes, bins, samples: FEW,  # noqa: ARG005
    working: Callable[[int, int], int] = lambda samples, classes: 0,  # noqa: ARG005
) -> Callable[[Callable[..., Any]], Statistic]:
    """Makes a function `(batch, weighting, *, parameters)` a statistic."""

    def declare(function: Callable[..., Any]) -> Statistic:
        parameters = [
            item.name for item in inspect.signature(function).parameters.values() if item.kind is item.KEYWORD_ONLY
        ]
        return Statistic(
            function.__name__, function, tuple(parameters), tuple(needs), replicated, blocks, size, working
        )

    return declare


class Example:
    """A call of the metric on a small batch, and the value that it gives."""

    def __init__(self, task: str, *, value: Any, **batch: Any) -> None:
        self.task = task
        self.value = value
        self.batch = batch


@dataclass(frozen=True, eq=False, kw_only=True)
class Metric(Entry):
    """A metric of the catalogue; everything that the service knows of it."""

    statistics: tuple[Statistic, ...]
    kind: Kind
    tasks: tuple[str, ...]
    usual: tuple[str, ...]
    better: Literal["higher", "lower", "neither"]
    minimum: float | None
    maximum: float | None
    uncertainty: Uncertainty
    error_bound: Callable[..., Any] | None
    trials: Callable[..., Any] | None
    ends: Callable[..., tuple[float, float]] | None
    prior: Callable[..., Any] | None
    interval: Callable[..., Any] | None
    linearised: Callable[[Any, float], Any] | None
    mcnemar: bool
    undefined: str
    examples: tuple[Example, ...]
    model: type[BaseModel]

    def bind(self, given: Mapping[str, Any], at: tuple[str | int, ...] = ()) -> dict[str, Any]:
        """Returns all parameters with their values.

        Raises:
            Invalid: a parameter is unknown or out of its bounds.
        """
        filled = validate(self.model, self.name, given, at, "parameter")
        return {parameter.name: getattr(filled, parameter.name) for parameter in self.parameters}

    def kind_for(self, arguments: Mapping[str, Any]) -> Kind:
        """Returns the kind of result under these parameters: an average of `none` leaves one value per class."""
        return "per_class" if arguments.get("average") == "none" else self.kind

    def takes(self, predictions_are: str) -> bool:
        """Tells whether it can be measured on such predictions."""
        needs = {need for item in self.statistics for need in item.needs} - {"samples"}
        return needs <= KINDS[predictions_are].gives

    def keys(self, arguments: Mapping[str, Any]) -> tuple[str, ...]:
        """Names the states that it reads under these parameters."""
        return tuple(item.key(arguments) for item in self.statistics)


METRICS: Catalogue[Metric] = Catalogue("metric", "/v1/metrics")
find_metric = METRICS.find


def metric(
    *,
    tasks: Sequence[str],
    better: Literal["higher", "lower", "neither"],
    examples: Sequence[Example],
    bounds: tuple[float | None, float | None] = (None, None),
    uncertainty: Uncertainty = "bootstrap",
    kind: Kind = "scalar",
    usual: Sequence[str] = (),
    aliases: Sequence[str] = (),
    shared_names: Sequence[str] = (),
    error_bound: Callable[..., Any] | None = None,
    trials: Callable[..., Any] | None = None,
    ends: Callable[..., tuple[float, float]] | None = None,
    prior: Callable[..., Any] | None = None,
    interval: Callable[..., Any] | None = None,
    linearised: Callable[[Any, float], Any] | None = None,
    mcnemar: bool = False,
    undefined: str = "",
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Registers a function from states to a result as a metric.

    Args:
        tasks: where it makes sense.
        better: whether a higher or a lower value is better.
        examples: at least one small batch with its value.
        bounds: smallest and largest possible value, where there are any.
        uncertainty: where the interval comes from: `mean` (moments; the value is a function of a mean), `proportion` (Wilson),
            `bootstrap`, or `none` where none is known.
        kind: `scalar`, `per_class`, `matrix` or `curve`.
        usual: the tasks whose usual set it belongs to.
        aliases: other names under which it answers.
        shared_names: names that mean other metrics just as well, and are refused.
        error_bound: from the same states and parameters, how far a value from histograms can be from the exact one.
        trials: from the same states and parameters, (successes, trials, effective trials), for a proportion that is no `Ratio`
            or, with `ends`, for the one that the metric follows.
        ends: from the ends of an interval of that proportion, and the parameters, the ends that follow for the metric.
        prior: from its states, their replicates, a name and the parameters, replicates that were given half counts, for what
            is a function of counts.
        interval: from its state, the state of replicates (None where there is none), their values, the level and the
            parameters, an interval of its own.
        linearised: from its state and the level, the interval that takes the place of the bootstrap's where samples are many
            and do not come in groups; None where they are few.
        undefined: when it has no value though something counts, after "because".
        mcnemar: whether it is a share of right decisions, of which two models can be compared by McNemar's test.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        entry = _entry(
            function,
            tasks=tuple(tasks),
            better=better,
            examples=tuple(examples),
            minimum=bounds[0],
            maximum=bounds[1],
            uncertainty=uncertainty,
            kind=kind,
            usual=tuple(usual),
            aliases=tuple(aliases),
            shared_names=tuple(shared_names),
            error_bound=error_bound,
            trials=trials,
            ends=ends,
            prior=prior,
            interval=interval,
            linearised=linearised,
            mcnemar=mcnemar,
            undefined=undefined,
        )
        METRICS.add(entry)
        return function

    return register


def _entry(function: Callable[..., Any], **declared: Any) -> Metric:
    name = function.__name__
    unknown = {*declared["tasks"], *declared["usual"]} - set(TASKS)
    if unknown or not declared["tasks"] or not declared["examples"]:
        raise ValueError(f"{name}: needs an example and known tasks {' '.join(unknown)}")
    if not {example.task for example in declared["examples"]} | set(declared["usual"]) <= set(declared["tasks"]):
        raise ValueError(f"{name}: an example or a usual set is of a task that it does not belong to")
    declaration = read(function)
    statistics: list[Statistic] = []
    parameters: list[Parameter] = []
    for argument in declaration.arguments:
        named = annotated(argument.annotation, Statistic)
        if named and not argument.keyword:
            statistics.extend(named)
        elif argument.is_parameter:
            parameters.append(argument.parameter())
        else:
            raise ValueError(
                f"{name}: {argument.name} is neither a state of a statistic nor a parameter with a default"
            )
    lacking = {item for one in statistics for item in one.parameters} - {item.name for item in parameters} - SETTINGS
    if lacking or not statistics:
        raise ValueError(f"{name}: names no statistic, or its statistics need arguments that it lacks: {lacking}")
    return Metric(
        name=name,
        family=declaration.family,
        function=function,
        statistics=tuple(statistics),
        parameters=tuple(parameters),
        model=_model(name, parameters),
        **declaration.prose,
        **declared,
    )


def _model(name: str, parameters: Sequence[Parameter]) -> type[BaseModel]:
    declared: dict[str, Any] = {item.name: (item.annotation, item.default) for item in parameters}
    return create_model(name, __config__=ConfigDict(extra="forbid", strict=True), **declared)
