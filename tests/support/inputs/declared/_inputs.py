"""What a loss needs of its inputs that its declaration cannot say."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support.inputs.source import Case, Source

Cases = Callable[[Source], Iterator[Case]]


def as_it_is(source: Source, case: Case) -> Case:
    return case


def nothing(source: Source) -> Iterator[Case]:
    return iter(())


@dataclass(frozen=True)
class Inputs:
    """Changes to what is generated for a loss.

    Attributes:
        parameters: values to try in place of those that follow from an annotation.
        arrange: gives the tensors of a case a relation that the loss asks for.
        smooth: takes the place of all smooth cases.
        edges: further cases at the edges.
        generate_edges: whether edges are generated at all.
    """

    parameters: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    arrange: Callable[[Source, Case], Case] = as_it_is
    smooth: Cases | None = None
    edges: Cases = nothing
    generate_edges: bool = True
