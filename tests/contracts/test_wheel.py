"""What is shipped: the wheel as it is built."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import lossmeter
from lossmeter.cli import catalogue
from tests.contracts.generated import DOCUMENT, ROOT

PACKAGE = Path(lossmeter.__file__).parent
GUIDES = ROOT / "docs"
OPENAPI = "lossmeter/cli/openapi.json"
BUILD = (
    "-m",
    "pip",
    "wheel",
    "--quiet",
    "--no-deps",
    "--no-build-isolation",
    "--no-index",
    "--disable-pip-version-check",
)


def _files_of(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, *BUILD, "--wheel-dir", folder, ROOT], check=True, timeout=120)
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


@pytest.fixture(scope="module")
def names(wheel: zipfile.ZipFile) -> set[str]:
    return set(wheel.namelist())


def test_there_is_one_package_and_nothing_beside_it(names: set[str]) -> None:
    tops = {name.partition("/")[0] for name in names}
    assert tops == {"lossmeter", f"lossmeter-{lossmeter.__version__}.dist-info"}


def test_every_file_of_the_package_is_in_the_wheel(names: set[str]) -> None:
    files = {
        f"lossmeter/{path.relative_to(PACKAGE).as_posix()}" for path in _files_of(PACKAGE) if "source" not in path.parts
    }
    assert {
        "lossmeter/py.typed",
        "lossmeter/losses/vectors/huber.json",
        "lossmeter/web/static/console/main.js",
    } <= files
    guides = {f"lossmeter/web/guides/{path.relative_to(GUIDES).as_posix()}" for path in _files_of(GUIDES)}
    assert "lossmeter/web/guides/index.md" in guides
    assert {name for name in names if name.startswith("lossmeter/")} == files | guides | {OPENAPI}


def test_the_command_prints_the_document_of_the_wheel(wheel: zipfile.ZipFile) -> None:
    assert f"lossmeter/{catalogue.SHIPPED.relative_to(PACKAGE).as_posix()}" == OPENAPI
    assert wheel.read(OPENAPI) == (ROOT / DOCUMENT).read_bytes()


def test_the_metadata_are_complete(wheel: zipfile.ZipFile) -> None:
    folder = f"lossmeter-{lossmeter.__version__}.dist-info"
    metadata = Parser().parsestr(wheel.read(f"{folder}/METADATA").decode())
    assert metadata["Version"] == lossmeter.__version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata.get_payload().startswith("# lossmeter")  # type: ignore[union-attr]
    assert f"{folder}/licenses/LICENSE" in wheel.namelist()
    assert "lossmeter = lossmeter.cli:main" in wheel.read(f"{folder}/entry_points.txt").decode()


def test_the_client_needs_httpx_and_numpy_and_the_extra_brings_the_rest(wheel: zipfile.ZipFile) -> None:
    metadata = Parser().parsestr(wheel.read(f"lossmeter-{lossmeter.__version__}.dist-info/METADATA").decode())
    requirements = metadata.get_all("Requires-Dist") or []
    base = {re.split(r"[<>=]", one)[0] for one in requirements if "extra ==" not in one}
    extra = {re.split(r"[<>=]", one)[0] for one in requirements if "extra == 'server'" in one.replace('"', "'")}
    assert base == {"httpx", "numpy"}
    assert {"torch", "fastapi", "uvicorn"} <= extra
