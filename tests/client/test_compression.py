"""Bodies that the client makes smaller arrive as they were."""

from __future__ import annotations

import asyncio
import gzip
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lossmeter
from lossmeter.client import AsyncClient, Client
from lossmeter.client.compression import COMPRESSORS, MINIMUM_BYTES, compressed
from lossmeter.client.exchanges import Request
from tests.client.conftest import QUICK
from tests.client.test_runs import WHAT, batches, check
from tests.support.faults import faulty, says

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

RANDOM = np.random.default_rng(0)
LOGITS = RANDOM.normal(size=(500, 10)).round(1).astype(np.float32)
LABELS = RANDOM.integers(10, size=500)
EXPANDED = {"gzip": gzip.decompress, "zstd": zstd.decompress}
codings = pytest.mark.parametrize("coding", COMPRESSORS)


def request(*pieces: bytes) -> Request[None]:
    return Request("POST", "/", lambda _: None, {"Content-Type": "text/plain"}, pieces)


@codings
def test_what_is_sent_expands_to_what_was_given(coding: str) -> None:
    given = request(b"x" * 1000, memoryview(b"y" * 1000))  # type: ignore[arg-type]
    sent = compressed(given, coding)
    assert sent.size < 200
    assert sent.headers == {"Content-Type": "text/plain", "Content-Encoding": coding}
    assert EXPANDED[coding](b"".join(sent.body)) == b"x" * 1000 + b"y" * 1000


@codings
def test_what_would_not_become_smaller_is_sent_as_it_is(coding: str) -> None:
    for given in (request(b"x" * (MINIMUM_BYTES - 1)), request(RANDOM.bytes(5000))):
        assert compressed(given, coding) is given


@codings
@pytest.mark.parametrize("wire", ["safetensors", "json"])
def test_losses_and_runs_are_those_of_plain_bodies(client: Client, url: str, coding: Any, wire: Any) -> None:
    plain = client.loss("cross_entropy", predictions=LOGITS, labels=LABELS, gradients=["predictions"])
    script = [says(503), says(502)]
    with faulty(url, *script) as proxy, Client(proxy.url, compression=coding, wire=wire, retries=QUICK) as other:
        found = other.loss("cross_entropy", predictions=LOGITS, labels=LABELS, gradients=["predictions"])
        assert found.value == plain.value
        np.testing.assert_array_equal(found.gradients["predictions"], plain.gradients["predictions"])
        assert len(set(proxy.requests)) == 1
        assert b"content-encoding: " + coding.encode() in proxy.requests[0].partition(b"\r\n\r\n")[0].lower()
        assert len(proxy.requests[0]) < LOGITS.nbytes
    with Client(url, compression=coding, wire=wire) as other, other.run(**WHAT) as run:
        for batch in batches():
            run.add(**batch)
        check(run.report())


@codings
def test_the_asynchronous_client_compresses_too(client: Client, url: str, coding: Any) -> None:
    async def ask() -> float | None:
        async with AsyncClient(url, compression=coding) as other:
            return (await other.loss("cross_entropy", predictions=LOGITS, labels=LABELS)).value

    assert asyncio.run(ask()) == client.loss("cross_entropy", predictions=LOGITS, labels=LABELS).value


def test_progress_tells_of_the_bytes_that_are_sent(url: str) -> None:
    told: list[tuple[int, int]] = []
    with Client(url, compression="gzip", progress=lambda *numbers: told.append(numbers)) as client:
        client.loss("cross_entropy", predictions=LOGITS, labels=LABELS)
    assert told[-1][0] == told[-1][1] < LOGITS.nbytes / 2


def test_nothing_is_compressed_unless_it_is_asked_for(url: str) -> None:
    with faulty(url) as proxy, Client(proxy.url) as client:
        client.loss("cross_entropy", predictions=LOGITS, labels=LABELS)
    assert b"content-encoding" not in proxy.requests[0].partition(b"\r\n\r\n")[0].lower()


def test_what_is_not_known_is_refused() -> None:
    with pytest.raises(ValueError, match="compression is 'lz4'; expected one of zstd, gzip"):
        Client(compression="lz4")  # type: ignore[arg-type]


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="Python brings zstd")
def test_a_package_that_is_missing_is_named_at_once() -> None:
    program = """
import sys
sys.modules["backports"] = None
from lossmeter.client import Client
Client(compression="gzip").close()
Client(compression="zstd")
"""
    environment = {"PYTHONPATH": str(Path(lossmeter.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert 'ImportError: compression="zstd" needs backports.zstd: pip install "lossmeter[zstd]"' in done.stderr
    assert "line 6" in done.stderr
