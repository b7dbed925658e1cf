"""Whatever is generated from the OpenAPI document, the service keeps to it: no 5xx, no status or form that it does not name.

`make test-schema` runs all phases of schemathesis on all operations. This file by itself draws a few cases of each, and of the
operations of losses, which all have the same code and are posted their examples by other tests, takes every tenth.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lossmeter.database import Database
from lossmeter.keys import SqlKeys, issue
from lossmeter.losses import LOSSES
from tests.support.service import serving

ROOT = Path(__file__).parents[2]
CASES = int(os.environ.get("LOSSMETER_SCHEMA_CASES", "0"))
"""Cases of each operation in the phases that draw them; 0 for the short run."""
LEFT_TO_THE_LONG_RUN = "^(" + "|".join(name for number, name in enumerate(LOSSES) if number % 10) + ")$"


def checked(document: str | Path, url: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Runs schemathesis against a server, with all of its checks."""
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": "tests.api.fuzzing", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "schemathesis.cli", "--no-color", "run", str(document), "--url", url]
    fixed = [
        "--checks=all",
        "--generation-deterministic",
        "--continue-on-failure",
        "--warnings=off",
        "--request-timeout=60",
    ]
    fixed += [
        "--generation-with-security-parameters=false"
    ]  # the key is given; whether it is asked for is a check of its own
    return subprocess.run(
        [*command, *fixed, *options], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


def cases(output: str) -> int:
    """How many were sent."""
    found = re.search(r"(\d+) generated", output)
    return int(found[1]) if found else 0


def test_the_service_keeps_to_its_document(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    phases = "examples,coverage,fuzzing,stateful" if CASES else "examples,fuzzing,stateful"
    store = f"sqlite:///{tmp_path}/runs.sqlite"
    database = Database(store)
    keys = SqlKeys(database)
    key, token = issue("schemathesis", ["admin"])
    keys.all()
    keys.add(key)
    options = ["--phases", phases, "--max-examples", str(CASES or 3), "--header", f"Authorization: Bearer {token}"]
    options += [] if CASES else ["--exclude-operation-id-regex", LEFT_TO_THE_LONG_RUN]
    with serving(auth="required", store_url=store) as url:
        done = checked(f"{url}/openapi.json", url, *options)
    database.close()
    assert done.returncode == 0, done.stdout + done.stderr
    assert cases(done.stdout) > (20_000 if CASES >= 150 else 150)
    if CASES:
        with capsys.disabled():
            sys.stdout.write(done.stdout[done.stdout.find("Loaded specification") :])


def test_the_check_can_fail(url: str, tmp_path: Path) -> None:
    document = (ROOT / "openapi" / "openapi.json").read_text()
    altered = tmp_path / "openapi.json"
    altered.write_text(document.replace('"alive"', '"awake"'))
    done = checked(altered, url, "--include-operation-id=health", "--phases=fuzzing")
    assert done.returncode == 1
    assert "Response violates schema" in done.stdout
