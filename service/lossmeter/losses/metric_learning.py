"""Losses that draw all items of a kind together: positives and negatives follow from labels."""

from __future__ import annotations

from math import exp, log, log1p

import torch.nn.functional as F
from torch import Tensor

from lossmeter.losses._similarities import different, directions, log_sum, same_group
from lossmeter.losses.catalogue import Arguments, Example, Support, loss
from lossmeter.losses.vocabulary import Embeddings, Groups, Positive, Real, Unreduced

FAMILY = "embeddings"
TASKS = ("embeddings",)
CORNER = [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]


def _paired(arguments: Arguments) -> Support:
    """Anchors count whose label another sample has too."""
    _, place, counts = arguments["labels"].unique(return_inverse=True, return_counts=True)
    return Support(counts[place] > 1)


@loss(
    suits={"unseen_classes": "Everything with the same label is drawn together, without a classifier."},
    aliases=["supcon", "sup_con_loss", "supervised_contrastive_loss"],
    copies=6,
    sweeps=25,
    products="N N D",
    separable=False,
    intermediate="N N",
    support=_paired,
    examples=[
        Example(embeddings=CORNER, labels=[0, 1, 0], temperature=1.0, value=log1p(exp(-1))),
        Example(embeddings=CORNER, labels=[5, 5, 7], temperature=0.5, value=(log1p(exp(2)) + log(2)) / 2),
    ],
)
def supervised_contrastive(
    embeddings: Embeddings[Tensor, "N D"], labels: Groups[Tensor, "N"], *, temperature: Positive = 0.1
) -> Unreduced[Tensor, "N"]:
    r"""Supervised contrastive loss: `nt_xent` where everything with the same label is a positive.

    Each sample, the anchor, is compared with all others by cosine, divided by the temperature. Softmax over the others
    gives how probable each is, and the loss is minus the mean logarithm over those that share the anchor's label. Classes
    become tight clusters far from each other, on which a linear classifier is trained afterwards. With two views per image
    and each image a label of its own it is `nt_xent`.

    Anchors without a positive have nothing to learn from and do not count. Embeddings are normalised inside; one that is 0
    has a similarity of 0 to everything, and no gradient. Samples are coupled: a mask takes the value of an anchor away, and
    it stays positive and negative of the others. The mean over positives stands outside of the logarithm, the paper's
    better form $\mathcal{L}_\text{out}$. The authors' code multiplies by temperature / 0.07, which scales the loss alone;
    pytorch-metric-learning is this with its default of 0.1, and divides by the number of anchors whose loss is not 0.

    Formula:
        \ell_i = -\frac{1}{|P_i|} \sum_{p \in P_i} \log \frac{e^{\cos(z_i, z_p) / \tau}}{\sum_{a \ne i} e^{\cos(z_i, z_a) /
        \tau}}, \qquad P_i = \{ p \ne i : y_p = y_i \}

    Args:
        embeddings: embeddings $z$, a row per sample; several views of an image are rows with the same label.
        labels: classes $y$; any integers.
        temperature: $\tau$; a low one looks at the nearest samples alone.

    Returns:
        one loss per anchor, in nats; 0 for one without a positive.

    Use when:
        labels are known and a robust representation is wanted before a classifier: images, speakers, intents, few samples
        per class.

    Avoid when:
        most classes have but one sample in a batch (draw several of each), or a classifier is all that is needed
        (take `cross_entropy`).

    Source:
        Khosla et al., Supervised Contrastive Learning, 2020. https://arxiv.org/abs/2004.11362, equation 2.
    """
    vectors = directions(embeddings)
    logits = vectors @ vectors.T / temperature
    positive = same_group(labels)
    count = positive.sum(1)
    total = log_sum(logits, different(len(labels), labels.device))
    differences = (total.unsqueeze(1) - logits).masked_fill(~positive, 0.0)
    return differences.sum(1) / count.clamp(min=1)


@loss(
    suits={"unseen_classes": "Similarities are pulled the harder the farther they are from where they should be."},
    copies=9,
    sweeps=30,
    products="N N D",
    separable=False,
    aliases=["circle_loss"],
    intermediate="N N",
    support=_paired,
    examples=[
        Example(embeddings=CORNER, labels=[0, 1, 0], gamma=1.0, value=log1p(exp(-0.4 * 0.4 - 0.4 * 0.4))),
        Example(
            embeddings=CORNER,
            labels=[0, 1, 0],
            margin=0.0,
            gamma=1.0,
            value=log(2),
        ),
    ],
)
def circle(
    embeddings: Embeddings[Tensor, "N D"], labels: Groups[Tensor, "N"], *, margin: Real = 0.4, gamma: Positive = 80.0
) -> Unreduced[Tensor, "N"]:
    r"""Circle loss: similarities within and between classes, each pulled the harder the farther it is from where it should be.

    Cosines to samples of the same class should reach 1 + m, those to other classes -m. Each is weighted with its distance
    $\alpha$ from there, so that one that is good already is left alone; then all positives and all negatives of an anchor
    are compared at once, smoothly. With the margin 0.4 a positive is good from 0.6 on, a negative up to 0.4.

    The weights $\alpha$ carry no gradient, as in the paper and in pytorch-metric-learning (keras differentiates them too,
    which gives other gradients for the same value). Anchors without a positive do not count; one without a negative costs
    nothing, and counts. pytorch-metric-learning divides by the number of anchors whose loss is not 0. Embeddings are
    normalised inside; one that is 0 has a similarity of 0 to everything, and no gradient. Samples are coupled: a mask takes
    the value of an anchor away, and it stays positive and negative of the others.

    Formula:
        \ell_i = \log \Bigl( 1 + \sum_{n} e^{\gamma \alpha_n (s_{in} - m)} \sum_{p} e^{-\gamma \alpha_p (s_{ip} - 1 + m)}
        \Bigr), \qquad \alpha_n = \max(0, s_{in} + m), \quad \alpha_p = \max(0, 1 + m - s_{ip}), \quad s_{ij} = \cos(z_i,
        z_j)

    Args:
        embeddings: embeddings $z$, a row per sample.
        labels: classes $y$; any integers.
        margin: $m$; 0.4 for retrieval, 0.25 for faces.
        gamma: the scale $\gamma$; 80 for retrieval, 256 for faces.

    Returns:
        one loss per anchor; 0 for one without a positive.

    Use when:
        items of a class should be found among millions: person and vehicle re-identification, faces, products.

    Avoid when:
        batches have few samples of each class (draw several of each), or prototypes of all classes can be learned
        (take `arcface` or `cosface`).

    Source:
        Sun et al., Circle Loss: A Unified Perspective of Pair Similarity Optimization, 2020. https://arxiv.org/abs/2002.10857.
    """
    vectors = directions(embeddings)
    similarities = vectors @ vectors.T
    fixed = similarities.detach()
    positive = same_group(labels)
    negative = labels.unsqueeze(0) != labels.unsqueeze(1)
    near = gamma * (fixed + margin).clamp(min=0) * (similarities - margin)
    far = -gamma * (1 + margin - fixed).clamp(min=0) * (similarities - 1 + margin)
    # Without a positive or a negative one of the sums is empty, and its logarithm so small that the loss is 0.
    return -F.logsigmoid(-log_sum(near, negative) - log_sum(far, positive))


@loss(
    suits={"unseen_classes": "The hardest pairs of a batch count most."},
    copies=6,
    sweeps=25,
    products="N N D",
    separable=False,
    aliases=["multi_similarity_loss"],
    intermediate="N N",
    examples=[
        Example(
            embeddings=CORNER,
            labels=[0, 1, 0],
            beta=2.0,
            value=(2 * (log1p(exp(-1)) / 2 + log1p(exp(-1)) / 2) + log1p(2 * exp(-1)) / 2) / 3,
        )
    ],
)
def multi_similarity(
    embeddings: Embeddings[Tensor, "N D"],
    labels: Groups[Tensor, "N"],
    *,
    alpha: Positive = 2.0,
    beta: Positive = 50.0,
    base: Real = 0.5,
) -> Unreduced[Tensor, "N"]:
    r"""Multi-similarity loss: a soft maximum over the negatives and one over the positives, each with a sharpness of its own.

    Cosines to other classes above the base cost, those of the same class below it cost too. The sum of exponentials inside
    of the logarithm looks at the hardest pairs most: sharply for negatives (50), so that the nearest wrong item decides,
    softly for positives (2), so that a class may be spread out.

    The paper also drops easy pairs before ("mining"); that is left to the caller, as in pytorch-metric-learning, of which
    this is the loss alone. Every anchor counts: one without a positive still has negatives to keep away from, and the other
    way round. Embeddings are normalised inside; one that is 0 has a similarity of 0 to everything, and no gradient. Samples
    are coupled: a mask takes the value of an anchor away, and it stays positive and negative of the others.

    Formula:
        \ell_i = \frac{1}{\alpha} \log \Bigl( 1 + \sum_{p} e^{-\alpha (s_{ip} - \lambda)} \Bigr)
        + \frac{1}{\beta} \log \Bigl( 1 + \sum_{n} e^{\beta (s_{in} - \lambda)} \Bigr), \qquad s_{ij} = \cos(z_i, z_j)

    Args:
        embeddings: embeddings $z$, a row per sample.
        labels: classes $y$; any integers.
        alpha: sharpness $\alpha$ of the positives.
        beta: sharpness $\beta$ of the negatives.
        base: the cosine $\lambda$ that should lie between positives and negatives.

    Returns:
        one loss per anchor.

    Use when:
        images or products are to be retrieved by class, with batches of several samples of each of many classes.

    Avoid when:
        classes are fixed and all in the data (take `cosface` or `cross_entropy`); labels are noisy, since the hardest pairs
        decide.

    Source:
        Wang et al., Multi-Similarity Loss with General Pair Weighting for Deep Metric Learning, 2019.
        https://arxiv.org/abs/1904.06627.
    """
    vectors = directions(embeddings)
    similarities = vectors @ vectors.T - base
    together = log_sum(-alpha * similarities, same_group(labels))
    apart = log_sum(beta * similarities, labels.unsqueeze(0) != labels.unsqueeze(1))
    return -F.logsigmoid(-together) / alpha - F.logsigmoid(-apart) / beta
