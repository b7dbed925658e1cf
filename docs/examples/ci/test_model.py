"""The gates as a test: `pytest test_model.py`, after `python predict.py`."""

from __future__ import annotations

import shlex
import subprocess

COMMAND = "lossmeter evaluate predictions.csv --config gates.json --predictions probability --labels malignant"


def test_the_model_is_good_enough() -> None:
    done = subprocess.run(shlex.split(COMMAND), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
