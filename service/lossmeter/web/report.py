"""Reports as one file: the page of the console that draws them, with the figures inside it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from lossmeter.reporting import html, report_page
from lossmeter.wire import json

TEXT, FIGURES = "@text@", "@report@"
"""The places of the page for the text that is shown without scripts, and for the figures."""
CURVE_POINTS = 3000
"""Points that the curves of a figure keep together: more cannot be told apart, and a file should stay small."""


def report_file(report: Mapping[str, Any]) -> str:
    """Returns a page that needs nothing from elsewhere, light or dark as its reader is.

    Args:
        report: as an evaluation or the address of a run answers it. Gradients and the curves of slices are left out.
    """
    head, middle, tail = _parts()
    shown = {
        **report,
        "objective": {name: report["objective"][name] for name in ("value", "interval")},
        "metrics": [_thinned(one) if one["kind"] == "curve" else one for one in report["metrics"]],
        "slices": [
            {**part, "metrics": [one for one in part["metrics"] if one["kind"] == "scalar"]}
            for part in report["slices"]
        ],
    }
    figures = b"".join(json.encode(shown)).decode()
    # Inside a script element only "<" can mean anything to a browser.
    return head + html(report_page(report), whole=False) + middle + figures.replace("<", "\\u003c") + tail


def policy() -> str:
    """Returns the content security policy of the page: its one script and its one style sheet, by their hashes."""
    found = re.search('http-equiv="Content-Security-Policy" content="([^"]+)"', _parts()[0])
    assert found is not None
    return found[1]


@cache
def _parts() -> tuple[str, str, str]:
    page = (files("lossmeter") / "web" / "static" / "report" / "report.html").read_text("utf-8")
    head, _, rest = page.partition(TEXT)
    middle, _, tail = rest.partition(FIGURES)
    return head, middle, tail


def _thinned(figure: Mapping[str, Any]) -> Mapping[str, Any]:
    """Keeps points of each curve at equal steps, its first and its last among them."""
    curves: Sequence[Mapping[str, Sequence[Any]]] = figure["value"]
    most = max(20, CURVE_POINTS // max(len(curves), 1))
    return {**figure, "value": [{name: _spread(column, most) for name, column in curve.items()} for curve in curves]}


def _spread(column: Sequence[Any], most: int) -> Sequence[Any]:
    if len(column) <= most:
        return column
    return [column[i * (len(column) - 1) // (most - 1)] for i in range(most)]
