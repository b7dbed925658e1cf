"""Faults under load, one after the other: `python -m tests.programs.endurance.chaos [FAULT…] [--write]`."""

from __future__ import annotations

import argparse
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from lossmeter.database import Database
from tests.benchmarks.openloop import quantile
from tests.benchmarks.tables import table
from tests.programs.endurance.clients import Clients, Tally
from tests.programs.endurance.page import conditions, write
from tests.support.postgres import Postgres
from tests.support.processes import Service, started, wait_until
from tests.support.service import answer_of, connected

Row = tuple[str, str, str, str]
BODY = b'{"predictions": [1.0, 2.0], "labels": [0.0, 0.0]}'
HEAD = b"POST /v1/losses/mse HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(
    BODY
)


def killed() -> Row:
    """One of two workers is killed every three seconds."""
    rng = random.Random(0)
    kills = 0
    with started("--workers", "2", "--log-level", "warning") as service:
        clients = Clients(service.url)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            time.sleep(3)
            os.kill(rng.choice(service.workers()), signal.SIGKILL)
            kills += 1
        wait_until(lambda: len(service.workers()) == 2, "replaced")
        clients.stop()
        lost = clients.lost()
    gap = f"longest time without a right answer {max(clients.stateless.gap(), clients.kept.gap()):.1f} s"
    return f"{kills} kills (`kill -9`) of 2 workers in 20 s, 8 clients", told(clients), gap, verdict(clients, lost)


def crowd() -> Row:
    """Five hundred clients connect and ask at the same moment."""
    with started("--log-level", "warning") as service, ExitStack() as stack:
        begin = time.monotonic()
        connections = [stack.enter_context(connected(service.url)) for _ in range(500)]
        for connection in connections:
            connection.sendall(HEAD + BODY)
        answers = [answer_of(connection) for connection in connections]
        seconds = time.monotonic() - begin
    right = sum(b" 200 OK\r\n" in answer and b'"value":2.5' in answer for answer in answers)
    refused = sum(b" 503 " in answer[:20] for answer in answers)
    assert right + refused == 500, f"{500 - right - refused} of 500 were answered wrongly or not at all"
    return "500 clients at once", f"{right} right, {refused} refused", f"all answered after {seconds:.1f} s", "0 wrong"


def slow() -> Row:
    """Connections that send half a head, half a body, or never read their answer."""
    large = b'{"predictions": [%s], "labels": [%s], "reduction": "none"}' % (
        b"1.5," * 99_999 + b"1.5",
        b"0," * 99_999 + b"0",
    )
    unread = HEAD.replace(b": %d\r\n\r\n" % len(BODY), b": %d\r\n\r\n" % len(large)) + large
    with started("--log-level", "warning") as service, ExitStack() as stack:
        before = measured(service, 5)
        for _ in range(200):
            stack.enter_context(connected(service.url)).sendall(HEAD[:40])
            stack.enter_context(connected(service.url)).sendall(HEAD + BODY[:10])
        for _ in range(20):
            narrow = stack.enter_context(socket.socket())
            narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            narrow.connect(("127.0.0.1", int(service.url.rpartition(":")[2])))
            narrow.sendall(unread)
        during = measured(service, 5)
    wrong = during.outcomes["wrong"]
    p99 = [quantile(tally.latencies, 0.99) * 1e3 for tally in (before, during)]
    latency = "p99 {:.0f} ms before, {:.0f} ms then".format(*p99)
    return "200 half heads, 200 half bodies, 20 that do not read", words(during), latency, f"{wrong} wrong"


def full_disk() -> Row:
    """The disk of the runs fills up, and gets room again."""
    with (
        disk("16m") as folder,
        started("--log-level", "error", LOSSMETER_STORE_URL=f"sqlite:///{folder}/runs.sqlite") as service,
    ):
        filler = folder / "filler"
        clients = Clients(service.url)
        time.sleep(2)
        with filler.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(1 << 16))
            except OSError:
                pass
        wait_until(lambda: clients.kept.outcomes["503"] > 20, "the disk is full", 30)
        time.sleep(3)
        filler.unlink()
        before = len(clients.acknowledged)
        begin = time.monotonic()
        wait_until(lambda: len(clients.acknowledged) > before + 20, "batches go on", 30)
        seconds = time.monotonic() - begin
        clients.stop()
        lost = clients.lost()
    return (
        "disk of SQLite full, then not",
        told(clients),
        f"goes on {seconds:.1f} s after there is room",
        verdict(clients, lost),
    )


def database_gone() -> Row:
    """PostgreSQL crashes and comes back after five seconds."""
    with Postgres() as postgres:
        store = Database(postgres.url)
        store.upgrade()
        store.close()
        with started("--log-level", "error", LOSSMETER_STORE_URL=postgres.url) as service:
            clients = Clients(service.url)
            time.sleep(3)
            postgres.kill()
            time.sleep(5)
            before = len(clients.acknowledged)
            postgres.start()
            begin = time.monotonic()
            wait_until(lambda: len(clients.acknowledged) > before + 20, "batches go on", 60)
            seconds = time.monotonic() - begin
            clients.stop()
            lost = clients.lost()
    return (
        "PostgreSQL killed, back after 5 s",
        told(clients),
        f"goes on {seconds:.1f} s after it is back",
        verdict(clients, lost),
    )


FAULTS: dict[str, Callable[[], Row]] = {
    "killed": killed,
    "crowd": crowd,
    "slow": slow,
    "full-disk": full_disk,
    "database-gone": database_gone,
}


def measured(service: Service, seconds: float) -> Tally:
    """What four clients get meanwhile."""
    clients = Clients(service.url, batches=0)
    time.sleep(seconds)
    clients.stop()
    assert clients.stateless.outcomes.keys() <= {"right"}, clients.stateless.outcomes
    return clients.stateless


@contextmanager
def disk(size: str) -> Iterator[Path]:
    """A disk of that size, in memory; for root alone."""
    with tempfile.TemporaryDirectory(prefix="lossmeter-disk-") as folder:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)


def told(clients: Clients) -> str:
    return f"losses: {words(clients.stateless)}; batches: {words(clients.kept)}"


def words(tally: Tally) -> str:
    """The outcomes, the right ones first."""
    return ", ".join(
        f"{count:,} {outcome}" for outcome, count in sorted(tally.outcomes.items(), key=lambda one: -one[1])
    )


def verdict(clients: Clients, lost: int) -> str:
    wrong = clients.stateless.outcomes["wrong"]
    return f"{wrong} wrong, {lost} of {len(clients.acknowledged):,} acknowledged batches lost"


def main() -> int:
    """Entry point of `make chaos`."""
    parser = argparse.ArgumentParser(prog="python -m tests.programs.endurance.chaos", description=__doc__)
    parser.add_argument("faults", nargs="*", metavar="FAULT", help=f"of {', '.join(FAULTS)}; all if left out")
    parser.add_argument("--write", action="store_true", help="rewrite the figures of docs/operations.md")
    arguments = parser.parse_args()
    rows = []
    for name in arguments.faults or FAULTS:
        try:
            rows.append(FAULTS[name]())
        except (pytest.skip.Exception, subprocess.CalledProcessError) as reason:
            rows.append((FAULTS[name].__doc__ or name, "not measured", str(reason), ""))
        print(*rows[-1], sep="\n  ", flush=True)
    if arguments.write:
        write("chaos", f"{conditions()}\n\n" + table(("fault", "answers", "meanwhile", "in the end"), rows))
    return any(
        not row[3].startswith("0 wrong") or (", " in row[3] and ", 0 of" not in row[3]) for row in rows if row[3]
    )


if __name__ == "__main__":
    sys.exit(main())
