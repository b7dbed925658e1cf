"""Clients in a process of their own that post one large body without pause: `python -m tests.benchmarks.flood PORT CLIENTS`.

The request comes by standard input, preceded by its length. The flood ends when standard input does, and tells how many
answers of each status there were.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from types import TracebackType
from typing import Self

from tests.benchmarks.load import Connection


class Flood:
    """Posts for as long as the context lasts."""

    def __init__(self, port: int, prepared: bytes, clients: int) -> None:
        command = [sys.executable, "-m", "tests.benchmarks.flood", str(port), str(clients)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.prepared = prepared
        self.statuses: Counter[str] = Counter()

    def __enter__(self) -> Self:
        assert self.process.stdin is not None
        self.process.stdin.write(len(self.prepared).to_bytes(8, "little") + self.prepared)
        self.process.stdin.flush()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        out, _ = self.process.communicate()
        self.statuses.update(json.loads(out))


def main(port: int, clients: int) -> None:
    length = int.from_bytes(sys.stdin.buffer.read(8), "little")
    prepared = sys.stdin.buffer.read(length)
    statuses: Counter[str] = Counter()

    def post() -> None:
        while True:
            try:
                with Connection(port) as connection:
                    while True:
                        statuses[str(connection.exchange(prepared).status)] += 1
            except OSError as error:
                statuses[type(error).__name__] += 1

    for _ in range(clients):
        threading.Thread(target=post, daemon=True).start()
    sys.stdin.buffer.read()
    print(json.dumps(statuses), flush=True)
    os._exit(0)  # with requests still under way: nobody waits for them


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
