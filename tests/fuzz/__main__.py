"""`python -m tests.fuzz TARGET [--runs N]`: looks for bytes that break a decoder, guided by what they reach."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["lossmeter.wire"]):
    from tests.fuzz.targets import TARGETS

HERE = Path(__file__).parent
MAX_BYTES = 1024


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--runs", type=int, default=1_000_000, help="executions")
    parser.add_argument("--found", type=Path, help="where inputs that reach something new are kept")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        found = chosen.found or Path(scratch)
        found.mkdir(parents=True, exist_ok=True)
        options = [f"-runs={chosen.runs}", f"-max_len={MAX_BYTES}", "-timeout=20", "-rss_limit_mb=4096"]
        options += [f"-artifact_prefix={found}/", "-print_final_stats=1", f"-dict={HERE / 'words.dict'}"]
        # What is found goes to the first folder; the others are only read.
        atheris.Setup([sys.argv[0], *options, str(found), str(HERE / "corpus" / chosen.target)], TARGETS[chosen.target])
        atheris.Fuzz()


if __name__ == "__main__":
    main()
