"""The catalogue of losses as it is written down beside this module, for commands that compute nothing and need no torch."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lossmeter.api.models.loss_entries import LossEntry
from lossmeter.catalogue import Catalogue, Description
from lossmeter.catalogue.choosing import Chooser

if TYPE_CHECKING:
    from lossmeter.losses import Loss

FILE = Path(__file__).with_name("losses.json")
"""Generated; a loss a line."""
TEXTS = ("name", "family", "summary", "explanation", "use_when", "avoid_when")


@dataclass(frozen=True, eq=False, kw_only=True)
class IndexedLoss(Description):
    """A loss that is known by its texts alone.

    Attributes:
        record: its entry as JSON.
    """

    record: dict[str, Any]

    @property
    def package(self) -> str:
        return "lossmeter.losses"

    @property
    def entry(self) -> LossEntry:
        return LossEntry.model_validate(self.record)


def written(losses: Iterable[tuple[Loss, LossEntry]], tasks: dict[str, str], situations: dict[str, str]) -> str:
    """Writes the index of losses with their entries in English."""
    lines = []
    for loss, entry in losses:
        choice = {"tasks": loss.tasks, "suits": loss.suits, "shared_names": loss.shared_names}
        lines.append(json.dumps({**choice, "entry": entry.model_dump(mode="json", exclude_unset=True)}))
    head = [
        f"{json.dumps(name)}: {json.dumps(words)}" for name, words in (("tasks", tasks), ("situations", situations))
    ]
    return "{" + ",\n".join([*head, '"losses": [\n' + ",\n".join(lines) + "\n]"]) + "}\n"


def read_index() -> Chooser[IndexedLoss]:
    """Reads the index."""
    index = json.loads(FILE.read_text("utf-8"))
    losses: Catalogue[IndexedLoss] = Catalogue("loss", "/v1/losses")
    for line in index["losses"]:
        record = line["entry"]
        losses.add(
            IndexedLoss(
                **{name: record[name] for name in TEXTS},
                aliases=tuple(record["aliases"]),
                shared_names=tuple(line["shared_names"]),
                tasks=tuple(line["tasks"]),
                suits=line["suits"],
                record=record,
            )
        )
    return Chooser(losses, index["tasks"], index["situations"])
