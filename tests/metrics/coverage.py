"""How often intervals hold on simulated data whose truth is known. Run as a module, it writes docs/confidence.md."""

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


CASES = [
    Case("mse", "regression", "values", numbers, 300),
    Case("rmse", "regression", "values", numbers, 300),
    Case("mae", "regression", "values", numbers, 300),
    Case("mae", "regression", "values", numbers, 30),
    Case("mae", "regression", "values", weighted_numbers, 300),
    Case("mae", "regression", "values", heavy_tails, 300),
    Case("mse", "regression", "values", heavy_tails, 300),
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


def coverages(trials: int, wanted: list[Case], replicates: int = 200) -> dict[Case, tuple[float, float, float, str]]:
    """Per case how often the truth lies inside the interval, below it, above it, and the method."""
    results = {}
    for key, cases in BY_DATA.items():
        chosen = [case for case in cases if case in wanted]
        if not chosen:
            continue
        task, are, made, n, _ = key
        evaluation = metrics_of(task, are, [case.wanted for case in chosen], replicates=replicates, confidence=LEVEL)
        rng = np.random.default_rng(SEED)
        counts = np.zeros((len(chosen), 3))
        methods = [""] * len(chosen)
        for trial in range(trials):
            found = report(evaluation, statistics(evaluation, made(rng, n), f"trial-{trial}"))
            for place, (case, item) in enumerate(zip(chosen, found, strict=True)):
                if item.interval is None:
                    continue
                methods[place] = item.interval.method
                below, above = truth(case) < item.interval.low, truth(case) > item.interval.high
                counts[place] += (not below and not above, below, above)
        for place, case in enumerate(chosen):
            inside, below, above = (counts[place] / trials).tolist()
            results[case] = (inside, below, above, methods[place])
    return results


def main() -> None:
    results = coverages(int(sys.argv[1]) if len(sys.argv) > 1 else TRIALS, CASES)
    rows = [
        f"| {case.metric} | {case.task} | {case.made.__name__.replace('_', ' ')} | {case.n:,} | {method} | "
        f"{100 * inside:.1f} % | {100 * below:.1f} % | {100 * above:.1f} % |"
        for case, (inside, below, above, method) in results.items()
    ]
    table = "\n".join(
        [
            "| metric | task | data | n | method | covers | truth below | truth above |",
            "|---|---|---|---|---|---|---|---|",
            *rows,
        ]
    )
    page = Path(__file__).parents[2] / "docs" / "confidence.md"
    before, _, rest = page.read_text().partition("<!-- coverage -->\n")
    _, _, after = rest.partition("<!-- end of coverage -->\n")
    page.write_text(f"{before}<!-- coverage -->\n{table}\n<!-- end of coverage -->\n{after}")
    sys.stdout.write(table + "\n")


if __name__ == "__main__":
    main()
