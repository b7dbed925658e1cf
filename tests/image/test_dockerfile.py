from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.image.building import ROOT

HADOLINT = (str(Path(sys.executable).with_name("hadolint")), "--no-color", "-")


def complaints(text: str) -> str:
    return subprocess.run(HADOLINT, input=text, text=True, stdout=subprocess.PIPE).stdout


def test_hadolint_has_no_complaints() -> None:
    assert complaints((ROOT / "docker" / "Dockerfile").read_text()) == ""


def test_hadolint_can_complain() -> None:
    assert "DL3007" in complaints("FROM python:latest\n")
