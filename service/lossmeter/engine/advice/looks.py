"""Looks at what came in: each suits some losses, as their declarations say."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Protocol

import numpy as np

from lossmeter.engine.advice.codes import advice
from lossmeter.engine.advice.samples import FLOAT64, LOOKED, ends, rows, sample
from lossmeter.engine.bound_shapes import BoundShapes
from lossmeter.engine.calls import Call, Warned
from lossmeter.engine.reduction import ElementWeights
from lossmeter.losses import Loss
from lossmeter.losses.vocabulary import Role
from lossmeter.tensors import Datatype, Tensor, load


class Checked(Protocol):
    """A call whose arguments were checked."""

    @property
    def call(self) -> Call: ...
    @property
    def shapes(self) -> BoundShapes: ...
    @property
    def weights(self) -> ElementWeights: ...


Look = Callable[[Checked], Warned | None]

MANY = 32
"""Elements from which on chance is no explanation."""
ENOUGH = 100
"""Elements from which on shares of a percent mean something."""
ROUNDED = 1e-3
"""How far probabilities may miss 1, printed with few digits."""
EXACT = 1e-5
LARGE = 50.0
RARE = 0.05
BINARY = frozenset(("binary_cross_entropy", "binary_cross_entropy_with_logits", "binary_focal"))
SIGNED = frozenset(("hinge", "squared_hinge", "soft_margin"))
UNWEIGHTED = {"cross_entropy": "weight", "binary_cross_entropy_with_logits": "pos_weight"}
NORMALISED = frozenset(("nll", "kl_div", "js_div", "generalized_jsd", "ctc"))
FOR_CLASSES = frozenset(
    (
        *("cross_entropy", "nll", "focal", "poly1", "generalized_cross_entropy", "symmetric_cross_entropy", "ldam"),
        *("class_balanced_cross_entropy", "logit_adjusted_cross_entropy", "multi_margin"),
    )
)


def of_inputs(work: Checked) -> list[Warned]:
    """Returns the advice on the tensors of a call, which must not have been overwritten yet."""
    found = []
    for look in looks(work.call.loss):
        seen = look(work)
        if seen is not None:
            found.append(seen)
    return found


@cache
def looks(loss: Loss) -> tuple[Look, ...]:
    """Returns what to look at, by the declaration of a loss."""
    return tuple(_looks(loss))


def _looks(loss: Loss) -> Iterator[Look]:
    predicted = loss.tensor["predictions"].options[0] if "predictions" in loss.tensor else None
    if predicted is not None:
        yield from _at_predictions(loss, predicted)
    labels = [role.meaning.name for role in loss.tensor["labels"].options] if "labels" in loss.tensor else []
    if loss.name in BINARY | SIGNED or (labels[:1] == ["class indices"] and loss.name in FOR_CLASSES):
        yield _labels(UNWEIGHTED.get(loss.name))
    if predicted is not None and labels[:1] == ["class indices"] and predicted.shape.startswith("N C"):
        if len(labels) > 1 and "flags" not in labels:
            yield _one_hot
        if loss.family == "classification":
            yield _classes_last
    if any(parameter.name == "ignore_index" for parameter in loss.parameters):
        yield _ignored
    yield from (look for name, look in NAMED if name == loss.name)


def _at_predictions(loss: Loss, role: Role) -> Iterator[Look]:
    if role.meaning.name == "logits" and loss.name not in ("z_loss", "entropy"):
        yield _logits(_classes(role.shape))
    if loss.name in NORMALISED:
        yield _log_probabilities(-1 if loss.name in ("kl_div", "ctc") else 1)
    if loss.output == "*shape" and loss.family == "regression" and "labels" in loss.tensor:
        yield _constant


def _classes(shape: str) -> int | None:
    """Returns the axis along which logits go through softmax; None where each goes through a sigmoid."""
    first = shape.partition("|")[0].split()
    return 1 if first[:2] == ["N", "C"] else -1 if first == ["B", "T", "V"] else None


def _logits(axis: int | None) -> Look:
    def look(work: Checked) -> Warned | None:
        given = work.call.tensors["predictions"]
        probed = ends(given)
        if probed is None:
            return None
        first, middle, last = probed
        if 0 <= first <= 1 and 0 <= middle <= 1 and 0 <= last <= 1:
            return _probabilities(given, _softmax_axis(work.call, given, axis))
        if (abs(first) > LARGE) + (abs(middle) > LARGE) + (abs(last) > LARGE) >= 2:
            return _saturated(given, _softmax_axis(work.call, given, axis))
        if first == middle == last:
            return _constant_rows(given, _softmax_axis(work.call, given, axis))
        return None

    return look


def _softmax_axis(call: Call, given: Tensor, axis: int | None) -> int | None:
    labels = call.tensors.get("labels")
    flags = call.loss.family in ("segmentation", "classification") and labels is not None
    if axis is None or (flags and labels is not None and _meaning(call, "flags") and labels.shape == given.shape):
        return None
    return 0 if len(given.shape) == 1 else axis


def _meaning(call: Call, name: str) -> bool:
    return any(role.meaning.name == name for role in call.loss.tensor["labels"].options)


def _probabilities(given: Tensor, axis: int | None) -> Warned | None:
    data = given.data
    # Of few elements all are looked at, and nearly always this is enough; what follows takes longer.
    if len(data) <= LOOKED and given.datatype is not Datatype.BF16 and not (data.min() >= 0 and data.max() <= 1):
        return None
    values = sample(given) if axis is None else rows(given, axis)
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 1):
        return None
    if axis is None:
        if values.size < MANY or low > 0.25 or high < 0.75:
            return None
        message = f"all {values.size} predictions that were looked at are in [0, 1]; expected logits, of any size"
        return advice("probabilities_for_logits", "predictions", message, minimum=low, maximum=high)
    missed = float(np.abs(values.sum(1) - 1).max())
    if values.shape[1] < 2 or missed > (ROUNDED if len(values) > 1 else EXACT):
        return None
    message = f"all {len(values)} rows of predictions that were looked at add up to 1; expected logits, of any size"
    return advice("probabilities_for_logits", "predictions", message, minimum=low, maximum=high, largest_miss=missed)


def _saturated(given: Tensor, axis: int | None) -> Warned | None:
    if axis is None:
        gaps = np.abs(sample(given))
    else:
        values = rows(given, axis)
        if values.shape[1] < 2:
            return None
        top = np.partition(values, -2, axis=1)[:, -2:]
        with np.errstate(invalid="ignore"):
            gaps = top[:, 1] - top[:, 0]
    share = float(np.mean(gaps > LARGE))
    if share < 0.5:
        return None
    what = "logits are" if axis is None else "rows have a largest logit that is"
    message = (
        f"{share:.0%} of the {what} beyond {LARGE:g} of {'0' if axis is None else 'the next'}: probabilities are 0 or 1"
    )
    return advice("saturated_logits", "predictions", message, share=share)


def _constant_rows(given: Tensor, axis: int | None) -> Warned | None:
    values = sample(given)[:, None] if axis is None else rows(given, axis)
    if len(values) < 8 or not (values == values[0]).all():
        return None
    message = f"all {len(values)} predictions that were looked at are the same"
    return advice("constant_predictions", "predictions", message, value=float(values[0, 0]))


def _log_probabilities(axis: int) -> Look:
    def look(work: Checked) -> Warned | None:
        given = work.call.tensors["predictions"]
        probed = ends(given)
        if probed is None or max(probed) <= ROUNDED:
            return None
        values = rows(given, axis if len(given.shape) > 1 else 0)
        low, high = float(values.min()), float(values.max())
        if low >= 0 and high <= 1:
            message = f"predictions are in [{low:g}, {high:g}]; expected log-probabilities, which are at most 0"
            return advice("probabilities_for_log_probabilities", "predictions", message, minimum=low, maximum=high)
        message = f"predictions go up to {high:g}; expected log-probabilities, which are at most 0"
        return advice("logits_for_log_probabilities", "predictions", message, minimum=low, maximum=high)

    return look


def _kl_mean(work: Checked) -> Warned | None:
    shape = work.shapes.output
    if work.call.reduction != "mean" or len(shape) < 2 or shape[-1] < 2:
        return None
    message = f"mean divides by all {math.prod(shape)} elements; a divergence divides by the {shape[0]} rows"
    return advice("kl_div_mean", "reduction", message, elements=math.prod(shape), rows=shape[0])


def _one_hot(work: Checked) -> Warned | None:
    given = work.call.tensors["labels"]
    if given.shape != work.call.tensors["predictions"].shape:
        return None
    probed = ends(given)
    if probed is None or not all(value in (0, 1) for value in probed):
        return None
    values = rows(given, min(1, len(given.shape) - 1))
    if values.shape[1] < 2 or not ((values == 1).sum(1) == 1).all() or np.count_nonzero(values) != len(values):
        return None
    message = f"all {len(values)} rows of labels that were looked at are 1 for one class and 0 for all others"
    return advice("one_hot_labels", "labels", message, classes=values.shape[1])


def _classes_last(work: Checked) -> Warned | None:
    given, labels = work.call.tensors["predictions"], work.call.tensors["labels"]
    shape = given.shape
    if len(shape) != 3 or shape[1] != shape[2] or len(labels.shape) != 2 or len(labels.data) < MANY:
        return None
    values = (load(given, FLOAT64) if given.datatype is Datatype.BF16 else given.data).reshape(shape)
    truth = labels.data.reshape(labels.shape)
    step = 1 + (given.data.size - 1) // (1 << 18)
    there = float(np.mean(values[::step].argmax(2) == truth[::step]))
    here = float(np.mean(values[::step].argmax(1) == truth[::step]))
    # Right by chance are one in so many; a model that knows anything is right far more often.
    if there < 0.2 + 2 * here:
        return None
    message = (
        f"predictions has shape {list(shape)}, and the largest of the last dimension is the label in {there:.0%} of the "
        f"places, that of dimension 1 in {here:.0%}; expected the classes in dimension 1"
    )
    return advice("classes_last", "predictions", message, right_if_last=there, right=here)


def _labels(weighing: str | None) -> Look:
    def look(work: Checked) -> Warned | None:
        given = work.call.tensors["labels"]
        size = len(given.data)
        if size < MANY or given.datatype.name == "BF16":
            return None
        first, middle, last = given.data.item(0), given.data.item(size // 2), given.data.item(size - 1)
        if first == middle == last:
            if (
                len(given.shape) == 1
                and first != work.call.parameters.get("ignore_index")
                and (given.data == first).all()
            ):
                message = f"all {size} labels are {first:g}: there is nothing to tell apart"
                return advice("single_class", "labels", message, label=first)
        elif middle not in (first, last) and first != last:
            return None
        if weighing is None or size < ENOUGH or weighing in work.call.tensors:
            return None
        return _imbalance(given, work.call.parameters.get("ignore_index"))

    return look


def _imbalance(given: Tensor, ignored: Any) -> Warned | None:
    values = sample(given)
    if ignored is not None:
        values = values[values != ignored]
    kinds, counts = np.unique(values, return_counts=True)
    if len(values) < ENOUGH or len(kinds) < 2 or (kinds != np.trunc(kinds)).any():
        return None
    most = int(counts.argmax())
    share = float(counts[most] / len(values))
    if 1 - share > RARE:
        return None
    message = f"{share:.1%} of the labels are {kinds[most]:g}: a model that says so always has a small loss"
    return advice("imbalance", "labels", message, share=share, classes=len(kinds))


def _ignored(work: Checked) -> Warned | None:
    weights = work.weights
    if weights.counted is None or weights.mask is not None:
        return None
    total = math.prod(work.shapes.output)
    if total < ENOUGH or weights.count >= total // 100:
        return None
    message = f"{total - weights.count} of {total} labels are ignore_index, {work.call.parameters['ignore_index']}"
    return advice("ignored_labels", "labels", message, ignored=total - weights.count, labels=total)


def _constant(work: Checked) -> Warned | None:
    given, labels = work.call.tensors["predictions"], work.call.tensors["labels"]
    probed = ends(given)
    if probed is None or len(given.data) < 8 or not probed[0] == probed[1] == probed[2]:
        return None
    values, truth = sample(given), sample(labels)
    if not (values == values[0]).all() or (truth == truth[0]).all():
        return None
    message = f"all {len(values)} predictions that were looked at are {values[0]:g}, and the labels are not"
    return advice("constant_predictions", "predictions", message, value=float(values[0]))


def _near_zero(work: Checked) -> Warned | None:
    sizes = np.abs(sample(work.call.tensors["labels"]))
    if len(sizes) < 2:
        return None
    least, usual = float(sizes.min()), float(np.median(sizes))
    if not least < 1e-3 * usual:
        return None
    message = (
        f"the smallest label is {least:g} and the median {usual:g}, in absolute value: errors there outweigh all others"
    )
    return advice("labels_near_zero", "labels", message, smallest=least, median=usual)


def _clipped(work: Checked) -> Warned | None:
    new, old = work.call.tensors["log_probs"], work.call.tensors["old_log_probs"]
    if len(new.data) < MANY:
        return None
    low, high = (work.call.parameters[name] for name in ("clip_low", "clip_high"))
    least = -math.inf if low is None or low >= 1 else math.log1p(-low)
    most = math.inf if high is None else math.log1p(high)
    probed, before = ends(new), ends(old)
    assert probed is not None
    assert before is not None
    if all(least <= a - b <= most for a, b in zip(probed, before, strict=True)):
        return None
    moved = sample(new) - sample(old)
    share = float(np.mean((moved < least) | (moved > most)))
    if share < 0.5:
        return None
    message = f"the ratios of {share:.0%} of the tokens are outside of their bounds"
    return advice("ratios_at_clip", "log_probs", message, share=share)


NAMED = (("kl_div", _kl_mean), ("mape", _near_zero), ("ppo_clip", _clipped), ("cispo", _clipped))
