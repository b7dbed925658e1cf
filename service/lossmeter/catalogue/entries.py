"""Entries of a catalogue: names, a family, prose, and parameters."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, Literal


@dataclass(frozen=True)
class Prose:
    """Documents an argument in its type, `Annotated[float, Prose("a share")]`, where several functions share it.

    A docstring that describes the argument itself has the last word.
    """

    text: str


@dataclass(frozen=True)
class Parameter:
    """A parameter of an entry: its annotation is what pydantic validates with."""

    name: str
    annotation: Any
    default: Any
    description: str

    @cached_property
    def schema(self) -> dict[str, Any]:
        """Returns the JSON Schema of its values, with their bounds."""
        from pydantic import TypeAdapter

        return TypeAdapter(self.annotation).json_schema()

    def json_schema(self) -> dict[str, Any]:
        """Returns the JSON Schema of its values, with default and description."""
        return {**self.schema, "default": self.default, "description": self.description}

    @property
    def choices(self) -> tuple[Any, ...]:
        """Lists all values that it can have, where its type does; otherwise none."""
        return tuple(
            value
            for member in members(self.annotation)
            if typing.get_origin(member) is Literal
            for value in typing.get_args(member)
        )

    @property
    def nullable(self) -> bool:
        return type(None) in members(self.annotation)


@dataclass(frozen=True, eq=False, kw_only=True)
class Description:
    """The names and texts of an entry: all that it takes to find and choose it.

    Attributes:
        aliases: other names that lead to it, those of other libraries among them; one spelling of each.
        shared_names: names that mean other entries just as well, so that they lead to none.
        tasks: what it is for, the chief one first.
        suits: the situations that it suits, each with the reason; the one that it is made for first.
    """

    name: str
    aliases: tuple[str, ...] = ()
    shared_names: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    suits: Mapping[str, str] = field(default_factory=dict)
    family: str
    summary: str
    explanation: str
    use_when: str
    avoid_when: str

    @property
    def package(self) -> str:
        """Names the package that declares it, which has its texts in other languages."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False, kw_only=True)
class Entry(Description):
    """An entry of a catalogue: a function, and what its docstring and its signature declare."""

    function: Callable[..., Any]
    formula: str
    returns: str
    source: str
    parameters: tuple[Parameter, ...]

    @property
    def package(self) -> str:
        return self.function.__module__.rpartition(".")[0]


def members(annotation: Any) -> tuple[Any, ...]:
    """Lists the types that an annotation allows, without their metadata."""
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        return members(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        return tuple(one for member in typing.get_args(annotation) for one in members(member))
    return (annotation,)
