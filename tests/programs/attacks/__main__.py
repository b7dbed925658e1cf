"""Tries every attack and writes the table of docs/security.md."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.contracts import pages
from tests.programs.attacks.catalogue import ATTACKS, GUESSING, Outcome, target, tried

PAGE = Path(__file__).parents[3] / "docs" / "security.md"


def table(outcomes: list[Outcome]) -> str:
    """The outcomes as they stand on the page."""
    head = ("attack", "what comes of it", "memory")
    rows = [(one.attack.name, one.said, f"{one.megabytes:.0f} MB") for one in outcomes]
    return pages.table(head, rows)


def main() -> int:
    """Entry point of `python -m tests.programs.attacks`."""
    outcomes = []
    with target() as attacked:
        for attack in ATTACKS:
            outcomes.append(tried(attack, attacked))
            sys.stdout.write(f"{attack.name}: {outcomes[-1].said}, {outcomes[-1].megabytes:.0f} MB\n")
            sys.stdout.flush()
    with target(LOSSMETER_AUTH="required") as attacked:
        outcomes.append(tried(GUESSING, attacked))
    PAGE.write_text(pages.filled(PAGE.read_text(), {"attacks": table(outcomes)}))
    wrong = [one for one in outcomes if not one.said.startswith(one.attack.expected) or not one.works]
    for one in wrong:
        sys.stderr.write(f"{one.attack.name}: {one.said}; expected {one.attack.expected}\n")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
