"""Counts the CPU cores that this process may really use."""

from __future__ import annotations

import os
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


def available() -> int:
    """Counts the cores that the machine, the affinity of this process and the CPU quota of its container all leave to it."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = read_quota(CGROUPS)
    return affinity if quota is None else max(1, min(affinity, int(quota)))


def read_quota(root: Path) -> float | None:
    """Reads the CPU quota, in cores, of the control group mounted there; None if there is no limit.

    A quota is time, not cores: more threads than it has cores are stopped together, for most of each period.
    """
    try:
        if (root / "cpu.max").exists():  # version 2
            quota, period = (root / "cpu.max").read_text().split()
        else:
            quota, period = ((root / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return int(quota) / int(period) if int(quota) > 0 else None
    except (OSError, ValueError):  # no such file, or "max"
        return None
