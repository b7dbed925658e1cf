"""What a loss is, and the decorator that turns a function into one.

The decorator reads everything from the function itself: tensors from the positional arguments (and from keyword-only ones
whose annotation is a word of `_types`), parameters from the other keyword-only arguments, prose from the docstring. It
refuses whatever is missing, so that a loss that imports is a loss that is documented.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

from torch import Tensor

from lossmeter import declarations
from lossmeter.errors import Flaw, NotFound
from lossmeter.losses._shapes import patterns
from lossmeter.losses._types import Role

Arguments = Mapping[str, Any]
F = TypeVar("F", bound=Callable[..., Tensor])

REDUCTIONS = ("mean", "sum", "none")


@dataclass(frozen=True)
class Support:
    """Which of the unreduced values count, and for how much; None stands for a tensor of ones.

    Attributes:
        counted: boolean, in the shape of the unreduced loss.
        denominator: what each value adds to the denominator of `mean`.
        scale: a factor on each value under `mean` alone, for a mean that is no quotient of two sums.
    """

    counted: Tensor | None = None
    denominator: Tensor | None = None
    scale: Tensor | None = None


@dataclass(frozen=True)
class TensorArgument:
    """A tensor that a loss takes: a role, or a tensor parameter (`keyword`)."""

    name: str
    options: tuple[Role, ...]
    description: str
    required: bool
    keyword: bool

    @property
    def differentiable(self) -> bool:
        return any(role.differentiable and role.meaning.kind == "floating" for role in self.options)


@dataclass(frozen=True)
class Parameter:
    """A scalar parameter: its annotation is what pydantic validates with."""

    name: str
    annotation: Any
    default: Any
    description: str


class Example:
    """A request that works when posted as it stands, and the value that it gives."""

    def __init__(self, *, value: float, **request: Any) -> None:
        self.value = value
        self.request = request


@dataclass(frozen=True, eq=False)
class Loss:
    """A loss of the catalogue; everything that the service knows of it."""

    name: str
    family: str
    function: Callable[..., Tensor]
    summary: str
    explanation: str
    formula: str
    returns: str
    use_when: str
    avoid_when: str
    source: str
    tensors: tuple[TensorArgument, ...]
    parameters: tuple[Parameter, ...]
    output: str
    examples: tuple[Example, ...]
    aliases: tuple[str, ...] = ()
    reductions: tuple[str, ...] = REDUCTIONS
    separable: bool = True
    chunked: bool = True
    mean_note: str = ""
    support: Callable[[Arguments], Support] | None = None
    check: Callable[[Arguments], Iterable[Flaw]] | None = None
    tensor: Mapping[str, TensorArgument] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tensor", {argument.name: argument for argument in self.tensors})

    @property
    def roles(self) -> tuple[TensorArgument, ...]:
        return tuple(argument for argument in self.tensors if not argument.keyword)

    @property
    def differentiable(self) -> tuple[str, ...]:
        return tuple(argument.name for argument in self.tensors if argument.differentiable)

    @property
    def elementwise(self) -> bool:
        """Whether each value depends on nothing differentiable but what stands at its own place."""
        shapes = {role.shape for argument in self.tensors for role in argument.options if role.differentiable}
        return self.separable and shapes == {self.output} == {"*shape"}


LOSSES: dict[str, Loss] = {}
ALIASES: dict[str, str] = {}


def loss(
    *,
    examples: Sequence[Example],
    aliases: Sequence[str] = (),
    reductions: Sequence[str] = (),
    separable: bool = True,
    chunked: bool | None = None,
    mean_note: str = "",
    support: Callable[[Arguments], Support] | None = None,
    check: Callable[[Arguments], Iterable[Flaw]] | None = None,
) -> Callable[[F], F]:
    """Registers a function as a loss.

    Args:
        examples: at least one request with its value.
        aliases: other names under which the loss answers.
        reductions: ways to reduce beyond `mean`, `sum` and `none`.
        separable: each sample's value depends on that sample alone.
        chunked: may be computed in pieces along the batch, bit for bit; by default, if separable.
        mean_note: how `mean` comes about where it is no quotient of `sum` and `normalizer`.
        support: which values count, and what they add to the denominator of `mean`; by default every value adds one.
        check: flaws that the declared types cannot express; called before any kernel runs.
    """

    def register(function: F) -> F:
        entry = _read(
            function,
            examples=tuple(examples),
            aliases=tuple(aliases),
            reductions=REDUCTIONS + tuple(reductions),
            separable=separable,
            chunked=separable if chunked is None else chunked,
            mean_note=mean_note,
            support=support,
            check=check,
        )
        for name in (entry.name, *entry.aliases):
            if name in LOSSES or name in ALIASES:
                raise ValueError(f"{name}: this name is taken")
        LOSSES[entry.name] = entry
        ALIASES.update(dict.fromkeys(entry.aliases, entry.name))
        return function

    return register


def find(name: str) -> Loss:
    """The loss of that name or alias.

    Raises:
        NotFound: with the nearest names that exist.
    """
    entry = LOSSES.get(ALIASES.get(name, name))
    if entry is None:
        import difflib

        near = difflib.get_close_matches(name, [*LOSSES, *ALIASES], n=3)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise NotFound(f"There is no loss {name!r}.{hint} GET /v1/losses lists all {len(LOSSES)}.")
    return entry


def _read(function: Callable[..., Tensor], **declared: Any) -> Loss:
    name = function.__name__
    if not declared["examples"]:
        raise ValueError(f"{name}: needs an example")
    summary, explanation, prose = declarations.sections(name, inspect.getdoc(function) or "")
    described = declarations.arguments(prose["Args"])
    hints = typing.get_type_hints(function, include_extras=True)
    tensors: list[TensorArgument] = []
    parameters: list[Parameter] = []
    for argument in inspect.signature(function).parameters.values():
        if argument.name not in described:
            raise ValueError(f"{name}: argument {argument.name} is not documented")
        text = described.pop(argument.name)
        roles = _roles(hints[argument.name])
        keyword = argument.kind is argument.KEYWORD_ONLY
        if roles:
            required = argument.default is argument.empty
            tensors.append(TensorArgument(argument.name, roles, text, required, keyword))
        elif keyword and argument.default is not argument.empty:
            parameters.append(Parameter(argument.name, hints[argument.name], argument.default, text))
        else:
            raise ValueError(
                f"{name}: {argument.name} is neither a tensor of the vocabulary nor a parameter with a default"
            )
    if described:
        raise ValueError(f"{name}: documents arguments that it does not have: {', '.join(described)}")
    outputs = _roles(hints["return"])
    if len(outputs) != 1:
        raise ValueError(f"{name}: returns {hints['return']}; expected Unreduced")
    output = outputs[0]
    patterns(output.shape)
    return Loss(
        name=name,
        family=function.__module__.rpartition(".")[2],
        function=function,
        summary=summary,
        explanation=explanation,
        formula=prose["Formula"],
        returns=prose["Returns"],
        use_when=prose["Use when"],
        avoid_when=prose["Avoid when"],
        source=prose["Source"],
        tensors=tuple(tensors),
        parameters=tuple(parameters),
        output=output.shape,
        **declared,
    )


def _roles(annotation: Any) -> tuple[Role, ...]:
    """The roles that an annotation declares; of a union (or an optional), those of all members."""
    if typing.get_origin(annotation) is Annotated:
        return tuple(item for item in annotation.__metadata__ if isinstance(item, Role))
    return tuple(role for member in typing.get_args(annotation) for role in _roles(member))
