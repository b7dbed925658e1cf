"""The fixture `lossmeter` turns gates into a test, in the process or at a service, and its failure shows the report."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.cli.test_commands import ENVIRONMENT
from tests.contracts.generated import ROOT

TESTS = """
import sys

import numpy as np
import pytest

LABELS = np.arange(200) % 2
PREDICTIONS = np.where(np.arange(200) % 10 == 0, 1 - LABELS, LABELS) * 0.8 + 0.1
SLICES = {"half": np.where(np.arange(200) < 100, "first", "second")}


def check(lossmeter, *gates, **more):
    return lossmeter.check(
        PREDICTIONS, LABELS, task="binary", predictions_are="probabilities", gates=gates, slices=SLICES, **more
    )


def test_gates_that_hold(lossmeter):
    report = check(lossmeter, "accuracy>=0.9", {"metric": "recall", "minimum": 0.7, "slice": "half"})
    assert report.metrics.accuracy.value == 0.9
    assert "torch" not in sys.modules


def test_a_gate_that_fails(lossmeter):
    check(lossmeter, "accuracy>=0.5", "recall@lower[half]>=0.99")


def test_a_loss(lossmeter):
    assert check(lossmeter, "binary_cross_entropy<=0.4").losses[0].value < 0.4


def test_labels_that_are_texts(lossmeter):
    texts = np.where(LABELS == 1, "yes", "no")
    lossmeter.check(texts, list(texts), task="binary", predictions_are="classes", gates=["accuracy>=1"])


def test_a_gate_that_is_none(lossmeter):
    with pytest.raises(Exception, match="accuracyy"):
        check(lossmeter, "accuracyy>=0.9")
"""


@pytest.mark.parametrize("where", ["process", "service"])
def test_gates_are_tests(tmp_path: Path, url: str, where: str) -> None:
    (tmp_path / "test_model.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text(
        f"[pytest]\nlossmeter_server = {url}\n" if where == "service" else "[pytest]\n"
    )
    command = [sys.executable, "-m", "pytest", "-p", "lossmeter", "-p", "no:cacheprovider", "-q"]
    alone = {**ENVIRONMENT, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # other plugins take seconds to load
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=alone, check=False)
    assert "1 failed, 4 passed" in done.stdout, done.stdout + done.stderr
    assert "1 of 2 gates failed:" in done.stdout
    assert "recall@lower[half]>=0.99: observed" in done.stdout
    assert "half = first: " in done.stdout
    assert "95% interval" in done.stdout
    assert "Traceback" not in done.stdout
    assert "pytest_plugin.py" not in done.stdout


def test_pytest_finds_the_plugin() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"lossmeter": "lossmeter.pytest_plugin"}
