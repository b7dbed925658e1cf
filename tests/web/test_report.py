"""The report as one file, without a browser."""

from __future__ import annotations

import json
import re
from typing import Any

from lossmeter.web.report import CURVE_POINTS, policy, report_file


def written(report: dict[str, Any]) -> dict[str, Any]:
    (figures,) = re.findall(r'id="report-data">(.*?)</script>', report_file(report), re.DOTALL)
    found: dict[str, Any] = json.loads(figures)
    return found


def report(curves: list[dict[str, list[float]]], **more: Any) -> dict[str, Any]:
    whole: dict[str, Any] = {
        "losses": [],
        "objective": {"value": None, "interval": None, "gradients": {"predictions": [1.0]}},
    }
    curve = {
        "metric": "roc_curve",
        "parameters": {},
        "kind": "curve",
        "value": curves,
        "interval": None,
        "error_bound": 0.0,
    }
    rest = {"samples": 2, "slices": [], "hardest": [], "gates": [], "passed": True, "warnings": []}
    return {**rest, **whole, "metrics": [curve], **more}


def test_long_curves_are_thinned_between_their_ends() -> None:
    column = [i / 100_000 for i in range(100_001)]
    (figure,) = written(report([{"x": column, "y": column}]))["metrics"]
    kept = figure["value"][0]["x"]
    assert len(kept) == CURVE_POINTS
    assert (kept[0], kept[-1]) == (0.0, 1.0)
    assert kept == sorted(set(kept))
    short = [{"x": [0.0, 0.5, 1.0], "y": [0.0, 0.2, 1.0]}]
    assert written(report(short))["metrics"][0]["value"] == short


def test_gradients_are_left_out_and_what_strangers_wrote_ends_no_script() -> None:
    hostile = "</script><script>alert(1)</script><!--"
    given = report([], hardest=[{"sample_id": hostile, "batch_id": None, "position": None, "loss": 1.0}])
    assert written(given)["hardest"][0]["sample_id"] == hostile
    assert written(given)["objective"] == {"value": None, "interval": None}
    assert report_file(given).count("<script") == report_file(report([])).count("<script")


def test_the_policy_names_what_the_page_runs_and_nothing_else() -> None:
    assert re.fullmatch(
        r"default-src 'none'; script-src 'sha256-[\w+/=]+'; style-src 'sha256-[\w+/=]+'; base-uri 'none'; form-action 'none'",
        policy(),
    )
