"""Losses, metrics and gates as they are written on a command line: `focal(gamma=2)`, `f1(average=micro)[country]>=0.8`."""

from __future__ import annotations

import json
import re
from typing import Any

from lossmeter.errors import Invalid
from lossmeter.losses import LOSSES
from lossmeter.metrics import find_metric

NAME = r"(?P<name>\w+)(?:\((?P<parameters>.*)\))?"
CHOICE = re.compile(NAME)
PARAMETER = re.compile(r"\s*(\w+)\s*=\s*(\[.*\]|[^,]+)\s*(?:,|$)")
GATE = re.compile(
    r"(?:(?P<kind>loss|metric):)?"
    + NAME
    + r"(?:@(?P<at>value|lower|upper))?(?:\[(?P<column>[^\]=]+)(?:=(?P<value>[^\]]*))?\])?"
    + r"\s*(?P<sign>>=|<=)\s*(?P<bound>\S+)"
)
FORM = "name>=number or name<=number, such as 'accuracy>=0.9' or 'f1(average=micro)@lower[country=de]>=0.8'"


def choice(kind: str, text: str) -> dict[str, Any]:
    """A `loss` or a `metric` with its parameters.

    Raises:
        Invalid: the text is no such thing.
    """
    found = CHOICE.fullmatch(text.strip())
    if found is None:
        raise Invalid.at(kind, "", f"{text!r} is not of the form name or name(parameter=value, …)")
    return {kind: found["name"], **_parameters(kind, found["parameters"])}


def gate(text: str) -> dict[str, Any]:
    """A gate; the name is that of a metric, or of a loss if there is no such metric.

    Raises:
        Invalid: the text is no gate.
    """
    found = GATE.fullmatch(text.strip())
    bound = _value(found["bound"]) if found else None
    if found is None or isinstance(bound, bool) or not isinstance(bound, int | float):
        raise Invalid.at("gate", "", f"{text!r} is not of the form {FORM}")
    name = found["name"]
    kind = found["kind"]
    if kind is None:
        kind = "loss" if LOSSES.knows(name) and not _is_metric(name) else "metric"
    written: dict[str, Any] = {kind: name, **_parameters("gate", found["parameters"])}
    written["minimum" if found["sign"] == ">=" else "maximum"] = float(bound)
    if found["at"]:
        written["at"] = found["at"]
    if found["column"]:
        one = found["value"] is not None
        written["slice"] = {"column": found["column"], "value": _value(found["value"])} if one else found["column"]
    return written


def _is_metric(name: str) -> bool:
    from lossmeter.errors import NotFound

    try:
        find_metric(name)
    except NotFound:
        return False
    return True


def _parameters(subject: str, text: str | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    rest = (text or "").strip()
    while rest:
        match = PARAMETER.match(rest)
        if match is None:
            raise Invalid.at(subject, "", f"{text!r} are no parameters; expected name=value, …")
        found[match[1]] = _value(match[2].strip())
        rest = rest[match.end() :].strip()
    return found


def _value(text: str) -> Any:
    """A number, true, false or an array as in JSON; anything else is text."""
    try:
        return json.loads(text)
    except ValueError:
        return text
