"""Decides which connection makes room for a new one, where there are too many."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, cast

PATIENCE_SECONDS = 1.0
"""Silence after which a connection makes room, though its client has not finished what it began."""


class Occupant(Protocol):
    """A connection that takes up room."""

    @property
    def idle(self) -> bool:
        """True while it waits for another request, of which nothing has come yet."""

    def silence(self, now: float) -> float:
        """Returns for how long its client has sent next to nothing, though it is its turn; 0 if it is not."""

    def give_way(self) -> None:
        """Ends it."""


def make_room(connections: Iterable[object], newcomer: object, now: float) -> bool:
    """Ends an idle connection, or else the one that has been silent for longest; returns False if there is neither.

    Args:
        connections: all of the server.
        newcomer: the one that needs room.
        now: by the clock of the loop.
    """
    longest, silent = PATIENCE_SECONDS, None
    for other in cast(Iterable[Occupant], connections):
        if other is newcomer:
            continue
        if other.idle:
            other.give_way()
            return True
        if (silence := other.silence(now)) > longest:
            longest, silent = silence, other
    if silent is not None:
        silent.give_way()
    return silent is not None
