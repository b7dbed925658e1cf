"""Requests over sockets: the one file that imports httpx."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx

from lossmeter.client.errors import NoAnswer, TimedOut
from lossmeter.client.exchanges import Piece, Reply, Request

DEFAULT_URL = "http://127.0.0.1:8000"
UNIX = "http+unix"
CONNECT_SECONDS = 10.0
"""A connection that takes longer to be made counts as broken, whatever the answer may take."""
CHUNK_BYTES = 1 << 20
"""Bodies larger than this are sent in pieces of this size."""

Progress = Callable[[int, int], None]
"""Is told how many bytes of a body have been sent, and of how many."""


@dataclass(frozen=True)
class Connection:
    """Where the service is and how to speak to it.

    Attributes:
        base_url: `http://…`, `https://…`, or `http+unix:///path/of.sock`.
        timeout_seconds: for one attempt, from the request to the whole answer.
        headers: sent with every request.
        verify: whose certificates are trusted, as httpx takes it.
        progress: is told how far a body has been sent.
    """

    base_url: str
    timeout_seconds: float = 60.0
    headers: Mapping[str, str] = field(default_factory=dict)
    verify: ssl.SSLContext | bool = True
    progress: Progress | None = None

    @property
    def options(self) -> dict[str, Any]:
        """What both clients of httpx are made with, but for the transport."""
        encrypted = self.base_url.startswith("https:")
        timeout = httpx.Timeout(self.timeout_seconds, connect=min(CONNECT_SECONDS, self.timeout_seconds))
        # Loading certificates takes longer than many a request, so it is left out where they are of no use.
        return {
            "base_url": "http://localhost" if self.socket else self.base_url,
            "headers": dict(self.headers),
            "timeout": timeout,
            "verify": self.verify if encrypted else False,
        }

    @property
    def socket(self) -> str | None:
        """The path of the Unix socket, if it is one.

        Raises:
            ValueError: if the URL is none that is spoken here.
        """
        parts = urlsplit(self.base_url)
        if parts.scheme == UNIX and not parts.netloc and parts.path != "/":
            return unquote(parts.path)
        if parts.scheme in ("http", "https") and parts.netloc:
            return None
        raise ValueError(f"base_url is {self.base_url!r}; expected http://…, https://… or {UNIX}:///path/of.sock")


class _Body(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that is sent in pieces, and tells how far."""

    def __init__(self, request: Request[Any], progress: Progress | None) -> None:
        self.request = request
        self.progress = progress

    def __iter__(self) -> Iterator[bytes]:
        total, sent = self.request.size, 0
        for piece in self.request.body:
            for start in range(0, len(piece), CHUNK_BYTES):
                chunk: Piece = memoryview(piece)[start : start + CHUNK_BYTES]
                yield chunk  # type: ignore[misc]  # whatever has a buffer can be sent
                sent += len(chunk)
                if self.progress is not None:
                    self.progress(sent, total)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self:
            yield chunk


class _Arriving:
    """An answer as it arrives."""

    def __init__(self, response: httpx.Response, deadline: float) -> None:
        self.response = response
        self.deadline = deadline
        self.pieces: list[bytes] = []

    def add(self, piece: bytes) -> None:
        """Raises: TimedOut: for an answer that never stops to trickle in, which no timeout of a single read notices."""
        self.pieces.append(piece)
        if monotonic() > self.deadline:
            raise TimedOut("The answer was not complete in time.")

    def reply(self) -> Reply:
        return Reply(self.response.status_code, self.response.headers, bytearray().join(self.pieces))


def _prepared(
    http: httpx.Client | httpx.AsyncClient, request: Request[Any], progress: Progress | None
) -> httpx.Request:
    size = request.size
    if size <= CHUNK_BYTES and progress is None:
        content = b"".join(request.body) or None
        return http.build_request(request.method, request.path, content=content, headers=request.headers)
    headers = {**request.headers, "Content-Length": str(size)}
    prepared = http.build_request(request.method, request.path, headers=headers)
    prepared.stream = _Body(request, progress)
    return prepared


def _failure(request: Request[Any], error: httpx.TransportError) -> NoAnswer:
    what = f"{request.method} {request.path}: {type(error).__name__}: {error}".removesuffix(": ")
    if isinstance(error, httpx.TimeoutException) and not isinstance(error, httpx.ConnectTimeout):
        return TimedOut(what)
    return NoAnswer(what)


class Transport:
    """Sends requests over connections that it keeps open; safe to use from many threads."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        socket = connection.socket
        transport = httpx.HTTPTransport(uds=socket) if socket else None
        self._http = httpx.Client(**connection.options, transport=transport)

    def send(self, request: Request[Any]) -> Reply | NoAnswer:
        """The answer, or why there is none."""
        deadline = monotonic() + self._connection.timeout_seconds
        try:
            response = self._http.send(_prepared(self._http, request, self._connection.progress), stream=True)
            try:
                arriving = _Arriving(response, deadline)
                for piece in response.iter_bytes():
                    arriving.add(piece)
            finally:
                response.close()
        except httpx.TransportError as error:
            return _failure(request, error)
        except TimedOut as error:
            return error
        return arriving.reply()

    def close(self) -> None:
        """Closes all connections."""
        self._http.close()


class AsyncTransport:
    """The same without blocking."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        socket = connection.socket
        transport = httpx.AsyncHTTPTransport(uds=socket) if socket else None
        self._http = httpx.AsyncClient(**connection.options, transport=transport)

    async def send(self, request: Request[Any]) -> Reply | NoAnswer:
        """The answer, or why there is none."""
        deadline = monotonic() + self._connection.timeout_seconds
        try:
            response = await self._http.send(_prepared(self._http, request, self._connection.progress), stream=True)
            try:
                arriving = _Arriving(response, deadline)
                async for piece in response.aiter_bytes():
                    arriving.add(piece)
            finally:
                await response.aclose()
        except httpx.TransportError as error:
            return _failure(request, error)
        except TimedOut as error:
            return error
        return arriving.reply()

    async def close(self) -> None:
        """Closes all connections."""
        await self._http.aclose()
