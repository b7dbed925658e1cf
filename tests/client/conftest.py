"""Clients of a real server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lossmeter.client import Client, Retries
from tests.support.service import serving

QUICK = Retries(first_wait_seconds=0.01)


@pytest.fixture(scope="session")
def socket_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real server on a Unix socket."""
    path: Path = tmp_path_factory.mktemp("socket") / "s"
    with serving(uds=str(path)) as address:
        yield address


@pytest.fixture(scope="session")
def client(url: str) -> Iterator[Client]:
    """A client with default options."""
    with Client(url) as found:
        yield found
