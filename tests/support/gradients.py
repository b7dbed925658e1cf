"""Gradients of the references, by differences: independent of autograd, and of the losses.

A central difference of sixth order with a step of some thousandths of the number errs by about 1e-12 where the reference is
smooth. Two steps are compared; where they differ there is a kink, or too little precision, and no gradient to hold anybody to.
Nor is there where a value is so large that its rounding would hide what an argument does to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy import special

from tests.support.references import REFERENCES
from tests.support.references._exact import Array

Arguments = Mapping[str, Any]
Function = Callable[[Arguments], Array]

STEPS = (2e-3, 1e-3, 2e-4)
"""Steps, as shares of a number (of 1, where it is smaller), the largest first; of each two that agree, the first is taken."""
WEIGHTS = (3 / 4, -3 / 20, 1 / 60)
"""Of the differences over one to three steps to either side."""
REACH = range(1, len(WEIGHTS) + 1)
AGREEMENT = 1e-9
"""How far two differences may lie apart, relative to the larger of 1 and what they are."""


@np.errstate(all="ignore")
def gradient(function: Function, arguments: Arguments, name: str, upstream: Array) -> Array | None:
    """The gradient of Σ upstream·function with respect to one argument; None where it has none that is exact enough."""
    at = np.asarray(arguments[name], dtype=np.float64)
    result = np.zeros(at.shape)

    def values(place: int, moved: float) -> Array:
        changed = at.copy()
        changed.flat[place] = moved
        try:
            return np.asarray(upstream * function({**arguments, name: changed}), dtype=np.float64)
        except (ArithmeticError, TypeError, ValueError):  # beyond the domain, where numbers may be complex
            return np.full(np.shape(upstream), np.nan)

    for place in range(at.size):
        here = float(at.flat[place])
        middle = values(place, here)
        rounding = np.finfo(np.float64).eps * np.abs(middle).max(initial=0.0)
        found: list[float] = []
        bends: list[float] = []
        hidden: list[float] = []
        for step in (share * max(abs(here), 1.0) for share in STEPS):
            above, below = ([values(place, here + side * n * step) for n in REACH] for side in (1, -1))
            # Subtracted before they are summed: what does not depend on the number adds no rounding.
            sides = [float(np.sum(one - other)) for one, other in zip(above, below, strict=True)]
            found.append(sum(weight * side for weight, side in zip(WEIGHTS, sides, strict=True)) / step)
            bends.append(abs(float(np.sum(above[0] + below[0] - 2 * middle))) / step)
            # Half the step halves the bend where the function is smooth, and leaves it as it is at a kink.
            kinked = bends[-1] > max(0.75 * bends[0], 1e-6)
            allowed = AGREEMENT * max(1.0, abs(found[-1]))
            hidden.append(rounding / step)
            if len(found) > 1 and not kinked and max(abs(found[-1] - found[-2]), hidden[-2]) <= allowed:
                result.flat[place] = found[-2]
                break
        else:
            return None
    return result


def differentiated(name: str, arguments: Arguments) -> Function:
    """The function whose gradient a loss defines as its own: its reference, with what carries no gradient held fixed."""
    if name in FIXED:
        return FIXED[name](arguments)
    return lambda given: REFERENCES[name](**given)


def _beta_nll(fixed: Arguments) -> Function:
    """The variance weighs, and is not moved by that."""
    variance = np.maximum(fixed["variance"], fixed.get("eps", 1e-6))
    if variance.ndim < fixed["predictions"].ndim:
        variance = variance[..., np.newaxis]
    return lambda given: variance ** fixed.get("beta", 0.5) * REFERENCES["beta_nll"](**{**given, "beta": 0.0})


def _cispo(fixed: Arguments) -> Function:
    """The clipped ratio is a weight."""
    weight = REFERENCES["cispo"](**{**fixed, "advantages": -1 / fixed["log_probs"]})
    return lambda given: -given["advantages"] * given["log_probs"] * weight


def _dppo(name: str) -> Callable[[Arguments], Function]:
    """The ratio, 0 where the token has left the bounds, is a weight."""

    def make(fixed: Arguments) -> Function:
        weighted = REFERENCES[name](**fixed)
        weight = -weighted / (fixed["advantages"] * fixed["log_probs"])
        return lambda given: -given["advantages"] * given["log_probs"] * weight

    return make


def _gspo(fixed: Arguments) -> Function:
    """The ratio of the answer is fixed; each token moves it by its own log-probabilities alone."""
    counted = np.ones(fixed["log_probs"].shape) if fixed.get("mask") is None else fixed["mask"]
    then = fixed["log_probs"] - fixed["old_log_probs"]
    shift = (then * counted).sum(1) / np.maximum(counted.sum(1), 1)
    bounds = {name: fixed[name] for name in ("clip_low", "clip_high") if name in fixed}

    def function(given: Arguments) -> Array:
        moved = given["log_probs"] - given["old_log_probs"] - then + np.minimum(shift, 10.0)[:, np.newaxis]
        values = REFERENCES["ppo_clip"](moved, np.zeros(moved.shape), given["advantages"], **bounds)
        return np.where(counted, values, 0.0)

    return function


def _ciou(fixed: Arguments) -> Function:
    """The weight of the proportion is fixed; v follows from what it adds to diou: v² / (1 - IoU + v + epsilon)."""
    epsilon = fixed.get("epsilon", 1e-7)

    def added(given: Arguments) -> Array:
        return REFERENCES["ciou"](**given) - REFERENCES["diou"](**given)

    def proportion(given: Arguments) -> Array:
        more = np.maximum(added(given), 0.0)
        return (more + np.sqrt(more**2 + 4 * more * (REFERENCES["iou"](**given) + epsilon))) / 2

    now = proportion(fixed)
    weight = np.divide(added(fixed), now, out=np.zeros(now.shape), where=now > 0)
    return lambda given: REFERENCES["diou"](**given) + weight * proportion(given)


def _circle(fixed: Arguments) -> Function:
    """The weights of the pairs, by how far each is from where it should be, are fixed."""
    margin, gamma, labels = fixed.get("margin", 0.4), fixed.get("gamma", 80.0), fixed["labels"]

    def cosines(embeddings: Array) -> Array:
        unit = embeddings / np.linalg.norm(embeddings, axis=-1, keepdims=True)
        return unit @ unit.T

    then = cosines(fixed["embeddings"])
    others = labels[:, np.newaxis] != labels
    partners = ~others & ~np.eye(len(labels), dtype=bool)

    def function(given: Arguments) -> Array:
        now = cosines(given["embeddings"])
        far = gamma * np.maximum(0.0, then + margin) * (now - margin)
        near = -gamma * np.maximum(0.0, 1 + margin - then) * (now - 1 + margin)
        totals = [
            np.logaddexp.reduce(far[row][others[row]]) + np.logaddexp.reduce(near[row][partners[row]])
            if others[row].any() and partners[row].any()
            else -np.inf
            for row in range(len(labels))
        ]
        return np.logaddexp(0.0, totals)

    return function


def _ctc(fixed: Arguments) -> Function:
    """Log-probabilities are taken for those of a softmax, and differentiated with it, as torch does."""
    return lambda given: REFERENCES["ctc"](
        **{**given, "predictions": special.log_softmax(given["predictions"], axis=-1)}
    )


def _binary_cross_entropy(fixed: Arguments) -> Function:
    """Logarithms are cut off in the value alone; where they are, torch's gradients are not those of the value."""
    cut = (fixed["predictions"] == 0) | (fixed["predictions"] == 1)
    return lambda given: np.where(cut, np.nan, REFERENCES["binary_cross_entropy"](**given))


FIXED: Mapping[str, Callable[[Arguments], Function]] = {
    "beta_nll": _beta_nll,
    "binary_cross_entropy": _binary_cross_entropy,
    "cispo": _cispo,
    "dppo_tv": _dppo("dppo_tv"),
    "dppo_kl": _dppo("dppo_kl"),
    "gspo": _gspo,
    "ciou": _ciou,
    "circle": _circle,
    "ctc": _ctc,
}
