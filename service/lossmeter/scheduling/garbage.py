"""When Python looks for garbage: rarely, because requests leave none.

What belongs to a request goes with its last reference; nothing of it refers to itself in a circle, which is all that the
collector could find (a test sees to that). Yet it looks whenever there are 700 objects more than before, which a few requests
at a time have, and now and then at every object that torch and the framework made while they were imported. Under load that
took a quarter of the processor time of a worker.
"""

from __future__ import annotations

import gc

MAX_HELD_BYTES = 1 << 20
"""Of a request that failed, what may wait for the collector."""
THRESHOLDS = (50_000, 20, 100)
"""More objects than at the last look; looks at the youngest for one at those that have survived one; and so on."""


def look_later() -> None:
    """Not before `look_less`: what is imported stays, and to look at it meanwhile is a fifth of the time that a start takes."""
    gc.disable()


def look_less() -> None:
    """What exists now is never looked at again, and what comes only once there is much of it."""
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    gc.enable()


def let_go(error: BaseException, size: int) -> None:
    """Frees what an error holds that was answered: the frames through which it came, and so the request, of that size."""
    one: BaseException | None = error
    while one is not None:
        one.__traceback__ = None
        one = one.__context__
    if size > MAX_HELD_BYTES:
        # Another error, raised on the way to this one and kept in a frame, may still hold it.
        gc.collect(1)
