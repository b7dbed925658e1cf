"""Verdicts as JUnit XML, which every CI shows as tests: each gate is a test case."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

from lossmeter.reporting.names import gate_title, number, place_title

FORBIDDEN = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that no XML may hold."""


def junit(report: Mapping[str, Any], name: str = "lossmeter") -> str:
    """Writes the gates of a report, or of a comparison, as a suite of tests.

    Args:
        report: as the service answers it.
        name: of the suite.
    """
    verdicts: Sequence[Mapping[str, Any]] = report["gates"]
    failed = sum(not one["passed"] for one in verdicts)
    counts = {"tests": str(len(verdicts)), "failures": str(failed), "errors": "0", "skipped": "0", "time": "0"}
    top = ElementTree.Element("testsuites", {"name": name, **counts})
    suite = ElementTree.SubElement(top, "testsuite", {"name": name, **counts})
    for one in verdicts:
        case = ElementTree.SubElement(
            suite, "testcase", {"classname": name, "name": _legal(gate_title(one["gate"])), "time": "0"}
        )
        if not one["passed"]:
            lines = failure_lines(one)
            message = {"message": _legal(lines[0]), "type": "gate"}
            ElementTree.SubElement(case, "failure", message).text = _legal("\n".join(lines))
    ElementTree.indent(top)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(top, encoding="unicode") + "\n"


def failure_lines(verdict: Mapping[str, Any]) -> list[str]:
    """Says why a gate does not hold: first where it fails most, then every slice in which it fails."""
    seen = "observed" if "observed" in verdict else "worse_by_at_most"
    limit = verdict["threshold"] if seen == "observed" else verdict["margin"]
    said = "observed" if seen == "observed" else "worse by up to"
    first = f"{gate_title(verdict['gate'])}: {said} {number(verdict[seen])} in {place_title(verdict['where'])}"
    rest = [f"{place_title(one)}: {number(one[seen])}" for one in verdict["failed_slices"]]
    return [f"{first}; the limit is {number(limit)}", *rest]


def _legal(text: str) -> str:
    return FORBIDDEN.sub("\ufffd", text)
