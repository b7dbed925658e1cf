"""The service as it is really started: processes of its own, on a free port."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from tests.support.devices import NAME
from tests.support.forks import Fork, fork
from tests.support.ports import reserve_port

PROGRAM = "from lossmeter.cli import main; main()"


class Service:
    """`lossmeter serve`, with whatever it writes.

    Attributes:
        process: the first of its processes.
        url: where it serves.
        log: the file of its output.
    """

    def __init__(self, process: subprocess.Popen[bytes] | Fork, url: str, log: Path) -> None:
        self.process = process
        self.url = url
        self.log = log

    @property
    def output(self) -> str:
        return self.log.read_text()

    def workers(self) -> list[int]:
        """The processes that serve, under a parent: those that it spawned, but for the tracker of resources."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]

    def stop(self, seconds: float = 60) -> int:
        """The exit status after SIGTERM."""
        self.process.terminate()
        return self.process.wait(seconds)


def wait_until(holds: Callable[[], object], what: str, seconds: float = 60, *, pause_seconds: float = 0.02) -> None:
    """Waits until something holds, asking after each pause.

    Raises:
        TimeoutError: if it does not in time.
    """
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(pause_seconds)


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def asked(url: str, path: str) -> tuple[int, str]:
    """The status and the text of an answer, (0, "") if there is none; for asking often, which is dear with httpx."""
    connection = HTTPConnection(url.removeprefix("http://"), timeout=5)
    with contextlib.suppress(OSError, HTTPException), contextlib.closing(connection):
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    return 0, ""


def ready(url: str) -> bool:
    status, _ = asked(url, "/readyz")
    return status == 200


def count_workers(url: str) -> int:
    """How many workers serve, as they say themselves."""
    shown = re.search(r"^lossmeter_workers (\d+)", asked(url, "/metrics")[1], re.MULTILINE)
    return int(shown[1]) if shown else 0


@contextmanager
def started(
    *arguments: str, program: str = PROGRAM, wait: bool = True, forked: bool = False, **environment: str
) -> Iterator[Service]:
    """A service that is ready; killed in the end, with all its workers, if it has not ended before.

    Args:
        arguments: of `lossmeter serve`.
        program: Python that runs instead of the command.
        wait: until it is ready.
        forked: from a process that has loaded torch and the service, which it else takes seconds to do; on the CPU alone.
        environment: more variables.
    """
    with tempfile.TemporaryDirectory(prefix="lossmeter-") as folder, reserve_port() as reserved:
        port = reserved.getsockname()[1]
        log = Path(folder, "log")
        given = {
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "LOSSMETER_DEVICE": NAME,
            "LOSSMETER_THREADS": "1",
            "LOSSMETER_STORE_URL": f"sqlite:///{folder}/runs.sqlite",
            **environment,
        }
        arguments = ("serve", "--port", str(port), *arguments)
        process: subprocess.Popen[bytes] | Fork
        if forked and NAME == "cpu":
            process = fork(program, arguments, {**os.environ, **given}, log)
        else:
            with log.open("wb") as output:
                process = subprocess.Popen(
                    [sys.executable, "-u", "-c", program, *arguments],
                    env={**os.environ, **given},
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        service = Service(process, f"http://127.0.0.1:{port}", log)
        try:
            if wait:
                wait_until(lambda: ready(service.url) or process.poll() is not None, "ready", 180)
                assert process.poll() is None, service.output
            yield service
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
            process.wait()
