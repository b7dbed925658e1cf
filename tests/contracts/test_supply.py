"""What the image installs: files by hash, in the versions that tests run with; an audit that says where it could not look."""

from __future__ import annotations

import re
from typing import Any

import pytest
from packaging.requirements import Requirement

from tests.gpu.bundle import closure
from tests.programs import audit, hashes

LINE = re.compile(r"(\S+)==(\S+) \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)")


def listed(name: str) -> dict[str, str]:
    """Versions by package; the file has nothing else in it."""
    text = (hashes.FOLDER / f"{name}.txt").read_text()
    lines = text.partition(".\n")[2].partition(".\n")[2]
    assert LINE.sub("", lines) == ""
    return {package: version for package, version, _ in LINE.findall(lines)}


@pytest.mark.parametrize("name", ["cpu", "cuda", "build", *sorted(hashes.declared().keys() - {"", "server"})])
def test_the_image_installs_the_versions_that_tests_run_with(name: str) -> None:
    versions = {package: version.removesuffix("+cpu") for package, version in listed(name).items()}
    assert versions.items() <= hashes.pinned().items()


@pytest.mark.parametrize("extra", ["server", *sorted(hashes.declared().keys() - {"", "server"})])
@pytest.mark.parametrize("variant", hashes.VARIANTS)
def test_all_that_is_needed_has_a_hash(variant: str, extra: str) -> None:
    """By what the installed packages say that they need: a requirement that was added without `make hashes` is missing."""
    declared = hashes.declared()
    needed = closure(map(Requirement, (*declared[""], *declared[extra])), hashes.PYTHON)
    files = listed(variant) | (listed(extra) if extra != "server" else {})
    assert needed | {"torch", "numpy"} <= files.keys()


def test_torch_is_the_build_of_the_variant() -> None:
    assert listed("cpu")["torch"].endswith("+cpu")
    assert "+" not in listed("cuda")["torch"]


PACKAGE = {"name": "alembic", "version": "1.0"}


@pytest.mark.parametrize(
    ("packages", "expected"),
    [
        ([PACKAGE | {"vulns": []}], []),
        ([PACKAGE | {"skip_reason": "not found"}], ["could not look: 1 of 1 packages were passed over (not found)"]),
        (
            [PACKAGE | {"vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1"]}]}],
            ["alembic 1.0: PYSEC-1, mended in 1.1"],
        ),
        ([], ["could not look: there are no packages"]),
    ],
)
def test_an_audit_that_could_not_look_is_none(packages: list[dict[str, Any]], expected: list[str]) -> None:
    assert list(audit.flaws_of_audit({"dependencies": packages})) == expected


@pytest.mark.parametrize(
    ("licences", "expected"),
    [
        ([{"license": {"id": "MIT"}}], []),
        ([{"expression": "MPL-2.0 AND (Apache-2.0 OR MIT)"}], []),
        ([{"license": {"name": "License :: OSI Approved :: BSD License"}}], []),
        ([{"expression": "MIT AND GPL-3.0-only"}], ["alembic 1.0: GPL-3.0-only"]),
        ([{"license": {"name": "proprietary"}}], ["alembic 1.0: proprietary"]),
        ([], ["alembic 1.0: no licence"]),
    ],
)
def test_a_licence_that_is_not_known_is_told(licences: list[dict[str, Any]], expected: list[str]) -> None:
    assert list(audit.flaws_of_bill({"components": [PACKAGE | {"licenses": licences}]})) == expected


def test_what_is_vendored_has_its_licence() -> None:
    found = dict(audit.vendored())
    assert {name for name, files in found.items() if not files} <= {"report"}  # built of what the console is built of
    assert found["katex"] == "LICENSE"
