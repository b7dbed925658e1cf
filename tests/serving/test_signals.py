from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

LISTENING = "Application startup complete"
PROGRAM = "from lossmeter.cli import main; main()"


@contextmanager
def command(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "LOSSMETER_DEVICE": "cpu"}
    with subprocess.Popen(
        [sys.executable, "-u", "-c", PROGRAM, "serve", "--port", "0", *arguments],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdout is not None
    assert any(text in line for line in process.stdout), "it ended before"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [((), LISTENING), ((), "lossmeter: API"), (("--workers", "2"), LISTENING)],
    ids=["serving", "starting", "several workers"],
)
def test_a_server_that_is_told_to_stop_ends_without_an_error(arguments: tuple[str, ...], line: str) -> None:
    with command(*arguments) as process:
        wait_for(process, line)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
