"""Losses for sequences whose labels are not aligned with them."""

from __future__ import annotations

from collections.abc import Iterator
from math import log

import torch
import torch.nn.functional as F
from torch import Tensor

from lossmeter.errors import Flaw
from lossmeter.losses import _flaws
from lossmeter.losses.catalogue import Arguments, Example, Support, loss
from lossmeter.losses.vocabulary import Lengths, LogProbabilities, NonNegativeInteger, Transcripts, Unreduced

FAMILY = "sequences"
TASKS = ("text",)


def _per_symbol(arguments: Arguments) -> Support:
    lengths = arguments["label_lengths"]
    return Support(scale=lengths.clamp(min=1).to(arguments["predictions"].dtype).reciprocal())


def _alignment_flaws(arguments: Arguments) -> Iterator[Flaw]:
    """Everything on which the kernels would raise, or read beyond their tensors."""
    structural = list(_structural_flaws(arguments))
    yield from structural
    if not structural:
        yield from _symbol_flaws(arguments)


def _structural_flaws(arguments: Arguments) -> Iterator[Flaw]:
    predictions, labels, blank = arguments["predictions"], arguments["labels"], arguments["blank"]
    prediction_lengths, label_lengths = arguments["prediction_lengths"], arguments["label_lengths"]
    if predictions.numel() == 0:
        shape = list(predictions.shape)
        yield Flaw("/predictions", f"predictions has shape {shape}; expected at least one frame, sequence and class.")
        return
    frames, classes = predictions.shape[0], predictions.shape[-1]
    if blank >= classes:
        yield Flaw("/blank", f"blank is {blank}; expected a class from 0 to {classes - 1}.")
    expected = f"at most {frames}, the number of frames"
    yield from _flaws.element("prediction_lengths", prediction_lengths, prediction_lengths > frames, expected)
    if labels.ndim == 2:
        expected = f"at most {labels.shape[1]}, the size of a row of labels"
        yield from _flaws.element("label_lengths", label_lengths, label_lengths > labels.shape[1], expected)
    elif len(labels) != label_lengths.sum():
        total = int(label_lengths.sum())
        yield Flaw("/labels", f"labels has {len(labels)} elements; expected {total}, the sum of label_lengths.")


def _symbol_flaws(arguments: Arguments) -> Iterator[Flaw]:
    labels, lengths, blank = arguments["labels"], arguments["label_lengths"], arguments["blank"]
    classes = arguments["predictions"].shape[-1]
    wrong = (labels < 0) | (labels >= classes) | (labels == blank)
    if labels.ndim == 2:
        wrong &= torch.arange(labels.shape[1]) < lengths.unsqueeze(1)
    yield from _flaws.element("labels", labels, wrong, f"a class from 0 to {classes - 1} other than the blank, {blank}")


@loss(
    suits={"usual": "The order of symbols is known and their timing is not."},
    aliases=["ctc_loss"],
    intermediate="T N 2S+1 | T N 2L+1 | T 2S+1",
    copies=2,
    sweeps=60,
    chunked=False,
    support=_per_symbol,
    check=_alignment_flaws,
    mean_note="mean averages, over the sequences, each loss divided by its label length (at least 1), as torch does.",
    examples=[
        Example(
            predictions=[[[log(0.5), log(0.5)]], [[log(0.5), log(0.5)]]],
            labels=[[1]],
            prediction_lengths=[2],
            label_lengths=[1],
            value=-log(0.75),
        ),
        Example(
            predictions=[[log(0.2), log(0.8)], [log(0.6), log(0.4)]],
            labels=[1],
            prediction_lengths=2,
            label_lengths=1,
            value=-log(0.8 * 0.4 + 0.8 * 0.6 + 0.2 * 0.4),
        ),
    ],
)
def ctc(
    predictions: LogProbabilities[Tensor, "T N C | T N C | T C"],
    labels: Transcripts[Tensor, "N S | L | S"],
    prediction_lengths: Lengths[Tensor, "N | N | "],
    label_lengths: Lengths[Tensor, "N | N | "],
    *,
    blank: NonNegativeInteger = 0,
    zero_infinity: bool = False,
) -> Unreduced[Tensor, "N | N | "]:
    r"""Connectionist temporal classification: the probability of a text, summed over all ways to spread it over the frames.

    The model gives, for every frame of a recording or column of a picture, the probabilities of each symbol and of a blank. A
    path picks one per frame; merging repeats and dropping blanks turns it into a text. The loss is minus the logarithm of the
    total probability of all paths that turn into the right text, so nobody has to say where each letter begins.

    A text that does not fit into its frames (repeated symbols need a blank in between) has probability 0 and an infinite
    loss; `zero_infinity` makes such a loss and its gradient 0. The gradient is torch's: it takes for granted that predictions
    come from log_softmax, and is right with respect to what went into that. Frames are not checked: probabilities that sum to
    more than 1 may give a loss below 0.

    Formula:
        \ell_n = -\log \sum_{\pi \in \mathcal{B}^{-1}(y_n)} \prod_{t=1}^{T_n} e^{x_{t n \pi_t}}

    Args:
        predictions: log-probabilities $x$ of shape (frames, sequences, classes), such as log_softmax gives.
        labels: symbols $y$, never the blank: a row per sequence padded by anything, or all sequences joined end to end.
        prediction_lengths: number of frames $T_n$ of each sequence.
        label_lengths: number of symbols of each sequence.
        blank: the class that stands for "no symbol".
        zero_infinity: makes infinite losses, and their gradients, 0.

    Returns:
        one loss per sequence, in nats.

    Use when:
        the order of symbols is known but not their timing: speech recognition, handwriting and text in pictures, gestures,
        base calling of DNA.

    Avoid when:
        labels are aligned with the frames (take `cross_entropy`), the output may be longer than the input, or its symbols
        depend on each other strongly.

    Source:
        Graves et al., Connectionist Temporal Classification, 2006. https://doi.org/10.1145/1143844.1143891; torch.nn.CTCLoss.
    """
    # cuDNN's kernel, which differs and is not deterministic, takes 32-bit labels only.
    return F.ctc_loss(
        predictions,
        labels.long(),
        prediction_lengths,
        label_lengths,
        blank=blank,
        zero_infinity=zero_infinity,
        reduction="none",
    )
