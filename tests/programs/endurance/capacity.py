"""Measures one worker and two, and twice what one can do: `make capacity`. Arguments: `[workers] [overload] [--write]`."""

from __future__ import annotations

import argparse
import signal
import sys
from contextlib import ExitStack
from statistics import median

from tests.benchmarks import report
from tests.benchmarks.cases import overload
from tests.benchmarks.load import saturate
from tests.benchmarks.payloads import as_json, as_safetensors, classification
from tests.benchmarks.servers import CLIENT_CORE, settle
from tests.benchmarks.tables import number, table
from tests.programs.endurance.page import conditions, write
from tests.support.processes import started

CONNECTIONS = 16
ROUNDS = 7
SECONDS = 2.0
PAYLOADS = {
    "small JSON, [32, 10]": as_json("cross_entropy", classification(32, 10)),
    "large JSON, [256, 100]": as_json("cross_entropy", classification(256, 100)),
    "safetensors, [256, 100]": as_safetensors("cross_entropy", classification(256, 100)),
}


def workers() -> str:
    """Answers a second of one worker and of two, in turns."""
    rates: dict[tuple[str, int], list[float]] = {}
    with ExitStack() as stack:
        services = {
            count: stack.enter_context(started("--workers", str(count), "--log-level", "warning")) for count in (1, 2)
        }
        for turn in range(ROUNDS + 1):
            for name, payload in PAYLOADS.items():
                for count, service in services.items():
                    port = int(service.url.rpartition(":")[2])
                    rate = saturate(port, payload.prepared, CONNECTIONS, SECONDS)
                    assert not rate.failures
                    if turn:  # the first one warms up
                        rates.setdefault((name, count), []).append(rate.per_second)
    rows = []
    for name in PAYLOADS:
        one, two = rates[name, 1], rates[name, 2]
        ratio = median(b / a for a, b in zip(one, two, strict=True))
        rows.append((name, number(median(one)), number(median(two)), f"{ratio:.2f}"))
    return (
        f"{conditions()} Answers a second to {CONNECTIONS} connections, medians of {ROUNDS} rounds in turns; the client runs "
        "on the same cores.\n\n" + table(("request", "`--workers 1`", "`--workers 2`", "ratio"), rows)
    )


def twice() -> str:
    """What one worker on a core of its own answers when twice as much is asked."""
    before = conditions()
    settle(CLIENT_CORE)
    result = overload.measure(quick=False)
    _, _, rest = report.section(result).partition("\n\n")
    return f"{before} `python -m tests.benchmarks overload`: one worker on one core, the load from the other.\n\n{rest}"


PARTS = {"workers": workers, "overload": twice}


def main() -> None:
    """Entry point of `make capacity`."""
    parser = argparse.ArgumentParser(prog="python -m tests.programs.endurance.capacity", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all if left out")
    parser.add_argument("--write", action="store_true", help="rewrite the figures of docs/operations.md")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that no server outlives the run
    for name in arguments.parts or PARTS:
        text = PARTS[name]()
        print(text, flush=True)
        if arguments.write:
            write(name, text)


if __name__ == "__main__":
    main()
