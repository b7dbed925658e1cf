"""`kill -9` at any moment: every acknowledged batch is there exactly once, and no other in part.

The number of rounds is `LOSSMETER_CRASH_ROUNDS`; `make test-crash` takes a hundred of each.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from lossmeter.database.tables import BATCHES
from lossmeter.runs import Ledger, SqlStore
from tests.support.postgres import Postgres
from tests.support.runs import SMALL, ledger, opened
from tests.support.writers import acknowledged, kill, start, value

ROUNDS = int(os.environ.get("LOSSMETER_CRASH_ROUNDS", "2"))
SEED = int(os.environ.get("LOSSMETER_CRASH_SEED", "0"))


def kept(books: Ledger, run_id: str) -> set[str]:
    """The batches that the run has."""
    assert isinstance(books.store, SqlStore)
    with books.store.database.reading() as connection:
        return set(connection.execute(sa.select(BATCHES.c.batch).where(BATCHES.c.run == run_id)).scalars())


def check(url: str, run_id: str, folder: Path) -> int:
    """Compares what was told with what is there."""
    told = acknowledged(folder)
    with ledger(url) as books:
        there = kept(books, run_id)
        assert told <= there
        for _ in range(2):  # as it was left, and after folding
            run, report = books.report(run_id)
            assert (run.batches, run.samples, report["samples"]) == (len(there), len(there), len(there))
            expected = sum(map(value, there))
            assert report["losses"][0]["sum"] == pytest.approx(expected, rel=1e-12)
            books.fold(run_id)
    return len(told)


def killed(url: str, folder: Path, seed: int, meanwhile: Iterator[None]) -> int:
    """One round: four writers are killed at a random moment, `meanwhile` something may happen to the database."""
    folder.mkdir()
    with ledger(url) as books:
        run_id = opened(books, {**SMALL, "losses": [{"loss": "mse"}]}).id
    processes = start(url, run_id, folder, seed)
    deadline = time.monotonic() + 300
    while len(acknowledged(folder)) < 4 and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(random.Random(seed).random())
    next(meanwhile)
    kill(processes)
    next(meanwhile)
    return check(url, run_id, folder)


def nothing() -> Iterator[None]:
    while True:
        yield


def crash(server: Postgres) -> Iterator[None]:
    """The server goes down with the writers, without being asked to write anything, and comes back."""
    server.kill()
    yield
    server.start()
    yield


@pytest.mark.parametrize("number", range(ROUNDS))
def test_sqlite_keeps_what_was_acknowledged(tmp_path: Path, number: int) -> None:
    assert killed(f"sqlite:///{tmp_path}/runs.sqlite", tmp_path / "told", SEED + number, nothing()) >= 4


@pytest.mark.parametrize("number", range(ROUNDS))
def test_postgresql_keeps_what_was_acknowledged(postgres: Postgres, tmp_path: Path, number: int) -> None:
    what = crash(postgres) if number % 2 else nothing()
    assert killed(postgres.url, tmp_path / "told", SEED + number, what) >= 4


def test_a_lost_batch_would_be_noticed(tmp_path: Path) -> None:
    folder = tmp_path / "told"
    folder.mkdir()
    url = f"sqlite:///{tmp_path}/runs.sqlite"
    with ledger(url) as books:
        run_id = opened(books, SMALL).id
    (folder / "0").write_text("0 1\n0 2")
    with pytest.raises(AssertionError):
        check(url, run_id, folder)
