"""Texts of entries in other languages than English: a file for each family beside the functions, read when first asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lossmeter.catalogue.entries import Description

FIELDS = ("summary", "explanation", "use_when", "avoid_when")
"""The fields of an entry that are translated, beside the reasons in `suits`."""
ENGLISH = "en"
FOLDERS = {"zh": "chinese"}
"""By language, the folder beside the functions that holds its files."""
LANGUAGES = (ENGLISH, *FOLDERS)
PHRASES = "phrases"
"""The file beside those of families: texts of roles, parameters and results, which many entries share, by the English text."""


def texts(entry: Description, language: str) -> dict[str, str]:
    """Returns the texts of an entry in one of `LANGUAGES`; in English if it is not translated."""
    translated = translation(entry, language) or {}
    return {name: translated.get(name, getattr(entry, name)) for name in FIELDS}


def reasons(entry: Description, language: str) -> Mapping[str, str]:
    """Returns why an entry suits each of its situations, in one of `LANGUAGES`; in English where it is not translated."""
    translated = translation(entry, language) or {}
    return {**entry.suits, **translated.get("suits", {})}


def translation(entry: Description, language: str) -> dict[str, Any] | None:
    """Returns what the file of a family says of an entry.

    These are its texts, its reasons under `suits`, and under `digest` that of the English ones.
    """
    if language not in FOLDERS:
        return None
    return _family(entry.package, FOLDERS[language], entry.family).get(entry.name)


def phrase(package: str, text: str, language: str) -> str:
    """Returns the text of a role, a parameter or a result in one of `LANGUAGES`; in English if it is not translated."""
    return phrases(package, language).get(text, text)


def phrases(package: str, language: str) -> Mapping[str, str]:
    """Returns what the entries of a package share, by the English text."""
    return _read(package, FOLDERS[language], PHRASES) if language in FOLDERS else {}


def digest(entry: Description) -> str:
    """Returns what changes whenever an English text of an entry does."""
    said = [getattr(entry, name) for name in FIELDS]
    english = "\0".join([*said, *(text for reason in entry.suits.items() for text in reason)])
    return hashlib.sha256(english.encode()).hexdigest()[:12]


@cache
def _family(package: str, folder: str, family: str) -> dict[str, dict[str, Any]]:
    entries = _read(package, folder, family)
    for entry in entries.values():
        entry.update({name: entry[name].strip() for name in FIELDS if name in entry})
    return entries


@cache
def _read(package: str, folder: str, name: str) -> dict[str, Any]:
    import tomllib  # whoever reads English needs none of its patterns

    spec = find_spec(package)  # which does not import it: that of losses loads torch
    assert spec is not None
    assert spec.origin is not None
    file = Path(spec.origin).parent / folder / f"{name}.toml"
    return tomllib.loads(file.read_text("utf-8")) if file.is_file() else {}
