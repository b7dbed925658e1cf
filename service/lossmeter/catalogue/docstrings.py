"""Reads a declaration from a docstring: a summary, an explanation, and sections with fixed titles."""

from __future__ import annotations

import inspect
import re

SECTIONS = ("Formula", "Args", "Returns", "Use when", "Avoid when", "Source")


def sections(name: str, text: str) -> tuple[str, str, dict[str, str]]:
    """Splits a docstring into summary, explanation and sections.

    Raises:
        ValueError: a section is missing, out of order or empty, or there is no summary or explanation.
    """
    pieces = re.split(rf"^({'|'.join(SECTIONS)}):[ \n]", text, flags=re.MULTILINE)
    found = {title: inspect.cleandoc(body).strip() for title, body in zip(pieces[1::2], pieces[2::2], strict=True)}
    missing = [title for title in SECTIONS if not found.get(title)]
    if missing or tuple(found) != SECTIONS:
        raise ValueError(f"{name}: the docstring needs the sections {', '.join(SECTIONS)}, in this order")
    summary, _, explanation = pieces[0].strip().partition("\n")
    if not summary.endswith(".") or not explanation.strip():
        raise ValueError(f"{name}: the docstring needs a summary sentence and an explanation")
    return summary, explanation.strip(), found


def arguments(text: str) -> dict[str, str]:
    """Returns the description of each argument in the section Args."""
    pieces = re.split(r"^(\w+): ", text, flags=re.MULTILINE)
    return {name: " ".join(body.split()) for name, body in zip(pieces[1::2], pieces[2::2], strict=True)}
