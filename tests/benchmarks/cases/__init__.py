"""The cases: each a function from quick or not to a result."""

from __future__ import annotations

from collections.abc import Mapping

from tests.benchmarks.cases import (
    batches,
    client,
    evaluation,
    health,
    large,
    losses,
    memory,
    overload,
    scaling,
    shared,
    small,
    startup,
)
from tests.benchmarks.results import Case

CASES: Mapping[str, Case] = {
    "large": large.measure,
    "small": small.measure,
    "health": health.measure,
    "evaluation": evaluation.measure,
    "batches": batches.measure,
    "memory": memory.measure,
    "startup": startup.measure,
    "losses": losses.measure,
    "scaling": scaling.measure,
    "client": client.measure,
    "shared": shared.measure,
    "overload": overload.measure,
}
