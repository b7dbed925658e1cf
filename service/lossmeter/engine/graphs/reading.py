"""Reads a graph: every target is looked up, every reference leads back, every argument has its place."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lossmeter.engine.graphs.graph import Graph, Node, Operation, Reference, Role
from lossmeter.engine.graphs.kinds import DTYPES, MAX_ITEMS
from lossmeter.engine.graphs.operations import FUNCTIONS, METHODS, PREFIXES
from lossmeter.errors import Invalid, pointer

SUBJECT = "custom"
FORMAT = 1
MAX_NODES = 512
MAX_ROLES = 32
MAX_METRICS = 32
MAX_DEPTH = 4
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,127}")
IGNORED: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(("out", "weight", "dtype", "size_average", "reduce", "bias", "memory_format"), (None,)),
    "inplace": (False,),
    "_stacklevel": (3, 5, None),
}
"""Arguments that torch records with their defaults, and that mean nothing then."""
OPS = ("placeholder", "call_function", "call_method", "output")
MEMBERS = frozenset(("op", "name", "target", "args", "kwargs"))


def read_graph(given: Any) -> Graph:
    """Reads a graph of the format 1: nodes as torch.fx records them, in JSON.

    Raises:
        Invalid: naming the first place that is wrong.
    """
    members = _object(given, (), {"format", "nodes"})
    if members.get("format") != FORMAT:
        raise _wrong(("format",), f"format is {_shown(members.get('format'))}; expected {FORMAT}")
    nodes = members.get("nodes")
    if not isinstance(nodes, list) or not 0 < len(nodes) <= MAX_NODES:
        size = f"{len(nodes)} items" if isinstance(nodes, list) else _shown(nodes)
        raise _wrong(("nodes",), f"nodes has {size}; expected an array of 1 to {MAX_NODES} nodes")
    reader = _Reader()
    for number, node in enumerate(nodes):
        reader.read(number, node)
    return reader.finish()


class _Reader:
    """Reads one node after the other, and knows the names of those before."""

    def __init__(self) -> None:
        self.known: set[str] = set()
        self.roles: list[Role] = []
        self.nodes: list[Node] = []
        self.output: Reference | None = None
        self.metrics: dict[str, Reference] = {}
        self.last: dict[str, int] = {}

    def read(self, number: int, given: Any) -> None:
        at = ("nodes", number)
        members = _object(given, at, MEMBERS)
        op, name, target = (members.get(key) for key in ("op", "name", "target"))
        args, kwargs = members.get("args", []), members.get("kwargs", {})
        if op not in OPS:
            raise _wrong((*at, "op"), f"op is {_shown(op)}; expected one of {', '.join(OPS)}")
        if self.output is not None:
            raise _wrong(at, "a node stands after the output")
        if not isinstance(name, str) or not NAME.fullmatch(name) or name in self.known:
            again = " again" if isinstance(name, str) and name in self.known else ""
            message = f"name is {_shown(name)}{again}; expected letters, digits and underscores, each name once"
            raise _wrong((*at, "name"), message)
        if not isinstance(target, str) or len(target) > 128:
            raise _wrong((*at, "target"), f"target is {_shown(target)}; expected a name")
        if not isinstance(args, list) or len(args) > MAX_ITEMS:
            raise _wrong((*at, "args"), f"args is {_shown(args)}; expected an array of at most {MAX_ITEMS} arguments")
        if not isinstance(kwargs, dict) or len(kwargs) > MAX_ITEMS:
            raise _wrong((*at, "kwargs"), f"kwargs is {_shown(kwargs)}; expected an object")
        if op == "placeholder":
            self._placeholder(at, name, target, args, kwargs)
        elif op == "output":
            self._output(at, args, kwargs)
        else:
            self._call(number, op, name, target, args, kwargs)
        self.known.add(name)

    def _placeholder(
        self, at: tuple[str | int, ...], name: str, target: str, args: list[Any], kwargs: dict[str, Any]
    ) -> None:
        if not NAME.fullmatch(target) or any(role.name == target for role in self.roles):
            raise _wrong((*at, "target"), f"target is {_shown(target)}; expected the name of a role, each once")
        if len(self.roles) == MAX_ROLES:
            raise _wrong(at, f"there are more than {MAX_ROLES} placeholders")
        default = args[0] if args else None
        if len(args) > 1 or kwargs or not (default is None or type(default) in (int, float)):
            raise _wrong(at, "a placeholder has at most one argument, the number that is its default")
        self.roles.append(Role(name, target, None if default is None else float(default)))

    def _output(self, at: tuple[str | int, ...], args: list[Any], kwargs: dict[str, Any]) -> None:
        if len(args) != 1 or kwargs:
            raise _wrong((*at, "args"), "the output has one argument, the unreduced loss")
        given = args[0]
        if isinstance(given, dict) and given.keys() == {"tuple"}:
            given = given["tuple"]
        metrics: Any = {}
        if isinstance(given, list):
            if len(given) != 2:
                raise _wrong((*at, "args", 0), "the output is a loss, or a loss and an object of metrics")
            given, metrics = given
            metrics = metrics.get("dict", metrics) if isinstance(metrics, dict) else None
            if not isinstance(metrics, dict) or len(metrics) > MAX_METRICS:
                raise _wrong((*at, "args", 0), f"metrics are an object of at most {MAX_METRICS} names")
        self.output = self._reference(given, (*at, "args", 0))
        for key, value in metrics.items():
            if not isinstance(key, str) or len(key) > 128:
                raise _wrong((*at, "args", 0), "the name of a metric is longer than 128 characters")
            self.metrics[key] = self._reference(value, (*at, "args", 0))

    def _reference(self, given: Any, at: tuple[str | int, ...]) -> Reference:
        if isinstance(given, dict) and given.keys() == {"ref"}:
            given = given["ref"]
        if not isinstance(given, str) or given not in self.known:
            raise _wrong(at, f"{_shown(given)} is no node that stands before")
        self.last[given] = MAX_NODES  # needed at the end
        return Reference(given)

    def _call(self, number: int, op: str, name: str, target: str, args: list[Any], kwargs: dict[str, Any]) -> None:
        at = ("nodes", number)
        operation = _operation(op, target)
        if operation is None:
            message = f"target is {target!r}, which is none of the operations that a graph may name"
            raise _wrong((*at, "target"), message)
        arguments = self._arguments(operation, target, at, args, kwargs)
        self.nodes.append(Node(number, name, target, operation, arguments))

    def _arguments(
        self,
        operation: Operation,
        target: str,
        at: tuple[str | int, ...],
        args: list[Any],
        kwargs: dict[str, Any],
    ) -> tuple[Any, ...]:
        parameters = operation.parameters
        number = int(at[1])
        bound: dict[str, Any] = {}
        for place, value in enumerate(args):
            if place >= len(parameters) and not parameters[-1].many:
                raise _wrong((*at, "args", place), f"{target} takes at most {len(parameters)} arguments")
            parameter = parameters[min(place, len(parameters) - 1)]
            read = self._value(value, parameter.kind.words, (*at, "args", place), number, 0)
            if parameter.many:
                bound[parameter.name] = (*bound.get(parameter.name, ()), read)
            else:
                bound[parameter.name] = read
        for key, value in kwargs.items():
            parameter_or_none = next((one for one in parameters if one.name == key and not one.many), None)
            if parameter_or_none is None and key in IGNORED and value in IGNORED[key]:
                continue
            if parameter_or_none is None:
                takes = ", ".join(one.name for one in parameters)
                raise _wrong((*at, "kwargs", key), f"{target} has no argument {key!r}; expected one of {takes}")
            if key in bound:
                raise _wrong((*at, "kwargs", key), f"{key} is given twice")
            bound[key] = self._value(value, parameter_or_none.kind.words, (*at, "kwargs", key), number, 0)
        for parameter in parameters:
            if parameter.name not in bound:
                if parameter.required:
                    raise _wrong(at, f"{target} lacks the argument {parameter.name} ({parameter.kind.name})")
                bound[parameter.name] = parameter.default
        return tuple(bound[parameter.name] for parameter in parameters)

    def _value(self, given: Any, words: tuple[str, ...], at: tuple[str | int, ...], number: int, depth: int) -> Any:
        """Reads an argument; text is one of the words that it may be, or the name of a node."""
        if depth > MAX_DEPTH:
            raise _wrong(at, f"the argument is nested deeper than {MAX_DEPTH} levels")
        if given is None or type(given) in (bool, int, float):
            return given
        if isinstance(given, str):
            return self._text(given, words, at, number)
        if isinstance(given, list):
            if len(given) > MAX_ITEMS:
                raise _wrong(at, f"the argument has {len(given)} items; expected at most {MAX_ITEMS}")
            return tuple(self._value(one, (), at, number, depth + 1) for one in given)
        return self._object(given, at, number, depth)

    def _object(self, given: Any, at: tuple[str | int, ...], number: int, depth: int) -> Any:
        """Reads an argument that JSON has no value for: an object with one member."""
        if not isinstance(given, dict) or len(given) != 1:
            raise _wrong(at, f"the argument is {_shown(given)}; expected a value, or an object with one member")
        ((key, inner),) = given.items()
        if key == "ref" and isinstance(inner, str):
            return self._text(inner, (), at, number)
        if key == "tuple" and isinstance(inner, list):
            return self._value(inner, (), at, number, depth + 1)
        if key == "slice" and isinstance(inner, list) and len(inner) == 3:
            return slice(*(self._value(one, (), at, number, depth + 1) for one in inner))
        if key == "ellipsis":
            return Ellipsis
        if key == "float" and inner in ("inf", "-inf", "nan"):
            return math.nan if inner == "nan" else float(inner)
        if key == "dtype" and isinstance(inner, str) and inner in DTYPES:
            return DTYPES[inner]
        raise _wrong(at, f"the argument is {_shown(given)}, which is none that a graph can have")

    def _text(self, given: str, words: tuple[str, ...], at: tuple[str | int, ...], number: int) -> Any:
        word = given.removeprefix("torch.")
        if word in words:
            return DTYPES.get(word, word) if words == tuple(DTYPES) else word
        if given not in self.known:
            expected = f", nor one of {', '.join(words)}" if words else ""
            raise _wrong(at, f"{_shown(given)} is no node that stands before{expected}")
        self.last[given] = number
        return Reference(given)

    def finish(self) -> Graph:
        if self.output is None:
            raise _wrong(("nodes",), "the last node is no output")
        ending: dict[int, list[str]] = {}
        for name, number in self.last.items():
            ending.setdefault(number, []).append(name)
        for node in self.nodes:
            if node.name not in self.last:
                ending.setdefault(node.number, []).append(node.name)
        nodes = [replace(node, last=tuple(ending.get(node.number, ()))) for node in self.nodes]
        return Graph(tuple(self.roles), nodes, self.output, self.metrics)


def _operation(op: str, target: str) -> Operation | None:
    if op == "call_method":
        return METHODS.get(target)
    # Python keeps its operators in a module of its own, and torch some functions in two.
    for alias, proper in ALIASES:
        if target.startswith(alias):
            target = proper + target.removeprefix(alias)
    return FUNCTIONS.get(target)


ALIASES = (
    ("_operator.", PREFIXES["O"]),
    ("torch._C._nn.", PREFIXES["F"]),
    ("torch._C._special.special_", PREFIXES["S"]),
    ("torch.functional.", PREFIXES["T"]),
)


def _object(given: Any, at: tuple[str | int, ...], known: frozenset[str] | set[str]) -> Mapping[str, Any]:
    if not isinstance(given, dict):
        raise _wrong(at, f"{'.'.join(map(str, at)) or 'graph'} is {_shown(given)}; expected an object")
    unknown = given.keys() - known
    if unknown:
        raise _wrong((*at, min(unknown)), f"{min(unknown)} is not a field; expected one of {', '.join(sorted(known))}")
    return given


def _shown(value: Any) -> str:
    text = repr(value) if isinstance(value, str | int | float | bool | None) else f"a {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "…"


def _wrong(at: tuple[str | int, ...], message: str) -> Invalid:
    return Invalid.at(SUBJECT, pointer("graph", *at), message)
