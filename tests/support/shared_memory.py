"""Shared memory objects of a client, and processes that take them away."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import numpy as np

FOLDER = Path("/dev/shm")

SHRINKER = """
import os, sys
file = os.open(sys.argv[1], os.O_RDWR)
size = int(sys.argv[2])
print("ready", flush=True)
while True:
    os.ftruncate(file, 0)
    os.ftruncate(file, size)
"""


class Held:
    """An object of a client: its key, and its memory as bytes."""

    def __init__(self, memory: SharedMemory) -> None:
        self.memory = memory
        self.key = "/" + memory.name.lstrip("/")
        self.path = FOLDER / memory.name.lstrip("/")

    @property
    def content(self) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
        """The content of its file. Nothing is mapped: the tests truncate it."""
        return np.fromfile(self.path, np.uint8)

    def fill(self, content: bytes, offset: int = 0) -> None:
        with self.path.open("r+b") as file:
            file.seek(offset)
            file.write(content)

    def truncate(self, size: int) -> None:
        os.truncate(self.path, size)


@contextmanager
def held(size: int, name: str = "") -> Iterator[Held]:
    """A shared memory object of that size, as Python makes them."""
    memory = SharedMemory(name or f"lossmeter-test-{secrets.token_hex(6)}", create=True, size=size)
    try:
        yield Held(memory)
    finally:
        memory.close()
        if (FOLDER / memory.name).exists():
            memory.unlink()
        else:
            with Path(FOLDER / memory.name).open("wb"):
                memory.unlink()  # so that the tracker of resources does not complain


@contextmanager
def shrinking(path: Path, size: int) -> Iterator[None]:
    """Another process, which makes an object empty and large again, as fast as it can."""
    with subprocess.Popen([sys.executable, "-c", SHRINKER, str(path), str(size)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        try:
            yield
        finally:
            process.kill()
