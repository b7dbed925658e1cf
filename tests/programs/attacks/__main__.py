"""Tries every attack and writes the table of docs/security.md."""

from __future__ import annotations

import argparse
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from tests.contracts import pages
from tests.programs.attacks.catalogue import ATTACKS, GUESSING, TLS_SILENCE, Outcome, target, target_with_tls, tried

PAGE = Path(__file__).parents[3] / "docs" / "security.md"


def table(outcomes: list[Outcome]) -> str:
    """The outcomes as they stand on the page."""
    head = ("attack", "sent", "what comes of it", "processor", "memory", "a second client meanwhile")
    rows = [
        (
            one.attack.name,
            _size(one.sent),
            one.said,
            f"{one.processor_seconds:.2f} s",
            f"{one.megabytes:.0f} MB",
            one.meanwhile,
        )
        for one in outcomes
    ]
    return pages.table(head, rows)


def _size(sent: int) -> str:
    if not sent:
        return "–"
    return f"{sent} B" if sent < 1000 else f"{sent / 1e3:.0f} kB" if sent < 1_000_000 else f"{sent / 1e6:.0f} MB"


def _machine() -> str:
    load = os.getloadavg()
    return (
        f"{datetime.now(tz=UTC).date()}, {os.cpu_count()} cores, which other programs shared (load {load[0]:.0f} at the end; "
        f"nice {os.nice(0)}): times are shorter on a machine that does nothing else. Processor time and memory have in them "
        "what the second client asks for, a small loss about ten times a second."
    )


def main() -> int:
    """Entry point of `python -m tests.programs.attacks`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", help="those that have this in their names, and leaves the page as it is")
    only = parser.parse_args().only
    outcomes = []
    with target() as attacked:
        for attack in (one for one in ATTACKS if (only or "") in one.name):
            outcomes.append(tried(attack, attacked, watched=True))
            sys.stdout.write(f"{attack.name}: {outcomes[-1].said}, {outcomes[-1].megabytes:.0f} MB\n")
            sys.stdout.flush()
    if only is None:
        with target(LOSSMETER_AUTH="required") as attacked:
            outcomes.append(tried(GUESSING, attacked))
        with target_with_tls() as (attacked, context):
            outcomes.append(tried(TLS_SILENCE, attacked, context=context, watched=True))
        PAGE.write_text(pages.filled(PAGE.read_text(), {"attacks": f"{_machine()}\n\n{table(outcomes)}"}))
    else:
        sys.stdout.write(f"{table(outcomes)}\n")
    wrong = [one for one in outcomes if not one.said.startswith(one.attack.expected) or not one.works]
    for one in wrong:
        sys.stderr.write(f"{one.attack.name}: {one.said}; expected {one.attack.expected}\n")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
