"""`lossmeter evaluate` at a terminal: a bar on the way, a line when it is interrupted; and neither where nobody watches."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lossmeter.client import Client

PIECES = "import lossmeter.wire.tables as tables; tables.ROWS = 1000; tables.BLOCK_BYTES = 20_000; "
COMMAND = [sys.executable, "-c", PIECES + "from lossmeter.cli import main; main()", "evaluate"]
OPTIONS = [
    "--task",
    "regression",
    "--predictions",
    "p",
    "--labels",
    "y",
    "--metric",
    "mse",
    "--replicates",
    "0",
    "--json",
]
HEAD = b"p,y\n"
ROWS = b"1.5,1.0\n" * 5000


class Terminal:
    """A pseudo-terminal, and what was shown on it so far."""

    def __init__(self) -> None:
        self.ours, self.theirs = pty.openpty()
        self.shown = b""
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while True:
            try:
                piece = os.read(self.ours, 4096)
            except OSError:
                return
            self.shown += piece

    def shows(self, wanted: bytes) -> None:
        """Waits until it does."""
        deadline = time.monotonic() + 120
        while not re.search(wanted, self.shown):
            assert time.monotonic() < deadline, self.shown
            time.sleep(0.02)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    made = Terminal()
    yield made
    os.close(made.theirs)


def start(path: Path, terminal: Terminal, *more: str) -> subprocess.Popen[bytes]:
    command = [*COMMAND, str(path), *OPTIONS, *more]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=terminal.theirs, env={**os.environ, "TERM": "xterm"}
    )


def test_a_bar_is_shown_at_a_terminal_and_nothing_of_it_is_printed(tmp_path: Path, terminal: Terminal) -> None:
    path = tmp_path / "d.csv"
    path.write_bytes(HEAD + ROWS * 40)
    process = start(path, terminal)
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 0, terminal.shown
    assert json.loads(output)["samples"] == 200_000
    terminal.shows(rb"[\d,]+ rows")
    terminal.shows(rb"\d %")
    assert b"\x1b[" in terminal.shown


def test_in_a_pipe_there_is_no_bar(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_bytes(HEAD + ROWS)
    result = subprocess.run([*COMMAND, str(path), *OPTIONS], capture_output=True, timeout=200, check=True)
    assert result.stderr == b""
    assert json.loads(result.stdout)["samples"] == 5000


def test_an_interruption_ends_with_a_line(tmp_path: Path, terminal: Terminal) -> None:
    path = tmp_path / "d.csv"
    path.write_bytes(HEAD + ROWS * 1000)
    process = start(path, terminal)
    terminal.shows(rb"[\d,]+ rows")
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=200)
    assert (process.returncode, output) == (130, b"")
    terminal.shows(rb"Interrupted\.")
    assert b"Traceback" not in terminal.shown


def test_an_interruption_names_the_run_that_it_leaves(tmp_path: Path, terminal: Terminal, url: str) -> None:
    path = tmp_path / "d.csv"
    path.write_bytes(HEAD + ROWS * 1000)
    process = start(path, terminal, "--server", url)
    terminal.shows(rb"[1-9][\d,]* rows")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=200)
    assert process.returncode == 130, terminal.shown
    terminal.shows(rb"lossmeter runs delete \S+\s")
    found = re.search(rb"Run ([0-9a-f-]{36}) holds the first ([\d,]+) rows", terminal.shown)
    assert found is not None, terminal.shown
    with Client(url) as client:
        kept = client.attach(found[1].decode()).report()
    assert kept["run"]["closed"] is None
    assert kept["samples"] >= int(found[2].replace(b",", b"")) > 0
