"""Each example is a program of its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.examples.conftest import EXAMPLES
from tests.support.forks import fork

NAMES = sorted(path.stem for path in EXAMPLES.glob("*.py"))
PROGRAM = "import runpy, sys; sys.argv.pop(0); runpy.run_path(sys.argv[0], run_name='__main__')"


@pytest.mark.parametrize("name", NAMES)
def test_examples_run_from_the_command_line(url: str, name: str, tmp_path: Path) -> None:
    output = tmp_path / "output"
    process = fork(PROGRAM, [str(EXAMPLES / f"{name}.py"), "--url", url], os.environ, output)
    try:
        status = process.wait(300)
    finally:
        process.kill()
    assert status == 0, output.read_text()
    assert len(output.read_text().split()) > 50
