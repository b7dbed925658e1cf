"""Random evaluations of all metrics: within bounds, low ≤ value ≤ high, independent of order and partition.

As a program, `make fuzz-metrics EVALUATIONS=5000` makes so many and tells what does not hold.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from lossmeter.metrics import METRICS
from tests.metrics.evaluations import batches, everything, measured, merge_all, part, report

RELATIVE, ABSOLUTE = 1e-9, 1e-12


def flaws(seed: int) -> Iterator[str]:
    """Tells what does not hold of one random evaluation."""
    rng = np.random.default_rng(seed)
    n = int(rng.choice([1, 2, 3, 7, 30]))
    made = batches(rng, n)
    task = str(rng.choice(sorted(made)))
    are, data = made[task]
    data["sample_weight"] = rng.gamma(0.5, 1, n) * 10.0 ** rng.integers(-3, 4)
    if rng.random() < 0.3 and task in ("regression", "clustering"):
        data["labels"] = np.full_like(data["labels"], data["labels"][0])
    if rng.random() < 0.3 and task in ("regression", "clustering"):
        data["predictions"] = data["labels"].copy()
    evaluation = everything(task, are, exact=bool(rng.random() < 0.5), replicates=12)
    whole = report(evaluation, measured(evaluation, data))
    cuts = np.sort(rng.integers(0, n + 1, 3))
    parts = [measured(evaluation, part(data, rows)) for rows in np.split(rng.permutation(n), cuts)]
    for one, other in zip(whole, report(evaluation, merge_all(parts)), strict=True):
        where = f"{seed} {task} {one.metric}"
        if one.kind != "scalar":
            figures = [list(numbers(item.value)) for item in (one, other)]
            if len(figures[0]) != len(figures[1]) or not alike(*figures):
                yield f"{where}: {figures[0]} in one pass, {figures[1]} in batches"
            continue
        metric, figures = METRICS[one.metric], []
        for item in (one, other):
            ends = (np.nan, np.nan) if item.interval is None else (item.interval.low, item.interval.high)
            figures.append((item.value, *ends))
            if item.interval is not None and not ends[0] <= item.value <= ends[1]:
                yield f"{where}: {item.value} is not within {ends}"
            for figure in figures[-1]:
                least = -np.inf if metric.minimum is None else metric.minimum
                most = np.inf if metric.maximum is None else metric.maximum
                if not (np.isnan(figure) or least <= figure <= most):
                    yield f"{where}: {figure} is not between {least} and {most}"
        if not alike(*figures):
            yield f"{where}: {figures[0]} in one pass, {figures[1]} in batches"


def alike(one: Any, other: Any) -> bool:
    return np.allclose(one, other, rtol=RELATIVE, atol=ABSOLUTE, equal_nan=True)


def numbers(value: Any) -> Iterator[float]:
    """All numbers of a value that has several, in their order; NaN for none."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple | np.ndarray):
        for one in value:
            yield from numbers(one)
    else:
        yield np.nan if value is None else float(value)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    wrong: Any = [flaw for seed in range(count) for flaw in flaws(seed)]
    sys.stdout.write("\n".join([*wrong, f"{len(wrong)} flaws in {count} evaluations", ""]))


if __name__ == "__main__":
    main()
