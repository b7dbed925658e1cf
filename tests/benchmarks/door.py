"""What the door costs each request: `python -m tests.benchmarks.door` prints microseconds, the best of many rounds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any

from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from lossmeter.api.access import Access
from lossmeter.keys import Key, Keyring, issue
from lossmeter.serving.bounds import Bounds
from lossmeter.serving.connections import Connection
from lossmeter.serving.monitor import ConnectionMonitor
from lossmeter.settings import Settings

CALLS, ROUNDS = 100, 1000
REQUEST = (
    b"POST /v1/losses/mse HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate\r\n"
    b"Connection: keep-alive\r\nUser-Agent: python-httpx\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n{}"
)
KEY, TOKEN = issue("benchmark", ["evaluate"], requests_per_second=1e9, burst=10**9)


class _Kept:
    def all(self) -> list[Key]:
        return [KEY]

    def revoke(self, key_id: str, now: int) -> Key:
        raise NotImplementedError


class _Transport(asyncio.Transport):
    """Takes what is written, and nothing else."""

    def write(self, data: Any) -> None:
        pass

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"sockname": ("127.0.0.1", 8000), "peername": ("127.0.0.1", 9)}.get(name, default)

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def close(self) -> None:
        pass


async def _nothing(scope: Any, receive: Any, send: Any) -> None:
    pass


async def _answers(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


async def _read(function: Callable[[], None]) -> None:
    function()


Call = Callable[[], Awaitable[None]]


async def best(*calls: Call) -> list[float]:
    """Microseconds of each call; they take turns, so that what else the machine does meets all of them."""
    found = [float("inf")] * len(calls)
    for _ in range(ROUNDS):
        for place, call in enumerate(calls):
            begin = perf_counter()
            for _ in range(CALLS):
                await call()
            found[place] = min(found[place], (perf_counter() - begin) / CALLS * 1e6)
    return found


def scope(*headers: tuple[bytes, bytes]) -> dict[str, Any]:
    common = [(b"host", b"127.0.0.1:8000"), (b"accept", b"*/*"), (b"content-type", b"application/json")]
    path = {"type": "http", "method": "POST", "path": "/v1/losses/mse", "root_path": ""}
    return {**path, "server": ("127.0.0.1", 8000), "headers": [*common, *headers]}


def connection(kind: Callable[..., HttpToolsProtocol]) -> Call:
    """A request in one packet, and an empty answer."""
    config = Config(_answers, log_level="critical", ws="none", lifespan="off")
    config.load()
    made = kind(config=config, server_state=ServerState(), app_state={}, _loop=asyncio.get_running_loop())
    made.connection_made(_Transport())

    async def call() -> None:
        made.data_received(REQUEST)
        await asyncio.sleep(0)

    return call


async def main() -> None:
    """Prints what each part costs."""
    ring = Keyring(_Kept(), 3600.0)
    ring.read()
    asking, trusting = (Access(ring, _read, local=local).around(_nothing) for local in (False, True))
    with_key, without = scope((b"authorization", b"Bearer " + TOKEN.encode())), scope()
    arguments: tuple[Any, Any] = (None, None)
    bounded = ConnectionMonitor(Bounds.of(Settings()))
    floor, key, trusted, plain, bound = await best(
        lambda: _nothing(without, *arguments),
        lambda: asking(with_key, *arguments),
        lambda: trusting(without, *arguments),
        connection(HttpToolsProtocol),
        connection(lambda **options: Connection(bounded, **options)),
    )
    rows = {
        "a key that is checked and counted": key - floor,
        "auto, on loopback": trusted - floor,
        "bounds on connections": bound - plain,
    }
    for name, cost in rows.items():
        print(f"{name}: {cost:.2f} µs")


if __name__ == "__main__":
    asyncio.run(main())
