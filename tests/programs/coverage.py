"""How often intervals hold on simulated data whose truth is known. Run as a module, it writes docs/confidence.md.

`python -m tests.programs.coverage 2000 "f1 | binary" "| 10 |"`: so many trials, of the rows that have these words alone.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lossmeter.evaluation import Plan, Statistics
from tests.metrics.evaluations import measured, metrics_of, report

TRIALS = 2000
SEED = 11
LEVEL = 0.95
LARGE = 400_000

Data = dict[str, Any]
Maker = Callable[[np.random.Generator, int], Data]


@dataclass(frozen=True)
class Case:
    """A metric on made data of n samples."""

    metric: str
    task: str
    predictions_are: str
    made: Maker
    n: int
    parameters: tuple[tuple[str, Any], ...] = ()
    clustered: bool = False

    @property
    def wanted(self) -> dict[str, Any]:
        return {"metric": self.metric, **dict(self.parameters)}


def numbers(rng: np.random.Generator, n: int) -> Data:
    x = rng.gamma(3.0, 1.0, n)
    return {"predictions": x, "labels": x + rng.normal(0.2, 1.0, n)}


def heavy_tails(rng: np.random.Generator, n: int) -> Data:
    x = rng.gamma(3.0, 1.0, n)
    return {"predictions": x, "labels": x * rng.gamma(4.0, 0.25, n)}


def weighted_numbers(rng: np.random.Generator, n: int) -> Data:
    return {**numbers(rng, n), "sample_weight": rng.gamma(2.0, 1.0, n)}


def two_classes(rng: np.random.Generator, n: int) -> Data:
    z = rng.normal(-1.0, 1.5, n)
    return {"predictions": z, "labels": (rng.random(n) < 1 / (1 + np.exp(-0.8 * z))).astype(int)}


def weighted_classes(rng: np.random.Generator, n: int) -> Data:
    return {**two_classes(rng, n), "sample_weight": rng.gamma(2.0, 1.0, n)}


def rare_class(rng: np.random.Generator, n: int) -> Data:
    z = rng.normal(-3.0, 1.0, n)
    return {"predictions": z + 3, "labels": (rng.random(n) < 1 / (1 + np.exp(-z))).astype(int)}


def many_classes(rng: np.random.Generator, n: int) -> Data:
    z = rng.normal(0.0, 1.5, (n, 4)) + np.array([1.0, 0.5, 0.0, -0.5])
    return {"predictions": z, "labels": (z + rng.gumbel(0, 1.2, z.shape)).argmax(1)}


def patients(rng: np.random.Generator, n: int) -> Data:
    """n / 5 patients with five rows each, which share most of their error."""
    count = n // 5
    shared = np.repeat(rng.normal(size=count), 5)
    y = rng.normal(size=5 * count)
    return {
        "predictions": y + shared + 0.5 * rng.normal(size=5 * count),
        "labels": y,
        "groups": np.repeat(rng.integers(0, 2**62, count), 5),
    }


def queries(rng: np.random.Generator, n: int) -> Data:
    grades = rng.integers(0, 3, (n, 8))
    return {"predictions": grades + rng.normal(0, 1.5, (n, 8)), "labels": grades}


def clusters(rng: np.random.Generator, n: int) -> Data:
    label = rng.integers(0, 4, n)
    return {"predictions": np.where(rng.random(n) < 0.7, label, rng.integers(0, 4, n)), "labels": label}


def decisions(classes: int, accuracy: float, rare: float | None = None) -> Maker:
    """Decisions that are right with this probability; of two classes, the second may be rare."""

    def make(rng: np.random.Generator, n: int) -> Data:
        label = rng.integers(0, classes, n) if rare is None else (rng.random(n) < rare).astype(int)
        other = (label + rng.integers(1, classes, n)) % classes
        return {"predictions": np.where(rng.random(n) < accuracy, label, other), "labels": label, "classes": classes}

    make.__name__ = f"{classes} classes, {100 * accuracy:g} % right" + (f", one in {1 / rare:g} yes" if rare else "")
    return make


def separated(apart: float, positive: float) -> Maker:
    """Scores whose two normal distributions are so far apart."""

    def make(rng: np.random.Generator, n: int) -> Data:
        label = (rng.random(n) < positive).astype(int)
        return {"predictions": rng.normal(size=n) + apart * label, "labels": label}

    make.__name__ = f"scores {apart:g} apart, {100 * positive:g} % yes"
    return make


def hits(share: float) -> Maker:
    """Queries whose only relevant candidate is the first with this probability, and otherwise the second."""

    def make(rng: np.random.Generator, n: int) -> Data:
        first = rng.random(n) < share
        labels = np.stack([first, ~first, np.zeros(n, bool)], axis=1).astype(int)
        return {"predictions": np.tile([3.0, 2.0, 1.0], (n, 1)), "labels": labels}

    make.__name__ = f"queries, {100 * share:g} % first"
    return make


def partition(right: float) -> Maker:
    def make(rng: np.random.Generator, n: int) -> Data:
        label = rng.integers(0, 3, n)
        wrong = (label + rng.integers(1, 3, n)) % 3
        return {"predictions": np.where(rng.random(n) < right, label, wrong), "labels": label}

    make.__name__ = f"3 clusters, {100 * right:g} % right"
    return make


def grouped(made: Maker) -> Maker:
    """The same in groups of five that share everything."""

    def make(rng: np.random.Generator, n: int) -> Data:
        few = made(rng, n // 5)
        names = rng.integers(0, 2**62, n // 5)
        return {k: v if k == "classes" else np.repeat(v, 5, axis=0) for k, v in few.items()} | {
            "groups": np.repeat(names, 5)
        }

    make.__name__ = f"{made.__name__}, in fives"
    return make


EDGES = (10, 30, 200)
SURE_TWO, SURE_RARE, SURE_THREE = decisions(2, 0.99), decisions(2, 0.98, 0.1), decisions(3, 0.995)
SURE_FIRST, SURE_CLUSTERS = hits(0.99), partition(0.99)
CASES = [
    Case("mse", "regression", "values", numbers, 300),
    Case("rmse", "regression", "values", numbers, 300),
    Case("mae", "regression", "values", numbers, 300),
    Case("mae", "regression", "values", numbers, 30),
    Case("mae", "regression", "values", weighted_numbers, 300),
    Case("mae", "regression", "values", heavy_tails, 300),
    *(Case("mse", "regression", "values", heavy_tails, n) for n in (10, 30, 300)),
    Case("mse", "regression", "values", heavy_tails, 3000),
    Case("r2", "regression", "values", heavy_tails, 300),
    Case("concordance", "regression", "values", heavy_tails, 300),
    Case("wape", "regression", "values", numbers, 300),
    Case("mae", "regression", "values", patients, 500, clustered=True),
    Case("r2", "regression", "values", numbers, 300),
    Case("r2", "regression", "values", patients, 500, clustered=True),
    Case("pearson", "regression", "values", numbers, 300),
    Case("concordance", "regression", "values", numbers, 300),
    Case("spearman", "regression", "values", numbers, 300),
    Case("kendall", "regression", "values", numbers, 300),
    Case("median_absolute_error", "regression", "values", numbers, 300),
    Case("accuracy", "binary", "logits", two_classes, 300),
    Case("accuracy", "binary", "logits", two_classes, 30),
    Case("accuracy", "binary", "logits", weighted_classes, 300),
    Case("precision", "binary", "logits", two_classes, 300),
    Case("recall", "binary", "logits", two_classes, 300),
    Case("recall", "binary", "logits", rare_class, 300),
    Case("recall", "binary", "logits", weighted_classes, 300),
    Case("f1", "binary", "logits", two_classes, 300),
    Case("f1", "binary", "logits", rare_class, 300),
    Case("matthews", "binary", "logits", two_classes, 300),
    Case("auroc", "binary", "logits", two_classes, 300),
    Case("auroc", "binary", "logits", rare_class, 300),
    Case("average_precision", "binary", "logits", two_classes, 300),
    Case("average_precision", "binary", "logits", rare_class, 300),
    Case("log_loss", "binary", "logits", two_classes, 300),
    Case("brier", "binary", "logits", two_classes, 300),
    Case("f1", "multiclass", "logits", many_classes, 300),
    Case("f1", "multiclass", "logits", many_classes, 1000),
    Case("balanced_accuracy", "multiclass", "logits", many_classes, 300),
    Case("cohen_kappa", "multiclass", "logits", many_classes, 300),
    Case("ndcg", "ranking", "scores", queries, 100),
    Case("mrr", "ranking", "scores", queries, 100),
    Case("adjusted_rand", "clustering", "classes", clusters, 300),
    Case("v_measure", "clustering", "classes", clusters, 300),
    *(
        Case(metric, "binary", "classes", made, n)
        for made in (SURE_TWO, SURE_RARE)
        for n in EDGES
        for metric in ("accuracy", "f1", "matthews")
    ),
    *(
        Case(metric, "multiclass", "classes", SURE_THREE, n)
        for n in EDGES
        for metric in ("f1", "cohen_kappa", "balanced_accuracy")
    ),
    *(
        Case(metric, "binary", "scores", made, n)
        for made in (separated(3.5, 0.5), separated(3.5, 0.1), separated(1.0, 0.1))
        for n in EDGES
        for metric in ("auroc", "average_precision")
    ),
    *(Case("mrr", "ranking", "scores", SURE_FIRST, n) for n in EDGES),
    *(Case("adjusted_rand", "clustering", "classes", SURE_CLUSTERS, n) for n in EDGES),
    *(Case(metric, "binary", "classes", grouped(SURE_TWO), 150, clustered=True) for metric in ("accuracy", "f1")),
    *(Case(metric, "regression", "values", numbers, n) for n in (10, 30) for metric in ("mse", "r2", "pearson")),
]
BY_DATA: dict[tuple[Any, ...], list[Case]] = {}
for case in CASES:
    BY_DATA.setdefault((case.task, case.predictions_are, case.made, case.n, case.clustered), []).append(case)


def statistics(evaluation: Plan, data: Data, batch_id: str) -> Statistics:
    return measured(evaluation, data, batch_id)


@functools.cache
def truth(case: Case) -> float:
    """The value on so many samples that it stands for the truth."""
    rng = np.random.default_rng(SEED + 1)
    exact = metrics_of(case.task, case.predictions_are, [case.wanted], replicates=0)
    return float(report(exact, statistics(exact, case.made(rng, LARGE), ""))[0].value)


@dataclass(frozen=True)
class Coverage:
    """How often the truth lies inside the interval, below it and above it, where there is one; how often there is none.

    Attributes:
        width: mean width of the intervals, as a multiple of how far apart 95 % of the values lie.
    """

    inside: float
    below: float
    above: float
    null: float
    width: float
    method: str


def coverages(trials: int, wanted: list[Case], replicates: int = 200) -> dict[Case, Coverage]:
    """Per case how well its intervals hold."""
    results = {}
    for key, cases in BY_DATA.items():
        chosen = [case for case in cases if case in wanted]
        if not chosen:
            continue
        task, are, made, n, _ = key
        evaluation = metrics_of(task, are, [case.wanted for case in chosen], replicates=replicates, confidence=LEVEL)
        rng = np.random.default_rng(SEED)
        seen = np.full((len(chosen), trials, 3), np.nan)
        methods: list[list[str]] = [[] for _ in chosen]
        for trial in range(trials):
            found = report(evaluation, statistics(evaluation, made(rng, n), f"trial-{trial}"))
            for place, item in enumerate(found):
                ends = (np.nan, np.nan) if item.interval is None else (item.interval.low, item.interval.high)
                seen[place, trial] = (item.value, *ends)
                methods[place] += [] if item.interval is None else [item.interval.method]
        for place, case in enumerate(chosen):
            results[case] = _coverage(truth(case), *seen[place].T, max(set(methods[place]), key=methods[place].count))
    return results


def _coverage(true: float, value: np.ndarray, low: np.ndarray, high: np.ndarray, method: str) -> Coverage:
    known = np.isfinite(low)
    below, above = (true < low[known]).mean(), (true > high[known]).mean()
    apart = np.ptp(np.quantile(value[np.isfinite(value)], [0.025, 0.975]))
    width = (high - low)[known].mean() / apart if apart else np.inf
    return Coverage(1 - below - above, float(below), float(above), 1 - known.mean(), float(width), method)


def row(case: Case) -> str:
    """How the row of a case begins."""
    return f"| {case.metric} | {case.task} | {case.made.__name__.replace('_', ' ')} | {case.n:,} | "


def main() -> None:
    """Simulates so many trials of the cases whose row has all of some words in its beginning, and replaces those rows."""
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else TRIALS
    results = coverages(trials, [case for case in CASES if all(words in row(case) for words in sys.argv[2:])])
    rows = {
        row(case): f"{one.method} | {100 * one.inside:.1f} % | {100 * one.below:.1f} % | {100 * one.above:.1f} % | "
        f"{one.width:.1f} | {100 * one.null:.1f} % | {trials:,} |"
        for case, one in results.items()
    }
    page = Path(__file__).parents[2] / "docs" / "confidence.md"
    before, _, rest = page.read_text().partition("<!-- coverage -->\n")
    former, _, after = rest.partition("<!-- end of coverage -->\n")
    for line in former.splitlines():
        for case in CASES:
            if line.startswith(row(case)):
                rows.setdefault(row(case), line.removeprefix(row(case)))
    table = "\n".join(
        [
            "| metric | task | data | n | method | covers | truth below | truth above | width | no interval | trials |",
            "|---|---|---|---|---|---|---|---|---|---|---|",
            *(beginning + rows[beginning] for beginning in map(row, CASES) if beginning in rows),
        ]
    )
    page.write_text(f"{before}<!-- coverage -->\n{table}\n<!-- end of coverage -->\n{after}")
    sys.stdout.write(table + "\n")


if __name__ == "__main__":
    main()
