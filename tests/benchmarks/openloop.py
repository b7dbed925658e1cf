"""A load that does not wait for answers: requests are due at their times, whatever the server does.

In a process of its own: `python -m tests.benchmarks.openloop` takes a pickled `Load` from standard input and writes the pickled
list of `Sent` to standard output.
"""

from __future__ import annotations

import contextlib
import itertools
import pickle
import random
import select
import socket
import subprocess
import sys
import time
from collections import deque
from dataclasses import dataclass, field

from tests.benchmarks.load import content_length
from tests.benchmarks.servers import settle

COUNTER = b"@@@@@@@@"
"""Stands in a PUT for a number of eight digits that no other request of the load has."""
FRESH_SECONDS = 2.0
"""A connection that has been idle for longer is not used again: the server may be about to close it."""
NO_ANSWER, RESET, REFUSED = 0, -1, -2


@dataclass(frozen=True, slots=True)
class Load:
    """What is sent.

    Attributes:
        requests: prepared, each with its name and its share of the whole.
        rate: how many are due in a second; the gaps between them are exponentially distributed.
        connections: the most that are open.
        waits: whether a request that finds all of them busy waits for one, from when it was due; if not, it is never sent, and
            appears nowhere in what is found.
        patience: seconds that are waited for answers at the end.
        core: that the process is bound to, if any.
        first: the number from which requests are counted.
    """

    port: int
    requests: list[tuple[str, bytes, float]]
    rate: float
    seconds: float
    connections: int = 1000
    waits: bool = True
    patience: float = 15.0
    core: int | None = None
    seed: int = 0
    first: int = 0


@dataclass(frozen=True, slots=True)
class Sent:
    """A request: when it was due, in seconds from the start; how long its answer took from then; its status, or why none."""

    name: str
    due: float
    seconds: float
    status: int

    @property
    def end(self) -> float:
        return self.due + self.seconds


@dataclass(slots=True)
class _Connection:
    socket: socket.socket
    name: str = ""
    due: float = 0.0
    rest: memoryview = field(default_factory=lambda: memoryview(b""))
    head: bytes = b""
    missing: int = -1
    status: int = 0
    closes: bool = False
    blocked: bool = False
    since: float = 0.0


class Driver:
    """Sends a load and notes what came of it."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.poll = select.epoll()
        self.counter = itertools.count(load.first)
        self.open: dict[int, _Connection] = {}
        self.idle: deque[_Connection] = deque()
        self.done: list[Sent] = []
        self.waiting: deque[tuple[float, str, bytes]] = deque()

    def run(self) -> list[Sent]:
        load = self.load
        rng = random.Random(load.seed)
        names = [(name, prepared) for name, prepared, _ in load.requests]
        weights = [weight for *_, weight in load.requests]
        self.begin = time.perf_counter()
        due = rng.expovariate(load.rate)
        while (now := time.perf_counter() - self.begin) < load.seconds + load.patience:
            while due <= now and due < load.seconds:
                if load.waits or len(self.waiting) < len(self.idle) + load.connections - len(self.open):
                    (chosen,) = rng.choices(names, weights)
                    self.waiting.append((due, *chosen))
                due += rng.expovariate(load.rate)
            while self.waiting and (self.idle or len(self.open) < load.connections):
                self._send(*self.waiting.popleft())
            if due >= load.seconds and not self.waiting and len(self.idle) == len(self.open):
                break
            for number, events in self.poll.poll(max(0.0, min(due - now, 0.05))):
                self._handle(self.open.get(number), events)
        end = time.perf_counter() - self.begin
        idle = {id(one) for one in self.idle}
        unanswered = [(one.due, one.name) for one in self.open.values() if id(one) not in idle]
        unanswered += [(due, name) for due, name, _ in self.waiting]
        return self.done + [Sent(name, due, end - due, NO_ANSWER) for due, name in unanswered]

    def _send(self, due: float, name: str, prepared: bytes) -> None:
        while self.idle and time.perf_counter() - self.idle[0].since > FRESH_SECONDS:
            self._drop(self.idle[0])
        if self.idle:
            one = self.idle.pop()
        else:
            try:
                plain = socket.create_connection(("127.0.0.1", self.load.port), 5)
            except OSError:
                self.done.append(Sent(name, due, time.perf_counter() - self.begin - due, REFUSED))
                return
            plain.setblocking(False)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            one = _Connection(plain)
            self.open[plain.fileno()] = one
            self.poll.register(plain, select.EPOLLIN)
        one.name, one.due, one.head, one.missing, one.closes = name, due, b"", -1, False
        one.rest = memoryview(prepared)
        if prepared.startswith(b"PUT"):
            one.rest = memoryview(prepared.replace(COUNTER, b"%08d" % next(self.counter), 1))
        self._write(one)

    def _write(self, one: _Connection) -> None:
        try:
            one.rest = one.rest[one.socket.send(one.rest) :]
        except BlockingIOError:
            pass
        except OSError:
            self._drop(one)
            return
        if one.rest or one.blocked:
            one.blocked = bool(one.rest)
            self.poll.modify(one.socket, select.EPOLLIN | (select.EPOLLOUT if one.rest else 0))

    def _handle(self, one: _Connection | None, events: int) -> None:
        if one is None:
            return
        if events & select.EPOLLIN or events & (select.EPOLLHUP | select.EPOLLERR):
            self._read(one)
        elif events & select.EPOLLOUT:
            self._write(one)

    def _read(self, one: _Connection) -> None:
        try:
            piece = one.socket.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        if not piece:
            self._drop(one)
            return
        if one.missing < 0:
            one.head += piece
            at = one.head.find(b"\r\n\r\n")
            if at < 0:
                return
            head = one.head[: at + 2]
            one.status = int(head[9:12])
            one.closes = b"\r\nconnection: close" in head.lower()
            one.missing = (0 if one.status == 204 else content_length(head)) - (len(one.head) - at - 4)
        else:
            one.missing -= len(piece)
        if one.missing <= 0:
            self.done.append(Sent(one.name, one.due, time.perf_counter() - self.begin - one.due, one.status))
            one.name = ""
            if one.closes or one.rest:
                self._drop(one)
            else:
                one.since = time.perf_counter()
                self.idle.append(one)

    def _drop(self, one: _Connection) -> None:
        self.open.pop(one.socket.fileno(), None)
        with contextlib.suppress(ValueError):
            self.idle.remove(one)
        one.socket.close()
        if one.name:
            self.done.append(Sent(one.name, one.due, time.perf_counter() - self.begin - one.due, RESET))


def start(load: Load) -> subprocess.Popen[bytes]:
    """Starts to send; `collect` waits for the end."""
    command = [sys.executable, "-m", "tests.benchmarks.openloop"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdin is not None
    process.stdin.write(pickle.dumps(load))
    process.stdin.close()
    return process


def collect(process: subprocess.Popen[bytes]) -> list[Sent]:
    """All requests of a load.

    Raises:
        RuntimeError: if the process failed.
    """
    assert process.stdout is not None
    found = process.stdout.read()
    if process.wait():
        raise RuntimeError("the load generator failed")
    return [Sent(*fields) for fields in pickle.loads(found)]


def sent(load: Load) -> list[Sent]:
    """Sends a load and waits for its end."""
    return collect(start(load))


def quantile(values: list[float], share: float) -> float:
    """The value below which that share of the values lies."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def main() -> None:
    load: Load = pickle.load(sys.stdin.buffer)
    if load.core is not None:
        settle(load.core)
    found = Driver(load).run()
    sys.stdout.buffer.write(pickle.dumps([(one.name, one.due, one.seconds, one.status) for one in found]))


if __name__ == "__main__":
    # Under its own name, so that what is unpickled is what is pickled elsewhere.
    from tests.benchmarks import openloop

    openloop.main()
