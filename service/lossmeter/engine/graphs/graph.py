"""A graph that has been read: nodes whose operations are functions, in an order in which each follows what it refers to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lossmeter.engine.graphs.kinds import Kind


@dataclass(frozen=True, slots=True)
class Reference:
    """The value of an earlier node."""

    name: str


@dataclass(frozen=True, slots=True)
class Parameter:
    """An argument of an operation.

    Attributes:
        many: takes all positional arguments that are left.
    """

    name: str
    kind: Kind
    required: bool
    default: Any = None
    many: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """A pure operation.

    Attributes:
        function: takes the arguments in the order of the parameters.
        check: refuses values that a kernel must not see; called before the function, on tensors with numbers.
        inner: how many products there are for each element of the result, given the arguments.
        sorts: it puts elements in order.
        makes: the function makes tensors from nothing, and is told where and of which precision.
    """

    function: Callable[..., Any]
    parameters: tuple[Parameter, ...]
    check: Callable[..., None] | None = None
    inner: Callable[..., int] | None = None
    makes: bool = False
    sorts: bool = False


@dataclass(frozen=True, slots=True)
class Node:
    """An operation with its arguments.

    Attributes:
        number: its place in the request.
        name, target: as the request has them.
        arguments: in the order of the parameters; references inside of lists and tuples, too.
        last: names of values that nothing needs afterwards.
    """

    number: int
    name: str
    target: str
    operation: Operation
    arguments: tuple[Any, ...]
    last: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Role:
    """A tensor that the graph takes, under the name that the request has for it; None is no default."""

    node: str
    name: str
    default: float | None


@dataclass(frozen=True, slots=True)
class Sizes:
    """What a graph takes, as its shapes say.

    Attributes:
        output: the shape of the unreduced loss.
        elements: of all values together.
        largest: of the largest.
        bytes, held: of all values, and the most at a time if nothing is kept for gradients.
        operations: on single elements, forwards.
    """

    output: tuple[int, ...]
    elements: int
    largest: int
    bytes: int
    held: int
    operations: int


@dataclass(frozen=True, slots=True)
class Graph:
    """A loss.

    Attributes:
        output: the unreduced loss.
        metrics: numbers that are computed on the way, by name.
    """

    roles: tuple[Role, ...]
    nodes: Sequence[Node]
    output: Reference
    metrics: Mapping[str, Reference]
