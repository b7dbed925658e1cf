"""Makes Python's garbage collector run rarely, because requests leave no garbage.

What belongs to a request goes with its last reference; nothing of it refers to itself in a circle, which is all that the
collector could find (a test sees to that). Yet it runs whenever there are 700 objects more than before, which a few requests
at a time have, and now and then over every object that torch and the framework made while they were imported. Under load that
took a quarter of the processor time of a worker.
"""

from __future__ import annotations

import gc

MAX_HELD_BYTES = 1 << 20
"""Bytes of a failed request that may wait for the collector."""
THRESHOLDS = (50_000, 20, 100)
"""New objects between two collections of the youngest generation; of those, between two of the next; and so on."""


def pause_collection() -> None:
    """Stops the collector until `collect_rarely`: what is imported stays, and collecting meanwhile takes a fifth of a start."""
    gc.disable()


def collect_rarely() -> None:
    """Exempts everything that exists now from collection, and collects what comes only once there is much of it."""
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    gc.enable()


def release_frames(error: BaseException, size: int) -> None:
    """Frees the frames that an answered error holds, and with them the request, which has that many bytes."""
    one: BaseException | None = error
    while one is not None:
        one.__traceback__ = None
        one = one.__context__
    if size > MAX_HELD_BYTES:
        # Another error, raised on the way to this one and kept in a frame, may still hold it.
        gc.collect(1)
