"""Plans from options and files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lossmeter.errors import Invalid
from lossmeter.evaluation import SlicedFields
from lossmeter.evaluation.files import table_fields


def read_plan(config: Path | None, options: Mapping[str, Any]) -> SlicedFields:
    """Reads the fields of the plan in a file and puts in what the options say: single values replace, lists are appended.

    Raises:
        Invalid: a field is missing, or is not what it can be.
    """
    fields = {} if config is None else _read(config)
    if options.get("metrics") and not options.get("losses") and not options.get("hardest") and "losses" not in fields:
        fields["losses"] = []  # metrics alone: losses come with torch, which takes seconds to load
    for name, value in options.items():
        if value is None:
            continue
        if isinstance(value, list) and isinstance(fields.get(name), list):
            fields[name] = fields[name] + value
        elif value != []:
            fields[name] = value
    return table_fields("plan", fields)


def _read(config: Path) -> dict[str, Any]:
    try:
        fields = json.loads(config.read_text())
    except (OSError, ValueError) as error:
        raise Invalid.at(str(config), "", f"is no JSON file: {error}") from None
    if not isinstance(fields, dict):
        raise Invalid.at(str(config), "", "holds no object; expected the fields of a plan")
    return {name: value for name, value in fields.items() if name not in ("format", "version")}
