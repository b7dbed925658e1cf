"""The first requests in other languages: each of them finds what torch finds, reads where an error is, and obeys a gate."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from tests.examples.conftest import EXAMPLES

FOLDER = EXAMPLES / "languages"
COMMANDS = {
    "first_requests.mjs": ["node"],
    "FirstRequests.java": ["java"],
    "first_requests.go": ["go", "run"],
    "first_requests.sh": ["sh"],
}
LOGITS, LABEL = [[2.0, -1.0, 0.3]], torch.tensor([0])
REFUSED = "labels[0] is 7; expected class indices in [0, 2] or ignore_index, -100"
ACCURACY = 0.75
"""Of four samples the last is class 1, and its first score is the highest."""


def run(path: Path, url: str) -> subprocess.CompletedProcess[str]:
    """The output of an example, if its language is installed."""
    command = COMMANDS[path.name]
    needed = "curl" if command == ["sh"] else command[0]
    if shutil.which(needed) is None:
        pytest.skip(f"{needed} is not installed")
    if needed == "java" and shutil.which("javac") is None:
        pytest.skip("java is a runtime without its compiler")
    return subprocess.run([*command, path, url], capture_output=True, text=True, timeout=300, check=False)


def expected() -> tuple[float, list[float]]:
    """The loss and its gradient, as torch computes them."""
    logits = torch.tensor(LOGITS, dtype=torch.float64, requires_grad=True)
    loss = F.cross_entropy(logits, LABEL)
    (gradient,) = torch.autograd.grad(loss, logits)
    return loss.item(), gradient[0].tolist()


def test_every_example_is_run() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(COMMANDS)


@pytest.mark.parametrize("name", [name for name in COMMANDS if not name.endswith(".sh")])
def test_the_first_requests_find_what_torch_finds(url: str, name: str) -> None:
    done = run(FOLDER / name, url)
    assert done.returncode == 0, done.stderr
    loss, gradient = expected()
    numbers = " ".join(f"{number:.4f}" for number in gradient)
    lines = [f"loss {loss:.4f}", f"gradient {numbers}", f"refused /labels: {REFUSED}"]
    if name.endswith(".mjs"):
        lines.append(f"as bytes {loss:.4f} gradient {numbers}")
    assert done.stdout.splitlines() == [*lines, f"accuracy {ACCURACY:.4f} passed"]


def test_curl_shows_the_answers_as_they_are(url: str) -> None:
    done = run(FOLDER / "first_requests.sh", url)
    assert done.returncode == 0, done.stderr
    answer, problem, report = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    loss, gradient = expected()
    assert answer["value"] == pytest.approx(loss, rel=1e-6)
    assert answer["gradients"]["predictions"]["data"] == pytest.approx(gradient, rel=1e-5)
    assert problem["errors"] == [{"pointer": "/labels", "message": REFUSED, "index": [0]}]
    assert report["metrics"][0]["value"] == ACCURACY
    assert done.stdout.endswith("The gate holds.\n")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_gate_that_does_not_hold_is_a_failure(url: str, name: str, tmp_path: Path) -> None:
    text = (FOLDER / name).read_text()
    stricter = re.sub(r"0\.7(?= ?})", "0.8", text)
    assert stricter != text
    (tmp_path / name).write_text(stricter)
    done = run(tmp_path / name, url)
    assert done.returncode == 1
    assert "failed" in done.stdout or "does not hold" in done.stdout
