"""Reads the body of a request: no more than the limit, into one piece of memory that may be written to.

Room is reserved for the bytes that came, not for those that were announced: an announcement costs its sender nothing.

A tensor of a binary format is a view of that memory, and torch wants to be able to write; for a body that arrives in one chunk
this costs a copy of 4 µs at most (200 kB).
"""

from __future__ import annotations

import asyncio
import ctypes
import re
from collections.abc import Callable
from contextlib import suppress

from starlette.types import Message, Receive

from lossmeter.api.headers import Headers, header
from lossmeter.api.negotiation import body_codings
from lossmeter.errors import Busy, MalformedBody, TooLarge
from lossmeter.scheduling.admission import GAVE_WAY, Reservation
from lossmeter.scheduling.arrivals import Arrival
from lossmeter.telemetry.request import RequestState
from lossmeter.wire.compression import expand

SHARED_MEMORY, SIZE = b"shared_memory", re.compile(rb"shared_memory_byte_size\"?\s*:\s*(\d{1,18})")
EXPANSION = 4
"""The factor by which a compressed body is taken to become larger, until it is known."""

SMALL_EXPANDED, MAX_EXPANSION = 8 << 20, 1100
"""Bytes that a compressed body may become however small it is, and for each of its bytes: gzip makes no more of anything."""
FILLED_BYTES = 1 << 17
"""Rest of a body of known length beyond which it is read past the parser."""


class ClientGone(Exception):
    """The client hung up before its request was complete: there is nobody to answer."""


class Body:
    """Holds a body until it is taken out to be decoded, so that nothing else keeps it in memory.

    Args:
        raw: as it came.
        applied: the codings that were applied to it.
        limit: the most bytes that it may have without them.
        reserve: called before memory is taken.
    """

    def __init__(self, raw: bytearray, applied: tuple[str, ...], limit: int, reserve: Callable[[int], None]) -> None:
        self.applied = applied
        self.size = len(raw)
        self._box = [raw]
        self._limit = limit
        self._reserve = reserve
        self._read = 0
        self._referred: int | None = None

    @property
    def cost(self) -> int:
        """Returns how large it is, or may become."""
        return self.size * (EXPANSION if self.applied else 1)

    @property
    def sent(self) -> int:
        """Returns how many bytes came, with those that were read from shared memory."""
        return self.size + self._read

    @property
    def referred(self) -> int:
        """Returns how many bytes of shared memory it speaks of, as far as can be seen: nothing, if it is compressed."""
        if self.applied:
            return 0
        raw = self._box[0]
        self._referred = sum(map(int, SIZE.findall(raw))) if SHARED_MEMORY in raw else 0
        return self._referred

    def refer(self, size: int) -> None:
        """Reserves memory for what the body refers to, which together has the limit of a body.

        Raises:
            MalformedBody: if it is more than a look at the body told, by which it was decided where it is worked on.
            TooLarge: if it is over the limit.
            Busy: if there is no room for it.
        """
        self._read += size
        if self._referred is not None and self._read > self._referred:
            raise MalformedBody(
                "The body hides how much shared memory it refers to: write shared_memory_byte_size plainly."
            )
        if self._read > self._limit:
            raise _too_large(self._limit)
        self._reserve(size)

    def take(self) -> bytearray:
        """Returns the body as it was before any codings; this takes time if there are some, and can be done once.

        Raises:
            MalformedBody: if it is not what the codings make.
            TooLarge: if it is over the limit without them.
            Busy: if there is no room for it.
        """
        raw = self._box.pop()
        if not self.applied:
            return raw
        most = min(self._limit, max(SMALL_EXPANDED, MAX_EXPANSION * len(raw)))
        return expand(raw, self.applied, most, self._reserve)


async def read_body(
    receive: Receive, headers: Headers, state: RequestState, limit: int, reservation: Reservation
) -> Body:
    """Reads the whole body; room for each piece of it is reserved as it comes.

    Raises:
        UnsupportedFormat: if it has a coding that is not known here.
        TooLarge: as soon as it is known to be over the limit.
        Busy: if there is no room for it, or others need it while the body comes slowly.
        ClientGone: if the client hangs up.
    """
    applied = body_codings(headers)
    limit = _limit_of(state, limit)
    raw = await _read(receive, headers, state, limit, reservation)
    state.received_bytes = len(raw)
    return Body(raw, applied, limit, reservation.grow)


def take_body(raw: bytearray, state: RequestState, limit: int, reserve: Callable[[int], None]) -> Body:
    """Takes a whole body that is there already and has no codings, by the same rules.

    Raises:
        TooLarge, Busy: as `read_body`.
    """
    limit = _limit_of(state, limit)
    if len(raw) > limit:
        raise _too_large(limit)
    reserve(len(raw))
    state.received_bytes = len(raw)
    return Body(raw, (), limit, reserve)


def _limit_of(state: RequestState, limit: int) -> int:
    """Returns the most bytes that a body may have: the limit of the server, or the key's if that is less."""
    key = state.key
    return limit if key is None or key.max_body_bytes is None else min(limit, key.max_body_bytes)


async def _read(
    receive: Receive, headers: Headers, state: RequestState, limit: int, reservation: Reservation
) -> bytearray:
    declared = header(headers, b"content-length")
    if declared is not None and not declared.isdigit():
        raise MalformedBody("Content-Length is not a number.")
    if declared is not None and int(declared) > limit:
        raise _too_large(limit)
    if declared is not None:
        reservation.admission.foresee(reservation, int(declared))
    message = await receive()
    first = _piece(state, message)
    if len(first) > limit:
        raise _too_large(limit)
    reservation.grow(len(first))
    if not message.get("more_body"):
        return bytearray(first)
    # With the length known, the memory is taken once; a bytearray that grows leaves as much again behind in pieces.
    whole = bytearray()
    if declared is not None:
        _resize(whole, int(declared))
    whole[: len(first)] = first
    await _read_rest(receive, state, limit, reservation, whole, len(first))
    return whole


async def _read_rest(
    receive: Receive, state: RequestState, limit: int, reservation: Reservation, whole: bytearray, position: int
) -> None:
    """Reads what follows a position; gives up if the room is needed while the body comes slowly."""
    loop, admission = asyncio.get_running_loop(), reservation.admission
    try:
        async with asyncio.timeout(None) as patience:
            arrival = Arrival(lambda: loop.call_soon_threadsafe(_end, patience))
            admission.expect(arrival, reservation)

            def count(size: int) -> None:
                reservation.grow(size)
                arrival.add(size)

            try:
                more = True
                if state.fill is not None and len(whole) - position > FILLED_BYTES:
                    await state.fill(memoryview(whole)[position:], count)
                    more = False
                while more:
                    message = await receive()
                    piece = _piece(state, message)
                    if position + len(piece) > limit:
                        raise _too_large(limit)
                    count(len(piece))
                    whole[position : position + len(piece)] = piece
                    position += len(piece)
                    more = message.get("more_body", False)
            finally:
                admission.arrived(arrival)
    except TimeoutError:
        raise Busy(GAVE_WAY) from None


def _end(patience: asyncio.Timeout) -> None:
    with suppress(RuntimeError):  # it has ended by itself meanwhile
        patience.reschedule(0)


# bytearray(n) writes zeros: who announces a body and sends none of it would have all its memory taken.
_resize = ctypes.pythonapi.PyByteArray_Resize
_resize.argtypes = (ctypes.py_object, ctypes.c_ssize_t)
_resize.restype = ctypes.c_int


def _piece(state: RequestState, message: Message) -> bytes:
    if message["type"] == "http.disconnect":
        raise ClientGone
    piece: bytes = message.get("body", b"")
    if state.body_error is not None:
        raise state.body_error
    return piece


def _too_large(limit: int) -> TooLarge:
    return TooLarge(
        f"The body is larger than {limit} bytes, the limit of this server (LOSSMETER_MAX_BODY_BYTES), address or key."
    )
