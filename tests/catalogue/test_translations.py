"""Every text of the catalogue is there in Chinese, and says what the English text says now."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from importlib.resources import files

import pytest

from lossmeter.catalogue import Entry
from lossmeter.catalogue.translations import (
    ENGLISH,
    FIELDS,
    FOLDERS,
    LANGUAGES,
    PHRASES,
    digest,
    phrase,
    phrases,
    texts,
    translation,
)
from lossmeter.losses import LOSSES, Loss
from lossmeter.metrics import METRICS
from tests.contracts.compatibility import ROOT

ENTRIES: list[Entry] = [*LOSSES.values(), *METRICS.values()]
PACKAGES = {"lossmeter.losses": LOSSES, "lossmeter.metrics": METRICS}
CODE = re.compile(r"`[^`]+`")
LATEX = re.compile(r"\$[^$]+\$")
HAN = re.compile(r"[\u4e00-\u9fff]")
LATIN_MARK = re.compile(r"[\u4e00-\u9fff][,;?!]")
"""A mark of punctuation of English behind a Chinese character."""


def flaws(entry: Entry, language: str) -> list[str]:
    """What is wrong with the translation of an entry."""
    translated = translation(entry, language)
    if translated is None:
        return ["is not translated"]
    said = {name: (getattr(entry, name), translated.get(name, "")) for name in FIELDS}
    said |= {f"suits.{one}": (why, translated.get("suits", {}).get(one, "")) for one, why in entry.suits.items()}
    found = [f"has no {name}" for name, (_, theirs) in said.items() if not HAN.search(theirs)]
    if translated.get("digest") != digest(entry):
        found.append(f'translates another English text: bring it up to date, and then say digest = "{digest(entry)}"')
    for name, (ours, theirs) in said.items():
        found += [
            f"{name} does not name {word}" for word in sorted(set(CODE.findall(ours)) - set(CODE.findall(theirs)))
        ]
        found += [f"{name} has {mark!r}" for mark in LATIN_MARK.findall(theirs)]
    return found


@pytest.mark.parametrize("language", FOLDERS)
def test_nothing_is_untranslated_or_stale(language: str) -> None:
    assert {entry.name: found for entry in ENTRIES if (found := flaws(entry, language))} == {}


@pytest.mark.parametrize("folder", FOLDERS.values())
@pytest.mark.parametrize("package", PACKAGES)
def test_nothing_is_translated_that_is_not_there(package: str, folder: str) -> None:
    for file in files(package).joinpath(folder).iterdir():
        if file.name == f"{PHRASES}.toml":
            continue
        translated = tomllib.loads(file.read_text("utf-8"))
        members = {entry.name for entry in PACKAGES[package].values() if f"{entry.family}.toml" == file.name}
        assert set(translated) == members
        assert all(set(one) - {"suits"} == {"digest", *FIELDS} for one in translated.values())
        assert all(set(one.get("suits", ())) == set(PACKAGES[package][name].suits) for name, one in translated.items())


def test_a_changed_english_text_and_a_missing_one_are_found() -> None:
    assert len(flaws(replace(LOSSES["huber"], use_when="never"), "zh")) == 1
    assert flaws(replace(LOSSES["huber"], avoid_when="take `pinball`"), "zh")[1:] == [
        "avoid_when does not name `pinball`"
    ]
    assert flaws(replace(LOSSES["huber"], name="hubert"), "zh") == ["is not translated"]
    assert len(flaws(replace(LOSSES["huber"], suits={"outliers": "They count less."}), "zh")) == 1
    assert flaws(replace(LOSSES["huber"], suits={"counts": "Why not?"}), "zh")[0] == "has no suits.counts"


def said_by(entry: Entry) -> set[str]:
    """The texts of the roles, parameters and results of an entry."""
    tensors = entry.tensors if isinstance(entry, Loss) else ()
    meanings = {role.meaning.description for tensor in tensors for role in tensor.options}
    described = {one.description for one in (*tensors, *entry.parameters)}
    return (meanings | described | {entry.returns, entry.mean_note if isinstance(entry, Loss) else ""}) - {""}


@pytest.mark.parametrize("language", FOLDERS)
@pytest.mark.parametrize("package", PACKAGES)
def test_what_is_said_of_roles_parameters_and_results_is_translated_and_nothing_else(
    package: str, language: str
) -> None:
    translated = phrases(package, language)
    assert translated.keys() == {text for entry in PACKAGES[package].values() for text in said_by(entry)}
    for ours, theirs in translated.items():
        assert HAN.search(theirs), ours
        assert not LATIN_MARK.search(theirs), theirs
        for kept in (CODE, LATEX):
            assert set(kept.findall(ours)) <= set(kept.findall(theirs)), ours


def test_what_is_not_translated_is_in_english() -> None:
    assert phrase("lossmeter.losses", "no such text", "zh") == "no such text"
    entry = replace(LOSSES["huber"], name="hubert")
    assert texts(entry, "zh") == texts(entry, ENGLISH) == {name: getattr(entry, name) for name in FIELDS}


def test_explanations_keep_their_paragraphs() -> None:
    for entry in ENTRIES:
        counts = {len(texts(entry, language)["explanation"].split("\n\n")) for language in LANGUAGES}
        assert len(counts) == 1, entry.name


def test_the_page_in_chinese_chooses_among_losses_that_exist() -> None:
    page = (ROOT / "docs" / "chinese.md").read_text()
    choices = page.partition("常见的选择")[2].partition("全部损失函数")[0]
    named = set(re.findall(r"`(\w+)`", choices))
    assert len(named) > 20
    assert named <= set(LOSSES)
