"""One process of the fuzzer: `python -m tests.programs.fuzz.guided TARGET RUNS FOLDER`."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["lossmeter.wire"]):
    from tests.programs.fuzz.targets import TARGETS

HERE = Path(__file__).parent
OPTIONS = ("-max_len=768", "-timeout=20", "-rss_limit_mb=2048", "-print_final_stats=1", f"-dict={HERE / 'words.dict'}")


def main() -> None:
    """Never returns: libFuzzer ends the process. An input that breaks something is written to the folder before."""
    program, target, runs, folder = sys.argv

    def run(data: bytes) -> None:
        try:
            TARGETS[target](data)
        except BaseException:
            Path(folder, f"broken-{hashlib.sha256(data).hexdigest()[:16]}").write_bytes(data)
            raise

    options = [*OPTIONS, f"-runs={runs}", f"-artifact_prefix={folder}/"]
    # What is found goes to the first folder; the others are only read.
    atheris.Setup([program, *options, folder, str(HERE / "corpus" / target)], run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
