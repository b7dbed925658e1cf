"""Losses as objects, and the decorator that turns a function into one.

The decorator reads everything from the function itself: tensors from the positional arguments (and from keyword-only ones
whose annotation is a word of `vocabulary`), parameters from the other keyword-only arguments, prose from the docstring, family
and tasks from the `FAMILY` and `TASKS` of its module. It refuses whatever is missing: a loss that imports is a loss that is
documented.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from torch import Tensor

from lossmeter.catalogue import Catalogue, Entry, Parameter, annotated, read
from lossmeter.errors import Flaw
from lossmeter.losses.shapes import patterns
from lossmeter.losses.situations import SITUATIONS, TASKS
from lossmeter.losses.vocabulary import Role

Arguments = Mapping[str, Any]
F = TypeVar("F", bound=Callable[..., Tensor])

REDUCTIONS = ("mean", "sum", "none")
SEQUENCE_REDUCTIONS = ("sequence_mean", "sequence_sum", "sequence_sum_norm")
"""Of losses with a value for each token of each sequence: over the tokens first, then over the sequences."""

FURTHER_REDUCTIONS = ("batchmean", *SEQUENCE_REDUCTIONS)
REDUCTION_ALIASES = {
    "token-mean": "mean",
    "token-sum": "sum",
    "seq-mean-token-mean": "sequence_mean",
    "seq-mean-token-sum": "sequence_sum",
    "seq-mean-token-sum-norm": "sequence_sum_norm",
    "bnpo": "mean",
    "dapo": "mean",
    "grpo": "sequence_mean",
    "dr_grpo": "sequence_sum_norm",
}
"""Their names in verl (`loss_agg_mode`) and TRL (`loss_type` of GRPOConfig)."""


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

    @property
    def unbounded(self) -> bool:
        """True where every number is possible, so that no kernel relies on a check of them."""
        meanings = [role.meaning for role in self.options]
        return all(
            one.kind == "floating" and not one.choices and (one.minimum, one.maximum) == (None, None)
            for one in meanings
        )


COPIES = 3
SWEEPS = 12
"""What most losses take, which are some elementwise operations: see `loss`."""


class Example:
    """A request that works when posted as it stands, and the value that it gives."""

    def __init__(self, *, value: float, **request: Any) -> None:
        self.value = value
        self.request = request


@dataclass(frozen=True, eq=False, kw_only=True)
class Loss(Entry):
    """A loss of the catalogue; everything that the service knows of it."""

    function: Callable[..., Tensor]
    tensors: tuple[TensorArgument, ...]
    output: str
    examples: tuple[Example, ...]
    reductions: tuple[str, ...] = REDUCTIONS
    minimum: float | None = 0.0
    separable: bool = True
    chunked: bool = True
    aligned: bool = False
    mean_note: str = ""
    plain_if: Mapping[str, Any] = field(default_factory=dict)
    alternative: Callable[[Arguments], int] | None = None
    intermediate: str = ""
    copies: float = COPIES
    sweeps: float = SWEEPS
    products: str = ""
    loops: str = ""
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
    def reduction_names(self) -> Mapping[str, str]:
        """Its reductions by each name that they answer to; those of trainers are known where there are sequences."""
        known = dict(zip(self.reductions, self.reductions, strict=True))
        return known | REDUCTION_ALIASES if set(SEQUENCE_REDUCTIONS) <= known.keys() else known

    @property
    def elementwise(self) -> bool:
        """True where each value depends on nothing differentiable but what stands at its own place."""
        shapes = {role.shape for argument in self.tensors for role in argument.options if role.differentiable}
        return self.separable and shapes == {self.output} == {"*shape"}


LOSSES: Catalogue[Loss] = Catalogue("loss", "/v1/losses")
find = LOSSES.find


def loss(
    *,
    examples: Sequence[Example],
    tasks: Sequence[str] = (),
    suits: Mapping[str, str] | None = None,
    aliases: Sequence[str] = (),
    shared_names: Sequence[str] = (),
    reductions: Sequence[str] = (),
    minimum: float | None = 0.0,
    separable: bool = True,
    chunked: bool | None = None,
    aligned: bool = False,
    mean_note: str = "",
    plain_if: Mapping[str, Any] | None = None,
    alternative: Callable[[Arguments], int] | None = None,
    intermediate: str = "",
    copies: float = COPIES,
    sweeps: float = SWEEPS,
    products: str = "",
    loops: str = "",
    support: Callable[[Arguments], Support] | None = None,
    check: Callable[[Arguments], Iterable[Flaw]] | None = None,
) -> Callable[[F], F]:
    """Registers a function as a loss.

    Args:
        examples: at least one request with its value.
        tasks: what it is for, of `situations.TASKS`, the chief one first; by default the `TASKS` of its module.
        suits: situations that it suits, of `situations.SITUATIONS`, each with the reason in a sentence; the one that it is made
            for first. By it people choose.
        aliases: other names under which the loss answers.
        shared_names: names that mean other losses just as well, and are refused.
        reductions: ways to reduce beyond `mean`, `sum` and `none`, of `FURTHER_REDUCTIONS`.
        minimum: the least that a value can be; None if there is none. Intervals of means know it.
        separable: each sample's value depends on that sample alone.
        chunked: may be computed in pieces along the batch, bit for bit; by default, if separable.
        aligned: multiplies its tensors as matrices, whose last bits depend on where they lie; they are moved to such places as
            torch's have.
        mean_note: how `mean` comes about where it is no quotient of `sum` and `normalizer`.
        plain_if: parameters that have these values where predictions are what their type says, and not its logarithm.
        alternative: the number of the alternative that the shape of the result is, by the parameters alone; by default that of
            the tensors.
        intermediate: the shape of its largest intermediate tensor, if that can be larger than all that it is given: `N N`. Of
            alternatives, each counts whose dimensions are there.
        copies: how many tensors as large as all that it is given and `intermediate` together are held at a time.
        sweeps: how many operations, backward pass included, each of their elements takes part in.
        products: the multiplications of its product of matrices, as a shape: `N C D`.
        loops: the steps of a kernel that compares elements with each other, as a shape: `N C C`.
        support: which values count, and what they add to the denominator of `mean`; by default every value adds one.
        check: flaws that the declared types cannot express; called before any kernel runs.
    """

    def register(function: F) -> F:
        entry = _entry(
            function,
            examples=tuple(examples),
            tasks=tuple(tasks or function.__globals__.get("TASKS", ())),
            suits=suits or {},
            aliases=tuple(aliases),
            shared_names=tuple(shared_names),
            reductions=REDUCTIONS + tuple(reductions),
            minimum=minimum,
            separable=separable,
            chunked=separable if chunked is None else chunked,
            aligned=aligned,
            mean_note=mean_note,
            plain_if=plain_if or {},
            alternative=alternative,
            intermediate=intermediate,
            copies=copies,
            sweeps=sweeps,
            products=products,
            loops=loops,
            support=support,
            check=check,
        )
        LOSSES.add(entry)
        return function

    return register


def _entry(function: Callable[..., Tensor], **declared: Any) -> Loss:
    name = function.__name__
    if not declared["examples"]:
        raise ValueError(f"{name}: needs an example")
    if not declared["tasks"]:
        raise ValueError(f"{name}: its module declares no TASKS")
    for noun, words, known in (
        ("reduction", declared["reductions"], {*REDUCTIONS, *FURTHER_REDUCTIONS}),
        ("task", declared["tasks"], TASKS),
        ("situation", declared["suits"], SITUATIONS),
    ):
        unknown = set(words) - set(known)
        if unknown:
            raise ValueError(f"{name}: there is no {noun} {', '.join(sorted(unknown))}")
    declaration = read(function)
    tensors: list[TensorArgument] = []
    parameters: list[Parameter] = []
    for argument in declaration.arguments:
        roles = annotated(argument.annotation, Role)
        if roles:
            tensors.append(
                TensorArgument(argument.name, roles, argument.description, argument.required, argument.keyword)
            )
        elif argument.is_parameter:
            parameters.append(argument.parameter())
        else:
            raise ValueError(
                f"{name}: {argument.name} is neither a tensor of the vocabulary nor a parameter with a default"
            )
    outputs = annotated(declaration.result, Role)
    if len(outputs) != 1:
        raise ValueError(f"{name}: returns {declaration.result}; expected Unreduced")
    output = outputs[0].shape
    required = [role.shape for tensor in tensors if tensor.required for role in tensor.options]
    given = frozenset[str]().union(*(pattern.bases for shape in required for pattern in patterns(shape)))
    unbound = {base for pattern in patterns(output) for base in pattern.bases} - given
    if unbound:
        raise ValueError(f"{name}: returns dimensions that no required tensor has: {', '.join(sorted(unbound))}")
    return Loss(
        name=name,
        family=declaration.family,
        function=function,
        tensors=tuple(tensors),
        parameters=tuple(parameters),
        output=output,
        **declaration.prose,
        **declared,
    )
