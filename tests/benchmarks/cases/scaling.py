"""Time per element from small tensors to very large ones, beside the same in process."""

from __future__ import annotations

from tests.benchmarks.results import Result


def measure(quick: bool) -> Result:
    return Result("scaling", "Time per element")
