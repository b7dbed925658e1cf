"""Plans from options and files; losses, metrics and gates as a command line writes them: `f1(average=micro)[country]>=0.8`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lossmeter.errors import Invalid
from lossmeter.evaluation import Plan, SlicedFields
from lossmeter.losses import LOSSES
from lossmeter.metrics import METRICS, TASKS
from lossmeter.validation import validate

BINS = 10_000
"""Of the histograms of probabilities, so that memory does not grow with the file."""

NAME = r"(?P<name>\w+)(?:\((?P<parameters>.*)\))?"
CRITERION = re.compile(NAME)
PARAMETER = re.compile(r"\s*(\w+)\s*=\s*(\[.*\]|[^,]+)\s*(?:,|$)")
GATE = re.compile(
    r"(?:(?P<kind>loss|metric):)?"
    + NAME
    + r"(?:@(?P<at>value|lower|upper))?(?:\[(?P<column>[^\]=]+)(?:=(?P<value>[^\]]*))?\])?"
    + r"\s*(?P<sign>>=|<=)\s*(?P<bound>\S+)"
)
FORM = "name>=number or name<=number, such as 'accuracy>=0.9' or 'f1(average=micro)@lower[country=de]>=0.8'"


def read_plan(config: Path | None, options: Mapping[str, Any]) -> Plan:
    """Reads the plan in a file and puts in what the options say: single values replace, lists are appended.

    Raises:
        NotFound, Invalid: the plan does not fit together.
    """
    fields = {} if config is None else _read(config)
    for name, value in options.items():
        if value is None:
            continue
        if isinstance(value, list) and isinstance(fields.get(name), list):
            fields[name] = fields[name] + value
        elif value != []:
            fields[name] = value
    task = fields.get("task")
    only = TASKS[str(task)].kinds if str(task) in TASKS else ()
    if "predictions_are" not in fields and len(only) == 1:
        fields["predictions_are"] = only[0]
    if "curves" not in fields and fields.get("predictions_are") in ("logits", "probabilities", "log_probabilities"):
        fields["curves"] = {"bins": BINS if task != "regression" else 0}
    return Plan.of(validate(SlicedFields, "plan", fields))


def _read(config: Path) -> dict[str, Any]:
    try:
        fields = json.loads(config.read_text())
    except (OSError, ValueError) as error:
        raise Invalid.at(str(config), "", f"is no JSON file: {error}") from None
    if not isinstance(fields, dict):
        raise Invalid.at(str(config), "", "holds no object; expected the fields of a plan")
    return {name: value for name, value in fields.items() if name not in ("format", "version")}


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
        kind = "loss" if LOSSES.knows(name) and not METRICS.knows(name) else "metric"
    written: dict[str, Any] = {kind: name, **_parameters("gate", match["parameters"])}
    written["minimum" if match["sign"] == ">=" else "maximum"] = float(bound)
    if match["at"]:
        written["at"] = match["at"]
    if match["column"]:
        one = match["value"] is not None
        written["slice"] = {"column": match["column"], "value": _value(match["value"])} if one else match["column"]
    return written


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
