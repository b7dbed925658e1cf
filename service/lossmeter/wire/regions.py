"""Keeps the regions of shared memory that clients register, and reads and writes slices of them.

The registry is a folder with a file for each region, written whole and in one step. So a region that was registered with one
worker of a server can be used with any of them, and one that was unregistered is gone for all of them at once.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from secrets import randbits
from typing import Literal, NamedTuple, Protocol

import numpy as np
import orjson

from lossmeter.errors import Busy, Conflict, Invalid, NotFound
from lossmeter.tensors import Array
from lossmeter.wire._values import shown

Kind = Literal["system", "cuda"]

MAX_REGIONS = 256
"""Regions of one server. None takes memory or a file of it; this bounds how long a list of them can become."""
MAX_BYTES = 1 << 40
"""Bytes of all regions together."""
ALIGNMENT = 64
"""Where the memory begins that a slice is read into. numpy's begins 16 bytes behind a page, and there the kernel of an AMD EPYC
took 11 ms for 4 MB instead of 1.1 (Linux 6.18; medians on a busy machine, 2.1 and 0.4 at best)."""
VERSION_BITS = 60
"""Of the time that is set on a file of the registry, in nanoseconds: 36 years of them, which every file system knows."""
MAX_NAME = 255
"""Characters in the name of a region."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A region that a client has registered.

    Attributes:
        name: given by the client; regions of both kinds share their names.
        kind: of memory.
        byte_size: how much of it may be used.
        key: of a POSIX shared memory object, or of memory that is sealed.
        offset: at which the region begins in that object.
        file: device and inode of the object, by which another one of the same key is noticed.
        device_id: of the GPU whose memory it is.
        handle: of that memory, in base64, as CUDA hands it to other processes.
    """

    name: str
    kind: Kind
    byte_size: int
    key: str = ""
    offset: int = 0
    file: tuple[int, int] = (0, 0)
    device_id: int = 0
    handle: str = ""


class Slice(NamedTuple):
    """Locates a tensor: bytes of a region."""

    region: str
    offset: int
    size: int


class Memory(Protocol):
    """Memory of one kind: copies between it and this process, and never maps what a client could take away."""

    def in_place(self, region: Region, offset: int, size: int) -> Array | None:
        """Returns bytes where they lie, if that can be done."""

    @property
    def exists(self) -> bool:
        """Returns whether this machine has such memory."""

    def read(self, region: Region, offset: int, into: Array) -> None:
        """Fills an array of bytes."""

    def write(self, region: Region, offset: int, content: Array) -> None:
        """Writes an array of bytes."""

    def lasts(self, region: Region) -> bool:
        """Returns whether the memory of a region is still there."""


class _Known(NamedTuple):
    """A file of the registry as it was read, with its version: while that stays the same, the file is not read again."""

    path: str
    version: tuple[int, int]
    region: Region


class Registry:
    """Keeps the regions of a server.

    Args:
        folder: one that the workers of one server share, and nobody else writes to.
        max_regions, max_bytes: that can be registered.
    """

    def __init__(self, folder: Path, max_regions: int = MAX_REGIONS, max_bytes: int = MAX_BYTES) -> None:
        self.folder = folder
        self.max_regions = max_regions
        self.max_bytes = max_bytes
        self._known: dict[str, _Known] = {}

    def add(self, region: Region, memory: Memory) -> None:
        """Registers a region. Others of its kind whose memory is gone are forgotten.

        Raises:
            Invalid: if the name or the size can be none of a region.
            Conflict: if there is a region of that name.
            Busy: if there are as many as there may be.
        """
        _check(region)
        with self._locked():
            others: dict[str, Region] = {}
            for one in self.all():
                if one.kind != region.kind or memory.lasts(one):
                    others[one.name] = one
                else:
                    self._path(one.name).unlink(missing_ok=True)
            if region.name in others:
                raise Conflict(f"Region {shown(region.name)} is registered already; unregister it first.")
            size = sum(one.byte_size for one in others.values())
            if len(others) >= self.max_regions or size + region.byte_size > self.max_bytes:
                most = f"at most {self.max_regions} regions of {self.max_bytes} bytes together"
                raise Busy(f"{len(others)} regions of {size} bytes are registered; {most}.")
            path = self._path(region.name)
            beside = path.with_suffix(".new")
            beside.write_bytes(orjson.dumps(asdict(region)))
            # As systems use the inode of a removed file again, and their clocks stand still for milliseconds.
            os.utime(beside, ns=(0, randbits(VERSION_BITS)))
            beside.rename(path)

    def find(self, name: str) -> Region:
        """Finds the region of a name.

        Raises:
            NotFound: if none is registered.
        """
        known = self._known.get(name)
        path = str(self._path(name)) if known is None else known.path
        try:
            status = os.stat(path)  # noqa: PTH116 - a path object takes ten times as long
            version = status.st_ino, status.st_mtime_ns
            if known is not None and known.version == version:
                return known.region
            region = _region(Path(path))
        except FileNotFoundError:
            self._known.pop(name, None)
            raise NotFound(f"No region of shared memory is registered under {shown(name)}.") from None
        if len(self._known) >= 2 * self.max_regions:
            self._known.clear()
        self._known[name] = _Known(path, version, region)
        return region

    def all(self, kind: Kind | None = None) -> list[Region]:
        """Lists the regions of a kind, or all, by name."""
        regions = []
        for path in self.folder.glob("*.region"):
            with suppress(FileNotFoundError):
                regions.append(_region(path))
        return sorted((one for one in regions if kind in (None, one.kind)), key=lambda one: one.name)

    def remove(self, kind: Kind, name: str | None = None) -> None:
        """Forgets one region of a kind, or all of them; does nothing if there is none of that name."""
        for one in self.all(kind):
            if name in (None, one.name):
                self._path(one.name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        # A name may hold whatever a file name cannot.
        digest = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        return self.folder / f"{digest}.region"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Lets one registration run at a time, whichever worker is asked."""
        lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)


class SharedMemory:
    """Reads and writes slices of regions, for requests.

    Args:
        registry: of the regions.
        memories: by kind.
    """

    def __init__(self, registry: Registry, memories: Mapping[Kind, Memory]) -> None:
        self.registry = registry
        self.memories = memories

    def read(self, where: Slice) -> Array:
        """Copies the bytes of a slice into memory of this process.

        Raises:
            NotFound: if there is no such region.
            Invalid: if it does not reach that far.
            Conflict: if its memory is gone, or is less than it was.
        """
        region = self._region_of(where)
        content = _aligned(where.size)
        self.memories[region.kind].read(region, where.offset, content)
        return content

    def in_place(self, where: Slice) -> Array | None:
        """Returns the bytes of a slice where they lie, if the client cannot take them away; it may change them at any time.

        Raises:
            NotFound, Invalid, Conflict: as `read`.
        """
        region = self._region_of(where)
        return self.memories[region.kind].in_place(region, where.offset, where.size)

    def write(self, where: Slice, content: Array) -> None:
        """Writes bytes to where a slice begins.

        Raises:
            Invalid: if they do not fit the slice, or the slice the region.
            NotFound, Conflict: as `read`.
        """
        region = self._region_of(where)
        if len(content) > where.size:
            message = f"has room for {where.size} bytes in {shown(where.region)}; expected {len(content)}"
            raise Invalid.at("shared memory", "/outputs", f"an output {message}")
        self.memories[region.kind].write(region, where.offset, content)

    def _region_of(self, where: Slice) -> Region:
        region = self.registry.find(where.region)
        if where.offset + where.size > region.byte_size:
            message = (
                f"{shown(where.region)} has {region.byte_size} bytes; expected {where.size} from {where.offset} on"
            )
            raise Invalid.at("shared memory", "", message)
        return region


def _aligned(size: int) -> Array:
    room = np.empty(size + ALIGNMENT, np.uint8)
    start = -room.ctypes.data % ALIGNMENT
    return room[start : start + size]


def _region(path: Path) -> Region:
    fields = orjson.loads(path.read_bytes())
    return Region(**{**fields, "file": tuple(fields["file"])})


def _check(region: Region) -> None:
    if not 0 < len(region.name) <= MAX_NAME or not region.name.isprintable():
        message = (
            f"the name of a region has {len(region.name)} characters; expected 1 to {MAX_NAME} that can be printed"
        )
        raise Invalid.at("shared memory", "", message)
    if region.byte_size < 1 or region.offset < 0:
        message = f"byte_size is {region.byte_size} and offset {region.offset}; expected at least 1 and 0"
        raise Invalid.at("shared memory", "/byte_size", message)
