"""Asks for keys: nobody reaches a route, nor has a body read, without the key that the route needs.

An address that is not open needs a key, whether there is a route or not; `required_scope` says which scope it needs besides,
once, for the server and for its document.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Awaitable, Callable, Collection
from functools import lru_cache
from typing import Literal
from urllib.parse import urlsplit

from starlette._utils import get_route_path as path_of  # as the router does: another path would be another scope
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from lossmeter.api.addresses import CUDA_MEMORY, KEYS, SYSTEM_MEMORY
from lossmeter.api.headers import header
from lossmeter.errors import Forbidden, LossmeterError, StoreUnavailable, Unauthorized
from lossmeter.keys import Key, Keyring
from lossmeter.scheduling.store_threads import StoreThreads
from lossmeter.settings import Settings
from lossmeter.telemetry.request import request_state

log = logging.getLogger(__name__)

OPEN = frozenset(
    {"/", "/docs", "/openapi.json", "/healthz", "/readyz", "/v2/health/live", "/v2/health/ready", "/favicon.ico"}
)
"""Open to anybody: whether the server is well, and the pages, which hold nothing that is not published anyway."""
OPEN_BELOW = "/static/"
SHARED = (SYSTEM_MEMORY, CUDA_MEMORY)
"""Addresses that only those may know of who may use them."""
MISSING = "This needs a key: Authorization: Bearer lm_…"
MISSING_HERE = "This needs a key from this machine too: Authorization: Bearer lm_…"
ELSEWHERE = "This server was set up for this machine alone, and was reached at another address. See LOSSMETER_AUTH."

PATIENCE_SECONDS = 0.5
"""Time that a request with a known key waits for the keys to be read; while they cannot be, it goes by what is known."""
UNKNOWN_PATIENCE_SECONDS = 5.0
"""The same for a key that is not known yet."""

Way = Literal["private", "loopback", "network"]
Read = Callable[[Callable[[], None]], Awaitable[None]]
"""Runs a function in a thread that may wait for the database."""


def is_open(path: str) -> bool:
    """Returns whether a path, without the root path, needs no key."""
    return path in OPEN or path.startswith(OPEN_BELOW)


def required_scope(method: str, path: str) -> str | None:
    """Returns the scope that a call needs; None if any key will do."""
    reads = method in ("GET", "HEAD")
    if path.startswith(KEYS):
        return "admin"
    if path.startswith("/v1/runs"):
        return "runs:read" if reads else "runs:write"
    if path == "/v1/comparisons":
        return "runs:read"
    if path.startswith(SHARED):
        return "evaluate"
    return None if reads else "evaluate"


def check_scope(key: Key, wanted: str | None) -> None:
    """Refuses a key that does not cover a scope.

    Raises:
        Forbidden: with the scope.
    """
    if not key.allows(wanted):
        raise Forbidden(f"The key {key.id} does not have the scope {wanted}.", str(wanted))


class Access:
    """Asks for keys.

    Args:
        keyring: knows the keys.
        read: how the keyring is brought up to date.
        local: whether whoever asks from this machine needs none.
        origins: of pages elsewhere that may call from a browser on this machine.
    """

    def __init__(self, keyring: Keyring, read: Read, *, local: bool, origins: Collection[str] = ()) -> None:
        self.keyring = keyring
        self.local = local
        self.origins = origins
        self._read = read
        self._reading: asyncio.Future[None] | None = None
        self._late = False  # the keys could not be read in time, and have not been since
        self._ways: dict[object, Way] = {}

    def around(self, app: ASGIApp) -> ASGIApp:
        """Wraps an application."""

        async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http" and not self.admit(scope):
                token = self._token(scope)
                await self._wait_for(self._refresh(), token)
                self._admit(scope, token)
            await app(scope, receive, send)

        return wrapped

    def admit(self, scope: Scope) -> bool:
        """Admits a request, or refuses it; returns False if neither can be done before the keyring is read.

        Raises:
            Unauthorized, Forbidden, TooManyRequests, StoreUnavailable: if it is refused.
        """
        if self.is_open_to(scope):
            return True
        token = self._token(scope)
        due = self.keyring.reading_due(token)
        if due and not (self._late and self.keyring.knows(token)):
            return False
        if due is not False:
            self._refresh()
        self._admit(scope, token)
        return True

    def is_open_to(self, scope: Scope) -> bool:
        """Tells whether a request needs no key. It depends on its head, and on the address at which it came in."""
        path = path_of(scope)
        # Who asks without a key has leave for now; a key that they made would outlast it.
        return (self.local and not path.startswith(KEYS) and self._is_here(scope)) or is_open(path)

    def _token(self, scope: Scope) -> str:
        given = header(scope["headers"], b"authorization")
        if given is None:
            if self.local and path_of(scope).startswith(KEYS):
                raise Unauthorized(MISSING_HERE)
            raise Unauthorized(ELSEWHERE if self.local else MISSING)
        kind, _, token = given.decode("latin-1").partition(" ")
        if kind.lower() != "bearer":
            raise Unauthorized(MISSING)
        return token.strip()

    def _admit(self, scope: Scope, token: str) -> None:
        state = request_state(scope)
        if state.key is None:  # otherwise it was let in once, and took another way
            if self._late and not self.keyring.knows(token):
                raise StoreUnavailable("Keys cannot be looked up at present.")
            key = state.key = self.keyring.authenticate(token)
            self.keyring.count(key)
        key = state.key
        check_scope(key, required_scope(scope["method"], path_of(scope)))

    async def _wait_for(self, reading: asyncio.Future[None], token: str) -> None:
        """Waits for the keys to be read, but not for long."""
        patience = PATIENCE_SECONDS if self.keyring.knows(token) else UNKNOWN_PATIENCE_SECONDS
        await asyncio.wait((reading,), timeout=0 if self._late else patience)
        if reading.done():
            reading.result()
        else:
            self._late = True

    def _refresh(self) -> asyncio.Future[None]:
        """Brings the keyring up to date; those who ask meanwhile wait for the same reading."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.ensure_future(self._read(self.keyring.read))
            self._reading.add_done_callback(self._note)
        return self._reading

    def _note(self, reading: asyncio.Future[None]) -> None:
        """Notes how a reading ended; nobody may be waiting for it, and an error that was never looked at is complained of."""
        self._late = self.keyring.stale
        if not reading.cancelled() and isinstance(error := reading.exception(), LossmeterError):
            log.warning("%s", error.detail)

    def _is_here(self, scope: Scope) -> bool:
        """Returns whether the client is on this machine, and meant to ask here."""
        server = tuple(scope.get("server") or ())  # any iterable, says ASGI
        way = self._ways.get(server)
        if way is None:
            way = self._ways[server] = way_of(server[0] if server else "")
        if way != "loopback":
            return way == "private"
        # A page of another site, in a browser of this machine, can get here too: by a name of its own that it has resolve to
        # loopback, or by posting blindly.
        for name, value in scope["headers"]:
            if name == b"host" and not is_ours(value):
                return False
            if (
                name == b"origin"
                and not is_ours(value.partition(b"://")[2])
                and value.decode("latin-1") not in self.origins
            ):
                return False
        return True


def way_of(host: str) -> Way:
    """Returns how a server was reached, by the address of its end of the connection.

    A socket has an address in numbers, or a path; a name or nothing at all means that there is no socket, as in a test.
    """
    if not is_number(host):
        return "private"
    return "loopback" if is_local(host) else "network"


@lru_cache(256)
def is_ours(value: bytes) -> bool:
    """Returns whether the `Host` header, or what follows the scheme in `Origin`, is a name of this machine.

    Of names only `localhost` counts: which machine another leads to, with dots or without, its network decides.
    """
    try:
        host = urlsplit("//" + value.decode("ascii")).hostname or "."
    except ValueError:
        return False
    return b"@" not in value and (is_local(host) if is_number(host) else host == "localhost")


@lru_cache(256)
def is_local(host: str) -> bool:
    """Returns whether only this machine can reach an address, which may be the path of a Unix socket, or missing."""
    return ipaddress.ip_address(host).is_loopback if is_number(host) else host in ("", "localhost") or "/" in host


def is_number(host: str) -> bool:
    """Returns whether a host is an address, and not a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def cross_origin(origins: Collection[str]) -> list[Middleware]:
    """Lets pages of these origins call from a browser; without any, only the console's own may."""
    if not origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=list(origins),
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=[
                "Authorization",
                "Content-Encoding",
                "Inference-Header-Content-Length",
                "X-Request-ID",
                "Content-Type",
            ],
            expose_headers=["Location", "Retry-After", "Server-Timing", "WWW-Authenticate", "X-Request-ID"],
        )
    ]


def key_check(settings: Settings, keyring: Keyring | None, thread: StoreThreads) -> Access | None:
    """Returns what asks for the keys of a keyring; None where there is none.

    Args:
        thread: looks keys up and changes them; nothing else uses it, so that they wait for no report.
    """
    if keyring is None:
        return None
    local = trusts_this_machine(settings)
    return Access(keyring, thread.run, local=local, origins=settings.origins)


def requires_keys(settings: Settings) -> bool:
    """Returns whether keys are asked for, at least of those who come from elsewhere; warns of what is dangerous."""
    if settings.auth == "off" and not (settings.uds or is_local(settings.host)):
        log.warning(
            "anybody who reaches %s may use this server: LOSSMETER_AUTH is off. Set it to `required`, and create keys with "
            "`lossmeter keys create`, unless something before it asks for them.",
            settings.host,
        )
    return settings.auth != "off"


def trusts_this_machine(settings: Settings) -> bool:
    """Returns whether those who ask from this machine need no key."""
    return settings.auth == "auto" and (bool(settings.uds) or is_local(settings.host))
