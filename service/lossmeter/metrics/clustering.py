"""Metrics of clusterings against known classes; names of clusters do not matter, a table of pairs is enough."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from lossmeter.metrics._counts import Contingency
from lossmeter.metrics._parameters import Positive
from lossmeter.metrics._posterior import table_with_prior
from lossmeter.metrics.batches import Groups
from lossmeter.metrics.catalogue import Example, metric, statistic
from lossmeter.metrics.weighting import Array, Weighting, quotient

FAMILY = "clustering"

TASKS = ("clustering",)
CLUSTERS = {"predictions_are": "classes", "predictions": [0, 0, 1, 1], "labels": [0, 0, 1, 2]}


@statistic(size=lambda _, __, samples: 3 * samples)
def contingency(batch: Groups, w: Weighting) -> Contingency:
    return Contingency.of(batch.cluster, batch.label, w)


def pairs_prior(
    states: tuple[Contingency, ...], drawn: tuple[Contingency, ...], name: str, **_: object
) -> tuple[Contingency, ...]:
    """The replicates of a table with half counts."""
    return (table_with_prior(states[0], drawn[0], name),)


def _entropy(weight: Array) -> Array:
    part = quotient(weight, weight.sum(axis=-1, keepdims=True), 0.0)
    entropy = -(part * np.log(np.where(part > 0, part, 1.0))).sum(axis=-1)
    return np.where((weight > 0).sum(axis=-1) > 1, entropy, 0.0)


def _information(table: Contingency) -> tuple[Array, Array, Array]:
    """Mutual information of clusters and classes, and the entropy of each, in nats.

    Where each class lies in one cluster, or each cluster in one class, the information is the entropy itself, to the last bit.
    """
    by_cluster, by_class, product = table.margins()
    whole = table.weight.sum(axis=-1, keepdims=True)
    part = quotient(table.weight, whole, 0.0)
    ratio = quotient(table.weight * whole, product, 1.0)
    shared = np.maximum((part * np.log(np.where(ratio > 0, ratio, 1.0))).sum(axis=-1), 0.0)
    clusters, classes = _entropy(by_cluster), _entropy(by_class)
    pairs, rows, columns = ((part > 0).sum(axis=-1) for part in (table.weight, by_cluster, by_class))
    shared = np.minimum(shared, np.minimum(clusters, classes))
    shared = np.where(pairs == columns, clusters, np.where(pairs == rows, classes, shared))
    # One partition, named in two ways: both entropies are the same sum in another order.
    same = (pairs == rows) & (pairs == columns)
    return np.where(same, classes, shared), np.where(same, classes, clusters), classes


@metric(
    aliases=("ari", "adjusted_rand_score", "adjusted_rand_index"),
    tasks=TASKS,
    better="higher",
    bounds=(-0.5, 1.0),
    prior=pairs_prior,
    usual=TASKS,
    examples=[Example("clustering", **CLUSTERS, value=4 / 7)],
)
def adjusted_rand(table: Annotated[Contingency, contingency]) -> Array:
    r"""Adjusted Rand index: how many pairs are rightly together or apart, beyond chance.

    1 for the same partition under any names, about 0 for a random one. Weights count samples: one of weight 2 is two samples, n
    samples make n (n - 1) ordered pairs, whole or not, and what weighs less than one sample makes none.

    Formula:
        \frac{2 (TP \cdot TN - FN \cdot FP)}{(TP + FN)(FN + TN) + (TP + FP)(FP + TN)}

    Args:
        table: weight by cluster and class, from which the pairs of samples follow that are together in both, one or neither.

    Returns:
        a number from -0.5 to 1; NaN if all weights together are less than 1.

    Use when:
        clusterings with different numbers of clusters are compared with known classes.

    Avoid when:
        clusters are very unequal in size: large ones decide; take `v_measure`.

    Source:
        Hubert and Arabie, Comparing Partitions, 1985. https://doi.org/10.1007/BF01908075
    """
    by_cluster, by_class, _ = table.margins()
    whole = table.weight.sum(axis=-1)
    tp, rows, columns = (_ordered_pairs(part).sum(axis=-1) for part in (table.weight, by_cluster, by_class))
    fp, fn = np.maximum(rows - tp, 0.0), np.maximum(columns - tp, 0.0)
    tn = np.maximum(_ordered_pairs(whole) - rows - columns + tp, 0.0)
    value = quotient(2 * (tp * tn - fn * fp), (tp + fn) * (fn + tn) + (tp + fp) * (fp + tn), 1.0)
    pairs, clusters, classes = ((part > 0).sum(axis=-1) for part in (table.weight, by_cluster, by_class))
    value = np.where((pairs == clusters) & (pairs == classes), 1.0, np.clip(value, -0.5, 1.0))
    return np.where(whole > 1 - 1e-9, value, np.nan)


def _ordered_pairs(weight: Array) -> Array:
    """Returns the number of ordered pairs of samples that a weight makes."""
    return np.maximum(weight * (weight - 1), 0.0)


@metric(
    aliases=("normalized_mutual_information", "normalized_mutual_info", "normalized_mutual_info_score"),
    tasks=TASKS,
    better="higher",
    bounds=(0.0, 1.0),
    prior=pairs_prior,
    usual=TASKS,
    examples=[Example("clustering", **CLUSTERS, value=float(2 * np.log(2) / (np.log(2) + 1.5 * np.log(2))))],
)
def nmi(table: Annotated[Contingency, contingency]) -> Array:
    r"""Normalised mutual information: how much cluster and class tell of each other.

    The information they share, divided by the mean of what each holds. Not adjusted for chance: many small clusters raise it.

    Formula:
        \frac{2 I(K; C)}{H(K) + H(C)}

    Args:
        table: weight by cluster and class.

    Returns:
        a number from 0 to 1; 1 if there is one cluster and one class; NaN without samples.

    Use when:
        clusterings with the same number of clusters are compared.

    Avoid when:
        the number of clusters differs: take `adjusted_rand`.

    Source:
        Strehl and Ghosh, Cluster Ensembles, 2002.
    """
    shared, clusters, classes = _information(table)
    value = np.minimum(quotient(2 * shared, clusters + classes, 1.0), 1.0)
    return np.where(table.weight.sum(axis=-1) > 0, value, np.nan)


@metric(
    aliases=("v_measure_score",),
    tasks=TASKS,
    better="higher",
    bounds=(0.0, 1.0),
    prior=pairs_prior,
    usual=TASKS,
    examples=[Example("clustering", **CLUSTERS, value=0.8), Example("clustering", **CLUSTERS, beta=0.5, value=0.75)],
)
def v_measure(table: Annotated[Contingency, contingency], *, beta: Positive = 1.0) -> Array:
    r"""V-measure: clusters that hold one class, and classes that lie in one cluster.

    The harmonic mean of homogeneity (each cluster holds only one class) and completeness (each class lies in only one cluster).
    With beta 1 it is `nmi`.

    Formula:
        \frac{(1 + \beta) h c}{\beta h + c}, \quad h = \frac{I(K; C)}{H(C)}, \quad c = \frac{I(K; C)}{H(K)}

    Args:
        table: weight by cluster and class.
        beta: how much more completeness counts than homogeneity.

    Returns:
        a number from 0 to 1; NaN without samples.

    Use when:
        splitting a class and mixing classes are mistakes of different weight.

    Avoid when:
        samples are few and clusters many: it is not adjusted for chance; take `adjusted_rand`.

    Source:
        Rosenberg and Hirschberg, V-Measure, 2007. https://aclanthology.org/D07-1043
    """
    shared, clusters, classes = _information(table)
    homogeneity, completeness = quotient(shared, classes, 1.0), quotient(shared, clusters, 1.0)
    value = quotient((1 + beta) * homogeneity * completeness, beta * homogeneity + completeness, 0.0)
    return np.where(table.weight.sum(axis=-1) > 0, np.minimum(value, 1.0), np.nan)
