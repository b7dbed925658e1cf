"""The commands and programs of the README and of the tutorials do what is printed, on the sample file of the repository."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.contracts.generated import ROOT
from tests.support.commands import in_process

TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "docs" / "evaluation.md", ROOT / "docs" / "chinese.md", *TUTORIALS]
LOCAL = "http://127.0.0.1:8000"
SAMPLE = "docs/examples/predictions.csv"


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)


def commands(page: Path) -> list[str]:
    """The commands of a page that need no installation, each in one line, in their order."""
    lines = "".join(blocks(page, "bash")).replace("\\\n", " ").splitlines()
    wanted = (
        "lossmeter evaluate",
        ".venv/bin/lossmeter evaluate",
        ".venv/bin/lossmeter runs",
        ".venv/bin/lossmeter keys",
    )
    shown = [line for line in lines if line.startswith(wanted) or "/readyz" in line or "--data-binary" in line]
    return [line for line in shown if "docs/examples/" in line or "evaluate" not in line]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder that looks like a clone."""
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    return tmp_path


def run(command: str, place: Path) -> str:
    if command.split()[0].endswith("lossmeter"):
        of_ours = in_process(
            command, place, LOSSMETER_STORE_URL=f"sqlite:///{place}/keys.sqlite", LOSSMETER_DEVICE="cpu"
        )
        assert of_ours.exit_code == 0, (command, of_ours.output)
        return of_ours.output
    done = subprocess.run(["bash", "-ec", command], cwd=place, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_do_what_is_printed(page: Path, place: Path, url: str) -> None:
    for text in blocks(page, "json"):
        if '"gates"' in text and '"slices": ["country"]' in text:
            (place / "gates.json").write_text(text)
    shown = [
        run(command.replace(LOCAL, url).replace("runs list", f"runs list --server {url}"), place)
        for command in commands(page)
    ]
    assert shown or not blocks(page, "bash") or page.stem in ("java", "researcher")
    assert all("FAILED" not in text for text in shown)
    if page.stem == "ci":
        suites = ElementTree.parse(place / "gates.xml").getroot()
        assert suites.get("failures") == "0"
        assert int(suites.get("tests", "0")) >= 1


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_the_programs_run(page: Path, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    for program in blocks(page, "python"):
        exec(program.replace(LOCAL, url), {})
        assert capsys.readouterr().out


@pytest.mark.skipif(shutil.which("java") is None, reason="needs a JDK")
def test_the_program_in_java_gives_a_verdict(place: Path, url: str) -> None:
    (program,) = blocks(ROOT / "docs" / "tutorials" / "java.md", "java")
    (place / "Gate.java").write_text(program)
    assert 'failures="0"' in run(f"java Gate.java {url} {SAMPLE}", place)
