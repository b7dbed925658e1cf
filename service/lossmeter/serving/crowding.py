"""Decides which connection makes room for a new one, where there are too many."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Protocol, cast

PATIENCE_SECONDS = 1.0
"""Silence after which a connection makes room, though its client has not finished what it began."""


class Occupant(Protocol):
    """A connection that takes up room."""

    @property
    def idle(self) -> bool:
        """True while it waits for another request, of which nothing has come yet."""

    @property
    def resting_since(self) -> float:
        """When its client, who has all answers, was listened to for the last time; infinite if it is listened to."""

    def silence(self, now: float) -> float:
        """Returns for how long its client has sent next to nothing, though it is its turn; 0 if it is not."""

    def give_way(self) -> None:
        """Ends it."""


def make_room(connections: Iterable[object], newcomer: object, now: float) -> bool:
    """Ends an idle connection, else the one that has been silent for longest, else the one that has rested for longest.

    What rests comes last, as its client may have sent something; but it has its answer, may have left long since, and health
    is asked for over new connections.

    Args:
        connections: all of the server.
        newcomer: the one that needs room.
        now: by the clock of the loop.

    Returns:
        False if there is none.
    """
    longest, silent = PATIENCE_SECONDS, None
    earliest, resting = math.inf, None
    for other in cast(Iterable[Occupant], connections):
        if other is newcomer:
            continue
        if other.idle:
            other.give_way()
            return True
        if (silence := other.silence(now)) > longest:
            longest, silent = silence, other
        elif (since := other.resting_since) < earliest:
            earliest, resting = since, other
    chosen = silent or resting
    if chosen is not None:
        chosen.give_way()
    return chosen is not None
