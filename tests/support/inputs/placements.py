"""Shapes and parameters to try a loss with, from its declaration."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

from lossmeter.catalogue import Parameter, annotated
from lossmeter.catalogue.entries import members
from lossmeter.losses import Loss, TensorArgument
from lossmeter.losses.shapes import Pattern, patterns, term
from lossmeter.losses.vocabulary import Role
from tests.support.inputs.source import CLASSES, Case, Source

SIZES = (5, 4, 3, 2)
LEADING = ((), (5,), (4, 3), (2, 3, 2))
TRAILING = ((), (3,), (2, 2))
EMPTY = ((0,), (0, 3))
Parameters = Mapping[str, tuple[Any, ...]]


@dataclass(frozen=True)
class Placement:
    """One way to shape all tensors of a loss: an option of each union, an alternative of all shapes, and sizes by name."""

    roles: Mapping[str, Role]
    number: int
    sizes: Mapping[str, tuple[int, ...]]

    def pattern(self, name: str) -> Pattern:
        alternatives = patterns(self.roles[name].shape)
        return alternatives[self.number if len(alternatives) > 1 else 0]

    def shape(self, name: str) -> tuple[int, ...]:
        return self.pattern(name).substitute(dict(self.sizes))

    def make(self, source: Source, argument: TensorArgument, *, narrow: bool = False) -> Any:
        """A tensor for an argument; a narrow one has the last dimension alone, where it may be broadcast."""
        role, shape = self.roles[argument.name], self.shape(argument.name)
        if narrow and self.pattern(argument.name).broadcast:
            shape = shape[-1:]
        class_dim = next((place for place, one in enumerate(self.pattern(argument.name).names) if one in CLASSES), None)
        if class_dim is not None and self.pattern(argument.name).names[0][0] == "*":
            class_dim -= len(self.pattern(argument.name).names)
        below = self.sizes.get(role.meaning.counts or "", (4,))[0]
        meaning = role.meaning
        if meaning.name == "probabilities" and len(argument.options) > 1 and class_dim is not None:
            # Beside class indices, probabilities are those of all classes.
            return source.distribution(*shape, dim=class_dim)
        return source.meant(meaning, shape, class_dim=class_dim, below=below)


def _base(name: str) -> str:
    """The dimension that a name is made of: C of C-1."""
    return name if name[0] == "*" or name.isdigit() else term(name)[1]


def placements(loss: Loss, *, empty: bool = False) -> list[Placement]:
    """Every option with every alternative and, of a variadic dimension, with several lengths; `empty`: without samples."""
    made: list[Placement] = []
    for option in range(max(len(argument.options) for argument in loss.tensors)):
        roles = {one.name: one.options[min(option, len(one.options) - 1)] for one in loss.tensors}
        for number in range(max(len(patterns(role.shape)) for role in roles.values())):
            of_one = Placement(roles, number, {})
            names = list(dict.fromkeys(one for role in roles for one in map(_base, of_one.pattern(role).names)))
            plain = [name for name in names if name[0] != "*" and not name.isdigit()]
            variadic = [name for name in names if name[0] == "*"]
            leads = any(of_one.pattern(role).names[:1] == (name,) for role in roles for name in variadic)
            # No two dimensions are of the same size, lest they be mixed up unnoticed.
            other = SIZES[1:] if leads else SIZES
            sizes = {name: (size,) for name, size in zip(plain, itertools.cycle(other), strict=False)}
            lengths = LEADING if leads else TRAILING
            first = patterns(loss.output)[number if len(patterns(loss.output)) > 1 else 0].names[:1]
            if empty and not variadic and first and first[0] in sizes:
                made.append(Placement(roles, number, {**sizes, first[0]: (0,)}))
            if empty and variadic:
                filled = EMPTY if leads else ()
                made += [Placement(roles, number, {**sizes, **dict.fromkeys(variadic, one)}) for one in filled]
            if empty and variadic and not leads:
                outer = {**sizes, first[0]: (0,)} if first and first[0] in sizes else sizes
                made += [
                    Placement(roles, number, {**outer, **dict.fromkeys(variadic, ())}),
                    Placement(roles, number, {**outer, **dict.fromkeys(variadic, (3,))}),
                    Placement(roles, number, {**sizes, **dict.fromkeys(variadic, (0,))}),
                ]
            if not empty:
                made += [
                    Placement(roles, number, {**sizes, **dict.fromkeys(variadic, one)})
                    for one in (lengths if variadic else ((),))
                ]
    return made


def main(loss: Loss) -> list[Placement]:
    """Of each option, one placement with a batch: the one to try parameters with."""
    best: dict[tuple[Role, ...], Placement] = {}
    for one in placements(loss):
        dimensions = {name: len(one.shape(name)) for name in one.roles}
        key = tuple(one.roles.values())
        if key not in best and (max(dimensions.values()) > 1 or one.sizes.get("*shape", (0, 0)) == (5,)):
            best[key] = one
    return list(best.values()) or placements(loss)[-1:]


def variants(loss: Loss, declared: Parameters) -> Iterator[Case]:
    """Sets of parameters: none, all combinations of the choices, each number by itself, and all numbers together."""
    choices: dict[str, tuple[Any, ...]] = {}
    numbers: dict[str, tuple[Any, ...]] = {}
    for parameter in loss.parameters:
        listed = parameter.choices or ((False, True) if parameter.annotation is bool else ())
        if parameter.name in declared:
            numbers[parameter.name] = declared[parameter.name]
        elif listed:
            choices[parameter.name] = listed
        elif parameter.name != "ignore_index":
            numbers[parameter.name] = (*interior(parameter), *((None,) if parameter.nullable else ()))
    yield {}
    usual = {one.name: one.default for one in loss.parameters}
    for values in itertools.product(*choices.values()):
        chosen = dict(zip(choices, values, strict=True))
        if any(value != usual[name] for name, value in chosen.items()):
            yield {name: value for name, value in chosen.items() if value != usual[name]}
    for name, values in numbers.items():
        for value in values:
            yield {name: value}
    if len(numbers) > 1:
        yield {name: values[0] for name, values in numbers.items()}


def bounds(parameter: Parameter) -> tuple[float | None, float | None, bool, bool]:
    """Least and largest value of a number, and for each whether it is allowed itself."""
    least, most, closed_below, closed_above = None, None, False, False
    for info in annotated(parameter.annotation, FieldInfo):
        for bound in info.metadata:
            if isinstance(bound, Ge | Gt):
                least = getattr(bound, "ge", getattr(bound, "gt", None))
                closed_below = isinstance(bound, Ge)
            if isinstance(bound, Le | Lt):
                most = getattr(bound, "le", getattr(bound, "lt", None))
                closed_above = isinstance(bound, Le)
    return least, most, closed_below, closed_above


def interior(parameter: Parameter) -> tuple[Any, ...]:
    """Two numbers inside of the bounds, other than the default."""
    least, most, *_ = bounds(parameter)
    if int in members(parameter.annotation):
        low = 0 if least is None else int(least)
        return tuple(value for value in range(low, low + 3) if value != parameter.default)[:2]
    if least is not None and most is not None and most - least < 1e6:
        wanted: tuple[float, ...] = tuple(least + share * (most - least) for share in (0.2, 0.7))
    else:
        wanted = (-0.5, 0.3) if least is None else (least + 0.3, least + 2.5)
    return tuple(value for value in wanted if value != parameter.default)


def extremes(parameter: Parameter) -> tuple[Any, ...]:
    """The bounds of a number where they are allowed themselves and of a size to compute with."""
    least, most, closed_below, closed_above = bounds(parameter)
    whole = int in members(parameter.annotation)
    allowed = [least if closed_below else None, most if closed_above else None]
    near = [value for value in allowed if value is not None and abs(value) < 1e6]
    return tuple(int(value) if whole else float(value) for value in near)
