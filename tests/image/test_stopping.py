from __future__ import annotations

import http.client
import json
import random
import socket
import threading
import time
from contextlib import closing, suppress
from dataclasses import dataclass

import pytest

from tests.image.running import Container, serving

CLIENTS = 8
ELEMENTS = 200_000
PIECE = 64 * 1024
BUFFERED = 2**20
"""More than this is sent only if somebody reads: for a connection that nobody has accepted the kernel keeps 0.24 MB."""
WORKERS = """
import pathlib
for path in pathlib.Path("/proc").glob("[0-9]*"):
    if b"--multiprocessing" + b"-fork" in (path / "cmdline").read_bytes():
        print(path.name)
"""


@dataclass(frozen=True)
class Exchange:
    """A request: how much of it was sent, when all of it was (if it ever was), when it ended, and how."""

    size: int
    sent: float | None
    end: float
    outcome: int | str
    value: float | None = None


class Load:
    """Clients that post one body after the other, each over a connection of its own, until they find nobody."""

    def __init__(self, port: int) -> None:
        self.port = port
        numbers = random.Random(0)
        labels = [numbers.random() for _ in range(ELEMENTS)]
        predictions = [numbers.random() for _ in range(ELEMENTS)]
        self.value = sum((p - y) ** 2 for p, y in zip(predictions, labels, strict=True)) / ELEMENTS
        self.body = json.dumps({"predictions": predictions, "labels": labels, "gradients": ["predictions"]}).encode()
        self.exchanges: list[Exchange] = []
        self.threads = [threading.Thread(target=self._post_on) for _ in range(CLIENTS)]

    def start(self) -> None:
        for thread in self.threads:
            thread.start()

    def join(self) -> None:
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive()

    def _post_on(self) -> None:
        with suppress(ConnectionRefusedError):
            while True:
                self.exchanges.append(self._post())

    def _post(self) -> Exchange:
        size, sent = 0, None
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.connect()
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PIECE)
            try:
                connection.putrequest("POST", "/v1/losses/mse")
                connection.putheader("Content-Type", "application/json")
                connection.putheader("Content-Length", str(len(self.body)))
                connection.endheaders()
                for start in range(0, len(self.body), PIECE):
                    connection.send(self.body[start : start + PIECE])
                    size += PIECE
                sent = time.perf_counter()
                answer = connection.getresponse()
                value = json.loads(answer.read()).get("value")
            except (OSError, http.client.HTTPException, ValueError) as error:
                return Exchange(size, sent, time.perf_counter(), repr(error))
            return Exchange(size, sent, time.perf_counter(), answer.status, value)


def stopped_under_load(container: Container) -> tuple[Load, float, float]:
    """The load, when it was told to stop, and when it had stopped."""
    container.wait_until_ready()
    load = Load(container.port)
    load.start()
    time.sleep(3)
    begin = time.perf_counter()
    container.terminate()
    code = container.exit_code()
    end = time.perf_counter()
    load.join()
    assert code == 0, container.logs()
    return load, begin, end


def workers_of(container: Container) -> set[int]:
    """The processes in which it serves."""
    return {int(number) for number in container.execute("python", "-c", WORKERS).split()}


@pytest.mark.parametrize("workers", [1, 2])
def test_requests_in_flight_are_answered_before_it_stops(image: str, workers: int, figures: dict[str, str]) -> None:
    with serving(image, workers=workers) as container:
        load, begin, end = stopped_under_load(container)
    # A connection that nobody had accepted when the listener closed is reset: its client may try elsewhere.
    taken = [exchange for exchange in load.exchanges if exchange.size > BUFFERED]
    failed = [exchange for exchange in taken if exchange.outcome != 200]
    wrong = [e for e in taken if e.value is not None and e.value != pytest.approx(load.value, rel=1e-6)]
    in_flight = [e for e in taken if e.sent is not None and e.sent < begin < e.end]
    figures[f"stop under load, workers={workers}"] = (
        f"{end - begin:.1f} s with {len(in_flight)} requests in flight, {len(failed)} of {len(taken)} failed"
    )
    assert len(in_flight) >= 2
    assert failed == wrong == []


def test_it_can_be_stopped_while_it_starts(image: str) -> None:
    with serving(image) as container:
        while "lossmeter: API" not in container.logs():
            time.sleep(0.01)
        container.terminate()
        assert container.exit_code(20) == 0


def test_a_worker_that_was_killed_is_replaced(image: str) -> None:
    with serving(image, workers=2) as container:
        container.wait_until_ready()
        before = workers_of(container)
        assert len(before) == 2
        container.execute("python", "-c", f"import os; os.kill({min(before)}, 9)")
        deadline = time.monotonic() + 60
        while len(after := workers_of(container)) < 2 or after == before:
            assert time.monotonic() < deadline
            time.sleep(0.5)
        assert len(after - before) == 1
        assert container.request("GET", "/readyz")[0] == 200
