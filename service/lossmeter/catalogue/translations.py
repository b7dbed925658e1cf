"""Texts of entries in other languages than English: a file for each family beside the functions, read when first asked for."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files

from lossmeter.catalogue.entries import Entry

FIELDS = ("summary", "explanation", "use_when", "avoid_when")
"""The fields of an entry that are translated."""
ENGLISH = "en"
FOLDERS = {"zh": "chinese"}
"""By language, the folder beside the functions that holds its files."""
LANGUAGES = (ENGLISH, *FOLDERS)


def texts(entry: Entry, language: str) -> dict[str, str]:
    """Returns the texts of an entry in one of `LANGUAGES`; in English if it is not translated."""
    translated = translation(entry, language) or {}
    return {name: translated.get(name, getattr(entry, name)) for name in FIELDS}


def translation(entry: Entry, language: str) -> dict[str, str] | None:
    """Returns what the file of a family says of an entry: its texts, and under `digest` that of the English ones."""
    if language not in FOLDERS:
        return None
    return _family(entry.function.__module__.rpartition(".")[0], FOLDERS[language], entry.family).get(entry.name)


def digest(entry: Entry) -> str:
    """Returns what changes whenever an English text of an entry does."""
    english = "\0".join(getattr(entry, name) for name in FIELDS)
    return hashlib.sha256(english.encode()).hexdigest()[:12]


@cache
def _family(package: str, folder: str, family: str) -> dict[str, dict[str, str]]:
    import tomllib  # whoever reads English needs none of its patterns

    file = files(package) / folder / f"{family}.toml"
    if not file.is_file():
        return {}
    entries = tomllib.loads(file.read_text("utf-8"))
    return {name: {key: text.strip() for key, text in entry.items()} for name, entry in entries.items()}
