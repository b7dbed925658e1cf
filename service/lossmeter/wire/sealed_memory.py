"""Sealed memory: anonymous files (`memfd_create`) of clients on the same machine that nobody can make smaller any more.

Their key is `memfd:PROCESS:DESCRIPTOR:INODE`. They are opened through `/proc`, which the kernel allows for processes of the
same user. What is sealed against shrinking (`F_SEAL_SHRINK`) can be mapped: no page of a mapping is ever missing, except where
the system promises no more memory than it has (`vm.overcommit_memory` 2) and has none left for a hole.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import re
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from time import monotonic

import numpy as np

from lossmeter.tensors import Array

KEY = re.compile(r"memfd:([0-9]{1,10}):([0-9]{1,10}):([0-9]{1,20})")
MAX_KEPT = 16
KEPT_SECONDS = 10.0
"""Mappings that are kept, at most, and for how long after their last use: mapping 4 MB anew takes 0.6 ms."""

OVERCOMMIT = Path("/proc/sys/vm/overcommit_memory")
STRICT = "2"

Place = tuple[int, int, int]
"""Device and inode of a file, and the page at which a mapping begins."""


class Unusable(Exception):
    """Says why an object cannot be used."""


@contextmanager
def opened(key: re.Match[str], flags: int) -> Iterator[tuple[int, os.stat_result]]:
    """Opens the file of a key.

    Raises:
        Unusable: if it leads to no sealed memory of the user of this process.
    """
    process, descriptor, inode = map(int, key.groups())
    if not hasattr(os, "memfd_create"):
        raise Unusable("this system has no such memory")
    try:
        # A path only: to open whatever it may be, a pipe or a device, could have effects.
        found = os.open(f"/proc/{process}/fd/{descriptor}", os.O_PATH | os.O_CLOEXEC)
    except OSError:
        raise Unusable("its process has no such descriptor, or none that the user of this server may open") from None
    try:
        status = os.fstat(found)
        if not stat.S_ISREG(status.st_mode) or (status.st_dev, status.st_ino) != (_device(), inode):
            raise Unusable("its descriptor is not that of this memory")
        if status.st_uid != os.geteuid():
            raise Unusable("it belongs to another user than the one of this server")
        try:
            file = os.open(f"/proc/self/fd/{found}", flags | os.O_CLOEXEC)
        except OSError as error:  # by its mode, or as it is being executed
            raise Unusable(f"it cannot be opened: {os.strerror(error.errno or 0)}") from None
    finally:
        os.close(found)
    try:
        if not fcntl.fcntl(file, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK:
            raise Unusable("it is not sealed against shrinking")
        yield file, os.fstat(file)
    finally:
        os.close(file)


@cache
def _device() -> int:
    """Returns the device of anonymous files of plain pages: huge ones, which may be missing, have another."""
    file = os.memfd_create("lossmeter-device")
    try:
        return os.fstat(file).st_dev
    finally:
        os.close(file)


def can_be_mapped() -> bool:
    """Returns whether the system has a page for each that is touched, or else ends a process that takes too much."""
    try:
        return OVERCOMMIT.read_text().strip() != STRICT
    except OSError:
        return False


def mapped(file: int, begin: int, size: int) -> Array:
    """Maps bytes of a sealed file, from the beginning of a page on; they may be written to.

    Raises:
        Unusable: if the system cannot.
    """
    try:
        return np.frombuffer(mmap.mmap(file, size, offset=begin), np.uint8)
    except (OSError, ValueError) as error:
        raise Unusable(f"it cannot be mapped: {getattr(error, 'strerror', None) or error}") from None


class Mappings:
    """Mappings that were used lately. Memory that its client has removed lasts for no longer than they do."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[Place, tuple[float, Array]] = {}
        self._timer: threading.Timer | None = None

    def find(self, place: Place, size: int) -> Array | None:
        """Finds a mapping of at least that many bytes."""
        with self._lock:
            _, memory = self._kept.get(place, (0.0, None))
            if memory is None or len(memory) < size:
                return None
            self._kept[place] = monotonic(), memory
            return memory

    def keep(self, place: Place, memory: Array) -> None:
        """Keeps a mapping, in place of the one that was used least lately if there are many."""
        with self._lock:
            self._kept[place] = monotonic(), memory
            if len(self._kept) > MAX_KEPT:
                del self._kept[min(self._kept, key=lambda one: self._kept[one][0])]
            self._forget_in_time()

    def _forget(self) -> None:
        with self._lock:
            self._timer = None
            least = monotonic() - KEPT_SECONDS
            self._kept = {place: one for place, one in self._kept.items() if one[0] > least}
            self._forget_in_time()

    def _forget_in_time(self) -> None:
        if self._kept and self._timer is None:
            first = min(used for used, _ in self._kept.values())
            self._timer = threading.Timer(first + KEPT_SECONDS - monotonic(), self._forget)
            self._timer.daemon = True
            self._timer.start()
