"""`python -m tests.programs.fuzz TARGET…`: looks for bytes that break a decoder. Needs atheris; `make fuzz` installs it."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from tests.programs.fuzz.targets import TARGETS

FOUND = Path(__file__).parents[3] / "build" / "found"
ROUND = 25_000
"""Executions of one process: the instrumentation keeps some memory of each: 4 to 15 kB."""


def main() -> int:
    """Entry point; the exit status is that of the first process that found something."""
    parser = argparse.ArgumentParser(prog="python -m tests.programs.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"one of {', '.join(TARGETS)}; all if left out")
    parser.add_argument("--runs", type=int, default=1_000_000, help="executions of each")
    kept = (
        "where inputs are kept that break something, and those that reach something new, for the next run to begin with"
    )
    parser.add_argument("--found", type=Path, default=FOUND, help=kept)
    chosen = parser.parse_args()
    unknown = set(chosen.targets) - set(TARGETS)
    if unknown:
        parser.error(f"no such target: {', '.join(sorted(unknown))}; expected {', '.join(TARGETS)}")
    for target in chosen.targets or TARGETS:
        folder = chosen.found / target
        folder.mkdir(parents=True, exist_ok=True)
        for start in range(0, chosen.runs, ROUND):
            runs = min(ROUND, chosen.runs - start)
            command = [sys.executable, "-m", "tests.programs.fuzz.guided", target, str(runs), str(folder)]
            status = subprocess.run(command, check=False).returncode
            if status:
                print(f"{target}: the input stands in {folder}", flush=True)
                return status
            print(f"{target}: {start + runs:,} executions, nothing found", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
