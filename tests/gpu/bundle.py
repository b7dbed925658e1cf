"""What a machine needs beside Python, torch, numpy and scipy to run these tests: packages with the versions of constraints.txt.

`python -m tests.gpu.bundle 3.12` prints them as pip reads them. The closure is that of the packages that are installed here.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import requires

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.contracts.generated import ROOT
from tests.programs.hashes import pinned

PRESENT = ("numpy", "torch")
"""Packages that the machine has itself, and torch for its GPU; theirs are the versions that are tried."""
TESTING = (
    "hypothesis",
    "jsonschema",
    "mpmath",
    "open-inference-openapi",
    "pytest",
    "pytest-xdist",
    "safetensors",
    "scipy",
)
"""Those of the group `test` of pyproject.toml that these tests import."""
NOT_CARRIED = ("scipy",)
"""Large ones that a machine for computing has as well."""


def declared() -> list[Requirement]:
    """What pyproject.toml asks for: the service, and of its tests what these tests import."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = document["project"]
    service = [*project["dependencies"], *project["optional-dependencies"]["server"]]
    testing = [one for one in document["dependency-groups"]["test"] if Requirement(one).name in TESTING]
    return [Requirement(one) for one in (*service, *testing)]


def closure(roots: Iterable[Requirement], python: str) -> set[str]:
    """Names of the packages that these need on Linux with that version of Python, themselves included."""
    environment = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux"}
    environment |= {"platform_machine": "x86_64", "platform_system": "Linux", "os_name": "posix"}
    found: set[tuple[str, tuple[str, ...]]] = set()
    waiting = list(roots)
    while waiting:
        one = waiting.pop()
        key = (canonicalize_name(one.name), tuple(sorted(one.extras)))
        if key in found or key[0] in (*PRESENT, *NOT_CARRIED):
            continue
        if one.marker is not None and not one.marker.evaluate({**environment, "extra": ""}):
            continue
        found.add(key)
        waiting += _needs(key[0], ["", *one.extras], environment)
    return {name for name, _ in found}


def _needs(name: str, extras: Sequence[str], environment: dict[str, str]) -> Iterator[Requirement]:
    for text in requires(name) or ():
        one = Requirement(text)
        if one.marker is None or any(one.marker.evaluate({**environment, "extra": extra}) for extra in extras):
            one.marker = None
            yield one


def requirements(python: str = "3.12") -> list[str]:
    """The packages, each with its version."""
    versions = pinned()
    return sorted(f"{name}=={versions[name]}" for name in closure(declared(), python))


if __name__ == "__main__":
    sys.stdout.write("\n".join(requirements(*sys.argv[1:])) + "\n")
