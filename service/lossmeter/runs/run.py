"""A run as a value: an evaluation whose data arrive in many batches."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from time import time_ns


@dataclass(frozen=True, slots=True)
class StoredRun:
    """An evaluation in many batches.

    Attributes:
        id: a UUID of version 7, so that later runs sort after earlier ones.
        name: for people.
        tags: runs are looked up by them; sorted, each once.
        plan: what is measured, as JSON text; it never changes.
        classes: number of classes, from the plan or from the first batch; None before, and where the task has none.
        created: microseconds since 1970, UTC.
        closed: the same of when it was closed; None while it is open.
        batches: how many batches have been acknowledged.
        samples: how many samples count.
    """

    id: str
    name: str
    tags: tuple[str, ...]
    plan: str
    classes: int | None
    created: int
    closed: int | None
    batches: int = 0
    samples: int = 0


def new_id(nanoseconds: Callable[[], int] = time_ns) -> str:
    """Makes a UUID of version 7 (RFC 9562) whose first 60 bits are the time to a quarter of a microsecond."""
    now = nanoseconds()
    milliseconds, rest = divmod(now, 1_000_000)
    fraction = rest * 4096 // 1_000_000
    number = milliseconds << 80 | 7 << 76 | fraction << 64 | 0b10 << 62 | secrets.randbits(62)
    text = f"{number:032x}"
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
