"""The bytes of a table: a file, what a URL leads to, or the body of a request; and which format they have."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lossmeter.errors import NotFound, UnsupportedFormat

ENDINGS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".npz": "npz",
}
MAGIC = {b"PAR1": "parquet", b"ARROW1": "arrow", b"\xff\xff\xff\xff": "arrow", b"PK": "npz", b"{": "jsonl"}
GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class Source:
    """A table, and where its bytes are.

    Attributes:
        name: of the file, for messages.
        form: its format, a key of `READERS`.
        path: of the file; None for a body, and for what is elsewhere.
        body: the bytes of a body.
        zipped: whether they are compressed by gzip.
        max_elements: the most elements that all tensors may have together; None for a file of the user's own.
        url: where the file is, for fsspec; empty for a path or a body.
        named: whether rows without ids are known by the name of the file too, as it is one of many.
        groups: of a Parquet file, the first row group and the one after the last; None for all.
        row: number in the file of the first row of those groups.
    """

    name: str
    form: str
    path: Path | None = None
    body: bytes | bytearray = b""
    zipped: bool = False
    max_elements: int | None = None
    url: str = ""
    named: bool = False
    groups: tuple[int, int] | None = None
    row: int = 0

    @classmethod
    def of_file(cls, path: Path) -> Source:
        """Makes the source that a file is, by its ending.

        Raises:
            NotFound: there is no such file.
            UnsupportedFormat: its ending is none of those known here.
        """
        if path.is_dir():
            raise NotFound(f"{path} is a directory; expected a file.")
        if not path.is_file():
            raise NotFound(f"There is no file {path}.")
        form, zipped = form_of(path.name), path.suffix.lower() == ".gz"
        if not form:
            ending = (path.suffixes[-2] if len(path.suffixes) > 1 else "") if zipped else path.suffix
            known = ", ".join(ENDINGS)
            raise UnsupportedFormat(f"{path.name} ends in {ending.lower() or 'nothing'}; expected one of {known}.")
        return cls(path.name, form, path, zipped=zipped)

    def open(self) -> Any:
        """Opens the bytes, compressed or not, as a file."""
        if self.path is not None:
            return self.path.open("rb")
        if self.url:
            import fsspec

            return fsspec.open(self.url, "rb").open()
        import pyarrow

        return pyarrow.BufferReader(pyarrow.py_buffer(self.body))

    @property
    def size(self) -> int:
        """Returns how many bytes there are."""
        if self.url:
            with self.open() as file:
                return int(file.size)
        return len(self.body) if self.path is None else self.path.stat().st_size


def form_of(name: str) -> str:
    """Returns the format that the ending of a name tells, `.gz` aside; empty where it tells none."""
    stem = name[:-3] if name.lower().endswith(".gz") else name
    return ENDINGS.get(Path(stem).suffix.lower(), "")


def recognized(source: Source) -> Source:
    """Returns a source with the format that its first bytes tell: that of the magic number, else CSV or TSV."""
    import pyarrow

    with source.open() as raw:
        head = bytes(raw.read(2))
        zipped = head == GZIP
        raw.seek(0)
        head = bytes((pyarrow.CompressedInputStream(raw, "gzip") if zipped else raw).read(1024)).lstrip()
    line = head.partition(b"\n")[0]
    text = "tsv" if b"\t" in line and b"," not in line else "csv"
    form = next((form for magic, form in MAGIC.items() if head.startswith(magic)), text)
    return replace(source, form=form, zipped=zipped)
