"""A server that misbehaves: the result is right, or the error says what happened."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from typing import Any

import numpy as np
import pytest

from lossmeter.client import AsyncClient, BadAnswer, Busy, Client, LossResult, NoAnswer, Retries, TimedOut, Unauthorized
from tests.client.conftest import QUICK
from tests.support import faults
from tests.support.faults import Fault, Proxy, faulty, says
from tests.support.ports import reserve_port
from tests.support.service import serving

LATER = "Retry-After: 1"
ARRAYS: dict[str, Any] = {"predictions": np.arange(6.0, dtype=np.float32), "labels": np.ones(6, np.float32)}


def ask(client: Client) -> LossResult:
    return client.loss("mse", gradients=["predictions"], **ARRAYS)


def check(result: LossResult) -> None:
    assert result.value == pytest.approx(31 / 6)
    np.testing.assert_allclose(result.gradients["predictions"], (ARRAYS["predictions"] - 1) / 3, rtol=1e-6)


@pytest.mark.parametrize(
    "script",
    [
        [faults.drop],
        [faults.reset],
        [faults.cut, faults.cut],
        [faults.slow],
        [says(503)],
        [says(429), says(502), faults.drop, faults.cut],
    ],
    ids=["drop", "reset", "cut", "slow", "busy", "everything"],
)
def test_the_result_is_right_all_the_same(url: str, script: list[Fault]) -> None:
    with faulty(url, *script) as proxy, Client(proxy.url, retries=QUICK) as client:
        check(ask(client))
        check(ask(client))
        assert len(set(proxy.requests[:-1])) == 1  # the same bytes each time, the request id among them

    async def twice(proxy: Proxy) -> None:
        async with AsyncClient(proxy.url, retries=QUICK) as client:
            check(await client.loss("mse", gradients=["predictions"], **ARRAYS))

    with faulty(url, *script) as proxy:
        asyncio.run(twice(proxy))


def test_the_wait_that_a_busy_service_asks_for_is_kept(url: str) -> None:
    with faulty(url, says(503, LATER), says(503, LATER)) as proxy, Client(proxy.url, retries=QUICK) as client:
        begin = time.monotonic()
        check(ask(client))
        assert 2.0 <= time.monotonic() - begin < 8.0


def test_patience_ends(url: str) -> None:
    with faulty(url, says(503), says(503)) as proxy, Client(proxy.url, retries=Retries(2, 0.01)) as client:
        with pytest.raises(Busy):
            ask(client)
        assert len(proxy.requests) == 2


@pytest.mark.parametrize("fault", [faults.mute, faults.trickle], ids=["mute", "trickle"])
def test_an_answer_that_does_not_come_in_time_is_not_waited_for(url: str, fault: Fault) -> None:
    with faulty(url, fault) as proxy, Client(proxy.url, timeout_seconds=0.5, retries=QUICK) as client:
        begin = time.monotonic()
        with pytest.raises(TimedOut):
            ask(client)
        assert time.monotonic() - begin < 4.0
        assert len(proxy.requests) == 1


def test_a_service_that_restarts_is_waited_for() -> None:
    retries = Retries(attempts=12, first_wait_seconds=0.05)
    with reserve_port() as reserved:
        port = reserved.getsockname()[1]
        with serving(port=port) as url, Client(url, retries=retries) as client:
            check(ask(client))
        found: list[LossResult] = []
        asking = threading.Thread(target=lambda: found.append(ask(client)))
        with Client(url, retries=retries) as client:
            asking.start()
            time.sleep(0.2)
            with serving(port=port):
                asking.join(30)
    check(found[0])


def test_a_service_that_is_not_there_is_reported() -> None:
    with Client("http://127.0.0.1:9", retries=Retries(attempts=2, first_wait_seconds=0.01)) as client:
        with pytest.raises(NoAnswer, match="POST /v1/losses/mse: ConnectError"):
            ask(client)
        with pytest.raises(NoAnswer, match="GET /readyz"):
            client.health()


# httpcore leaves the socket of a failed connection to the garbage collector.
@pytest.mark.filterwarnings("ignore:.*socket.socket:pytest.PytestUnraisableExceptionWarning")
def test_a_socket_that_is_not_there_is_reported() -> None:
    with Client("http+unix:///nowhere/at/all.sock") as client, pytest.raises(NoAnswer, match="No such file"):
        client.health()
    gc.collect()


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/html", b"<html>welcome to the hotel</html>"),
        ("application/json", b"[1]"),
        ("application/json", b'{"loss": "mse"}'),
        ("application/json", b"{"),
        ("application/vnd.safetensors", b"\x05"),
        ("application/vnd.safetensors", b"\x02\0\0\0\0\0\0\0{}"),
    ],
)
def test_an_answer_that_is_none_is_reported(url: str, content_type: str, body: bytes) -> None:
    fault = says(200, f"Content-Type: {content_type}", body=body)
    with faulty(url, fault) as proxy, Client(proxy.url) as client, pytest.raises(BadAnswer, match="The answer is"):
        ask(client)


def test_the_key_is_sent_as_a_bearer_token(url: str) -> None:
    with faulty(url, says(401)) as proxy, Client(proxy.url, api_key="secret", headers={"X-Team": "red"}) as client:
        with pytest.raises(Unauthorized):
            ask(client)
        head = proxy.requests[0].partition(b"\r\n\r\n")[0].lower()
    assert b"authorization: bearer secret" in head
    assert b"x-team: red" in head
