"""Shared memory of a client: anonymous files that it makes, fills, and lends out with its results."""

from __future__ import annotations

import os
import secrets
import weakref
from collections import deque
from mmap import mmap
from pathlib import Path

import numpy as np

from lossmeter.tensors import Array

MAX_SEGMENTS = 4
"""Segments of one client: a training loop needs one for the step, and one that its last gradient lies in."""
GROWTH_BYTES = 1 << 20
"""Sizes are multiples of this, so that a batch that is a little larger than the last finds room."""


class Segment:
    """Shared memory of this process, mapped: an anonymous file, which is gone with whoever has it open or mapped.

    Attributes:
        name: by which the service knows it.
        key: under which the system finds it: process, descriptor and inode.
        size: in bytes. The file is sealed against shrinking, so that the service can map it, too.
        registered: whether the service knows it.
        lent: whether arrays lie in it.
        lasting: whether it is used again; not after a fork, since what was lent out then belongs to two processes.
    """

    def __init__(self, size: int) -> None:
        """Makes a file, and takes its memory from the system.

        Raises:
            OSError: if there is no memory.
        """
        import fcntl

        self.name = "lossmeter-client-" + secrets.token_hex(8)
        self.size = size
        self.process = os.getpid()
        self.registered = False
        self.lent = False
        self.lasting = True
        file = os.memfd_create(self.name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.posix_fallocate(file, 0, size)  # what is missing is known now, and not by SIGBUS
            fcntl.fcntl(file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
            self.memory = mmap(file, size)
            self.key = f"memfd:{self.process}:{file}:{os.fstat(file).st_ino}"
        except BaseException:
            os.close(file)
            raise
        self.remove = weakref.finalize(self, os.close, file)

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
    """Returns whether this system has anonymous files, and lets a service on it open them."""
    return hasattr(os, "memfd_create") and hasattr(os, "posix_fallocate") and Path("/proc/self/fd").is_dir()
