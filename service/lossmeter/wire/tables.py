"""Tables → tensors, a chunk at a time: CSV, Parquet, JSON Lines, Arrow and NPZ. Needs pyarrow, the extra `files`.

Memory does not grow with the file, except for NPZ, whose arrays are read whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from lossmeter.errors import Invalid, NotFound, UnsupportedFormat
from lossmeter.tensors import Array, Datatype, Tensor

ROWS = 1 << 16
"""Most rows of one chunk."""
BLOCK_BYTES = 1 << 21
"""Text that is read at a time, and the most that a row may have; arrow reads up to 32 blocks ahead."""
BUFFER_BYTES = 1 << 20
MISSING = "(missing)"
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


def read(path: Path, columns: Columns) -> Iterator[Chunk]:
    """Reads the rows of a table, in order.

    Raises:
        NotFound: there is no such file.
        UnsupportedFormat: its ending is none of those known here.
        Invalid: a column is missing, or holds what it cannot.
    """
    if not path.is_file():
        raise NotFound(f"There is no file {path}.")
    suffix = path.suffixes[-2].lower() if path.suffix == ".gz" and len(path.suffixes) > 1 else path.suffix.lower()
    if suffix not in READERS:
        raise UnsupportedFormat(f"{path.name} ends in {suffix or 'nothing'}; expected one of {', '.join(READERS)}.")
    row = 0
    for table, progress in _read_whole(path, READERS[suffix](path, columns.names)):
        missing = [name for name in columns.names if name not in table]
        if missing:
            raise Invalid.at(path.name, "", f"there is no column {missing[0]!r}; there are {', '.join(table)}")
        rows = len(next(iter(table.values())))
        yield Chunk(row, rows, _fields(path.name, table, columns, row), progress)
        row += rows


Tables = Iterator[tuple[dict[str, Any], float]]


def _read_whole(path: Path, tables: Tables) -> Tables:
    """Passes the tables on, and raises Invalid where the file is not what its ending claims."""
    try:
        yield from tables
    except (ValueError, EOFError, OSError, BadZipFile) as error:  # as pyarrow and numpy say it
        raise Invalid.at(path.name, "", f"cannot be read: {error}") from error


def _fields(file: str, table: dict[str, Any], columns: Columns, row: int) -> dict[str, Any]:
    def number(name: str) -> Array:
        return _as_numbers(file, name, table[name], row)

    def stacked(names: Sequence[str]) -> Tensor:
        parts = [number(name) for name in names]
        return _as_tensor(parts[0] if len(parts) == 1 else np.stack(parts, axis=1))

    fields: dict[str, Any] = {"predictions": stacked(columns.predictions), "labels": stacked(columns.labels)}
    if columns.sample_weight is not None:
        fields["sample_weight"] = _as_tensor(number(columns.sample_weight).astype(np.float64))
    for role, name in (("sample_ids", columns.sample_ids), ("groups", columns.groups)):
        if name is not None:
            fields[role] = _as_list(table[name])
            if None in fields[role]:
                raise Invalid.at(file, "", f"column {name!r} has no value in row {row + fields[role].index(None)}")
    if columns.sample_ids is None and columns.groups is None:
        fields["sample_ids"] = list(range(row, row + len(next(iter(table.values())))))
    fields["slices"] = {
        name: [MISSING if value is None else value for value in _as_list(table[name])] for name in columns.slices
    }
    return fields


def _as_tensor(array: Array) -> Tensor:
    datatype = DATATYPES[array.dtype.kind]
    return Tensor(datatype, array.shape, np.ascontiguousarray(array).reshape(-1).astype(datatype.dtype))


def _as_list(column: Any) -> list[Any]:
    return list(column.tolist() if isinstance(column, np.ndarray) else column.to_pylist())


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


def _read_csv(path: Path, names: list[str]) -> Tables:
    from pyarrow import csv

    delimiter = "\t" if ".tsv" in path.suffixes else ","
    with path.open("rb") as raw:
        reader = csv.open_csv(
            _open_stream(raw, path),
            read_options=csv.ReadOptions(block_size=BLOCK_BYTES),
            parse_options=csv.ParseOptions(delimiter=delimiter),
            convert_options=csv.ConvertOptions(strings_can_be_null=True),
        )
        yield from _read_batches(reader, names, raw, path)


def _read_json_lines(path: Path, names: list[str]) -> Tables:
    from pyarrow import json

    with path.open("rb") as raw:
        reader = json.open_json(_open_stream(raw, path), read_options=json.ReadOptions(block_size=BLOCK_BYTES))
        yield from _read_batches(reader, names, raw, path)


def _open_stream(raw: Any, path: Path) -> Any:
    import pyarrow

    return pyarrow.CompressedInputStream(raw, "gzip") if path.suffix == ".gz" else raw


def _read_batches(reader: Any, names: list[str], raw: Any, path: Path) -> Tables:
    size = max(1, path.stat().st_size)
    for batch in reader:
        read = min(1.0, raw.tell() / size)
        for start in range(0, batch.num_rows, ROWS):
            yield _columns_of(batch.slice(start, ROWS), names), read


def _columns_of(batch: Any, names: list[str]) -> dict[str, Any]:
    known = batch.schema.names
    return {name: batch.column(name) for name in (names if set(names) <= set(known) else known)}


def _read_parquet(path: Path, names: list[str]) -> Tables:
    from pyarrow import parquet

    # Read ahead, all that was read of the file would be kept; without a buffer, a whole chunk of a column be read at once.
    with parquet.ParquetFile(path, buffer_size=BUFFER_BYTES, pre_buffer=False) as file:
        known = file.schema_arrow.names
        total, done = max(1, file.metadata.num_rows), 0
        for batch in file.iter_batches(ROWS, columns=[name for name in names if name in known] or known):
            done += batch.num_rows
            yield _columns_of(batch, names), done / total


def _read_arrow(path: Path, names: list[str]) -> Tables:
    import pyarrow

    with pyarrow.memory_map(str(path)) as source:
        try:
            file = pyarrow.ipc.open_file(source)
            batches = (file.get_batch(number) for number in range(file.num_record_batches))
        except pyarrow.ArrowInvalid:
            source.seek(0)
            batches = iter(pyarrow.ipc.open_stream(source))
        size = max(1, source.size())
        for batch in batches:
            for start in range(0, batch.num_rows, ROWS):
                yield _columns_of(batch.slice(start, ROWS), names), min(1.0, source.tell() / size)


def _read_npz(path: Path, names: list[str]) -> Tables:
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in (names if set(names) <= set(archive.files) else archive.files)}
    sizes = {len(array) if array.ndim else 0 for array in arrays.values()}
    if len(sizes) > 1 and set(names) <= arrays.keys():
        raise Invalid.at(path.name, "", f"the arrays have different lengths: {sorted(sizes)}")
    total = max(sizes, default=0)
    for start in range(0, total, ROWS):
        part = {name: array[start : start + ROWS] for name, array in arrays.items()}
        yield part, min(1.0, (start + ROWS) / total)


READERS: dict[str, Callable[[Path, list[str]], Tables]] = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".parquet": _read_parquet,
    ".pq": _read_parquet,
    ".jsonl": _read_json_lines,
    ".ndjson": _read_json_lines,
    ".arrow": _read_arrow,
    ".feather": _read_arrow,
    ".npz": _read_npz,
}
