"""What a server still achieves when twice as much, and ten times as much, is asked of it as it can do."""

from __future__ import annotations

import resource
import time
from collections import Counter

from tests.benchmarks.openloop import Load, Sent, collect, quantile, start
from tests.benchmarks.payloads import Payload, as_json, classification
from tests.benchmarks.results import Result
from tests.benchmarks.servers import CLIENT_CORE, SERVICE, Server, started

SHAPES = {"small": (32, 10), "large": (256, 100)}
CLIENTS = {"small": 64, "large": 8}
"""That are enough to keep a worker busy."""
AIMS = {("small", 2): 0.9, ("small", 10): 0.8, ("large", 2): 0.9}
WORDS = {2: "twice", 10: "ten times"}
CONNECTIONS = 4000
EAGER = 100_000.0
"""Requests a second, more than anything here answers: a connection that has its answer sends the next request at once."""
ROUNDS = 5
WARM_SECONDS, CAPACITY_SECONDS = 0.5, 2.0
RAMP_SECONDS = 3.0
DEADLINE_SECONDS = 3.0
MAX_WAIT_SECONDS = "1"


def measure(quick: bool) -> Result:
    result = Result("overload", "More requests than one worker can answer, [32, 10] and [256, 100] JSON")
    # More connections than the load opens: it is the waiting that is to be bounded here, not the number of clients.
    settings = {"LOSSMETER_MAX_WAIT_SECONDS": MAX_WAIT_SECONDS, "LOSSMETER_MAX_CONNECTIONS": "5000"}
    with started([SERVICE], settings) as (server,):
        for name, shape in SHAPES.items():
            payload = as_json("cross_entropy", classification(*shape))
            _capacity(server, name, payload, 0)
            for number in range(2 if quick else ROUNDS):
                for factor in (factor for asked, factor in AIMS if asked == name):
                    _round(server, name, payload, factor, number, 5.0 if quick else 10.0, result)
    for (name, factor), aim in AIMS.items():
        times = f"{name}, {WORDS[factor]} the capacity"
        result.compare(f"{times} ÷ capacity", times, f"{times}: capacity", aim)
    result.notes.append(
        f"Capacity: answers to {CLIENTS['small']} and {CLIENTS['large']} clients that send the next request at once. Twice and "
        f"ten times that: requests due at random times, whatever the server does, over up to {CONNECTIONS:,} connections; one "
        f"that is due while all of them wait for their answers is never sent. Only answers of 200 within "
        f"{DEADLINE_SECONDS:.0f} s of when the request was due count, after {RAMP_SECONDS:.0f} s in which the queue fills. "
        f"LOSSMETER_MAX_WAIT_SECONDS is {MAX_WAIT_SECONDS}."
    )
    result.notes.append(
        "Worker and load have a core each: while the worker uses all of its own and the load does not, it is the worker that "
        "is measured."
    )
    return result


def _round(
    server: Server, name: str, payload: Payload, factor: int, number: int, seconds: float, result: Result
) -> None:
    times = f"{name}, {WORDS[factor]} the capacity"
    capacity = _capacity(server, name, payload, number)
    result.add(f"{times}: capacity", "answers/s", capacity)
    with server.running() as port:
        assert isinstance(port, int)
        requests = [(name, payload.prepared, 1.0)]
        rate, whole = factor * capacity, RAMP_SECONDS + seconds
        load = Load(port, requests, rate, whole, CONNECTIONS, waits=False, core=CLIENT_CORE, seed=number)
        before = _children_seconds()
        running = start(load)
        time.sleep(RAMP_SECONDS)
        used = server.processor_seconds()
        time.sleep(seconds)
        used = server.processor_seconds() - used
        found = collect(running)
    counted = _counted(found, RAMP_SECONDS, seconds)
    good = [one for one in counted if one.status == 200 and one.seconds <= DEADLINE_SECONDS]
    result.add(times, "answers/s", len(good) / seconds)
    result.add(f"{times}: refused", "1/s", sum(one.status == 503 for one in counted) / seconds)
    if good:
        result.add(f"{times}: p50 of the answers", "s", quantile([one.seconds for one in good], 0.5))
        result.add(f"{times}: p99 of the answers", "s", quantile([one.seconds for one in good], 0.99))
    result.add(f"{times}: worker", "cores", used / seconds)
    result.add(f"{times}: load", "cores", (_children_seconds() - before) / whole)
    _note(result, times, found)


def _note(result: Result, times: str, found: list[Sent]) -> None:
    others = Counter(one.status for one in found if one.status not in (200, 503))
    if others:
        result.notes.append(f"{times}: {sum(others.values())} of {len(found)} got neither 200 nor 503: {dict(others)}.")


def _capacity(server: Server, name: str, payload: Payload, number: int) -> float:
    """Answers a second to clients of which each sends its next request once it has an answer."""
    with server.running() as port:
        assert isinstance(port, int)
        whole, requests = WARM_SECONDS + CAPACITY_SECONDS, [(name, payload.prepared, 1.0)]
        load = Load(port, requests, EAGER, whole, CLIENTS[name], waits=False, core=CLIENT_CORE, seed=number)
        counted = _counted(collect(start(load)), WARM_SECONDS, CAPACITY_SECONDS)
    if failures := sum(one.status != 200 for one in counted):
        raise RuntimeError(f"{failures} of {len(counted)} answers were not 200")
    return len(counted) / CAPACITY_SECONDS


def _counted(found: list[Sent], after: float, seconds: float) -> list[Sent]:
    """Those of a load whose answer came in these seconds."""
    return [one for one in found if after <= one.end < after + seconds]


def _children_seconds() -> float:
    """Processor time of all processes that this one started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
