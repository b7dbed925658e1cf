"""The recipes for CI: their commands succeed where the gates hold, and fail where one does not."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from tests.contracts.generated import ROOT
from tests.examples.conftest import EXAMPLES
from tests.support.commands import in_process

FOLDER = EXAMPLES / "ci"
PAGE = (ROOT / "docs" / "ci.md").read_text()
INSTALLS = "pip install "
SHIMS = {"python": '"$@"', "lossmeter": '-c "from lossmeter.cli import main; main()" "$@"'}


def of_github() -> list[str]:
    (job,) = yaml.safe_load((FOLDER / "github.yml").read_text())["jobs"].values()
    return [step["run"] for step in job["steps"] if "run" in step]


def of_gitlab() -> list[str]:
    found: list[str] = yaml.safe_load((FOLDER / "gitlab-ci.yml").read_text())["model"]["script"]
    return found


def of_airflow() -> list[str]:
    tree = ast.parse((FOLDER / "airflow_dag.py").read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg == "bash_command"]
    return [ast.literal_eval(call.value) for call in calls]


def of_page() -> list[str]:
    return ["python predict.py", PAGE.partition("```bash\n")[2].partition("\n```")[0]]


def of_pytest() -> list[str]:
    found = re.search(r'^COMMAND = "(.*)"$', (FOLDER / "test_model.py").read_text(), re.MULTILINE)
    assert found is not None
    return ["python predict.py", found[1]]


RECIPES = (of_github, of_gitlab, of_airflow, of_page, of_pytest)
GATED = sorted({command for recipe in RECIPES for command in recipe() if command.startswith("lossmeter evaluate")})
"""Most recipes have the same command, which takes seconds to start."""


@pytest.fixture(scope="module")
def predicted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files of the examples, the commands that CI would have installed, and what the first step predicts."""
    folder = tmp_path_factory.mktemp("ci")
    for name in ("predict.py", "gates.json", "test_model.py"):
        shutil.copy(FOLDER / name, folder)
    (folder / "bin").mkdir()
    for name, arguments in SHIMS.items():
        shim = folder / "bin" / name
        shim.write_text(f"#!/bin/sh\nexec {sys.executable} {arguments}\n")
        shim.chmod(shim.stat().st_mode | stat.S_IEXEC)
    assert run("python predict.py", folder) == 0
    return folder


@pytest.fixture
def place(predicted: Path, tmp_path: Path) -> Path:
    """A copy of it, whose gates a test may change."""
    return Path(shutil.copytree(predicted, tmp_path / "ci"))


def run(command: str, place: Path) -> int:
    """As a runner does; returns the exit status."""
    path = f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT / "service")}
    command_line = ["bash", "-ec", command]
    return subprocess.run(command_line, cwd=place, env=environment, capture_output=True, check=False).returncode


def stricter(place: Path) -> None:
    """One gate more than the model can pass."""
    plan = json.loads((place / "gates.json").read_text())
    plan["gates"].append({"metric": "accuracy", "minimum": 0.9999})
    (place / "gates.json").write_text(json.dumps(plan))


def test_recipes_predict_and_then_evaluate() -> None:
    for recipe in RECIPES:
        commands = [command for command in recipe() if not command.startswith((INSTALLS, "echo"))]
        assert commands[0] == "python predict.py"
        assert [command for command in commands[1:] if command not in GATED] == []
        assert len(commands) == 2


@pytest.mark.parametrize("command", GATED)
def test_a_good_model_passes_and_another_does_not(place: Path, command: str) -> None:
    assert in_process(command, place).exit_code == 0
    if "gates.xml" in command:
        suites = ElementTree.parse(place / "gates.xml").getroot()
        assert (suites.get("tests"), suites.get("failures")) == ("3", "0")
    stricter(place)
    assert in_process(command, place).exit_code == 1


def test_in_pytest_the_command_that_airflow_runs_passes_and_fails_as_a_process(place: Path) -> None:
    assert of_pytest()[1] == of_airflow()[1]
    command = "python -m pytest -q -p no:cacheprovider test_model.py"
    assert run(command, place) == 0
    stricter(place)
    assert run(command, place) == 1


def test_every_file_is_used() -> None:
    used = {"predict.py", "gates.json", "test_model.py", "github.yml", "gitlab-ci.yml", "airflow_dag.py"}
    assert {path.name for path in FOLDER.iterdir() if path.is_file()} == used
    assert all(f"examples/ci/{name}" in PAGE for name in used)
