"""Counts the memory that this process may really use."""

from __future__ import annotations

import os
import resource
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
FILES = ("memory.max", "memory/memory.limit_in_bytes")
"""Of the versions 2 and 1 of control groups."""


def available() -> int:
    """Counts the bytes that the machine, the container and the limits of this process all leave to it."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = [resource.getrlimit(which)[0] for which in (resource.RLIMIT_AS, resource.RLIMIT_DATA)]
    limits = [one for one in limits if one != resource.RLIM_INFINITY]
    return min([machine, *limits, *read_limits(CGROUPS)])


def read_limits(root: Path) -> list[int]:
    """Reads the limits of the control group that is mounted there; none if it has none."""
    found = []
    for name in FILES:
        try:
            found.append(int((root / name).read_text()))
        except (OSError, ValueError):  # no such file, or "max"
            continue
    return found
