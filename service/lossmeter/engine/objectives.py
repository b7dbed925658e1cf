"""Objectives: weighted sums of losses over shared tensors, with the gradients of the sum.

Each term goes its own way through the engine, forward and backward once; gradients are added up as they come, each weighed. The
gradient of every term by itself, whose norm the answer tells, is there on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lossmeter.engine.calls import Call, Outcome, Warned
from lossmeter.engine.compute import Engine
from lossmeter.engine.outcomes import NON_FINITE, answer_tensor, not_finite
from lossmeter.errors import Flaw, Invalid, pointer
from lossmeter.tensors import Array, Tensor


@dataclass(frozen=True, slots=True)
class Term:
    """One loss of an objective.

    Attributes:
        call: of the loss; its tensors are shared with other terms, so that none may be overwritten.
        weight: its factor in the sum.
        names: of the tensors that its roles share, by role.
        place: turns a pointer into the call into one into the request.
    """

    call: Call
    weight: float
    names: Mapping[str, str]
    place: Callable[[str], str]


@dataclass(frozen=True, slots=True)
class TermOutcome:
    """What one term came to, without its weight: its value, and the norm of its gradient by tensor."""

    value: float
    gradient_norm: dict[str, float]


@dataclass(frozen=True, slots=True)
class ObjectiveOutcome:
    """What an objective came to."""

    value: float
    terms: list[TermOutcome]
    gradients: dict[str, Tensor]
    precision: str
    device: str
    warnings: list[Warned]


def compute(engine: Engine, terms: Sequence[Term], wanted: Sequence[str], upstream: float = 1.0) -> ObjectiveOutcome:
    """Computes the sum of weight times value, and its gradients.

    Args:
        terms: at least one; none with the reduction `none`.
        wanted: names of the shared tensors whose gradients are returned.
        upstream: the gradient that flows into the sum.

    Raises:
        Invalid: if the arguments of a term are not what its loss declares; points into the request.
        DoesNotFit: if the device has too little memory.
    """
    value = 0.0
    found: list[TermOutcome] = []
    sums: dict[str, Array] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    warnings: list[Warned] = []
    device = ""
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite, the answer tells
        for number, term in enumerate(terms):
            outcome = _outcome(engine, term)
            device = outcome.device
            gradients = _by_name(term, outcome)
            norms = {name: _norm(gradients[name]) for name in wanted if name in gradients}
            assert outcome.value is not None
            value += term.weight * outcome.value
            found.append(TermOutcome(outcome.value, norms))
            not_finite(("losses", number, "value"), outcome.value, warnings)
            for name, norm in norms.items():
                not_finite(("losses", number, "gradient_norm", name), norm, warnings)
            warnings += [replace(w, pointer=term.place(w.pointer)) for w in outcome.warnings if w.code != NON_FINITE]
            for role, name in term.names.items():
                shapes[name] = term.call.tensors[role].shape
            for name, gradient in gradients.items():
                weighted = gradient * gradient.dtype.type(term.weight * upstream)
                sums[name] = sums[name] + weighted if name in sums else weighted
        not_finite(("value",), value, warnings)
        whole = {name: answer_tensor(("gradients", name), sums[name], shapes[name], warnings) for name in wanted}
    precision = "float64" if any(term.call.precision == "float64" for term in terms) else "float32"
    return ObjectiveOutcome(value, found, whole, precision, device, warnings)


def _outcome(engine: Engine, term: Term) -> Outcome:
    try:
        return engine.compute(term.call)
    except Invalid as error:
        raise placed(error, term.call.loss.name, term.place) from None


def placed(error: Invalid, subject: str, place: Callable[[str], str]) -> Invalid:
    """Returns an error whose pointers lead into the request."""
    return Invalid.of(subject, [Flaw(place(flaw.pointer), flaw.message, flaw.index) for flaw in error.flaws])


def placing(places: Mapping[str, str]) -> Callable[[str], str]:
    """Returns what turns pointers into a call into pointers into the request: by their first part."""

    def place(given: str) -> str:
        first, slash, rest = given[1:].partition("/")
        return places.get(first, pointer(first) if given else "") + slash + rest

    return place


def _by_name(term: Term, outcome: Outcome) -> dict[str, Array]:
    """Adds up the gradients of the roles that are one tensor."""
    gradients: dict[str, Any] = {}
    for role, gradient in outcome.gradients.items():
        name = term.names[role]
        gradients[name] = gradients[name] + gradient.data if name in gradients else gradient.data
    return gradients


def _norm(gradient: Array) -> float:
    return float(np.sqrt(np.add.reduce(np.square(gradient, dtype=np.float64))))
