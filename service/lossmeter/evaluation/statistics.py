"""The statistics of one part of the data: the states of its metrics and losses, which merge in any order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lossmeter.errors import Invalid, MalformedBody
from lossmeter.metrics.levels import Levels
from lossmeter.metrics.states import Reader, State, Writer, from_json, from_lists, to_lists

FORMAT = "lossmeter.statistics"
VERSION = 1

States = Mapping[str, State]


@dataclass(frozen=True, eq=False)
class Statistics:
    """All that is known of one part of the data; adds up in any order.

    Attributes:
        samples: number of units that count.
        clustered: whether units were drawn in groups, so that only the bootstrap knows their spread.
        states: by name, of the data as they are.
        replicates: by name, of the bootstrap replicates.
        levels: by name of samples, those of their scores in the replicates, where they were drawn with the others. They follow
            from the samples, so that no record keeps them.
    """

    samples: int
    clustered: bool
    states: States
    replicates: States
    levels: Mapping[str, Levels] = field(default_factory=dict)

    def merge(self, other: Statistics) -> Statistics:
        """Returns the statistics of the data of both.

        Raises:
            Invalid: they are of different plans.
        """
        return Statistics(
            self.samples + other.samples,
            self.clustered or other.clustered,
            merged(self.states, other.states),
            merged(self.replicates, other.replicates),
        )

    def to_json(self, write: Writer = to_lists) -> dict[str, Any]:
        """Returns plain numbers and lists, unless `write` makes something else of arrays; see docs/statistics.md."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "samples": self.samples,
            "clustered": self.clustered,
            "states": {name: state.to_json(write) for name, state in self.states.items()},
            "replicates": {name: state.to_json(write) for name, state in self.replicates.items()},
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any], read: Reader = from_lists) -> Statistics:
        """Reads what `to_json` wrote.

        Raises:
            MalformedBody: it is not that, or of a version that is not known here.
        """
        if record.get("format") != FORMAT or record.get("version") != VERSION:
            raise MalformedBody("statistics: the format or its version is not known")
        try:
            states, replicates = (
                {name: from_json(state, read) for name, state in record[part].items()}
                for part in ("states", "replicates")
            )
            return cls(int(record["samples"]), bool(record["clustered"]), states, replicates)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise MalformedBody(f"statistics: {error!r}") from error


def merged(first: States, second: States) -> dict[str, State]:
    """Merges states by name.

    Raises:
        Invalid: the names, or the states of one name, are not the same.
    """
    if first.keys() != second.keys():
        raise Invalid.at("merge", "/states", f"states {sorted(second)} cannot be added to {sorted(first)}")
    return {name: state.merge(second[name]) for name, state in first.items()}
