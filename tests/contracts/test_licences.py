"""What others wrote and the package brings along has its licence beside it, and is named on the page of the image."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "service" / "lossmeter" / "web" / "static"
NAMES = {"katex": "KaTeX"}


def test_vendored_files_have_their_licence() -> None:
    page = (ROOT / "docs" / "deployment.md").read_text()
    built = {"console": STATIC / "console" / "LICENSES.txt", "report": STATIC / "console" / "LICENSES.txt"}
    assert {path.name for path in STATIC.iterdir() if path.is_dir()} == NAMES.keys() | built.keys()
    assert all(licences.stat().st_size > 500 for licences in built.values())
    for folder in NAMES:
        assert (STATIC / folder / "LICENSE").stat().st_size > 500
        assert NAMES[folder] in page


def test_the_version_that_the_page_names_is_the_one_that_is_there() -> None:
    page = (ROOT / "docs" / "deployment.md").read_text()
    version = page.partition("KaTeX ")[2].split()[0]
    assert f'"{version}"' in (STATIC / "katex" / "katex.min.js").read_text()
