"""Names of losses and metrics as they stand in a request: what they lead to, or what is wrong with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from lossmeter.catalogue import Catalogue, Entry
from lossmeter.errors import Invalid
from lossmeter.metrics import METRICS, Metric

if TYPE_CHECKING:
    from lossmeter.losses import Loss

T = TypeVar("T", bound=Entry)


def choose_loss(name: str, pointer: str) -> Loss:
    """Finds a loss.

    Raises:
        Invalid: there is none of that name, or more than one.
    """
    from lossmeter.losses import LOSSES

    return _choose(LOSSES, name, pointer, METRICS)


def choose_metric(name: str, pointer: str) -> Metric:
    """Finds a metric.

    Raises:
        Invalid: there is none of that name, or more than one.
    """
    if METRICS.knows(name):
        return METRICS.find(name)
    from lossmeter.losses import LOSSES  # with torch: metrics do without

    return _choose(METRICS, name, pointer, LOSSES)


def _choose(catalogue: Catalogue[T], name: str, pointer: str, other: Catalogue[Any]) -> T:
    if not catalogue.knows(name) and (found := other.get_known(name)) is not None:
        message = f"{name!r} is no {catalogue.noun}, but a {other.noun}, {found.name}; name it as one"
        raise Invalid.at(catalogue.noun, pointer, message)
    return catalogue.choose(name, pointer)
