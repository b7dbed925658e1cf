"""Databases: SQLite in a file of its own, and a PostgreSQL started for the tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lossmeter.database import Database
from lossmeter.runs import Ledger
from tests.support.postgres import Postgres
from tests.support.runs import ledger


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A server whose database has the tables."""
    with Postgres() as server:
        database = Database(server.url)
        database.upgrade()
        database.close()
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/runs.sqlite"
    server: Postgres = request.getfixturevalue("postgres")
    return server.url


@pytest.fixture
def books(store_url: str) -> Iterator[Ledger]:
    """A ledger on that database."""
    with ledger(store_url) as found:
        yield found
