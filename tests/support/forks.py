"""Processes that begin with torch and the service loaded: forks of one that has loaded them, which takes seconds."""

from __future__ import annotations

import atexit
import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from typing import Any, cast

PARENT = "from tests.support.forks import orders; exec(orders())"


class Fork:
    """A process, with what the tests use of `subprocess.Popen`."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = _parent().ask({"ended": self.pid})
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        begin = time.monotonic()
        while (status := self.poll()) is None:
            if timeout is not None and time.monotonic() - begin > timeout:
                raise subprocess.TimeoutExpired(f"fork {self.pid}", timeout)
            time.sleep(0.005)
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def fork(program: str, arguments: Sequence[str], environment: Mapping[str, str], output: Path | str) -> Fork:
    """Runs a program of Python, in a session of its own, as `python -u -c program arguments > output 2>&1` would.

    Args:
        environment: all of it. What is read while torch and the service are loaded, is that of this process.
    """
    order = {"program": program, "arguments": [*arguments], "environment": {**environment}, "output": str(output)}
    return Fork(_parent().ask({**order, "folder": str(Path.cwd())}))


class _Parent:
    """The process whose forks they are, as it is seen from here."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-c", PARENT],
            # A fork has only the thread that forked: no library may have begun others.
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        atexit.register(self._process.communicate)  # it ends where nobody can ask any more

    def ask(self, order: Mapping[str, Any]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        assert answer, "the process to fork from has ended"
        return json.loads(answer)


_parent = cache(_Parent)


def orders() -> str:
    """Forks for each order that comes, and says which process that is, or how one ended; returns its program in each fork."""
    from lossmeter.api.models.schemas import request_model
    from lossmeter.losses import LOSSES

    for name in ("lossmeter.cli.commands", "tests.support.service"):
        import_module(name)
    for loss in LOSSES.values():  # what the first application of a process takes a second for
        request_model(loss)
    assert len([*Path("/proc/self/task").iterdir()]) == 1, "threads are not forked"
    gc.freeze()
    for line in sys.stdin:
        order = json.loads(line)
        if "ended" in order:
            pid, status = os.waitpid(order["ended"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        elif answer := os.fork():
            pass
        else:
            _become(order)
            program: str = order["program"]
            return program
        print(json.dumps(answer), flush=True)  # noqa: T201
    return ""


def _become(order: Mapping[str, Any]) -> None:
    """Takes on the output, the environment and the arguments of an order."""
    os.setsid()
    for path, flags, numbers in (
        (order["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, (1, 2)),
        (os.devnull, os.O_RDONLY, (0,)),
    ):
        opened = os.open(path, flags)
        for number in numbers:
            os.dup2(opened, number)
        os.close(opened)
    cast(TextIOWrapper, sys.stdout).reconfigure(line_buffering=True)
    os.environ.clear()
    os.environ.update(order["environment"])
    os.chdir(order["folder"])
    tempfile.tempdir = None
    sys.argv = ["-c", *order["arguments"]]
