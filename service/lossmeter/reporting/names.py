"""Names of figures and gates, in the grammar of the command line: `f1(average=micro)@lower[country]>=0.8`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

LONGEST = 20
"""Characters of a parameter that are shown; weights of a thousand classes are no name."""
GATE_FIELDS = ("metric", "loss", "minimum", "maximum", "baseline", "margin", "slice", "at")


@cache
def _defaults() -> dict[str, dict[str, dict[str, Any]]]:
    """Reads the defaults of all parameters, which are generated from the catalogues: these take long to import."""
    found: dict[str, dict[str, dict[str, Any]]] = json.loads((files(__package__) / "defaults.json").read_text("utf-8"))
    return found


def title(figure: Mapping[str, Any]) -> str:
    """Writes the name of a figure, with the parameters that are not at their default."""
    kind = "loss" if figure.get("loss") is not None else "metric"
    name = str(figure[kind])
    default = _defaults()[kind].get(name, {})
    return name + _parameters(
        {key: value for key, value in figure["parameters"].items() if _differs(default, key, value)}
    )


def _differs(default: Mapping[str, Any], key: str, value: Any) -> bool:
    # Of two classes, the positive one alone is the default, whatever it is of several.
    return (key, value) != ("average", "binary") and (key not in default or default[key] != value)


def gate_title(gate: Mapping[str, Any]) -> str:
    """Writes what a gate demands."""
    name = str(gate.get("metric") or gate.get("loss"))
    written = name + _parameters({key: value for key, value in gate.items() if key not in GATE_FIELDS})
    if gate.get("at", "value") != "value":
        written += f"@{gate['at']}"
    place = gate.get("slice")
    if isinstance(place, Mapping):
        written += f"[{place['column']}={place['value']}]"
    elif place is not None:
        written += f"[{place}]"
    demands = [f">={number(gate['minimum'])}"] if "minimum" in gate else []
    demands += [f"<={number(gate['maximum'])}"] if "maximum" in gate else []
    if demands:
        return written + " and ".join(demands)
    worse = number(gate.get("margin", 0.0))
    return f"{written} worse by at most {worse}" + (f" than {number(gate['baseline'])}" if "baseline" in gate else "")


def place_title(place: Mapping[str, Any] | None) -> str:
    """Writes where something was observed."""
    return f"{place['column']} = {place['value']}" if place else "all samples"


def _parameters(given: Mapping[str, Any]) -> str:
    return f"({', '.join(f'{name}={_short(value)}' for name, value in given.items())})" if given else ""


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def number(value: float | None) -> str:
    """Writes a number with six digits; what is not defined is a dash."""
    return "–" if value is None or value != value else f"{value:.6g}"
