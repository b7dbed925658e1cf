"""What the fuzzers look for holds for every input of their corpus; `make fuzz` goes on from there."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import pytest

import tests.programs.fuzz
from lossmeter.wire._rectangle import Rectangle
from tests.programs.fuzz.targets import TARGETS

CORPUS = Path(tests.programs.fuzz.__file__).with_name("corpus")
FILES = {target: sorted((CORPUS / target).iterdir()) for target in TARGETS}


@pytest.mark.parametrize("target", TARGETS)
def test_no_input_of_the_corpus_breaks_a_decoder(target: str) -> None:
    for file in FILES[target]:
        try:
            TARGETS[target](file.read_bytes())
        except Exception as error:
            error.add_note(f"{file.relative_to(CORPUS)} did this")
            raise


def test_a_decoder_that_takes_any_shape_is_found_out() -> None:
    def read_all() -> None:
        for file in FILES["json"]:
            TARGETS["json"](file.read_bytes())

    with mock.patch.object(Rectangle, "_check"), pytest.raises(AssertionError, match=r"small: .*; large: "):
        read_all()


def test_every_folder_of_the_corpus_has_a_target() -> None:
    assert {folder.name for folder in CORPUS.iterdir()} == set(TARGETS)
