"""Clients that ask without pause, check every answer, and never forget what they were told is kept."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise

import httpx

from tests.programs.endurance.mixture import RUN

TIMEOUT_SECONDS = 10.0
PAUSE_SECONDS = 0.02


@dataclass(slots=True)
class Tally:
    """What came of the requests.

    Attributes:
        outcomes: right, wrong, broken (no answer, or half of one), or the status of a refusal.
        latencies: of the right ones, in seconds.
        times: when they came, in seconds of the monotonic clock.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    def gap(self) -> float:
        """The longest time without a right answer, in seconds."""
        ordered = sorted(self.times)
        return max((b - a for a, b in pairwise(ordered)), default=0.0)


class Clients:
    """Threads that compute losses, and others that add batches to a run, until they are told to stop.

    A batch that was refused, or whose answer did not come, is sent again until it is acknowledged.
    """

    def __init__(self, url: str, losses: int = 4, batches: int = 4) -> None:
        self.url = url
        self.stateless, self.kept = Tally(), Tally()
        self.acknowledged: set[str] = set()
        self.run = httpx.post(url + "/v1/runs", json=RUN, timeout=60).headers["location"] if batches else ""
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._compute, args=(number,), daemon=True) for number in range(losses)
        ]
        self._threads += [threading.Thread(target=self._add, args=(number,), daemon=True) for number in range(batches)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def lost(self) -> int:
        """How many of the acknowledged batches are not there: those that are new when they are sent once more."""
        with httpx.Client(base_url=self.url, timeout=60) as http:
            found = Counter(
                http.put(self._path(name), json=_batch(name)).status_code for name in sorted(self.acknowledged)
            )
            assert found.keys() <= {200, 201}, found
            samples = http.get(self.run).json()["run"]["samples"]
            assert samples >= len(self.acknowledged)
        return found[201]

    def _compute(self, seed: int) -> None:
        rng = random.Random(seed)
        with httpx.Client(base_url=self.url, timeout=TIMEOUT_SECONDS) as http:
            while not self._stop.wait(PAUSE_SECONDS):
                values = [rng.randrange(100) for _ in range(rng.choice((4, 4000)))]
                body = {"predictions": values, "labels": [0] * len(values), "reduction": "sum", "precision": "float64"}
                begin = time.monotonic()
                try:
                    answer = http.post("/v1/losses/mse", json=body)
                    right = answer.status_code == 200 and answer.json()["value"] == sum(value**2 for value in values)
                except (httpx.HTTPError, ValueError):
                    self._note(self.stateless, "broken", begin)
                else:
                    told = "right" if right else "wrong" if answer.status_code == 200 else str(answer.status_code)
                    self._note(self.stateless, told, begin)

    def _add(self, seed: int) -> None:
        number = 0
        with httpx.Client(base_url=self.url, timeout=TIMEOUT_SECONDS) as http:
            while not self._stop.wait(PAUSE_SECONDS):
                name = f"{seed}-{number}"
                begin = time.monotonic()
                try:
                    status = http.put(self._path(name), json=_batch(name)).status_code
                except httpx.HTTPError:
                    self._note(self.kept, "broken", begin)
                    continue
                if status in (200, 201):
                    self.acknowledged.add(name)
                    number += 1
                    self._note(self.kept, "right", begin)
                else:
                    self._note(self.kept, str(status), begin)

    def _path(self, name: str) -> str:
        return f"{self.run}/batches/{name}"

    @staticmethod
    def _note(tally: Tally, outcome: str, begin: float) -> None:
        tally.outcomes[outcome] += 1
        if outcome == "right":
            tally.times.append(time.monotonic())
            tally.latencies.append(time.monotonic() - begin)


def _batch(name: str) -> dict[str, list[float]]:
    return {"predictions": [float(hash_of(name))], "labels": [0.0]}


def hash_of(name: str) -> int:
    """A number that is the same in every process."""
    return sum((place + 1) * letter for place, letter in enumerate(name.encode()))
