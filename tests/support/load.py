"""Clients that ask without pause, and how they were answered."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from http.client import HTTPConnection, HTTPException
from typing import Self

PATH = "/v1/losses/cross_entropy"
BODY = json.dumps({"predictions": [[0.2, 1.1, -0.3], [2.0, 0.1, 0.4]], "labels": [1, 0]})
CLIENTS = 8


class Load:
    """Clients that send one request after the other over connections that stay open, do not try again, and count the answers.

    Attributes:
        answers: how often each status came, and by name each error where none did.
        slowest: seconds that a client waited at most.
    """

    def __init__(self, url: str) -> None:
        self.answers: Counter[str] = Counter()
        self.slowest = 0.0
        self._address = url.removeprefix("http://")
        self._enough = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(CLIENTS)]

    def __enter__(self) -> Self:
        for one in self._threads:
            one.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        for one in self._threads:
            one.join()

    def _ask(self) -> None:
        connection = HTTPConnection(self._address, timeout=120)
        while not self._enough.is_set():
            begin = time.monotonic()
            try:
                connection.request("POST", PATH, BODY, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                answer.read()
                self.answers[str(answer.status)] += 1
            except (OSError, HTTPException) as error:
                self.answers[type(error).__name__] += 1
                connection.close()
            self.slowest = max(self.slowest, time.monotonic() - begin)
        connection.close()
