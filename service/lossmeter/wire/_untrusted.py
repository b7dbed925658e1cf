"""Bounds on what the tables of strangers become in memory: a few bytes of a compressed column can stand for terabytes."""

from __future__ import annotations

import struct
from typing import Any
from zipfile import ZipFile

import numpy as np

from lossmeter.errors import TooLarge, UnsupportedFormat

ITEM_BYTES = 8
ARROW_FILE, CONTINUATION = b"ARROW1", b"\xff\xff\xff\xff"
RECORD_BATCH, DICTIONARY_BATCH = 3, 2
"""Types of messages in the format of Arrow (Message.fbs)."""


def width(column: Any) -> int:
    """Counts the elements of the widest row of a column; 1 of one that holds no lists."""
    if isinstance(column, np.ndarray):
        return int(np.prod(column.shape[1:], dtype=np.int64))
    import pyarrow
    from pyarrow import compute

    if pyarrow.types.is_fixed_size_list(column.type):
        return max(1, int(column.type.list_size))
    if pyarrow.types.is_list(column.type) or pyarrow.types.is_large_list(column.type):
        return max(1, compute.max(compute.list_value_length(column)).as_py() or 1)
    return 1


def check_parquet(name: str, metadata: Any, most: int) -> None:
    """Refuses a file with a group of rows that has more values than all tensors may have.

    Raises:
        TooLarge: there is one.
    """
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        values = max((group.column(place).num_values for place in range(group.num_columns)), default=0)
        if max(values, group.num_rows) > most:
            raise _too_large(name, most)


def check_npz(name: str, opened: Any, most: int) -> None:
    """Refuses an archive whose arrays are larger than all tensors may be.

    Raises:
        TooLarge: they are.
    """
    with opened, ZipFile(opened) as archive:
        if sum(part.file_size for part in archive.infolist()) > most * ITEM_BYTES:
            raise _too_large(name, most)


def check_arrow(name: str, body: bytes | bytearray) -> None:
    """Refuses compressed buffers, of which nobody can say how large they become; bodies may be compressed as a whole.

    Refuses the file format too, whose footer may lead anywhere.

    Raises:
        UnsupportedFormat: there are some.
        ValueError: the bytes are no messages of Arrow.
    """
    if body.startswith(ARROW_FILE):
        raise UnsupportedFormat(f"{name} is an Arrow file; expected an Arrow stream.")
    place = 0
    while place + 8 <= len(body):
        marked = body[place : place + 4] == CONTINUATION
        place += 4 if marked else 0
        (size,) = struct.unpack_from("<i", body, place)
        place += 4
        if size <= 0 or place + size > len(body):
            return
        compressed, length = _message(memoryview(body)[place : place + size])
        if compressed:
            raise UnsupportedFormat(
                f"{name} has compressed buffers; expected an Arrow stream without (compress the body, by Content-Encoding)."
            )
        place += size + length


def _message(metadata: memoryview) -> tuple[bool, int]:
    """Returns whether a message has compressed buffers, and the length of its body.

    A flatbuffer: tables begin with the distance to their vtable, which has the offset of each field.
    """
    try:
        (root,) = struct.unpack_from("<I", metadata, 0)
        (kind,), header = _field(metadata, root, 1, "<B"), _table(metadata, root, 2)
        (length,) = _field(metadata, root, 3, "<q")
        if kind == DICTIONARY_BATCH:
            header, kind = _table(metadata, header, 1), RECORD_BATCH
        compressed = kind == RECORD_BATCH and _offset(metadata, header, 3) != 0
    except struct.error as error:
        raise ValueError(f"a message of Arrow is broken: {error}") from None
    if length < 0:
        raise ValueError("a message of Arrow has a negative length")
    return compressed, length


def _offset(metadata: memoryview, table: int, field: int) -> int:
    (distance,) = struct.unpack_from("<i", metadata, table)
    vtable = table - distance
    if vtable < 0:
        raise struct.error("a table without fields")
    (size,) = struct.unpack_from("<H", metadata, vtable)
    entry = 4 + 2 * field
    return int(struct.unpack_from("<H", metadata, vtable + entry)[0]) if entry + 2 <= size else 0


def _field(metadata: memoryview, table: int, field: int, code: str) -> tuple[int, ...]:
    offset = _offset(metadata, table, field)
    return struct.unpack_from(code, metadata, table + offset) if offset else (0,)


def _table(metadata: memoryview, table: int, field: int) -> int:
    at = table + _offset(metadata, table, field)
    return at + int(struct.unpack_from("<I", metadata, at)[0])


def _too_large(name: str, most: int) -> TooLarge:
    return TooLarge(f"{name} has more than {most} elements, the limit of this server (LOSSMETER_MAX_ELEMENTS).")
