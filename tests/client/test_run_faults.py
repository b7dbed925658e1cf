"""Runs over connections that fail in every way, through a server that is killed: the report is right in the end."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import pytest

from lossmeter.client import AsyncClient, Client, Retries, TimedOut
from tests.client.test_runs import WHAT, batches, check
from tests.support import faults
from tests.support.faults import Fault, faulty, says
from tests.support.restarts import ServerProcess

LATER = "Retry-After: 1"

SCRIPTS: dict[str, list[Fault]] = {
    "while it is sent": [faults.refuse, faults.refuse],
    "before the answer": [faults.drop, faults.reset],
    "instead of the answer": [faults.answered, faults.answered],
    "within the answer": [faults.cut, faults.cut],
    "slow": [faults.slow, faults.slow],
    "trickling": [faults.trickle],
    "too late": [faults.mute, faults.mute],
    "too late, but done": [faults.late, faults.late],
    "busy for a while": [says(503, LATER), says(429, LATER), says(503, LATER)],
    "everything": [faults.late, says(503, LATER), faults.refuse, faults.cut],
}


PATIENT = Retries(attempts=30, first_wait_seconds=0.01, longest_wait_seconds=2.0)
IMPATIENT_SECONDS = 0.7
"""Less than a late answer takes; on a busy machine a good one may take as long, which only adds attempts."""


@pytest.mark.parametrize("fault", SCRIPTS)
def test_each_batch_counts_once(client: Client, url: str, fault: str) -> None:
    script = SCRIPTS[fault]
    seconds = 60.0 if fault == "slow" else IMPATIENT_SECONDS
    run = client.run(**WHAT).open()
    with faulty(url, *script) as proxy, Client(proxy.url, timeout_seconds=seconds, retries=PATIENT) as other:
        for number, batch in enumerate(batches()):
            other.attach(run.id).add(**batch, batch_id=f"batch {number}")
        assert not proxy.script
        sent = [request for request in proxy.requests if b"/batches/batch%200 HTTP" in request[:200]]
        assert len(sent) == 1 if fault == "slow" else len(sent) > len(script)
    check(run.report())


def test_the_asynchronous_client_sends_a_late_batch_again(client: Client, url: str) -> None:
    async def ask() -> None:
        async with AsyncClient(proxy.url, timeout_seconds=IMPATIENT_SECONDS, retries=PATIENT) as other:
            for batch in batches():
                await other.attach(run.id).add(**batch)

    run = client.run(**WHAT).open()
    with faulty(url, faults.late, faults.mute) as proxy:
        asyncio.run(ask())
        assert len(proxy.requests) >= 2 + len(batches())
    check(run.report())


def test_patience_with_a_late_batch_ends_and_says_which_it_was(client: Client, url: str) -> None:
    retries = Retries(attempts=2, first_wait_seconds=0.01)
    run = client.run(**WHAT).open()
    with faulty(url, faults.late, faults.late) as proxy:
        begin = time.monotonic()
        with Client(proxy.url, timeout_seconds=0.3, retries=retries) as other, pytest.raises(TimedOut) as caught:
            other.attach(run.id).add(**batches()[0], batch_id="first")
        assert time.monotonic() - begin > 0.6
        assert "first" in caught.value.__notes__[0]


def test_a_run_outlives_its_server(tmp_path: Path) -> None:
    retries = Retries(attempts=60, first_wait_seconds=0.05, longest_wait_seconds=1.0)
    with ServerProcess(tmp_path) as server, Client(server.url, retries=retries) as client:

        def restart() -> None:
            time.sleep(0.05)
            server.kill()
            server.start()

        with client.run(**WHAT) as run:
            for batch in batches():
                killing = threading.Thread(target=restart)
                killing.start()
                run.add(**batch)
                killing.join()
            check(run.report())
        check(client.attach(run.id).report())
