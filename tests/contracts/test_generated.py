"""What is generated is current, and the comparison can tell."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contracts import generated, pages


def test_generated_files_are_current() -> None:
    assert list(generated.stale()) == [], "run `make sync`"


def test_the_last_digit_of_a_computed_number_may_differ() -> None:
    assert generated.same('"value": 0.08173207193613052', '"value": 0.08173207193613049')
    assert generated.same("[-0.16207847, 1e-08]", "[-0.16207846, 1.0e-08]")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"value": 0.08173207193613052', '"value": 0.08173407193613052'),
        ('"value": 0.08173207193613052', '"sum": 0.08173207193613052'),
        ("1.5", "1.6"),
        ("at least 0", "at least 1"),
        ("[0.12345678]", "[0.12345678, 0.12345678]"),
    ],
)
def test_any_other_difference_counts(old: str, new: str) -> None:
    assert not generated.same(old, new)


def test_what_is_missing_changed_or_left_over_is_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / generated.LOSS_PAGES
    folder.mkdir(parents=True)
    for name in ("kept", "changed", "left_over"):
        (folder / f"{name}.md").write_text(name)
    texts = {"kept": "kept", "changed": "new", "added": "new"}
    expected = {generated.LOSS_PAGES / f"{name}.md": text for name, text in texts.items()}
    monkeypatch.setattr(generated, "ROOT", tmp_path)
    monkeypatch.setattr(generated, "files", lambda: expected)
    assert {path.stem for path in generated.stale()} == {"changed", "added", "left_over"}
    generated.write()
    assert list(generated.stale()) == []
    assert {path.stem for path in folder.iterdir()} == {"kept", "changed", "added"}


def test_a_missing_marker_is_an_error() -> None:
    text = "<!-- generated: part -->\nold\n<!-- end of part -->\n"
    assert pages.filled(text, {"part": "new"}) == text.replace("old", "new")
    with pytest.raises(ValueError, match="markers"):
        pages.filled(text, {"other": "new"})
