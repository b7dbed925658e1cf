"""How long requests wait for workers that are busy to some share: a simulation of queues.

python -m tests.programs.cluster.sizing
"""

from __future__ import annotations

import heapq
import math

import numpy as np

REQUESTS = 200_000
WORKERS = 16
SPREADS = {"all alike": 0.0, "exponential": 1.0}
"""Of the times that requests take, as a share of their mean."""


def waits(share: float, workers: int, choice: str, spread: float, seed: int = 1) -> np.ndarray:
    """Times from arrival to answer, in units of the mean time that a request takes.

    Args:
        share: of the time that workers are busy.
        choice: `random` for a balancer that knows nothing, as several of them together do; `turns` for one after the other;
            `least` for the worker with the fewest requests.
        spread: of the times.
    """
    rng = np.random.default_rng(seed)
    arrivals = np.cumsum(rng.exponential(1 / (share * workers), REQUESTS))
    times = rng.exponential(1, REQUESTS) if spread else np.ones(REQUESTS)
    chosen = rng.integers(0, workers, REQUESTS)
    free = [0.0] * workers
    open_: list[list[float]] = [[] for _ in range(workers)]
    spent = np.empty(REQUESTS)
    for number in range(REQUESTS):
        now = arrivals[number]
        if choice == "least":
            for queue in open_:
                while queue and queue[0] <= now:
                    heapq.heappop(queue)
            worker = min(range(workers), key=lambda one: len(open_[one]))
        else:
            worker = number % workers if choice == "turns" else int(chosen[number])
        free[worker] = max(now, free[worker]) + times[number]
        if choice == "least":
            heapq.heappush(open_[worker], free[worker])
        spent[number] = free[worker] - now
    return spent[REQUESTS // 10 :]


def main() -> None:
    print(f"{WORKERS} workers; median and 99th percentile of the time to the answer ÷ the time that a request takes\n")
    print("| busy | times | random | in turns | fewest requests |")
    print("|---|---|---|---|---|")
    for share in (0.5, 0.7, 0.8, 0.9):
        for name, spread in SPREADS.items():
            cells = []
            for choice in ("random", "turns", "least"):
                median, late = np.quantile(waits(share, WORKERS, choice, spread), (0.5, 0.99))
                cells.append(f"{median:.1f}, {late:.1f}")
            print(f"| {share:.0%} | {name} | {' | '.join(cells)} |", flush=True)
    # With exponential times and one worker of a balancer that knows nothing, theory says: -log(0.01) / (1 - share).
    for share in (0.5, 0.8):
        found = float(np.quantile(waits(share, WORKERS, "random", 1.0), 0.99))
        print(f"M/M/1 at {share:.0%}: 99 % within {-math.log(0.01) / (1 - share):.1f}, simulated {found:.1f}")


if __name__ == "__main__":
    main()
