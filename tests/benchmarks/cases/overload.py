"""What a server still achieves when twice as much is asked of it as it can do."""

from __future__ import annotations

from collections import Counter

from tests.benchmarks.load import saturate
from tests.benchmarks.openloop import Load, Sent, quantile, sent
from tests.benchmarks.payloads import Payload, as_json, classification
from tests.benchmarks.results import Result
from tests.benchmarks.servers import CLIENT_CORE, SERVICE, Server, pinned, started

SHAPES = {"small": (32, 10), "large": (256, 100)}
CONNECTIONS = {"small": 16, "large": 8}
ROUNDS = 5
RAMP_SECONDS = 3.0
DEADLINE_SECONDS = 3.0
MAX_WAIT_SECONDS = "1"


def measure(quick: bool) -> Result:
    result = Result("overload", "Twice as many requests as one worker can answer, [32, 10] and [256, 100] JSON")
    # More connections than the load opens: it is the waiting that is to be bounded here, not the number of clients.
    settings = {"LOSSMETER_MAX_WAIT_SECONDS": MAX_WAIT_SECONDS, "LOSSMETER_MAX_CONNECTIONS": "5000"}
    with started([SERVICE], settings) as (server,):
        for name, shape in SHAPES.items():
            payload = as_json("cross_entropy", classification(*shape))
            _capacity(server, payload, CONNECTIONS[name], 1.0)
            for number in range(2 if quick else ROUNDS):
                _round(server, name, payload, number, 5.0 if quick else 10.0, result)
    for name, aim in (("large", 0.9), ("small", 0.9)):
        result.compare(
            f"{name}, at twice the capacity ÷ capacity", f"{name}, twice the capacity", f"{name}, capacity", aim
        )
    result.notes.append(
        "Capacity: answers to clients that wait for each. Twice that: requests due at random times, whatever the server does, "
        f"over up to 4,000 connections; only answers of 200 within {DEADLINE_SECONDS:.0f} s of when the request was due "
        f"count, after {RAMP_SECONDS:.0f} s in which the queue fills. LOSSMETER_MAX_WAIT_SECONDS is {MAX_WAIT_SECONDS}."
    )
    return result


def _round(server: Server, name: str, payload: Payload, number: int, seconds: float, result: Result) -> None:
    capacity = _capacity(server, payload, CONNECTIONS[name], 2.0)
    result.add(f"{name}, capacity", "answers/s", capacity)
    with server.running() as port:
        assert isinstance(port, int)
        requests = [(name, payload.prepared, 1.0)]
        load = Load(port, requests, 2 * capacity, RAMP_SECONDS + seconds, 4000, core=CLIENT_CORE, seed=number)
        found = sent(load)
    counted = [one for one in found if RAMP_SECONDS <= one.end < RAMP_SECONDS + seconds]
    good = [one for one in counted if one.status == 200 and one.seconds <= DEADLINE_SECONDS]
    result.add(f"{name}, twice the capacity", "answers/s", len(good) / seconds)
    result.add(f"{name}, refused", "1/s", sum(one.status == 503 for one in counted) / seconds)
    if good:
        result.add(f"{name}, p50 of the answers", "s", quantile([one.seconds for one in good], 0.5))
        result.add(f"{name}, p99 of the answers", "s", quantile([one.seconds for one in good], 0.99))
    _note(result, name, found)


def _note(result: Result, name: str, found: list[Sent]) -> None:
    others = Counter(one.status for one in found if one.status not in (200, 503))
    if others:
        result.notes.append(f"{name}: {sum(others.values())} of {len(found)} got neither 200 nor 503: {dict(others)}.")


def _capacity(server: Server, payload: Payload, connections: int, seconds: float) -> float:
    with server.running() as port, pinned(CLIENT_CORE):
        assert isinstance(port, int)
        rate = saturate(port, payload.prepared, connections, seconds)
    if rate.failures:
        raise RuntimeError(f"{rate.failures} of {rate.answers} answers were not 200")
    return rate.per_second
