"""What the README and the pages of the clients show is what happens."""

from __future__ import annotations

import json
import re
from pathlib import Path

import httpx
import pytest

from tests.contracts.answers import CURL
from tests.contracts.generated import ROOT

README = (ROOT / "README.md").read_text()
CLIENT = (ROOT / "docs" / "client.md").read_text()
CUSTOM = (ROOT / "docs" / "custom-losses.md").read_text()
OBJECTIVES = (ROOT / "docs" / "objectives.md").read_text()
CI = (ROOT / "docs" / "ci.md").read_text()
OPEN_INFERENCE = (ROOT / "docs" / "open-inference.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_the_first_request_gets_the_answer_that_is_shown(http: httpx.Client) -> None:
    request = CURL.search(README)
    assert request is not None
    loss, body = request.groups()
    given = http.post(f"/v1/losses/{loss}", content=body, headers={"Content-Type": "application/json"}).json()
    shown = json.loads(blocks("json")[0])
    assert list(shown) == list(given)
    for name in ("value", "sum"):
        assert shown.pop(name) == pytest.approx(given.pop(name))
    gradient = (shown["gradients"]["predictions"].pop("data"), given["gradients"]["predictions"].pop("data"))
    assert gradient[0] == pytest.approx(gradient[1])
    assert shown == given


@pytest.mark.parametrize(
    "program",
    [
        program
        for page in (README, CLIENT, OBJECTIVES, CUSTOM, CI, OPEN_INFERENCE)
        for program in blocks("python", page)
    ],
)
def test_the_programs_run(url: str, program: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "http://127.0.0.1:8000" in program
    exec(program.replace("http://127.0.0.1:8000", url), {})
    assert capsys.readouterr().out


def test_the_commands_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in ("README.md", "CONTRIBUTING.md"):
        commands = re.findall(r"^make ([a-z]+)", (ROOT / page).read_text(), re.MULTILINE)
        assert commands
        assert set(commands) <= targets


def broken_links(page: Path) -> list[str]:
    found = re.findall(r"\]\((?!https?:)([^)#\s]+)[^)]*\)", page.read_text())
    return [target for target in dict.fromkeys(found) if not (page.parent / target).exists()]


def test_links_lead_somewhere() -> None:
    broken = {str(page.relative_to(ROOT)): broken_links(page) for page in PAGES}
    assert {page: targets for page, targets in broken.items() if targets} == {}


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("[here](page.md#top) [there](gone.md) [far](https://example.org/gone)")
    assert broken_links(page) == ["gone.md"]
