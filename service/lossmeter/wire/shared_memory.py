"""System shared memory: POSIX shared memory objects of clients on the same machine, which are files below `/dev/shm`.

Objects with a name are not mapped. A client that makes one smaller would take pages away from under a mapping, and whoever
touches one of those is killed (SIGBUS); a read from the file ends early instead, which is an error like any other. An object is
opened anew for each tensor (some 10 µs), so that no file is held open, nor the memory of an object that its client has removed.

Memory that is sealed (`sealed_memory.py`) is mapped, and the mapping kept for a while.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from mmap import ALLOCATIONGRANULARITY
from pathlib import Path

import numpy as np

from lossmeter.errors import Conflict, DoesNotFit, Invalid
from lossmeter.tensors import Array
from lossmeter.wire import sealed_memory
from lossmeter.wire._values import shown
from lossmeter.wire.regions import Region
from lossmeter.wire.sealed_memory import Mappings, Unusable

FOLDER = Path("/dev/shm")  # noqa: S108 - where shm_open keeps its objects
KEY = re.compile(r"/?([^/\0\ud800-\udfff]{1,254})")
"""The name of a POSIX shared memory object; the slash in front is left out by some."""
OPEN_TO_READ, OPEN_TO_WRITE = stat.S_IROTH, stat.S_IROTH | stat.S_IWOTH
REASONS = {
    errno.ENOENT: "there is no shared memory object of that key",
    errno.ELOOP: "the key is that of a symbolic link",
    errno.EACCES: "the user of this server may not open it",
    errno.EPERM: "the user of this server may not open it",
}


class SystemMemory:
    """Reads and writes the shared memory objects of one folder.

    Args:
        folder: where the system keeps them.
    """

    def __init__(self, folder: Path = FOLDER) -> None:
        self.folder = folder
        self._mappings = Mappings()

    @property
    def exists(self) -> bool:
        """Returns whether this system keeps shared memory in files."""
        return self.folder.is_dir()

    def region(self, name: str, key: str, offset: int, byte_size: int) -> Region:
        """Makes the region that a client describes.

        Raises:
            Invalid: if there is no such object, or it is smaller, or it is no business of this server.
        """
        try:
            with self._opened(key, os.O_RDONLY) as (_, status):
                file, size = (status.st_dev, status.st_ino), status.st_size
        except Unusable as error:
            raise Invalid.at("shared memory", "/key", f"the key cannot be used: {error}") from None
        if offset < 0 or byte_size < 1 or offset + byte_size > size:
            message = f"{shown(key)} has {size} bytes; expected {byte_size} from {offset} on"
            raise Invalid.at("shared memory", "/byte_size", message)
        return Region(name=name, kind="system", key=key, offset=offset, byte_size=byte_size, file=file)

    def read(self, region: Region, offset: int, into: Array) -> None:
        """Fills an array of bytes from a region.

        Raises:
            Conflict: if its object is gone, or has become smaller.
        """
        place = self.in_place(region, offset, len(into))
        if place is not None:
            np.copyto(into, place)
            return
        start, memory, done = region.offset + offset, into.data, 0
        with self._used(region, os.O_RDONLY) as (file, _):
            while done < len(memory):
                count = os.preadv(file, [memory[done:]], start + done)
                if not count:
                    raise Unusable(f"its object ends before byte {start + len(memory)}, which belongs to it")
                done += count

    def write(self, region: Region, offset: int, content: Array) -> None:
        """Writes an array of bytes to a region.

        An object that ends before is not made larger; one that becomes smaller at this very moment may be, up to what was
        registered.

        Raises:
            Conflict: if its object is gone, or has become smaller.
            DoesNotFit: if the system has no memory for it.
        """
        place = self.in_place(region, offset, len(content))
        if place is not None:
            if place.ctypes.data != content.ctypes.data:
                np.copyto(place, content)
            return
        start, memory, done = region.offset + offset, content.data, 0
        with self._used(region, os.O_RDWR) as (file, status):
            if start + len(memory) > status.st_size:
                raise Unusable(f"its object ends before byte {start + len(memory)}, which belongs to it")
            try:
                while done < len(memory):
                    done += os.pwrite(file, memory[done:], start + done)
            except OSError as error:
                raise DoesNotFit(f"Region {shown(region.name)}: {os.strerror(error.errno or 0)}.") from None

    def in_place(self, region: Region, offset: int, size: int) -> Array | None:
        """Returns bytes of a region where they lie, which its client may change at any time; None if they could go away.

        Raises:
            Conflict: if its memory is gone.
        """
        if sealed_memory.KEY.fullmatch(region.key) is None:
            return None
        # From the region's first page on, not the file's: a file of many terabytes leaves no addresses for anything else.
        first = region.offset - region.offset % ALLOCATIONGRANULARITY
        place, size_of_all = (*region.file, first), region.offset - first + region.byte_size
        memory = self._mappings.find(place, size_of_all)
        if memory is None:
            if not sealed_memory.can_be_mapped():
                return None
            with self._used(region, os.O_RDWR) as (file, _):
                memory = sealed_memory.mapped(file, first, size_of_all)
            self._mappings.keep(place, memory)
        start = region.offset - first + offset
        return memory[start : start + size]

    def lasts(self, region: Region) -> bool:
        """Returns whether the key still leads to the object that was registered."""
        try:
            with self._opened(region.key, os.O_RDONLY) as (_, status):
                return (status.st_dev, status.st_ino) == region.file
        except Unusable:
            return False

    @cached_property
    def _device(self) -> int:
        return self.folder.stat().st_dev

    @contextmanager
    def _used(self, region: Region, flags: int) -> Iterator[tuple[int, os.stat_result]]:
        """Opens the file of a region."""
        try:
            with self._opened(region.key, flags) as (file, status):
                if (status.st_dev, status.st_ino) != region.file:
                    raise Unusable("its key leads to another object now")
                yield file, status
        except Unusable as error:
            raise Conflict(f"Region {shown(region.name)} cannot be used: {error}.") from None

    @contextmanager
    def _opened(self, key: str, flags: int) -> Iterator[tuple[int, os.stat_result]]:
        sealed = sealed_memory.KEY.fullmatch(key)
        if sealed is not None:
            with sealed_memory.opened(sealed, flags) as opened:
                yield opened
            return
        match = KEY.fullmatch(key)
        if match is None or match[1] in (".", ".."):
            raise Unusable("it is no name of a shared memory object: `/name`, without another slash")
        try:
            # Without O_NONBLOCK, a pipe of that name would be waited for.
            file = os.open(f"{self.folder}/{match[1]}", flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise Unusable(REASONS.get(error.errno or 0, "it cannot be opened")) from None
        try:
            status = os.fstat(file)
            self._check(status, flags)
            yield file, status
        finally:
            os.close(file)

    def _check(self, status: os.stat_result, flags: int) -> None:
        if not stat.S_ISREG(status.st_mode) or status.st_dev != self._device:
            raise Unusable("it is no shared memory object")
        # A server that runs as root could open everybody's.
        needed = OPEN_TO_WRITE if flags & os.O_ACCMODE else OPEN_TO_READ
        if status.st_uid != os.geteuid() and status.st_mode & needed != needed:
            raise Unusable("it belongs to another user than the one of this server, and is not open to all")
