"""A plugin of pytest that writes what comes of each test at once, as a line of JSON.

A process that a kernel takes down, or whose time is over, has told everything until then, and at which tests it was.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

OPTION = "--lines"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(OPTION, type=Path, help="where to write")


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # processes of xdist tell the first one
        config.pluginmanager.register(Lines(config.getoption(OPTION)))


class Lines:
    """Writes the lines."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._write(nodeid, "unfinished")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or not report.passed:
            why: Any = report.longrepr
            text = why[2] if isinstance(why, tuple) else report.longreprtext
            crash = getattr(why, "reprcrash", None)
            self._write(report.nodeid, report.outcome, message=crash.message if crash else text, end=text[-600:])

    def _write(self, test: str, outcome: str, **more: str) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps({"test": test, "outcome": outcome, **more}) + "\n")


def counts(lines: str) -> dict[str, Any]:
    """How many tests passed, failed, were skipped and did not end, and which, with the reason."""
    found: dict[str, dict[str, str]] = {}
    for one in map(json.loads, lines.splitlines()):
        if found.get(one["test"], one)["outcome"] != "failed":  # what fails first says why
            found[one["test"]] = one
    tests: dict[str, list[dict[str, str]]] = {name: [] for name in ("passed", "failed", "skipped", "unfinished")}
    for one in found.values():
        tests[one["outcome"]].append(one)
    return {
        **{outcome: len(those) for outcome, those in tests.items()},
        "failures": [
            {"test": one["test"], "message": one["message"][:600], "end": one["end"]} for one in tests["failed"][:200]
        ],
        "left_out": [{"test": one["test"], "reason": one["message"][:200]} for one in tests["skipped"][:50]],
        "at_work": [one["test"] for one in tests["unfinished"]],
    }
