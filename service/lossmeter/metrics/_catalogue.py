"""What a metric is, and the two decorators: `statistic` turns a batch into a state, `metric` turns states into a result.

A metric names its states in the annotations of its positional arguments, `Annotated[Ratio, squared_error]`; metrics that name
the same statistic with the same parameters share the state. Everything else is read as for losses: parameters from keyword-only
arguments, prose from the docstring. Whatever is missing is refused at import.
"""

from __future__ import annotations

import difflib
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, create_model

from lossmeter import declarations
from lossmeter.errors import Flaw, Invalid, NotFound, pointer

Kind = Literal["scalar", "per_class", "matrix", "curve"]
Uncertainty = Literal["mean", "proportion", "bootstrap", "none"]
Needs = Literal["classes", "scores", "probabilities", "samples"]

TASKS = ("regression", "binary", "multiclass", "multilabel", "segmentation", "ranking", "clustering")
# What each kind of predictions can be turned into.
GIVES = {
    "logits": {"classes", "scores", "probabilities"},
    "probabilities": {"classes", "scores", "probabilities"},
    "scores": {"scores"},
    "classes": {"classes"},
    "values": set[str](),
}
# Given by the evaluation as a whole rather than by each metric.
SETTINGS = {"curves"}


@dataclass(frozen=True, eq=False)
class Statistic:
    """What a batch adds to a state: a function of the batch and its weighting, and of named parameters.

    Attributes:
        needs: what predictions must be or be convertible to; `samples` if the state grows with the data.
        replicated: whether bootstrap replicates of it are kept.
    """

    name: str
    function: Callable[..., Any]
    parameters: tuple[str, ...]
    needs: tuple[Needs, ...]
    replicated: bool

    def key(self, arguments: Mapping[str, Any]) -> str:
        """The name under which the state is kept: `top_k_hits[k=5]`."""
        inner = ",".join(f"{name}={arguments[name]}" for name in self.parameters)
        return f"{self.name}[{inner}]" if inner else self.name


def statistic(*, needs: Sequence[Needs] = (), replicated: bool = True) -> Callable[[Callable[..., Any]], Statistic]:
    """Makes a function `(batch, weighting, *, parameters)` a statistic."""

    def declare(function: Callable[..., Any]) -> Statistic:
        parameters = [
            item.name for item in inspect.signature(function).parameters.values() if item.kind is item.KEYWORD_ONLY
        ]
        return Statistic(function.__name__, function, tuple(parameters), tuple(needs), replicated)

    return declare


class Example:
    """A call of the metric on a small batch, and the value that it gives."""

    def __init__(self, task: str, *, value: Any, **batch: Any) -> None:
        self.task = task
        self.value = value
        self.batch = batch


@dataclass(frozen=True)
class Parameter:
    """A parameter: its annotation is what pydantic validates with."""

    name: str
    annotation: Any
    default: Any
    description: str

    def json_schema(self) -> dict[str, Any]:
        return TypeAdapter(self.annotation).json_schema() | {"default": self.default, "description": self.description}


@dataclass(frozen=True, eq=False)
class Metric:
    """A metric of the catalogue; everything that the service knows of it."""

    name: str
    aliases: tuple[str, ...]
    family: str
    function: Callable[..., Any]
    summary: str
    explanation: str
    formula: str
    arguments: Mapping[str, str]
    returns: str
    use_when: str
    avoid_when: str
    source: str
    statistics: tuple[Statistic, ...]
    parameters: tuple[Parameter, ...]
    kind: Kind
    tasks: tuple[str, ...]
    usual: tuple[str, ...]
    better: Literal["higher", "lower", "neither"]
    minimum: float | None
    maximum: float | None
    uncertainty: Uncertainty
    error_bound: Callable[..., Any] | None
    trials: Callable[..., Any] | None
    examples: tuple[Example, ...]
    model: type[BaseModel]

    def bind(self, given: Mapping[str, Any], at: tuple[str | int, ...] = ()) -> dict[str, Any]:
        """All parameters with their values.

        Raises:
            Invalid: a parameter is unknown or out of its bounds.
        """
        try:
            filled = self.model.model_validate(dict(given))
        except ValidationError as error:
            flaws = [
                Flaw(pointer(*at, *item["loc"]), f"{'.'.join(map(str, item['loc']))}: {item['msg']}")
                for item in error.errors()
            ]
            raise Invalid.of(self.name, flaws) from error
        return {parameter.name: getattr(filled, parameter.name) for parameter in self.parameters}

    def kind_for(self, arguments: Mapping[str, Any]) -> Kind:
        """The kind of result under these parameters: an average of `none` leaves one value per class."""
        return "per_class" if arguments.get("average") == "none" else self.kind

    def takes(self, predictions_are: str) -> bool:
        """Whether it can be measured on such predictions."""
        needs = {need for item in self.statistics for need in item.needs} - {"samples"}
        return needs <= GIVES[predictions_are]

    def keys(self, arguments: Mapping[str, Any]) -> tuple[str, ...]:
        """The names of the states that it reads under these parameters."""
        return tuple(item.key(arguments) for item in self.statistics)

    def compute(self, states: Mapping[str, Any], arguments: Mapping[str, Any]) -> Any:
        """The result from states by name; with replicates, results have their leading axis."""
        return self.function(*(states[key] for key in self.keys(arguments)), **arguments)


METRICS: dict[str, Metric] = {}
ALIASES: dict[str, str] = {}


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
    error_bound: Callable[..., Any] | None = None,
    trials: Callable[..., Any] | None = None,
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
        error_bound: from the same states and parameters, how far a value from histograms can be from the exact one.
        trials: from the same states and parameters, (successes, trials, effective trials), for a proportion that is no `Ratio`.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        entry = _read(
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
            error_bound=error_bound,
            trials=trials,
        )
        for name in (entry.name, *entry.aliases):
            if name in METRICS or name in ALIASES:
                raise ValueError(f"{name}: this name is taken")
        METRICS[entry.name] = entry
        ALIASES.update(dict.fromkeys(entry.aliases, entry.name))
        return function

    return register


def find_metric(name: str) -> Metric:
    """The metric of that name or alias.

    Raises:
        NotFound: with the nearest names that exist.
    """
    entry = METRICS.get(ALIASES.get(name, name))
    if entry is None:
        near = difflib.get_close_matches(name, [*METRICS, *ALIASES], n=3)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise NotFound(f"There is no metric {name!r}.{hint} GET /v1/metrics lists all {len(METRICS)}.")
    return entry


def _read(function: Callable[..., Any], **declared: Any) -> Metric:
    name = function.__name__
    unknown = {*declared["tasks"], *declared["usual"]} - set(TASKS)
    if unknown or not declared["tasks"] or not declared["examples"]:
        raise ValueError(f"{name}: needs an example and known tasks {' '.join(unknown)}")
    if not {example.task for example in declared["examples"]} | set(declared["usual"]) <= set(declared["tasks"]):
        raise ValueError(f"{name}: an example or a usual set is of a task that it does not belong to")
    summary, explanation, prose = declarations.sections(name, inspect.getdoc(function) or "")
    described = declarations.arguments(prose["Args"])
    hints = typing.get_type_hints(function, include_extras=True)
    statistics: list[Statistic] = []
    parameters: list[Parameter] = []
    for argument in inspect.signature(function).parameters.values():
        if argument.name not in described:
            raise ValueError(f"{name}: argument {argument.name} is not documented")
        hint = hints[argument.name]
        found = [item for item in getattr(hint, "__metadata__", ()) if isinstance(item, Statistic)]
        if found and argument.kind is not argument.KEYWORD_ONLY:
            statistics.extend(found)
        elif argument.kind is argument.KEYWORD_ONLY and argument.default is not argument.empty:
            parameters.append(Parameter(argument.name, hint, argument.default, described[argument.name]))
        else:
            raise ValueError(
                f"{name}: {argument.name} is neither a state of a statistic nor a parameter with a default"
            )
    superfluous = set(described) - set(inspect.signature(function).parameters)
    wanted = {item for one in statistics for item in one.parameters} - {item.name for item in parameters}
    if superfluous or wanted - SETTINGS or not statistics:
        raise ValueError(f"{name}: documents, or its statistics need, arguments that it lacks: {superfluous or wanted}")
    return Metric(
        name=name,
        family=function.__module__.rpartition(".")[2].lstrip("_"),
        function=function,
        summary=summary,
        explanation=explanation,
        formula=prose["Formula"],
        arguments=described,
        returns=prose["Returns"],
        use_when=prose["Use when"],
        avoid_when=prose["Avoid when"],
        source=prose["Source"],
        statistics=tuple(statistics),
        parameters=tuple(parameters),
        model=_model(name, parameters),
        **declared,
    )


def _model(name: str, parameters: Sequence[Parameter]) -> type[BaseModel]:
    declared: dict[str, Any] = {item.name: (item.annotation, item.default) for item in parameters}
    return create_model(name, __config__=ConfigDict(extra="forbid", strict=True), **declared)
