"""A real server, in a thread of its own, and connections to it."""

from __future__ import annotations

import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lossmeter.api.app import create_app
from lossmeter.serving.listeners import Config, Server
from lossmeter.serving.server import protocol_options
from lossmeter.settings import Settings
from tests.support.devices import NAME


@contextmanager
def serving(listens_on: str = "127.0.0.1", **settings: Any) -> Iterator[str]:
    """Serves an application with these settings on a free port if they name neither port nor socket; gives its URL.

    Long work has one thread, like the tests in this process.
    """
    folder = tempfile.TemporaryDirectory(prefix="lossmeter-")
    settings = {"device": NAME, "threads": 1, "store_url": f"sqlite:///{folder.name}/runs.sqlite", **settings}
    chosen = Settings(**settings)
    told = protocol_options(chosen)
    config = Config(create_app(chosen), port=0, log_level="warning", lifespan="on", **told)
    server = Server(config)
    listener = _listener(listens_on, settings.get("port", 0), settings.get("uds", ""))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started:
        if time.monotonic() > deadline or not thread.is_alive():
            raise RuntimeError("the server did not start")
        time.sleep(0.01)
    try:
        yield (
            f"http+unix://{settings['uds']}"
            if "uds" in settings
            else f"http{'s' if chosen.tls_certificate else ''}://{listens_on}:{listener.getsockname()[1]}"
        )
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()
        folder.cleanup()


def _listener(host: str, port: int, path: str) -> socket.socket:
    if path:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
    else:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    return listener


@contextmanager
def connected(url: str) -> Iterator[socket.socket]:
    """A bare TCP connection to the server behind a URL."""
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        yield connection


def answer_of(connection: socket.socket) -> bytes:
    """All that the server says until it closes the connection, or for ten seconds."""
    connection.settimeout(10)
    pieces = []
    while True:
        try:
            piece = connection.recv(1 << 16)
        except TimeoutError:
            break
        if not piece:
            break
        pieces.append(piece)
        head, separator, body = b"".join(pieces).partition(b"\r\n\r\n")
        for line in head.lower().split(b"\r\n"):
            if separator and line.startswith(b"content-length:") and len(body) >= int(line.partition(b":")[2]):
                return b"".join(pieces)
    return b"".join(pieces)
