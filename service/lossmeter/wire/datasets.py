"""Datasets: a table in one file or in many, here or in an object store, and the parts that are read each by itself.

How a dataset falls into parts follows from it alone, so that whoever reads them, and wherever, adds up the same numbers.
"""

from __future__ import annotations

import posixpath
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from lossmeter.errors import NotFound
from lossmeter.wire import tables
from lossmeter.wire.sources import ENDINGS, Source, form_of

PART_ROWS = 1 << 20
"""Rows of a Parquet file from which on its row groups are several parts."""
OPENED_AT_ONCE = 16
"""Files whose heads are read at the same time: of an object store each takes tens of milliseconds."""
WILD = "*?["


class Part(Protocol):
    """Rows that are read together, by one process."""

    @property
    def name(self) -> str:
        """Names them in messages."""

    def read(self, columns: tables.Columns) -> Generator[tables.Chunk, None, None]:
        """Reads the rows, in order.

        Raises:
            LossmeterError: they cannot be read.
        """


@dataclass(frozen=True)
class FilePart:
    """A file, or some row groups of one."""

    source: Source

    @property
    def name(self) -> str:
        return self.source.name

    def read(self, columns: tables.Columns) -> Generator[tables.Chunk, None, None]:
        return tables.read(self.source, columns)


@dataclass(frozen=True)
class Dataset:
    """A table in parts.

    Attributes:
        name: for messages.
        parts: in order; at least one.
    """

    name: str
    parts: Sequence[Part]

    @classmethod
    def of(cls, *sources: Source, name: str = "") -> Dataset:
        """Makes the dataset of these files; what is in a Parquet file is divided by its row groups."""
        with ThreadPoolExecutor(OPENED_AT_ONCE) as threads:
            divided = threads.map(lambda one: [FilePart(part) for part in _divided(one)], sources)
            return cls(name or sources[0].name, [part for parts in divided for part in parts])


def is_local_file(location: str) -> bool:
    """Tells whether this is a single file of this machine, or would be if there were one."""
    if "://" in location or Path(location).is_dir():
        return False
    return Path(location).is_file() or not any(one in location for one in WILD)


def find(location: str, form: str | None = None) -> Dataset:
    """Finds the files of a folder, of a pattern, or at a URL that fsspec knows (`s3://…`, `gs://…`, `memory://…`).

    Rows without ids are known by the name of their file and their number there.

    Args:
        form: the format of all files; None for what their endings say, and then files with other endings are no part.

    Raises:
        NotFound: there are none.
    """
    import fsspec

    try:
        files, paths = fsspec.url_to_fs(location)
        inside = files.glob(paths) if any(one in location for one in WILD) else files.find(paths)
        found = sorted(path for path in inside if _counts(posixpath.basename(path), form) and files.isfile(path))
    except (OSError, ValueError, ImportError) as error:
        raise NotFound(f"{location} cannot be looked into: {error}") from error
    if not found:
        raise NotFound(f"There is no file {location} that can be read; expected one of {', '.join(ENDINGS)}.")
    root = posixpath.commonpath([posixpath.dirname(path) for path in found]) if len(found) > 1 else ""
    local = "://" not in location
    sources = []
    for path in found:
        name = posixpath.relpath(path, root) if root else posixpath.basename(path)
        zipped = path.lower().endswith(".gz")
        one = Source(name, form or form_of(path), zipped=zipped, named=len(found) > 1)
        sources.append(replace(one, path=Path(path)) if local else replace(one, url=files.unstrip_protocol(path)))
    return Dataset.of(*sources, name=location)


def _counts(name: str, form: str | None) -> bool:
    """Tells whether a file is one of the dataset: not `_SUCCESS`, nor `.part.crc`."""
    return not name.startswith(("_", ".")) and (form is not None or form_of(name) != "")


def _divided(source: Source) -> Iterator[Source]:
    """Divides a Parquet file by its row groups; leaves what cannot be read to whoever reads it."""
    if source.form != "parquet":
        yield source
        return
    try:
        rows = tables.row_groups(source)
    except tables.UNREADABLE:
        yield source
        return
    begin = first = count = 0
    for number, more in enumerate(rows):
        count += more
        if count >= PART_ROWS or number == len(rows) - 1:
            yield replace(source, row=first, groups=(begin, number + 1))
            begin, first, count = number + 1, first + count, 0
    if not rows:
        yield source
