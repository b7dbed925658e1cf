"""The codes of advice, each with its remedy; they are stable, and each has a section in `docs/advice.md`."""

from __future__ import annotations

from lossmeter.engine.calls import Warned
from lossmeter.errors import pointer

CODES: dict[str, str] = {
    "probabilities_for_logits": "Give the numbers before softmax or sigmoid: the loss applies it itself.",
    "probabilities_for_log_probabilities": "Give log_softmax of the logits, or take a loss of logits.",
    "logits_for_log_probabilities": "Give log_softmax of the logits, or take a loss of logits.",
    "kl_div_mean": 'Take the reduction "batchmean", which is the divergence; mean divides by the number of classes too.',
    "one_hot_labels": "Give the indices of the classes: the same result for less.",
    "single_class": "Shuffle the data, or draw batches that hold all classes.",
    "imbalance": "Weigh the classes (weight, pos_weight), or take focal, class_balanced_cross_entropy or "
    "logit_adjusted_cross_entropy.",
    "constant_predictions": "See that inputs reach the network, that its output is not clipped, and that it trains.",
    "saturated_logits": "Lower the learning rate, normalise inputs, or add z_loss: beyond ±50 softmax and sigmoid are 0 or 1.",
    "vanished_gradients": "See why nothing depends on the predictions: ratios at their clip, values at a bound, a mask.",
    "ignored_labels": "See that ignore_index is not the index of a class, and that labels are not all padding.",
    "labels_near_zero": "Take smape or mae, or give epsilon the size of the smallest label that matters.",
    "half_precision_overflow": "Scale the loss, or keep predictions and gradients in BF16 or FP32.",
    "ratios_at_clip": "Take fewer or smaller steps between two samplings: most tokens have no gradient in their bounds.",
    "classes_last": "Move the classes to dimension 1, (B, V, T), or take token_cross_entropy, which has them last.",
}


def advice(code: str, name: str, message: str, **evidence: float) -> Warned:
    """Makes a piece of advice about a field of the request."""
    return Warned(code, message, pointer(name), None, None, evidence, CODES[code])
