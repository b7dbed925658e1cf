"""Translates what pydantic finds wrong into the words of this project: what was given, what was expected, and where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, Field, ValidationError
from pydantic_core import ErrorDetails

from lossmeter.errors import Flaw, Invalid, pointer

Model = TypeVar("Model", bound=BaseModel)

Real = Annotated[float, Field(allow_inf_nan=False)]
IgnoredIndex = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]

EXPECTED = {
    "greater_than": "a number greater than {gt}",
    "greater_than_equal": "a number of at least {ge}",
    "less_than": "a number less than {lt}",
    "less_than_equal": "a number of at most {le}",
    "literal_error": "{expected}",
    "finite_number": "a finite number",
    "float_type": "a number",
    "int_type": "an integer",
    "int_parsing": "an integer",
    "float_parsing": "a number",
    "bool_parsing": "true or false",
    "int_from_float": "an integer",
    "bool_type": "true or false",
    "string_type": "a string",
    "string_too_short": "at least {min_length} characters",
    "string_too_long": "at most {max_length} characters",
    "string_pattern_mismatch": "text without control characters",
    "list_type": "an array",
    "dict_type": "an object",
    "is_instance_of": "a tensor: nested arrays of numbers, or an object with datatype, shape and data or base64",
    "too_short": "at least {min_length} items",
    "too_long": "at most {max_length} items",
}


def validate(
    model: type[Model], subject: str, given: Mapping[str, Any], at: tuple[str | int, ...] = (), noun: str = "field"
) -> Model:
    """Makes a model of what was given.

    Args:
        subject: the loss, metric or resource that says what is wrong.
        at: where it was given in the request.
        noun: what the model's fields are called.

    Raises:
        Invalid: with all that is wrong.
    """
    try:
        return model.model_validate(dict(given))
    except ValidationError as error:
        words = {name: get_args(one.annotation) for name, one in model.model_fields.items() if _closed(one.annotation)}
        raise invalid(subject, error, list(model.model_fields), at, noun, words) from None


def _closed(annotation: Any) -> bool:
    return get_origin(annotation) is Literal


def invalid(
    subject: str,
    error: ValidationError,
    fields: Sequence[str],
    at: tuple[str | int, ...] = (),
    noun: str = "field",
    words: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> Invalid:
    """Translates an error of pydantic; `fields` are those that could have been given, `words` the values of some."""
    return Invalid.of(subject, [_flaw(detail, fields, at, noun, words) for detail in error.errors(include_url=False)])


def _flaw(
    detail: ErrorDetails,
    fields: Sequence[str],
    at: tuple[str | int, ...],
    noun: str,
    words: Mapping[str, Sequence[str]],
) -> Flaw:
    place = detail["loc"]
    name = ".".join(map(str, place)) or "the request"
    kind = detail["type"]
    if kind == "missing":
        message = f"{name} is missing"
        if name in words:
            message += f"; expected one of {', '.join(words[name])}"
    elif kind == "extra_forbidden":
        expected = f"one of {', '.join(fields)}" if fields else "none"
        message = f"{name} is not a {noun}; expected {expected}"
    elif kind == "written":
        message = f"{name}: {detail['msg']}"
    else:
        message = f"{name} is {shown(detail['input'])}; expected {_expected(detail)}"
    return Flaw(pointer(*at, *place), message)


def _expected(detail: ErrorDetails) -> str:
    if detail["type"] == "expected":
        return detail["msg"]
    text = EXPECTED.get(detail["type"], f"something else ({detail['type']})")
    return text.format_map(dict(detail.get("ctx", {})))


def shown(value: Any) -> str:
    """Writes a value as messages show it: briefly."""
    text = repr(value) if isinstance(value, str | int | float | bool | None) else f"a {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "…"
