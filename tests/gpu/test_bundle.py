"""What the bundle carries, and what the script runs, follows from pyproject.toml and from the tests that there are."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.contracts.generated import ROOT
from tests.gpu.__main__ import PARTS, SECONDS, Part
from tests.gpu.bundle import NOT_CARRIED, PRESENT, TESTING, requirements
from tests.gpu.reporting import counts
from tests.support.processes import wait_until


def test_the_bundle_has_what_pyproject_asks_for_with_its_versions() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    carried = {name: version for name, _, version in (line.partition("==") for line in requirements())}
    service = [*project["project"]["dependencies"], *project["project"]["optional-dependencies"]["server"]]
    testing = [one for one in project["dependency-groups"]["test"] if Requirement(one).name in TESTING]
    assert len(testing) == len(TESTING)
    for one in map(Requirement, (*service, *testing)):
        name = canonicalize_name(one.name)
        assert (name in carried) != (name in (*PRESENT, *NOT_CARRIED)), name
        assert name not in carried or one.specifier.contains(carried[name]), name
    assert not [name for name in carried if name.startswith(("nvidia", "cuda", "triton"))]


def test_the_parts_are_those_of_the_page_and_their_tests_exist() -> None:
    page = (ROOT / "docs" / "gpu.md").read_text()
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == list(PARTS)
    assert f"{SECONDS:.0f} seconds" in page
    assert all((ROOT / file).is_file() for part in PARTS.values() for file in part.tests)
    for part in PARTS.values():
        names = "\n".join((ROOT / file).read_text() for file in part.tests) + "".join(part.tests)
        assert all(word in names for word in part.select.split(" or ") if word), part.select


def test_the_page_names_the_oldest_torch() -> None:
    oldest = re.search(r'"torch>=([\d.]+),', (ROOT / "pyproject.toml").read_text())
    assert oldest is not None
    assert f"torch from {oldest[1]} on" in (ROOT / "docs" / "gpu.md").read_text()


def test_a_part_that_is_killed_has_told_what_it_tried(tmp_path: Path) -> None:
    tests, lines = tmp_path / "test_some.py", tmp_path / "lines"
    tests.write_text(TESTS)
    command = Part("", 0, (str(tests),)).command(lines, tmp_path / "result", quick=False)
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        wait_until(lambda: (tmp_path / "begun").exists(), "the test that does not end has begun")
        process.kill()
    found = counts(lines.read_text())
    assert (found["passed"], found["failed"], found["skipped"], found["unfinished"]) == (1, 2, 1, 1)
    assert [one["test"].rpartition("::")[2] for one in found["failures"]] == ["test_bad", "test_bad_at_the_end"]
    assert found["failures"][0]["message"] == "ValueError: no"
    assert "ValueError: no" in found["failures"][0]["end"]
    assert [one["reason"] for one in found["left_out"]] == ["Skipped: why"]
    assert [one.rpartition("::")[2] for one in found["at_work"]] == ["test_without_end"]


TESTS = """
import time
from pathlib import Path

import pytest

@pytest.fixture
def broken():
    yield
    raise KeyError

def test_good():
    pass

def test_bad():
    raise ValueError("no")

def test_left_out():
    pytest.skip("why")

def test_bad_at_the_end(broken):
    pass

def test_without_end():
    Path(__file__).with_name("begun").touch()
    time.sleep(600)
"""


@pytest.mark.parametrize("script", ["tests/gpu/run.sh"])
def test_the_script_is_one_of_bash(script: str) -> None:
    subprocess.run(["bash", "-n", ROOT / script], check=True)
