"""`python -m tests.benchmarks`: every case in full, and the docs rewritten. `--quick CASE…`: the tables of a few, at once."""

from __future__ import annotations

import argparse
import signal
import sys
import time

import torch

from tests.benchmarks import machine, report
from tests.benchmarks.cases import CASES
from tests.benchmarks.servers import CLIENT_CORE, settle


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"one of {', '.join(CASES)}; all if left out")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, and nothing is written")
    arguments = parser.parse_args()
    unknown = set(arguments.cases) - set(CASES)
    if unknown:
        parser.error(f"no such case: {', '.join(sorted(unknown))}; expected {', '.join(CASES)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that no server outlives the run
    described = machine.described()
    torch.set_num_threads(1)
    settle(CLIENT_CORE)
    results = []
    for name in arguments.cases or CASES:
        begin = time.perf_counter()
        results.append(CASES[name](arguments.quick))
        print(f"\n{report.section(results[-1])}\n\n({name}, {time.perf_counter() - begin:.0f} s)\n", flush=True)
    if not arguments.quick and not arguments.cases:
        report.write(described, results)
        print(f"written: {report.PAGE}, {report.FIGURES}")


if __name__ == "__main__":
    main()
