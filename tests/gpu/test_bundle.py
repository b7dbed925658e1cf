"""What the bundle carries, and what the script runs, follows from pyproject.toml and from the tests that there are."""

from __future__ import annotations

import re
import subprocess
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.contracts.generated import ROOT
from tests.gpu.__main__ import PARTS, SECONDS, counts
from tests.gpu.bundle import NOT_CARRIED, PRESENT, TESTING, requirements


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


def test_failures_are_counted_and_named() -> None:
    report = (
        '<testsuites><testsuite><testcase classname="c" name="good"/><testcase classname="c" name="bad">'
        '<failure message="no">trace</failure></testcase><testcase classname="c" name="out"><skipped message="why"/>'
        "</testcase></testsuite></testsuites>"
    )
    found = counts(report)
    assert (found["passed"], found["failed"], found["skipped"]) == (1, 1, 1)
    assert found["failures"] == [{"test": "c::bad", "message": "no", "end": "trace"}]


@pytest.mark.parametrize("script", ["tests/gpu/run.sh"])
def test_the_script_is_one_of_bash(script: str) -> None:
    subprocess.run(["bash", "-n", ROOT / script], check=True)
