"""Losses, metrics and gates as people write them: `f1(average=micro)@lower[country]>=0.8`."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from lossmeter.errors import Invalid
from lossmeter.metrics import METRICS

NAME = r"(?P<name>[\w-]+)(?:\((?P<parameters>.*)\))?"
CRITERION = re.compile(NAME)
PARAMETER = re.compile(r"\s*(\w+)\s*=\s*(\[.*\]|[^,]+)\s*(?:,|$)")
GATE = re.compile(
    r"(?:(?P<kind>loss|metric):)?"
    + NAME
    + r"(?:@(?P<at>value|lower|upper))?(?:\[(?P<column>[^\]=]+)(?:=(?P<value>[^\]]*))?\])?"
    + r"\s*(?P<sign>>=|<=)\s*(?P<bound>\S+)"
)
FORM = "name>=number or name<=number, such as 'accuracy>=0.9' or 'f1(average=micro)@lower[country=de]>=0.8'"
MARGIN_FORM = "name>=-margin or name<=margin, of the difference, such as 'accuracy>=-0.01' or 'mse[country]<=0.1'"


def parse_criterion(kind: str, text: str) -> dict[str, Any]:
    """Reads a `loss` or a `metric` with its parameters.

    Raises:
        Invalid: the text is no such thing.
    """
    match = CRITERION.fullmatch(text.strip())
    if match is None:
        raise Invalid.at(kind, "", f"{text!r} is not of the form name or name(parameter=value, …)")
    return {kind: match["name"], **_parameters(kind, match["parameters"])}


def parse_gate(text: str) -> dict[str, Any]:
    """Reads a gate; its name is that of a metric, or of a loss if there is no such metric.

    Raises:
        Invalid: the text is no gate.
    """
    match = GATE.fullmatch(text.strip())
    bound = _value(match["bound"]) if match else None
    if match is None or isinstance(bound, bool) or not isinstance(bound, int | float):
        raise Invalid.at("gate", "", f"{text!r} is not of the form {FORM}")
    name = match["name"]
    kind = match["kind"]
    if kind is None:
        kind = kind_of(name)
    written: dict[str, Any] = {kind: name, **_parameters("gate", match["parameters"])}
    written["minimum" if match["sign"] == ">=" else "maximum"] = float(bound)
    if match["at"]:
        written["at"] = match["at"]
    if match["column"]:
        one = match["value"] is not None
        written["slice"] = {"column": match["column"], "value": _value(match["value"])} if one else match["column"]
    return written


def parse_margin(text: str) -> dict[str, Any]:
    """Reads a gate of a comparison: a bound on candidate minus baseline, on the side that is worse.

    Raises:
        Invalid: the text is no such gate.
    """
    try:
        written = parse_gate(text)
    except Invalid:
        written = {"at": ""}
    bound = written.pop("maximum", None)
    margin = -written.pop("minimum", math.nan) if bound is None else bound
    if not margin >= 0 or not written.keys().isdisjoint({"at"}) or isinstance(written.get("slice"), dict):
        raise Invalid.at("gate", "", f"{text!r} is not of the form {MARGIN_FORM}")
    metric = METRICS.get_known(str(written.get("metric", "")))
    better = "lower" if "loss" in written else getattr(metric, "better", "")
    if better and better != ("lower" if bound is not None else "higher"):
        side = "name>=-margin" if better == "higher" else "name<=margin"
        raise Invalid.at("gate", "", f"{text!r} bounds the wrong side, as {better} is better; expected {side}")
    return {**written, "margin": margin or 0.0}


def _parameters(subject: str, text: str | None) -> dict[str, Any]:
    parameters: dict[str, Any] = {}
    rest = (text or "").strip()
    while rest:
        match = PARAMETER.match(rest)
        if match is None:
            raise Invalid.at(subject, "", f"{text!r} are no parameters; expected name=value, …")
        parameters[match[1]] = _value(match[2].strip())
        rest = rest[match.end() :].strip()
    return parameters


def _value(text: str) -> Any:
    """Reads a number, true, false or an array as in JSON; anything else is text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def kind_of(name: str) -> str:
    """Returns whether a name is that of a `metric`, or of a `loss` if there is no such metric."""
    if METRICS.knows(name):
        return "metric"
    from lossmeter.losses import LOSSES  # with torch: a gate on a metric does without

    return "loss" if LOSSES.knows(name) else "metric"
