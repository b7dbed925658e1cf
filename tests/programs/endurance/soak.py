"""Runs mixed load at four fifths of the capacity for ten minutes: `make soak`. Arguments: `[--seconds N] [--write]`."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.benchmarks.openloop import Load, Sent, collect, quantile, sent, start
from tests.benchmarks.tables import number, table
from tests.programs.endurance.mixture import Kind, mixture
from tests.programs.endurance.page import conditions, write
from tests.support.processes import started

SHARE = 0.8
CAPACITY_SECONDS = 15.0
PAUSE_SECONDS = 5.0
CONNECTIONS = 16
WINDOW = 0.1
"""Of the whole: what counts as the start, and as the end. The first tenth warms up, and counts for errors alone."""
SLACK = 1.5
NOISE = 3.0
COLUMNS = ("milliseconds", "requests", "start, p50", "start, p99", "end, p50", "end, p99")


def resident(pid: int) -> float:
    """Megabytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def capacity(port: int, requests: list[tuple[str, bytes, float]]) -> float:
    """Answers a second to clients that wait for each: the least of three measurements, because the machine may be shared."""
    rates = []
    for turn in range(3):
        load = Load(port, requests, 5000, CAPACITY_SECONDS, CONNECTIONS, patience=0, first=1_000_000 * turn)
        rates.append(sum(one.status > 0 and one.end > 2 for one in sent(load)) / (CAPACITY_SECONDS - 2))
        time.sleep(PAUSE_SECONDS)
    return min(rates)


def watched(load: Load, measure: Callable[[], float]) -> tuple[list[Sent], list[float]]:
    """What became of a load, and a figure each second meanwhile."""
    process = start(load)
    begin = time.monotonic()
    series = []
    while time.monotonic() - begin < load.seconds:
        time.sleep(1)
        series.append(measure())
    return collect(process), series


def trend(series: list[float]) -> tuple[float, float]:
    """By how much the straight line through the points rises over all of them, and how far they lie from it."""
    seconds = np.arange(len(series))
    slope, at = np.polyfit(seconds, series, 1)
    return float(slope * len(series)), float(np.std(np.array(series) - (slope * seconds + at)))


def latencies(found: list[Sent], kinds: list[Kind], seconds: float) -> list[tuple[str, ...]]:
    """A row for each kind: p50 and p99 of the start and of the end, in milliseconds."""
    rows = []
    for kind in kinds:
        row = [kind.name, f"{sum(one.name == kind.name for one in found):,}"]
        for begin, end in ((WINDOW, 2 * WINDOW), (1 - WINDOW, 1.0)):
            values = [
                one.seconds * 1e3
                for one in found
                if one.name == kind.name and begin * seconds <= one.due < end * seconds and one.status > 0
            ]
            row += [number(quantile(values, share)) if values else "–" for share in (0.5, 0.99)]
        rows.append(tuple(row))
    return rows


def run(seconds: float, share: float) -> tuple[str, list[str]]:
    """The section of the page, and what was not as it should be."""
    with started("--log-level", "warning", LOSSMETER_THREADS="1") as service:
        port = int(service.url.rpartition(":")[2])
        kinds = mixture(service.url)
        requests = [(kind.name, kind.prepared, kind.share) for kind in kinds]
        most = capacity(port, requests)
        load = Load(port, requests, share * most, seconds, 500, seed=1, first=10_000_000)
        found, memory = watched(load, lambda: resident(service.process.pid))
        output = service.output
    expected = {kind.name: kind.status for kind in kinds}
    wrong = [one for one in found if one.status != expected[one.name]]
    steady = memory[len(memory) // 2 :]
    rise, noise = trend(steady)
    start_, end_ = (
        quantile([o.seconds for o in found if a * seconds <= o.due < b * seconds and o.status > 0], 0.5)
        for a, b in ((WINDOW, 2 * WINDOW), (1 - WINDOW, 1.0))
    )
    flaws = []
    if wrong:
        flaws.append(f"{len(wrong)} answers were not as expected: {Counter((o.name, o.status) for o in wrong)}")
    if rise > max(NOISE * noise, 5.0):
        flaws.append(f"memory rose by {rise:.1f} MB, with a noise of {noise:.1f} MB")
    if end_ > SLACK * start_ + 0.005:
        flaws.append(f"the median latency was {start_ * 1e3:.1f} ms at the start and {end_ * 1e3:.1f} ms at the end")
    if output.count("\n") > 1:
        flaws.append(f"the log has more than the welcome: {output[:2000]}")
    parts = (
        f"{conditions()} One worker, one thread of torch, {seconds / 60:.0f} minutes at {share:.0%} of the capacity for this "
        f"mixture (16 clients that wait for each answer get {most:,.0f} a second): {len(found):,} requests, {len(wrong)} of "
        "them not answered as expected.",
        f"Resident memory: {memory[int(WINDOW * len(memory))]:.0f} MB after the first tenth, {steady[0]:.0f} MB at half time, "
        f"{steady[-1]:.0f} MB at the end. The heap first grows to what large requests need at the same time; in the second "
        f"half the line through a sample each second rises by {rise:.1f} MB, and the samples lie {noise:.1f} MB around it.",
        table(COLUMNS, latencies(found, kinds, seconds)),
        "*Start* is the second tenth of the time, *end* the last; a request waits from when it was due.",
    )
    text = "\n\n".join(parts)
    return text, flaws


def main() -> int:
    """Entry point of `make soak`."""
    parser = argparse.ArgumentParser(prog="python -m tests.programs.endurance.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--share", type=float, default=SHARE, help="of the capacity")
    parser.add_argument("--write", action="store_true", help="rewrite the figures of docs/operations.md")
    arguments = parser.parse_args()
    text, flaws = run(arguments.seconds, arguments.share)
    print(text)
    for flaw in flaws:
        print(f"NOT AS IT SHOULD BE: {flaw}")
    if arguments.write:
        write("soak", text)
    return bool(flaws)


if __name__ == "__main__":
    sys.exit(main())
