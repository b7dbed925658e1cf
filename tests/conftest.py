"""Fixtures that every test may use."""

from __future__ import annotations

import gc
import logging
import os
import signal
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

# One thread of torch and of BLAS for each process of tests, as there are more such processes than cores: more of them wait for
# each other at every barrier, for ten times as long as they compute. Read where torch is loaded, which the tests do.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import httpx
import hypothesis
import pytest

from tests.support.order import place

# How long an example takes depends on what else the machine is doing.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

# httpx reads the certificates of all authorities for each client that it makes, 20 ms of work; tests talk to none of them.
os.environ.pop("SSL_CERT_FILE", None)
os.environ["SSL_CERT_DIR"] = str(Path(__file__).parent)


class _Loggers(dict[str, Any]):
    """Loggers that pytest can go through while a thread of a server imports what makes new ones."""

    def values(self) -> Any:
        return list(super().values())


logging.root.manager.loggerDict = _Loggers(logging.root.manager.loggerDict)

# A shell without job control starts what it puts in the background deaf to SIGINT, and deafness is inherited: without
# this, the commands that the tests start and interrupt would be, too.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collects tests without looking for garbage, of which there is none, and never looks for it there again.

    With torch and ten thousand tests, to walk through all that is there takes a second; it is done often while they are made.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the files that take longest first."""
    items.sort(key=lambda item: place(item.nodeid))


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    """The URL of a real server with default settings."""
    # The process that hands tests out has none, and would take seconds to load torch before the others begin.
    from tests.support.service import serving

    with serving() as address:
        yield address


@pytest.fixture(scope="session")
def http(url: str) -> Iterator[httpx.Client]:
    """A client of that server."""
    with httpx.Client(base_url=url, timeout=60) as client:
        yield client
