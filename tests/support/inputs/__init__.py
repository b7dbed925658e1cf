"""Seeded arguments for every loss: tensors in float64 and int64, and parameters, under the names of the loss.

They follow from the roles, the shapes and the parameters that a loss declares; where it asks for more than it can declare,
`declared/` says so. `smooth` gives points at which the loss is differentiable with respect to all its floating roles; `edges`
adds those at the border of a domain, ties, ignored labels and empty batches; `cases` is both. A parameter or optional tensor
that is left out has its default.
"""

from __future__ import annotations

from functools import cache

from torch import Tensor

from lossmeter.engine.threads import Threads
from lossmeter.losses import LOSSES
from tests.support.inputs.declared import DECLARED, Inputs
from tests.support.inputs.edges import generated_edges
from tests.support.inputs.smooth import generated_smooth
from tests.support.inputs.source import Case, Source

__all__ = ["Case", "Source", "cases", "edges", "make_edges", "make_smooth", "smooth"]


def make_smooth(name: str, seed: int = 0) -> list[Case]:
    inputs, source = DECLARED.get(name, Inputs()), Source(f"{name} {seed}" if seed else name)
    with Threads(1):  # torch splits a softmax by its threads, and its last bits follow
        if inputs.smooth is not None:
            return list(inputs.smooth(source))
        return [inputs.arrange(source, case) for case in generated_smooth(LOSSES[name], source, inputs.parameters)]


def make_edges(name: str) -> list[Case]:
    inputs, source = DECLARED.get(name, Inputs()), Source(name + " at the edges")
    with Threads(1):
        generated = generated_edges(LOSSES[name], source, inputs.parameters) if inputs.generate_edges else ()
        return [inputs.arrange(source, case) for case in generated] + list(inputs.edges(source))


_smooth, _edges = cache(make_smooth), cache(make_edges)


def _copy(case: Case) -> Case:
    """The case for a test to do with as it likes."""
    return {name: value.clone() if isinstance(value, Tensor) else value for name, value in case.items()}


def smooth(name: str) -> list[Case]:
    return [_copy(case) for case in _smooth(name)]


def edges(name: str) -> list[Case]:
    return [_copy(case) for case in _edges(name)]


def cases(name: str) -> list[Case]:
    return smooth(name) + edges(name)
