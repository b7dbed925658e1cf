"""Sends requests: over sockets of our own where plain HTTP will do, and by httpx otherwise. The one file that imports httpx."""

from __future__ import annotations

import re
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from time import monotonic
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from lossmeter.client.answers import Answer
from lossmeter.client.errors import BadAnswer, NoAnswer, ServiceError, TimedOut
from lossmeter.client.exchanges import REQUEST_ID, Piece, Reply, Request
from lossmeter.client.sockets import Address, AsyncSockets, Outgoing, Sockets

DEFAULT_URL = "http://127.0.0.1:8000"
UNIX = "http+unix"
CONNECT_SECONDS = 10.0
"""A connection that takes longer to be made counts as broken, whatever the answer may take."""
CHUNK_BYTES = 1 << 20
"""Bodies larger than this are sent in pieces of this size."""
JOINED_BYTES = 1 << 16
"""A body up to this size is sent together with its head: copying it takes less time than another call of the system."""
HEADS = 256
"""Kinds of requests, at most, whose head is kept."""

BARE_VALUE = re.compile(r"[^\x00-\x1f\x7f]*")

Progress = Callable[[int, int], None]
"""Is told how many bytes of a body have been sent, and of how many."""


@dataclass(frozen=True)
class Endpoint:
    """The address of the service, and how to speak to it.

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
    def connect_seconds(self) -> float:
        """Returns the time that making a connection may take."""
        return min(CONNECT_SECONDS, self.timeout_seconds)

    @property
    def options(self) -> dict[str, Any]:
        """Returns the arguments of both clients of httpx, but for the transport."""
        encrypted = self.base_url.startswith("https:")
        # Loading certificates takes longer than many a request, so it is left out where they are of no use.
        return {
            "base_url": "http://localhost" if self.socket else self.base_url,
            # On one machine, compressing an answer takes longer than passing it on.
            "headers": {**({"Accept-Encoding": "identity"} if self.socket else {}), **self.headers},
            "timeout": httpx.Timeout(self.timeout_seconds, connect=self.connect_seconds),
            "verify": self.verify if encrypted else False,
        }

    @property
    def socket(self) -> str | None:
        """Returns the path of the Unix socket, if it is one.

        Raises:
            ValueError: if the URL is none that is spoken here.
        """
        parts = urlsplit(self.base_url)
        if parts.scheme == UNIX and not parts.netloc and parts.path != "/":
            return unquote(parts.path)
        if parts.scheme in ("http", "https") and parts.netloc:
            return None
        raise ValueError(f"base_url is {self.base_url!r}; expected http://…, https://… or {UNIX}:///path/of.sock")

    @property
    def address(self) -> Address | None:
        """Returns the address for our own sockets; none if encryption, a proxy or a password needs httpx."""
        if self.socket:
            return Address(path=self.socket)
        url = httpx.URL(self.base_url)
        host = url.raw_host.decode("ascii")
        if url.scheme != "http" or url.userinfo:
            return None
        if {"http", "all"} & getproxies().keys() and not proxy_bypass(host):
            return None
        return Address(host, url.port or 80)


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


class _Route:
    """Translates requests and answers for both transports: to and from httpx, and to and from bytes."""

    def __init__(self, endpoint: Endpoint, http: httpx.Client | httpx.AsyncClient) -> None:
        self.endpoint = endpoint
        self.http = http
        self.cookies = False
        self._head = lru_cache(HEADS)(self._built_head)

    def prepared(self, request: Request[Any]) -> httpx.Request:
        """Makes the request that httpx sends."""
        size, progress = request.size, self.endpoint.progress
        if size <= CHUNK_BYTES and progress is None:
            content = b"".join(request.body) or None
            return self.http.build_request(request.method, request.path, content=content, headers=request.headers)
        headers = {**request.headers, "Content-Length": str(size)}
        prepared = self.http.build_request(request.method, request.path, headers=headers)
        prepared.stream = _Body(request, progress)
        return prepared

    def outgoing(self, request: Request[Any]) -> Outgoing:
        """Makes the bytes that our own sockets send."""
        headers = dict(request.headers)
        identifier = headers.pop(REQUEST_ID, "")
        if not BARE_VALUE.fullmatch(identifier):
            raise NoAnswer(f"LocalProtocolError: Illegal header value {identifier!r}")
        size, progress = request.size, self.endpoint.progress
        head = (
            self._head(request.method, request.path, tuple(headers.items()))
            + f"{REQUEST_ID}: {identifier}\r\n".encode()
        )
        if size or request.method != "GET":
            head += b"Content-Length: %d\r\n" % size
        head += b"\r\n"
        joined = size <= JOINED_BYTES and progress is None
        chunks = iter([b"".join([head, *request.body])]) if joined else _chunks(head, request, progress)
        return Outgoing(request.method, chunks, monotonic() + self.endpoint.timeout_seconds)

    def _built_head(self, method: str, path: str, headers: tuple[tuple[str, str], ...]) -> bytes:
        """Builds the head of a request, but for what differs from one to the next."""
        built = self.http.build_request(method, path, headers=dict(headers))
        lines = [b"%s %s HTTP/1.1\r\n" % (method.encode(), built.url.raw_path)]
        for name, value in built.headers.raw:
            if name.lower() in (b"content-length", REQUEST_ID.lower().encode()):
                continue
            if not BARE_VALUE.fullmatch(value.decode("latin-1")):
                raise NoAnswer(f"LocalProtocolError: Illegal header value {value!r}")
            lines.append(b"%s: %s\r\n" % (name, value))
        return b"".join(lines)

    def reply(self, request: Request[Any], answer: Answer) -> Reply:
        """Makes the reply of an answer that our own sockets read."""
        headers = answer.headers
        if "set-cookie" in headers:
            # From here on httpx sends the requests, since it knows which cookie goes where.
            sent = self.http.build_request(request.method, request.path)
            self.http.cookies.extract_cookies(httpx.Response(answer.status, headers=answer.fields, request=sent))
            self.cookies = True
        body = answer.body
        if "content-encoding" in headers:
            coded = httpx.Response(answer.status, headers=answer.fields, content=bytes(body))
            body = bytearray(coded.content)
        return Reply(answer.status, headers, body)


def _chunks(head: bytes, request: Request[Any], progress: Progress | None) -> Iterator[Piece]:
    yield head
    yield from _Body(request, progress)


def _check_in_time(deadline: float) -> None:
    """Ends an answer that never stops to trickle in, which no timeout of a single read notices."""
    if monotonic() > deadline:
        raise TimedOut("The answer was not complete in time.")


def _failure(request: Request[Any], error: Exception) -> ServiceError:
    if isinstance(error, httpx.DecodingError):
        return BadAnswer(f"The answer cannot be expanded: {error}")
    if isinstance(error, NoAnswer):
        return type(error)(f"{request.method} {request.path}: {error}".removesuffix(": "))
    what = f"{request.method} {request.path}: {type(error).__name__}: {error}".removesuffix(": ")
    if isinstance(error, httpx.TimeoutException) and not isinstance(error, httpx.ConnectTimeout):
        return TimedOut(what)
    return NoAnswer(what)


class Transport:
    """Sends requests over connections that it keeps open; safe to use from many threads."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        uds, address = endpoint.socket, endpoint.address
        self._http = httpx.Client(**endpoint.options, transport=httpx.HTTPTransport(uds=uds) if uds else None)
        self._route = _Route(endpoint, self._http)
        self._sockets = Sockets(address, endpoint.connect_seconds, endpoint.timeout_seconds) if address else None

    def send(self, request: Request[Any]) -> Reply | ServiceError:
        """Sends a request; returns the answer, or why there is none that can be read."""
        route = self._route
        try:
            if self._sockets is None or route.cookies:
                return self._send_by_httpx(request)
            return route.reply(request, self._sockets.send(route.outgoing(request)))
        except (httpx.RequestError, NoAnswer) as error:
            return _failure(request, error)

    def _send_by_httpx(self, request: Request[Any]) -> Reply:
        deadline = monotonic() + self._endpoint.timeout_seconds
        response = self._http.send(self._route.prepared(request), stream=True)
        pieces: list[bytes] = []
        try:
            for piece in response.iter_bytes():
                pieces.append(piece)
                _check_in_time(deadline)
        finally:
            response.close()
        return Reply(response.status_code, response.headers, bytearray().join(pieces))

    def close(self) -> None:
        """Closes all connections."""
        if self._sockets is not None:
            self._sockets.close()
        self._http.close()


class AsyncTransport:
    """Sends requests without blocking, for asyncio."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        uds, address = endpoint.socket, endpoint.address
        self._http = httpx.AsyncClient(**endpoint.options, transport=httpx.AsyncHTTPTransport(uds=uds) if uds else None)
        self._route = _Route(endpoint, self._http)
        self._sockets = AsyncSockets(address, endpoint.connect_seconds, endpoint.timeout_seconds) if address else None

    async def send(self, request: Request[Any]) -> Reply | ServiceError:
        """As `Transport.send`."""
        route = self._route
        try:
            if self._sockets is None or route.cookies:
                return await self._send_by_httpx(request)
            return route.reply(request, await self._sockets.send(route.outgoing(request)))
        except (httpx.RequestError, NoAnswer) as error:
            return _failure(request, error)

    async def _send_by_httpx(self, request: Request[Any]) -> Reply:
        deadline = monotonic() + self._endpoint.timeout_seconds
        response = await self._http.send(self._route.prepared(request), stream=True)
        pieces: list[bytes] = []
        try:
            async for piece in response.aiter_bytes():
                pieces.append(piece)
                _check_in_time(deadline)
        finally:
            await response.aclose()
        return Reply(response.status_code, response.headers, bytearray().join(pieces))

    async def close(self) -> None:
        """Closes all connections."""
        if self._sockets is not None:
            self._sockets.close()
        await self._http.aclose()
