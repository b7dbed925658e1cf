"""Writes what helps to choose a loss, as Markdown."""

from __future__ import annotations

from lossmeter.catalogue.choosing import Choice
from lossmeter.losses import Loss
from lossmeter.losses.choosing import choose
from lossmeter.losses.situations import SITUATIONS, TASKS
from tests.contracts.pages import table


def tasks_table() -> str:
    """The losses of each task, as they are answered."""
    return table(
        ("`task`", "what is predicted", "losses"),
        (
            (f"`{task}`", about, ", ".join(_link(one.entry) for one in choose(task, None, None)))
            for task, about in TASKS.items()
        ),
    )


def situations() -> str:
    """The losses of each situation with their reasons, as they are answered."""
    return "\n\n".join(
        f"### `{situation}`\n\n{about}\n\n{_reasons(choose(None, situation, None))}"
        for situation, about in SITUATIONS.items()
    )


def suits_table(loss: Loss) -> str:
    """The situations that a loss suits."""
    rows = ((f"[`{one}`](../choosing.md#{one})", reason) for one, reason in loss.suits.items())
    return table(("situation", "why"), rows)


def _reasons(choices: list[Choice[Loss]]) -> str:
    rows = ((_link(one.entry), ", ".join(one.entry.tasks), one.reason) for one in choices)
    return table(("loss", "tasks", "why"), rows)


def _link(loss: Loss) -> str:
    return f"[`{loss.name}`](losses/{loss.name}.md)"
