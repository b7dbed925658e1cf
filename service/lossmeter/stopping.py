"""Stops computations whose time is over: no thread can be stopped from outside, so what takes long asks between its pieces."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic

from lossmeter.errors import TookTooLong

_UNTIL: ContextVar[float] = ContextVar("until", default=math.inf)


@contextmanager
def until(moment: float) -> Iterator[None]:
    """Stops what runs in this context at the first checkpoint after a moment of the monotonic clock."""
    token = _UNTIL.set(moment)
    try:
        yield
    finally:
        _UNTIL.reset(token)


def checkpoint() -> None:
    """Ends the computation if its time is over.

    Raises:
        TookTooLong: nobody waits for it any more.
    """
    if monotonic() > _UNTIL.get():
        raise TookTooLong("The computation was stopped, as its time was over (LOSSMETER_COMPUTE_SECONDS).")
