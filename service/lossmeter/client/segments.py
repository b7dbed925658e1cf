"""Shared memory of a client: objects below `/dev/shm` that it makes, fills, lends out with its results, and removes."""

from __future__ import annotations

import mmap
import os
import secrets
import weakref
from collections import deque
from pathlib import Path

import numpy as np

from lossmeter.tensors import Array

FOLDER = Path("/dev/shm")  # noqa: S108 - where shm_open keeps its objects
PREFIX = "lossmeter-client-"
MAX_SEGMENTS = 4
"""Segments of one client: a training loop needs one for the step, and one that its last gradient lies in."""
GROWTH_BYTES = 1 << 20
"""Sizes are multiples of this, so that a batch that is a little larger than the last finds room."""


class Segment:
    """A shared memory object of this process, mapped.

    Attributes:
        name: by which the service knows it, too.
        size: in bytes.
        registered: whether the service knows it.
        lent: whether arrays lie in it.
        lasting: whether it is used again; not after a fork, since what was lent out then belongs to two processes.
    """

    def __init__(self, size: int) -> None:
        """Makes an object, and takes its memory from the system.

        Raises:
            OSError: if there is no memory, or no `/dev/shm`.
        """
        self.name = PREFIX + secrets.token_hex(8)
        self.size = size
        self.process = os.getpid()
        self.registered = False
        self.lent = False
        self.lasting = True
        path = FOLDER / self.name
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW, 0o600)
        try:
            _lock(file)
            os.posix_fallocate(file, 0, size)  # what is missing is known now, and not by SIGBUS
            self.memory = mmap.mmap(file, size)  # holds the lock, too
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        finally:
            os.close(file)
        self.remove = weakref.finalize(self, _remove, path, self.process)

    @property
    def key(self) -> str:
        """Returns the name under which the system knows it."""
        return "/" + self.name

    def write(self, offset: int, content: Array) -> None:
        """Copies an array into the segment."""
        if content.size:
            np.copyto(np.frombuffer(self.memory, content.dtype, content.size, offset), content)


class _Lent:
    """Owns the memory of the arrays that lie in a segment: it is gone when the last of them is."""

    def __init__(self, segment: Segment) -> None:
        whole = np.frombuffer(segment.memory, np.uint8)
        self.segment = segment
        self.__array_interface__ = whole.__array_interface__


class Segments:
    """The segments of one client. Safe to use from many threads: nothing is locked, as a collector of garbage may come in."""

    def __init__(self) -> None:
        self.closed = False
        self._start()
        _ALL.add(self)

    def _start(self) -> None:
        self._process = os.getpid()
        self._free: deque[Segment] = deque()
        self._places: deque[None] = deque([None] * MAX_SEGMENTS)
        self._known: dict[str, Segment] = {}

    def take(self, size: int) -> Segment | None:
        """Takes a segment of at least that size, for one request; none if there are as many as there may be.

        Raises:
            OSError: if there is no memory for it.
        """
        if self._process != os.getpid():
            self._start()  # those of the parent stay the parent's
        if self.closed:
            return None
        try:
            segment = self._free.pop()
        except IndexError:
            pass
        else:
            if segment.size >= size:
                return segment
            self.discard(segment)
        try:
            self._places.pop()
        except IndexError:
            return None
        try:
            _sweep()
            segment = Segment(-(-size // GROWTH_BYTES) * GROWTH_BYTES)
        except BaseException:
            self._places.append(None)
            raise
        self._known[segment.name] = segment
        return segment

    def lend(self, segment: Segment) -> Array:
        """Lends the bytes of a segment: it is free again once the array is gone, and all views of it."""
        lent = _Lent(segment)
        segment.lent = True
        weakref.finalize(lent, self.give, segment).atexit = False
        return np.asarray(lent)

    def give(self, segment: Segment) -> None:
        """Takes a segment back."""
        if segment.process != os.getpid():
            return
        segment.lent = False
        if self.closed or not segment.lasting or segment.name not in self._known:
            self.discard(segment)
        else:
            self._free.append(segment)

    def discard(self, segment: Segment) -> None:
        """Removes a segment: a service that still writes to it writes to what nobody reads."""
        if segment.process != os.getpid():
            return
        segment.remove()
        if self._known.pop(segment.name, None) is not None:
            self._places.append(None)

    def close(self) -> None:
        """Removes all segments. Arrays that lie in one stay as they are."""
        self.closed = True
        if self._process == os.getpid():
            for segment in list(self._known.values()):
                self.discard(segment)

    def use_no_longer(self) -> None:
        """Lets none of the segments be used again that arrays lie in now."""
        for segment in list(self._known.values()):
            segment.lasting = segment.lasting and not segment.lent


_ALL: weakref.WeakSet[Segments] = weakref.WeakSet()


def _before_fork() -> None:
    for segments in list(_ALL):
        segments.use_no_longer()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork)


def is_possible() -> bool:
    """Returns whether this system keeps shared memory in files."""
    return FOLDER.is_dir() and hasattr(os, "posix_fallocate")


def _lock(file: int) -> None:
    """Locks a file for as long as anything of this process, or of its children, has it open or mapped."""
    import fcntl

    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _sweep() -> None:
    """Removes what clients of this user left behind that were killed."""
    for path in FOLDER.glob(f"{PREFIX}*"):
        try:
            file = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            continue
        try:
            if os.fstat(file).st_uid == os.getuid() and os.fstat(file).st_size:
                _lock(file)
                path.unlink(missing_ok=True)
        except OSError:
            continue
        finally:
            os.close(file)


def _remove(path: Path, process: int) -> None:
    if os.getpid() == process:
        path.unlink(missing_ok=True)
