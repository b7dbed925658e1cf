"""Servers under measurement: each one alone on one core, with one thread of torch, and stopped while another is measured."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.benchmarks.load import Connection, Port, request

ROOT = Path(__file__).parents[2]
LITSERVE = ROOT / "build" / "litserve"
"""Where `make bench` installs LitServe, beside the environment rather than in it."""

CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE = CORES[0]
CLIENT_CORE = CORES[-1]

ENVIRONMENT = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "LOSSMETER_THREADS": "1", "LOSSMETER_DEVICE": "cpu"}
UVICORN = ("--no-access-log", "--no-server-header", "--log-level", "warning")


@dataclass(frozen=True, slots=True)
class Subject:
    """A server that can be started."""

    name: str
    command: tuple[str, ...]
    path: tuple[Path, ...] = (ROOT / "service", ROOT)
    health: str = "/healthz"
    unix: bool = False


def _rival(name: str, module: str, health: str = "/healthz") -> Subject:
    return Subject(name, ("-m", "uvicorn", f"tests.benchmarks.rivals.{module}:app", *UVICORN, "--port"), health=health)


SERVE = ("-c", "from lossmeter.cli import main; main()", "serve", "--log-level", "warning")
SERVICE = Subject("lossmeter", (*SERVE, "--port"), health="/readyz")
ASGI = Subject(
    "lossmeter under uvicorn alone",
    ("-m", "uvicorn", "lossmeter.api.app:create_app", "--factory", *UVICORN, "--port"),
    health="/readyz",
)
ON_SOCKET = Subject("lossmeter on a Unix socket", (*SERVE, "--uds"), health="/readyz", unix=True)
NAIVE = _rival("naive FastAPI", "naive")
HELLO = _rival("FastAPI hello world", "hello", "/")
ECHO = _rival("ASGI echo", "echo", "/")
LITSERVE_APP = Subject("LitServe", ("-m", "tests.benchmarks.rivals.litserve_app"), (ROOT, LITSERVE))


def settle(core: int) -> None:
    """This process on one core, before whatever else the machine does, where that is allowed."""
    os.sched_setaffinity(0, {core})
    with contextlib.suppress(OSError):
        if os.getsid(0) == os.getpid():
            # Linux weighs sessions against each other before it weighs the processes in them.
            Path("/proc/self/autogroup").write_text("-20")
            os.setpriority(os.PRIO_PROCESS, 0, -20)
        else:
            os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))


@contextlib.contextmanager
def spinning() -> Iterator[None]:
    """One process on each core that is always busy, and weighs as much as a server."""
    spinners = [
        subprocess.Popen(
            [sys.executable, "-c", "while True: pass"],
            start_new_session=True,
            preexec_fn=partial(settle, core),
        )
        for core in CORES
    ]
    try:
        yield
    finally:
        for spinner in spinners:
            spinner.kill()
            spinner.wait()


def present(subjects: Sequence[Subject]) -> list[Subject]:
    """Those that can be started here."""
    found = [subject for subject in subjects if LITSERVE not in subject.path or LITSERVE.is_dir()]
    if len(found) < len(subjects):
        print("LitServe: not installed (make bench installs it into build/litserve)", flush=True)
    return found


class Server:
    """A started server.

    Attributes:
        ready_seconds: from the start of the process to the first answer.
    """

    def __init__(self, subject: Subject, settings: dict[str, str] | None = None) -> None:
        self.subject = subject
        with alone():
            self.ready_seconds = self._start(settings or {})

    def _start(self, settings: dict[str, str]) -> float:
        self.port: Port = _free_path() if self.subject.unix else _free_port()
        path = os.pathsep.join(map(str, self.subject.path))
        begin = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, *self.subject.command, str(self.port)],
            env={**os.environ, **ENVIRONMENT, "PYTHONPATH": path, **settings},
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=lambda: settle(SERVER_CORE),
        )
        self._wait(begin + 120)
        return time.perf_counter() - begin

    def _wait(self, deadline: float) -> None:
        prepared = request("GET", self.subject.health)
        while time.perf_counter() < deadline:
            with contextlib.suppress(OSError), Connection(self.port) as connection:
                if connection.exchange(prepared).status == 200:
                    return
            if self.process.poll() is not None:
                raise RuntimeError(
                    f"{self.subject.name} ended with status {self.process.returncode} before it was ready"
                )
            time.sleep(0.002)
        self.end()
        raise TimeoutError(f"{self.subject.name} was not ready in time")

    def signal(self, number: signal.Signals) -> None:
        """To the server and all its processes."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def processor_seconds(self) -> float:
        """Processor time that the server and all its processes have used so far."""
        return sum(map(_used_nanoseconds, _family(self.process.pid))) / 1e9

    def end(self) -> None:
        self.signal(signal.SIGKILL)
        self.process.wait()

    @contextlib.contextmanager
    def running(self) -> Iterator[Port]:
        """Lets the server run for as long as it is measured; gives its port or socket."""
        with alone():
            self.signal(signal.SIGCONT)
            try:
                yield self.port
            finally:
                self.signal(signal.SIGSTOP)


@contextlib.contextmanager
def started(subjects: Sequence[Subject], settings: dict[str, str] | None = None) -> Iterator[list[Server]]:
    """Servers, stopped until they are measured."""
    servers: list[Server] = []
    try:
        for subject in subjects:
            servers.append(Server(subject, settings))
            servers[-1].signal(signal.SIGSTOP)
        yield servers
    finally:
        for server in servers:
            server.end()


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Lets no other run of the benchmarks on this machine measure at the same time; they take turns."""
    with (Path(tempfile.gettempdir()) / "lossmeter-benchmarks.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def pinned(core: int) -> Iterator[None]:
    """This thread on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _family(pid: int) -> Iterator[int]:
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from _family(int(child))


def _used_nanoseconds(pid: int) -> int:
    # Threads that have ended are missing here, but the servers keep theirs.
    return sum(int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _free_path() -> str:
    return str(Path(tempfile.mkdtemp(prefix="lossmeter-")) / "socket")
