"""Keeps plain connections open, over TCP or a Unix socket, and sends one request at a time over each."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import weakref
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from time import monotonic

from lossmeter.client.answers import HEAD_BYTES, Answer, KnownHead, Steps, answer
from lossmeter.client.errors import NoAnswer, TimedOut
from lossmeter.client.exchanges import Piece

MOST_CONNECTIONS = 100
MOST_IDLE = 20
IDLE_SECONDS = 5.0
"""As httpx bounds its connections: how many there are, how many are kept, and for how long."""

CLOSED = "Cannot send a request, as the client has been closed."
LATE = "The answer was not complete in time."


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port, or the path of a Unix socket."""

    host: str = ""
    port: int = 0
    path: str = ""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request as bytes.

    Attributes:
        method: of the request.
        chunks: head and body as bytes, to be sent one after the other.
        deadline: by the monotonic clock, for the whole answer.
    """

    method: str
    chunks: Iterator[Piece]
    deadline: float


class Connection:
    """An open connection, and memory for what arrives over it."""

    __slots__ = ("_poll", "head", "idle_since", "memory", "socket")

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self.memory = memoryview(bytearray(HEAD_BYTES))
        self.head = KnownHead()
        self.idle_since = 0.0
        self._poll = None
        if hasattr(select, "poll"):  # which, unlike select, takes any number of open files; Windows has none
            self._poll = select.poll()
            self._poll.register(connected, select.POLLIN)
        if connected.family != getattr(socket, "AF_UNIX", None):
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def silent(self) -> bool:
        """Returns False if the peer has closed it, or sent what nobody asked for."""
        if self._poll is None:
            return not select.select([self.socket], [], [], 0)[0]
        return not self._poll.poll(0)


class _Idle:
    """Keeps the connections that wait for a request. A process that was forked off starts without any."""

    def __init__(self, address: Address, connect_seconds: float, seconds: float) -> None:
        self.address = address
        self.connect_seconds = connect_seconds
        self.seconds = seconds
        self.closed = False
        self._idle: deque[Connection] = deque()
        weakref.finalize(self, _close, self._idle)  # for those that are forgotten without being closed
        self._process = os.getpid()

    def _drop_inherited(self) -> bool:
        """Closes the connections that belong to a parent process; tells whether this process is new to them."""
        if self._process == os.getpid():
            return False
        _close(self._idle)
        self._process = os.getpid()  # last, so that no other thread takes what is inherited
        return True

    def _take(self) -> Connection | None:
        if self.closed:
            raise RuntimeError(CLOSED)
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return None
            if monotonic() - connection.idle_since < IDLE_SECONDS and connection.silent:
                return connection
            connection.socket.close()

    def _give(self, connection: Connection, *, reusable: bool) -> None:
        if not reusable:
            connection.socket.close()
            return
        connection.idle_since = monotonic()
        self._idle.append(connection)
        if self.closed:
            _close(self._idle)
            return
        try:
            while len(self._idle) > MOST_IDLE or connection.idle_since - self._idle[0].idle_since > IDLE_SECONDS:
                self._idle.popleft().socket.close()
        except IndexError:  # another thread took them
            pass

    def close(self) -> None:
        """Closes all connections; those in use as soon as their answer is there."""
        self.closed = True
        _close(self._idle)


def _close(idle: deque[Connection]) -> None:
    while idle:
        try:
            idle.pop().socket.close()
        except IndexError:  # another thread took the last one
            return


def _places() -> SimpleQueue[None]:
    """Makes a place for each connection that there may be: a semaphore that takes a tenth of the time of Python's."""
    places: SimpleQueue[None] = SimpleQueue()
    for _ in range(MOST_CONNECTIONS):
        places.put(None)
    return places


class Sockets(_Idle):
    """Sends requests over connections that block. Safe to use from many threads."""

    def __init__(self, address: Address, connect_seconds: float, seconds: float) -> None:
        super().__init__(address, connect_seconds, seconds)
        self._places = _places()

    def send(self, outgoing: Outgoing) -> Answer:
        """Sends a request and reads its answer.

        Raises:
            NoAnswer, TimedOut: if there is none.
            RuntimeError: if the connections have been closed.
        """
        if self._drop_inherited():
            self._places = _places()
        places = self._places
        try:
            places.get(timeout=self.seconds)
        except Empty:
            raise TimedOut("PoolTimeout") from None
        connection = None
        try:
            connection = self._take() or self._connected()
            self._write(connection.socket, outgoing.chunks)
            steps = answer(outgoing.method, connection.memory, connection.head)
            received = self._read(connection.socket, steps, outgoing.deadline)
            self._give(connection, reusable=received.reusable)
        except BaseException:
            if connection is not None:
                connection.socket.close()
            raise
        finally:
            places.put(None)
        return received

    def _connected(self) -> Connection:
        address = self.address
        try:
            if address.path:
                connected = socket.socket(socket.AF_UNIX)
                try:
                    connected.settimeout(self.connect_seconds)
                    connected.connect(address.path)
                except BaseException:
                    connected.close()
                    raise
            else:
                connected = socket.create_connection((address.host, address.port), self.connect_seconds)
        except TimeoutError as error:
            raise NoAnswer(f"ConnectTimeout: {error}") from None
        except (OSError, UnicodeError) as error:
            raise NoAnswer(f"ConnectError: {error}") from None
        connected.settimeout(self.seconds)
        return Connection(connected)

    def _write(self, connected: socket.socket, chunks: Iterator[Piece]) -> None:
        for chunk in chunks:
            try:
                connected.sendall(chunk)
            except TimeoutError as error:
                raise TimedOut(f"WriteTimeout: {error}") from None
            except OSError:  # a service that refuses a long body hangs up after its answer
                return

    def _read(self, connected: socket.socket, steps: Steps, deadline: float) -> Answer:
        memory = next(steps)
        try:
            while True:
                memory = steps.send(connected.recv_into(memory))
                if monotonic() > deadline:
                    raise TimedOut(LATE)
        except StopIteration as end:
            received: Answer = end.value
            return received
        except TimeoutError as error:
            raise TimedOut(f"ReadTimeout: {error}") from None
        except OSError as error:
            raise NoAnswer(f"ReadError: {error}") from None


class AsyncSockets(_Idle):
    """Sends requests over connections that do not block, for asyncio."""

    def __init__(self, address: Address, connect_seconds: float, seconds: float) -> None:
        super().__init__(address, connect_seconds, seconds)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._places = asyncio.Semaphore(MOST_CONNECTIONS)

    async def send(self, outgoing: Outgoing) -> Answer:
        """As `Sockets.send`."""
        loop = asyncio.get_running_loop()
        if self._drop_inherited() or loop is not self._loop:
            self._loop, self._places = loop, asyncio.Semaphore(MOST_CONNECTIONS)
        places = self._places
        if places.locked():
            await self._place(places)
        else:
            await places.acquire()
        connection = None
        try:
            connection = self._take() or await self._connected(loop)
            await self._write(loop, connection.socket, outgoing.chunks)
            steps = answer(outgoing.method, connection.memory, connection.head)
            received = await self._read(loop, connection.socket, steps, outgoing.deadline)
            self._give(connection, reusable=received.reusable)
        except BaseException:
            if connection is not None:
                connection.socket.close()
            raise
        finally:
            places.release()
        return received

    async def _place(self, places: asyncio.Semaphore) -> None:
        try:
            async with asyncio.timeout(self.seconds):
                await places.acquire()
        except TimeoutError:
            raise TimedOut("PoolTimeout") from None

    async def _connected(self, loop: asyncio.AbstractEventLoop) -> Connection:
        address = self.address
        try:
            if address.path:
                return await self._connect(loop, socket.AF_UNIX, address.path)
            places = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
            for family, *_, place in places[:-1]:
                try:
                    return await self._connect(loop, family, place)
                except OSError:
                    continue
            family, *_, place = places[-1]
            return await self._connect(loop, family, place)
        except TimeoutError as error:
            raise NoAnswer(f"ConnectTimeout: {error}".removesuffix(": ")) from None
        except (OSError, UnicodeError) as error:
            raise NoAnswer(f"ConnectError: {error}") from None

    async def _connect(self, loop: asyncio.AbstractEventLoop, family: int, place: object) -> Connection:
        connected = socket.socket(family)
        try:
            connected.setblocking(False)
            async with asyncio.timeout(self.connect_seconds):
                await loop.sock_connect(connected, place)  # type: ignore[arg-type]
            return Connection(connected)
        except BaseException:
            connected.close()
            raise

    async def _write(self, loop: asyncio.AbstractEventLoop, connected: socket.socket, chunks: Iterator[Piece]) -> None:
        for chunk in chunks:
            try:
                async with asyncio.timeout(self.seconds):
                    await loop.sock_sendall(connected, chunk)
            except TimeoutError:
                raise TimedOut("WriteTimeout") from None
            except OSError:
                return

    async def _read(
        self, loop: asyncio.AbstractEventLoop, connected: socket.socket, steps: Steps, deadline: float
    ) -> Answer:
        memory = next(steps)
        try:
            while True:
                async with asyncio.timeout(self.seconds):
                    count = await loop.sock_recv_into(connected, memory)
                memory = steps.send(count)
                if monotonic() > deadline:
                    raise TimedOut(LATE)
        except StopIteration as end:
            received: Answer = end.value
            return received
        except TimeoutError:
            raise TimedOut("ReadTimeout") from None
        except OSError as error:
            raise NoAnswer(f"ReadError: {error}") from None
