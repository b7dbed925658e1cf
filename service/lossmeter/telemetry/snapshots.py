"""Shares the readings of several workers in one folder, so that whichever of them is asked can tell of all.

Each worker writes a file of its own, whole and in one step, about once a second. When a worker has ended, its counts are added
to those of the others that have, and its gauges are forgotten. A count that was shown once is never smaller afterwards: a file
disappears only after `ended` holds its counts, and names it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from lossmeter.telemetry.measures import Reading, drop_gauges, merge

ENDED = "ended"


class Snapshots:
    """Writes the reading of this worker, and reads those of the others.

    Args:
        folder: one that no other service uses.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # A number is given to another process some day, a worker that has ended is not another one.
        self.name = f"{os.getpid()}-{secrets.token_hex(4)}"

    def publish(self, reading: Reading) -> None:
        """Shows a reading to the other workers."""
        _write(self.folder / self.name, {"reading": _to_lists(reading)})

    def others(self) -> list[Reading]:
        """Reads what the other workers show, and what those counted that have ended."""
        readings: dict[str, Reading] = {}
        for path in _files(self.folder):
            if path.name != self.name:
                with contextlib.suppress(FileNotFoundError):
                    reading = _read(path)
                    readings[path.name] = reading if _alive(path.name) else drop_gauges(reading)
        names, ended = _read_ended(self.folder)  # last, so that a file that disappeared meanwhile is in it
        return [ended, *(reading for name, reading in readings.items() if name not in names)]


def retire(folder: Path, pid: int) -> None:
    """Adds the counts of a worker that has ended to those of the others. Only the parent of the workers may do this."""
    for path in _files(folder):
        if path.name.startswith(f"{pid}-"):
            names, ended = _read_ended(folder)
            whole = merge([ended, drop_gauges(_read(path))])
            _write(folder / ENDED, {"reading": _to_lists(whole), "names": [*names, path.name]})
            path.unlink()


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if path.name != ENDED and not path.name.startswith("."))


def _read_ended(folder: Path) -> tuple[set[str], Reading]:
    try:
        content = orjson.loads((folder / ENDED).read_bytes())
    except FileNotFoundError:
        return set(), {}
    return set(content["names"]), _from_lists(content["reading"])


def _read(path: Path) -> Reading:
    return _from_lists(orjson.loads(path.read_bytes())["reading"])


def _write(path: Path, content: dict[str, Any]) -> None:
    beside = path.with_name(f".{path.name}")
    beside.write_bytes(orjson.dumps(content))
    beside.rename(path)


def _to_lists(reading: Reading) -> dict[str, Any]:
    return {name: list(series.items()) for name, series in reading.items()}


def _from_lists(listed: dict[str, Any]) -> Reading:
    return {name: {tuple(labels): value for labels, value in series} for name, series in listed.items()}


def _alive(name: str) -> bool:
    try:
        os.kill(int(name.partition("-")[0]), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
