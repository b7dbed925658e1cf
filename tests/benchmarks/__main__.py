"""`python -m tests.benchmarks`: every case in full, and the docs rewritten. `--quick CASE…`: the tables of a few, at once."""

from __future__ import annotations

import argparse
import time

import torch

from tests.benchmarks import tables
from tests.benchmarks.cases import CASES
from tests.benchmarks.results import Result
from tests.benchmarks.servers import CLIENT_CORE, settle


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"one of {', '.join(CASES)}; all if left out")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, and nothing is written")
    arguments = parser.parse_args()
    unknown = set(arguments.cases) - set(CASES)
    if unknown:
        parser.error(f"no such case: {', '.join(sorted(unknown))}; expected {', '.join(CASES)}")
    torch.set_num_threads(1)
    settle(CLIENT_CORE)
    for name in arguments.cases or CASES:
        begin = time.perf_counter()
        result = CASES[name](arguments.quick)
        show(result, time.perf_counter() - begin)


def show(result: Result, seconds: float) -> None:
    print(f"\n## {result.name}: {result.title} ({seconds:.0f} s)\n\n{tables.figures(result)}")
    if result.ratios:
        print(f"\n{tables.ratios(result.ratios)}")
    for note in result.notes:
        print(f"- {note}")
    print(flush=True)


if __name__ == "__main__":
    main()
