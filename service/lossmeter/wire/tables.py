"""Tables → tensors, a chunk at a time: CSV, Parquet, JSON Lines, Arrow and NPZ. Needs pyarrow, the extra `files`.

A table is a file, or a body that a client sent, which nobody trusts. Memory does not grow with a file, except for NPZ, whose
arrays are read whole.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zipfile import BadZipFile

import numpy as np

from lossmeter.errors import Invalid, TooLarge
from lossmeter.tensors import Array, Datatype, Tensor, Texts
from lossmeter.wire import _untrusted
from lossmeter.wire.sources import Source

ROWS = 1 << 16
"""Most rows of one chunk."""
BLOCK_BYTES = 1 << 21
"""Text that is read at a time, and the most that a row may have; arrow reads up to 32 blocks ahead."""
BUFFER_BYTES = 1 << 20
MISSING = "(missing)"
TEXT_TYPES = ("string", "large_string", "string_view")
DATATYPES = {"f": Datatype.FP64, "i": Datatype.INT64, "u": Datatype.INT64, "b": Datatype.BOOL}


@dataclass(frozen=True)
class Columns:
    """Assigns columns of the table to the parts of a batch.

    Attributes:
        predictions: one column of numbers or of lists, or one for each class.
        slices: columns of values by which samples are sliced.
    """

    predictions: tuple[str, ...]
    labels: tuple[str, ...]
    sample_weight: str | None = None
    sample_ids: str | None = None
    groups: str | None = None
    slices: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """Lists the columns that are read, each once."""
        more = [one for one in (self.sample_weight, self.sample_ids, self.groups) if one is not None]
        return list(dict.fromkeys((*self.predictions, *self.labels, *more, *self.slices)))


@dataclass(frozen=True)
class Chunk:
    """Some rows of a table.

    Attributes:
        row: number of the first, from 0.
        rows: how many there are.
        fields: tensors and lists under the names that an evaluation gives them.
        read: which part of the file has been read by now, from 0 to 1.
    """

    row: int
    rows: int
    fields: dict[str, Any]
    read: float


def _columns_told(source: Source, names: Iterable[str]) -> str:
    """Lists the columns of a table, and says so where they are one that another separator would part."""
    told = list(names)
    other = next((one for one in (";", "\t", "|") if one in told[0]), None) if len(told) == 1 else None
    if source.form == "csv" and other is not None:
        return f"there is one, {told[0]!r}; expected commas between columns, not {other!r}"
    return f"there are {', '.join(told)}"


def read(source: Source, columns: Columns) -> Generator[Chunk, None, None]:
    """Reads the rows of a table, in order.

    Raises:
        Invalid: a column is missing, or holds what it cannot.
        TooLarge: the table has more elements than it may.
    """
    row, size = source.row, 0
    for table, progress in _read_whole(source, READERS[source.form](source, columns.names)):
        missing = [name for name in columns.names if name not in table]
        if missing:
            raise Invalid.at(source.name, "", f"there is no column {missing[0]!r}; {_columns_told(source, table)}")
        rows = len(next(iter(table.values())))
        if source.max_elements is not None:
            size += rows * sum(_untrusted.width(table[name]) for name in columns.names)
            if size > source.max_elements:
                raise TooLarge(
                    f"{source.name} has more than {source.max_elements} elements, the limit of this server"
                    " (LOSSMETER_MAX_ELEMENTS)."
                )
        yield Chunk(row, rows, _fields(source, table, columns, row), progress)
        row += rows


UNREADABLE = (ValueError, EOFError, OSError, MemoryError, NotImplementedError, KeyError, BadZipFile, zlib.error)
Tables = Iterator[tuple[dict[str, Any], float]]


def _read_whole(source: Source, tables: Tables) -> Tables:
    """Passes the tables on, and raises Invalid where the bytes are not what they are said to be."""
    try:
        yield from tables
    except UNREADABLE as error:  # as pyarrow and numpy say it
        raise Invalid.at(source.name, "", f"cannot be read: {error}") from error


def _fields(source: Source, table: dict[str, Any], columns: Columns, row: int) -> dict[str, Any]:
    file = source.name

    def number(name: str) -> Array:
        return _as_numbers(file, name, table[name], row)

    def stacked(names: Sequence[str]) -> Tensor:
        parts = [number(name) for name in names]
        return _as_tensor(parts[0] if len(parts) == 1 else np.stack(parts, axis=1))

    def classes(names: Sequence[str]) -> Tensor | Texts:
        texts = _as_texts(file, names[0], table[names[0]], row) if len(names) == 1 else None
        return stacked(names) if texts is None else texts

    fields: dict[str, Any] = {"predictions": classes(columns.predictions), "labels": classes(columns.labels)}
    if columns.sample_weight is not None:
        fields["sample_weight"] = _as_tensor(number(columns.sample_weight).astype(np.float64))
    for role, name in (("sample_ids", columns.sample_ids), ("groups", columns.groups)):
        if name is not None:
            fields[role] = _as_list(table[name])
            if None in fields[role]:
                raise Invalid.at(file, "", f"column {name!r} has no value in row {row + fields[role].index(None)}")
    if columns.sample_ids is None and columns.groups is None:
        numbers = range(row, row + len(next(iter(table.values()))))
        fields["sample_ids"] = [f"{file}/{number}" for number in numbers] if source.named else list(numbers)
    fields["slices"] = {
        name: [MISSING if value is None else value for value in _as_list(table[name])] for name in columns.slices
    }
    return fields


def _as_tensor(array: Array) -> Tensor:
    datatype = DATATYPES[array.dtype.kind]
    return Tensor(datatype, array.shape, np.ascontiguousarray(array).reshape(-1).astype(datatype.dtype))


def _as_list(column: Any) -> list[Any]:
    return list(column.tolist() if isinstance(column, np.ndarray) else column.to_pylist())


def _as_texts(file: str, name: str, column: Any, row: int) -> Texts | None:
    """Makes texts of a column that holds them; None of any other."""
    if isinstance(column, np.ndarray):
        holds = column.dtype.kind == "U"
    else:
        holds = str(getattr(column.type, "value_type", column.type)) in TEXT_TYPES
        holds = holds and "list" not in str(column.type)
    if not holds:
        return None
    values = _as_list(column)
    if None in values:
        raise Invalid.at(file, "", f"column {name!r} has no value in row {row + values.index(None)}")
    return Texts((len(values),), values)


def _as_numbers(file: str, name: str, column: Any, row: int) -> Array:
    """Makes numbers of a column, and a matrix of a column of lists."""
    if isinstance(column, np.ndarray):
        array = column
    else:
        if column.null_count:
            place = row + int(np.argmax(column.is_null().to_numpy(zero_copy_only=False)))
            raise Invalid.at(file, "", f"column {name!r} has no value in row {place}")
        array = column.to_numpy(zero_copy_only=False)
        if array.dtype == object and len(array) and isinstance(array[0], np.ndarray):
            widths = {len(one) for one in array}
            if len(widths) > 1:
                raise Invalid.at(file, "", f"column {name!r} holds lists of different lengths: {sorted(widths)[:4]}")
            array = np.stack(array)
    if array.dtype.kind not in DATATYPES:
        kind = array.dtype if isinstance(column, np.ndarray) else column.type
        raise Invalid.at(file, "", f"column {name!r} holds {kind}; expected numbers")
    return array


def _read_csv(source: Source, names: list[str]) -> Tables:
    from pyarrow import csv

    with source.open() as raw:
        reader = csv.open_csv(
            _open_stream(raw, source),
            read_options=csv.ReadOptions(block_size=BLOCK_BYTES),
            parse_options=csv.ParseOptions(delimiter="\t" if source.form == "tsv" else ","),
            convert_options=csv.ConvertOptions(strings_can_be_null=True),
        )
        yield from _read_batches(reader, names, raw, source)


def _read_json_lines(source: Source, names: list[str]) -> Tables:
    from pyarrow import json

    with source.open() as raw:
        reader = json.open_json(_open_stream(raw, source), read_options=json.ReadOptions(block_size=BLOCK_BYTES))
        yield from _read_batches(reader, names, raw, source)


def _open_stream(raw: Any, source: Source) -> Any:
    import pyarrow

    return pyarrow.CompressedInputStream(raw, "gzip") if source.zipped else raw


def _read_batches(reader: Any, names: list[str], raw: Any, source: Source) -> Tables:
    size = max(1, source.size)
    for batch in reader:
        read = min(1.0, raw.tell() / size)
        for start in range(0, batch.num_rows, ROWS):
            yield _columns_of(batch.slice(start, ROWS), names), read


def _columns_of(batch: Any, names: list[str]) -> dict[str, Any]:
    known = batch.schema.names
    return {name: batch.column(name) for name in (names if set(names) <= set(known) else known)}


def _read_parquet(source: Source, names: list[str]) -> Tables:
    from pyarrow import parquet

    # Read ahead, all that was read of the file would be kept; without a buffer, a whole chunk of a column be read at once.
    opened = source.path if source.path is not None else source.open()
    with parquet.ParquetFile(opened, buffer_size=BUFFER_BYTES, pre_buffer=False) as file:
        if source.max_elements is not None:
            _untrusted.check_parquet(source.name, file.metadata, source.max_elements)
        known = file.schema_arrow.names
        groups = range(*(source.groups or (0, file.metadata.num_row_groups)))
        total, done = max(1, sum(file.metadata.row_group(group).num_rows for group in groups)), 0
        chosen = [name for name in names if name in known] or known
        for batch in file.iter_batches(ROWS, row_groups=groups, columns=chosen):
            done += batch.num_rows
            yield _columns_of(batch, names), done / total


def row_groups(source: Source) -> list[int]:
    """Counts the rows of each row group of a Parquet file, whose foot says so."""
    from pyarrow import parquet

    with parquet.ParquetFile(source.path if source.path is not None else source.open()) as file:
        return [file.metadata.row_group(group).num_rows for group in range(file.metadata.num_row_groups)]


def _read_arrow(source: Source, names: list[str]) -> Tables:
    import pyarrow

    trusted = source.max_elements is None
    if not trusted:
        _untrusted.check_arrow(source.name, source.body)
    with source.open() if source.path is None else pyarrow.memory_map(str(source.path)) as opened:
        try:
            file = pyarrow.ipc.open_file(opened)
            batches = (file.get_batch(number) for number in range(file.num_record_batches))
        except pyarrow.ArrowInvalid:
            opened.seek(0)
            batches = iter(pyarrow.ipc.open_stream(opened))
        size = max(1, source.size)
        for batch in batches:
            if not trusted:
                batch.validate(full=True)
            for start in range(0, batch.num_rows, ROWS):
                yield _columns_of(batch.slice(start, ROWS), names), min(1.0, opened.tell() / size)


def _read_npz(source: Source, names: list[str]) -> Tables:
    if source.max_elements is not None:
        _untrusted.check_npz(source.name, source.open(), source.max_elements)
    with np.load(source.path if source.path is not None else source.open()) as archive:
        arrays = {name: archive[name] for name in (names if set(names) <= set(archive.files) else archive.files)}
    sizes = {len(array) if array.ndim else 0 for array in arrays.values()}
    if len(sizes) > 1 and set(names) <= arrays.keys():
        raise Invalid.at(source.name, "", f"the arrays have different lengths: {sorted(sizes)}")
    total = max(sizes, default=0)
    for start in range(0, total, ROWS):
        part = {name: array[start : start + ROWS] for name, array in arrays.items()}
        yield part, min(1.0, (start + ROWS) / total)


READERS: dict[str, Callable[[Source, list[str]], Tables]] = {
    "csv": _read_csv,
    "tsv": _read_csv,
    "parquet": _read_parquet,
    "jsonl": _read_json_lines,
    "arrow": _read_arrow,
    "npz": _read_npz,
}
MEDIA_TYPES: Mapping[str, str] = {
    "text/csv": "csv",
    "text/tab-separated-values": "tsv",
    "application/vnd.apache.parquet": "parquet",
    "application/vnd.apache.arrow.stream": "arrow",
    "application/x-npz": "npz",
    "application/jsonl": "jsonl",
    "application/x-ndjson": "jsonl",
}
