"""Certificates for 127.0.0.1."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


def certificate_in(folder: Path) -> Path:
    """A certificate that has signed itself, `certificate.pem`; `key.pem` stands beside it."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    made = folder / "certificate.pem"
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    names = ("-subj", "/CN=lossmeter", "-addext", "subjectAltName=IP:127.0.0.1")
    files = ("-keyout", str(folder / "key.pem"), "-out", str(made))
    subprocess.run(["openssl", "req", "-x509", "-days", "2", *curve, *names, *files], check=True, capture_output=True)
    return made
