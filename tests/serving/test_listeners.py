"""Connections that come together are accepted together."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import uvicorn
import uvloop

from lossmeter.serving.listeners import LISTENERS_PER_SOCKET, Config, Server

MANY = 4 * LISTENERS_PER_SOCKET
TURNS = 8


async def answer(_scope: Any, _receive: Any, _send: Any) -> None:
    raise AssertionError("nobody asks anything")


async def accepted(kind: Callable[[uvicorn.Config], uvicorn.Server], **listens_on: Any) -> int:
    """How many of `MANY` connections are accepted within `TURNS` turns of the loop."""
    config = Config(answer, lifespan="off", log_level="critical", **listens_on)
    config.load()
    server = kind(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    try:
        (listener, *_) = server.servers[0].sockets
        with ExitStack() as stack:
            for _ in range(MANY):
                stack.enter_context(connection := socket.socket(listener.family))
                connection.connect(listener.getsockname())
            for _ in range(TURNS):
                await asyncio.sleep(0)
            return len(server.server_state.connections)
    finally:
        await server.shutdown()


@pytest.mark.parametrize("unix", [False, True])
def test_many_connections_are_accepted_in_a_few_turns(unix: bool, tmp_path: Path) -> None:
    listens_on = {"uds": str(tmp_path / "socket")} if unix else {"port": 0}
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(accepted(uvicorn.Server, **listens_on)) <= TURNS, "uvloop does better by itself"
        assert runner.run(accepted(Server, **listens_on)) == MANY


def test_garbage_is_not_looked_for_while_an_application_is_imported_and_made() -> None:
    collecting = []

    def made() -> Any:
        collecting.append(gc.isenabled())
        return answer

    try:
        Config(made, factory=True).load()
    finally:
        gc.enable()
    assert collecting == [False]
