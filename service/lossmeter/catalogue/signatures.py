"""Reads a function that declares an entry: prose from its docstring and its types, arguments from its signature."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from lossmeter.catalogue import docstrings
from lossmeter.catalogue.entries import Parameter, Prose

T = TypeVar("T")


@dataclass(frozen=True)
class Argument:
    """An argument of a function, described."""

    name: str
    annotation: Any
    default: Any
    keyword: bool
    description: str

    @property
    def required(self) -> bool:
        return self.default is inspect.Parameter.empty

    @property
    def is_parameter(self) -> bool:
        """Returns whether it is a parameter: by keyword only, and with a default."""
        return self.keyword and not self.required

    def parameter(self) -> Parameter:
        return Parameter(self.name, self.annotation, self.default, self.description)


@dataclass(frozen=True)
class Declaration:
    """The declaration that a function makes; `prose` holds the fields of an `Entry` that are text."""

    name: str
    family: str
    arguments: tuple[Argument, ...]
    result: Any
    prose: dict[str, Any]


def read(function: Callable[..., Any]) -> Declaration:
    """Reads the declaration that a function makes.

    Raises:
        ValueError: something is missing, undocumented, or documented without being there.
    """
    name = function.__name__
    summary, explanation, sections = docstrings.sections(name, inspect.getdoc(function) or "")
    described = docstrings.arguments(sections["Args"])
    hints = typing.get_type_hints(function, include_extras=True)
    arguments: list[Argument] = []
    for item in inspect.signature(function).parameters.values():
        hint = hints[item.name]
        text = described.pop(item.name, None) or next((prose.text for prose in annotated(hint, Prose)), None)
        if text is None:
            raise ValueError(f"{name}: argument {item.name} is not documented")
        arguments.append(Argument(item.name, hint, item.default, item.kind is item.KEYWORD_ONLY, text))
    if described:
        raise ValueError(f"{name}: documents arguments that it does not have: {', '.join(described)}")
    prose = {
        "summary": summary,
        "explanation": explanation,
        "formula": sections["Formula"],
        "returns": sections["Returns"],
        "use_when": sections["Use when"],
        "avoid_when": sections["Avoid when"],
        "source": sections["Source"],
    }
    return Declaration(name, _family(function), tuple(arguments), hints["return"], prose)


def _family(function: Callable[..., Any]) -> str:
    family: str = function.__globals__.get("FAMILY", "")
    if not family:
        raise ValueError(f"{function.__name__}: its module declares no FAMILY")
    return family


def annotated(annotation: Any, kind: type[T]) -> tuple[T, ...]:
    """Collects the metadata of one kind in an annotation; in a union (or an optional), in all its members."""
    carried: list[T] = []
    if typing.get_origin(annotation) is Annotated:
        carried += [item for item in annotation.__metadata__ if isinstance(item, kind)]
        annotation = typing.get_args(annotation)[0]
    if typing.get_origin(annotation) is not typing.Literal:
        for member in typing.get_args(annotation):
            carried += annotated(member, kind)
    return tuple(carried)
