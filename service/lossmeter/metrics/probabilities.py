"""Metrics of probabilities: whether they are sharp, and whether things happen as often as they say."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from lossmeter.metrics._counts import CalibrationBins
from lossmeter.metrics._parameters import Bins
from lossmeter.metrics.accuracy import SCORED
from lossmeter.metrics.batches import Labelled, Labels
from lossmeter.metrics.catalogue import Example, metric, statistic
from lossmeter.metrics.states import Quotient, Ratio
from lossmeter.metrics.weighting import Array, Weighting, quotient

FAMILY = "probabilities"

TASKS = ("binary", "multiclass", "multilabel", "segmentation")
SURE = {"predictions_are": "probabilities", "predictions": [0.1, 0.4, 0.35, 0.8], "labels": [0, 0, 1, 1]}


@statistic(needs=["probabilities"])
def surprise(batch: Labelled | Labels, w: Weighting) -> Quotient:
    return Ratio.of(-batch.log_probability, w)


@statistic(needs=["probabilities"])
def squared_distance(batch: Labelled | Labels, w: Weighting) -> Quotient:
    probability = batch.probability
    if isinstance(batch, Labels):
        return Ratio.of((probability - batch.actual) ** 2, w)
    if batch.binary:
        return Ratio.of((probability - batch.label) ** 2, w)
    return Ratio.of(((probability - (batch.label[:, None] == np.arange(batch.classes))) ** 2).sum(axis=1), w)


@statistic(needs=["probabilities"], size=lambda _, bins, __: 3 * bins)
def calibration(batch: Labelled | Labels, w: Weighting, *, bins: int) -> CalibrationBins:
    if isinstance(batch, Labels):
        return CalibrationBins.of(batch.probability, batch.actual, bins, w)
    if batch.binary:
        return CalibrationBins.of(batch.probability, batch.label == 1, bins, w)
    return CalibrationBins.of(batch.probability.max(axis=1), batch.likeliest == batch.label, bins, w)


@metric(
    aliases=(
        "cross_entropy",
        "negative_log_likelihood",
        "categorical_crossentropy",
        "sparse_categorical_crossentropy",
    ),
    tasks=TASKS,
    better="lower",
    bounds=(0.0, None),
    uncertainty="mean",
    usual=("binary", "multiclass"),
    examples=[Example("binary", **SURE, value=-float(np.log([0.9, 0.6, 0.35, 0.8]).mean()))],
)
def log_loss(surprised: Annotated[Quotient, surprise]) -> Array:
    r"""Log loss: how surprised the model was by what happened.

    The mean negative logarithm of the probability given to the truth: 0 for certainty that is right, without bound for
    certainty that is wrong. Probabilities are kept 2.2e-16 away from 0 and 1, logits are not clipped. For several labels per
    sample, the mean over all of them.

    Formula:
        -\frac{1}{\sum_i w_i} \sum_i w_i \ln p_{i, y_i}

    Args:
        surprised: mean negative log-probability of the truth.

    Returns:
        the mean, in nats.

    Use when:
        probabilities are used as such: bets, risks, ranking by expected value.

    Avoid when:
        wrong labels occur: a single confident "mistake" costs without bound; take `brier`.

    Source:
        Good, Rational Decisions, 1952.
    """
    return surprised.mean


@metric(
    aliases=("ppl",),
    tasks=("multiclass",),
    better="lower",
    bounds=(1.0, None),
    uncertainty="mean",
    examples=[Example("multiclass", **SCORED, value=float(np.exp(-np.log([0.5, 0.4, 0.3, 0.1]).mean())))],
)
def perplexity(surprised: Annotated[Quotient, surprise]) -> Array:
    r"""Perplexity: among how many equally likely answers the model hesitates.

    The exponential of the log loss over all tokens that count. The mean is taken over all tokens of all batches, then the
    exponential once; averaging the perplexities of batches would be wrong.

    Formula:
        \exp \left( -\frac{\sum_i w_i \ln p_{i, y_i}}{\sum_i w_i} \right)

    Args:
        surprised: mean negative log-probability of the tokens.

    Returns:
        a number from 1 up; C for guessing evenly among C classes.

    Use when:
        language models with the same tokenizer are compared.

    Avoid when:
        tokenizers differ: their tokens are not of the same size.

    Source:
        Jelinek et al., Perplexity: a measure of the difficulty of speech recognition tasks, 1977.
    """
    return np.exp(surprised.mean)


@metric(
    aliases=("brier_score", "brier_score_loss"),
    tasks=TASKS,
    better="lower",
    bounds=(0.0, 2.0),
    uncertainty="mean",
    examples=[
        Example("binary", **SURE, value=(0.01 + 0.16 + 0.4225 + 0.04) / 4),
        Example("multiclass", **SCORED, value=(0.38 + 0.54 + 0.78 + 1.34) / 4),
    ],
)
def brier(distance: Annotated[Quotient, squared_distance]) -> Array:
    r"""Brier score: the squared distance of the probabilities from what happened.

    Bounded, and minimal for the true probabilities. Binary and multilabel: of the probability of yes, so 0.25 for always saying
    one half. Multiclass: the sum over classes, as Brier defined it, up to 2.

    Formula:
        \frac{1}{\sum_i w_i} \sum_i w_i \sum_c (p_{ic} - [y_i = c])^2

    Args:
        distance: mean squared distance.

    Returns:
        a number from 0 to 1 (binary, multilabel) or 2 (multiclass).

    Use when:
        probabilities are to be judged without letting single labels dominate.

    Avoid when:
        very small probabilities must be right: 0.001 and 0.00001 look the same to it; take `log_loss`.

    Source:
        Brier, Verification of Forecasts Expressed in Terms of Probability, 1950.
    """
    return distance.mean


@metric(
    aliases=("expected_calibration_error", "calibration_error"),
    tasks=TASKS,
    better="lower",
    bounds=(0.0, 1.0),
    uncertainty="none",
    examples=[Example("binary", **SURE, bins=2, value=0.75 * abs(0.85 / 3 - 1 / 3) + 0.25 * 0.2)],
)
def ece(table: Annotated[CalibrationBins, calibration], *, bins: Bins = 15) -> Array:
    r"""Expected calibration error: how far stated probabilities are from observed frequencies, on average.

    Predictions are sorted into bins of equal width by their probability; in each bin the mean probability is compared with how
    often it came true. Multiclass: of the likeliest class; otherwise of yes. Even a perfect forecaster scores above 0 on finite
    data, the more so the more bins and the fewer samples there are; for that bias it comes without a confidence interval.

    Formula:
        \sum_b \frac{w_b}{w} \left| \overline{p}_b - \overline{y}_b \right|

    Args:
        table: predicted and observed frequency per bin.
        bins: number of bins of equal width between 0 and 1.

    Returns:
        a number from 0 to 1.

    Use when:
        stated confidence triggers actions: hand over to a human below 0.8.

    Avoid when:
        models are ranked: a forecast that never distinguishes anything can be perfectly calibrated; take `brier`.

    Source:
        Naeini, Cooper and Hauskrecht, Obtaining Well Calibrated Probabilities Using Bayesian Binning, 2015.
    """
    share, gap = table.gaps()
    return np.asarray((share * gap).sum(axis=-1))


@metric(
    aliases=("maximum_calibration_error", "max_calibration_error"),
    tasks=TASKS,
    better="lower",
    bounds=(0.0, 1.0),
    uncertainty="none",
    examples=[Example("binary", **SURE, bins=2, value=0.2)],
)
def mce(table: Annotated[CalibrationBins, calibration], *, bins: Bins = 15) -> Array:
    r"""Maximum calibration error: the worst bin of the reliability diagram.

    As `ece`, but the largest gap in place of the mean. A bin with a single sample can decide it, which is why it comes without
    a confidence interval: look at `reliability_diagram` for the weights.

    Formula:
        \max_b \left| \overline{p}_b - \overline{y}_b \right|

    Args:
        table: predicted and observed frequency per bin.
        bins: number of bins of equal width between 0 and 1.

    Returns:
        a number from 0 to 1; NaN without samples.

    Use when:
        no range of confidence may be badly wrong: medicine, safety.

    Avoid when:
        some bins hold few samples.

    Source:
        Naeini, Cooper and Hauskrecht, Obtaining Well Calibrated Probabilities Using Bayesian Binning, 2015.
    """
    _, gap = table.gaps()
    return np.where(table.weight.sum(axis=-1) > 0, gap.max(axis=-1), np.nan)


@metric(
    aliases=("calibration_curve",),
    tasks=TASKS,
    better="neither",
    kind="curve",
    uncertainty="none",
    examples=[
        Example(
            "binary",
            **SURE,
            bins=2,
            value=[
                {
                    "from": [0.0, 0.5],
                    "to": [0.5, 1.0],
                    "weight": [3, 1],
                    "confidence": [0.85 / 3, 0.8],
                    "frequency": [1 / 3, 1],
                }
            ],
        )
    ],
)
def reliability_diagram(table: Annotated[CalibrationBins, calibration], *, bins: Bins = 15) -> list[dict[str, Array]]:
    r"""Reliability diagram: how often things happen that are said to be 10 %, 20 %, … likely.

    Well calibrated forecasts lie on the diagonal; below it the model is too sure of itself.

    Formula:
        (\overline{p}_b, \overline{y}_b), \quad b = 1 \dots B

    Args:
        table: predicted and observed frequency per bin.
        bins: number of bins of equal width between 0 and 1.

    Returns:
        one curve with the columns `from`, `to`, `weight`, `confidence` (mean probability) and `frequency` (how often it came
        true); NaN in empty bins.

    Use when:
        it matters where the calibration fails, and which way.

    Avoid when:
        one figure is needed: take `ece`.

    Source:
        DeGroot and Fienberg, The Comparison and Evaluation of Forecasters, 1983. https://doi.org/10.2307/2987588
    """
    edges = np.linspace(0.0, 1.0, bins + 1)
    return [
        {
            "from": edges[:-1],
            "to": edges[1:],
            "weight": table.weight,
            "confidence": quotient(table.confidence, table.weight),
            "frequency": quotient(table.correct, table.weight),
        }
    ]
