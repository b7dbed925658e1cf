"""Losses that tell the partner of each item from everything else in the batch."""

from __future__ import annotations

from math import exp, log, log1p

import torch
import torch.nn.functional as F
from torch import Tensor

from lossmeter.losses._similarities import different, directions, log_share, log_sum
from lossmeter.losses.catalogue import Example, loss
from lossmeter.losses.vocabulary import Embeddings, Positive, Unreduced, Values

FAMILY = "embeddings"
TASKS = ("embeddings",)
PLANE = [[1.0, 0.0], [0.0, 1.0]]


@loss(
    tasks=["embeddings", "ranking"],
    suits={
        "usual": "Pairs that belong together are known, and nothing else.",
        "unlabelled": "Pairs that belong together are enough; the rest of the batch is what they are told apart from.",
        "cross_modal": "A query and its partner may come of different encoders.",
        "implicit_feedback": "Users and what they chose are pairs; other choices are the negatives.",
    },
    aliases=["info_nce_loss"],
    sweeps=25,
    products="N N D | N M D",
    separable=False,
    intermediate="N N | N M",
    examples=[
        Example(query=PLANE, positive=PLANE, temperature=0.5, value=log1p(exp(-2))),
        Example(query=[[2.0, 0.0]], positive=[[3.0, 0.0]], negatives=PLANE, temperature=1.0, value=log(2 + exp(-1))),
    ],
)
def info_nce(
    query: Embeddings[Tensor, "N D"],
    positive: Embeddings[Tensor, "N D"],
    *,
    negatives: Embeddings[Tensor, "M D"] | None = None,
    temperature: Positive = 0.07,
) -> Unreduced[Tensor, "N"]:
    r"""InfoNCE: cross entropy of picking the right partner of an item among many candidates, by similarity.

    Each query is compared with its positive and with negatives; cosines divided by the temperature are the logits, and the
    loss is minus the logarithm of the probability that softmax gives to the positive. Without `negatives` those are the
    positives of the other rows of the batch, so larger batches are harder and better. With them, they are the same for
    every query, and the other positives play no part. At the temperature of 0.07 a cosine that is 0.1 larger is four times
    as probable. Values near log N mean that nothing was learned yet.

    Embeddings are normalised inside; one that is 0 has a similarity of 0 to everything, and no gradient. Samples are
    coupled: a mask takes the value of a query away, and its positive stays a negative of the others. Only rows are compared
    with columns: for both directions take `clip`, for two views of one encoder `nt_xent`.

    Formula:
        \ell_n = -\log \frac{e^{\cos(q_n, p_n) / \tau}}{e^{\cos(q_n, p_n) / \tau} + \sum_{k} e^{\cos(q_n, c_k) / \tau}}, \qquad
        c = \text{negatives, or } \{ p_k : k \ne n \}

    Args:
        query: embeddings $q$ of the items.
        positive: embeddings $p$ of their partners, in the same order.
        negatives: embeddings of items that are no partner of any query; left out, the other positives serve.
        temperature: $\tau$; a low one looks at the most similar negatives alone.

    Returns:
        one loss per query, in nats; 0 where there is no negative.

    Use when:
        pairs that belong together are known and nothing else: questions and passages for retrieval, sentences and
        paraphrases, users and items; with mined hard negatives or a queue of them (MoCo) as `negatives`.

    Avoid when:
        batches are small and no negatives are at hand; several rows of a batch belong together, since they would count as
        negatives (take `supervised_contrastive`).

    Source:
        van den Oord, Li and Vinyals, Representation Learning with Contrastive Predictive Coding, 2018.
        https://arxiv.org/abs/1807.03748; in this form He et al., MoCo, 2019. https://arxiv.org/abs/1911.05722.
    """
    queries, positives = directions(query), directions(positive)
    own = (queries * positives).sum(-1) / temperature
    if negatives is None:
        logits = queries @ positives.T / temperature
        kept = different(len(queries), queries.device)
    else:
        logits = queries @ directions(negatives).T / temperature
        kept = torch.ones_like(logits, dtype=torch.bool)
    return -log_share(own, log_sum(logits, kept))


@loss(
    suits={"unlabelled": "Two views of a sample are found among the views of all others."},
    aliases=["nt_xent_loss"],
    products="2N 2N D",
    separable=False,
    intermediate="2N 2N",
    sweeps=20,
    examples=[Example(view1=PLANE, view2=PLANE, temperature=1.0, value=log(1 + 2 * exp(-1)))],
)
def nt_xent(
    view1: Embeddings[Tensor, "N D"], view2: Embeddings[Tensor, "N D"], *, temperature: Positive = 0.5
) -> Unreduced[Tensor, "2N"]:
    r"""NT-Xent, the loss of SimCLR: find the other view of an image among all views of all images.

    Every image is seen twice, cropped and coloured in different ways. Each of the 2N views is compared with all 2N - 1
    others by cosine, divided by the temperature; the loss is minus the logarithm of the probability that softmax gives to
    the other view of the same image. All else in the batch counts as different, so it takes large batches.

    The values are those of all of `view1`, then all of `view2`. Embeddings are normalised inside; one that is 0 has a
    similarity of 0 to everything, and no gradient. Samples are coupled: a mask of 2N numbers takes values away, and the
    views stay negatives of the others. SimCLR trains with temperatures from 0.1 to 0.5; pytorch-metric-learning has 0.07 by
    default, and takes both views as one batch with labels.

    Formula:
        \ell_i = -\log \frac{e^{\cos(z_i, z_{j(i)}) / \tau}}{\sum_{k \ne i} e^{\cos(z_i, z_k) / \tau}}, \qquad
        z = (z^{(1)}, z^{(2)}), \quad j(i) \text{: the other view}

    Args:
        view1: embeddings of the first views, $z^{(1)}$.
        view2: embeddings of the second views, $z^{(2)}$, in the same order.
        temperature: $\tau$; a low one looks at the most similar negatives alone.

    Returns:
        one loss per view, in nats; 0 where there is but one image.

    Use when:
        images, sounds or sentences have no labels and can be altered without changing what they are: pretraining of encoders.

    Avoid when:
        batches are small (take `vicreg` or `barlow_twins`); labels are known (take `supervised_contrastive`); the two sides
        come of different encoders (take `clip`).

    Source:
        Chen et al., A Simple Framework for Contrastive Learning of Visual Representations, 2020.
        https://arxiv.org/abs/2002.05709.
    """
    views = directions(torch.cat([view1, view2]))
    count = len(view1)
    logits = views @ views.T / temperature
    own = (views[:count] * views[count:]).sum(-1).repeat(2) / temperature
    kept = different(2 * count, views.device) & different(2 * count, views.device).roll(count, 0)
    return -log_share(own, log_sum(logits, kept))


@loss(
    suits={"cross_modal": "Each image is matched with its text among all of the batch, and each text with its image."},
    copies=6,
    sweeps=25,
    products="N N D",
    separable=False,
    aliases=["clip_loss"],
    intermediate="N N",
    examples=[
        Example(image=PLANE, text=PLANE, logit_scale=2.0, value=log1p(exp(-2))),
        Example(
            image=PLANE,
            text=[[1.0, 0.0], [1.0, 0.0]],
            logit_scale=1.0,
            value=(log(2) + log1p(exp(-1)) + log(2) + log1p(exp(1))) / 4,
        ),
    ],
)
def clip(
    image: Embeddings[Tensor, "N D"], text: Embeddings[Tensor, "N D"], logit_scale: Values[Tensor, ""]
) -> Unreduced[Tensor, "N"]:
    r"""The loss of CLIP: match images with their texts and texts with their images, among all of the batch.

    Cosines of all N times N pairs, times a scale that is learned too, are logits twice: for each image over the texts and for
    each text over the images. The value of a pair is the mean of its two cross entropies. It is `info_nce` in both directions,
    with $\tau = 1 / \text{scale}$.

    `logit_scale` multiplies as it is. CLIP's parameter of that name is its logarithm, which begins at log(1 / 0.07) and
    ends at log 100: give its exponential, and chain the gradient. Embeddings are normalised inside; one that is 0 has a
    similarity of 0 to everything, and no gradient. Samples are coupled: a mask takes the value of a pair away, and its
    image and text stay negatives of the others. Batches on several devices have to be gathered before.

    Formula:
        \ell_n = \tfrac{1}{2} \Bigl( -\log \frac{e^{z_{nn}}}{\sum_k e^{z_{nk}}} - \log \frac{e^{z_{nn}}}{\sum_k e^{z_{kn}}}
        \Bigr), \qquad z_{nk} = s \cos(u_n, v_k)

    Args:
        image: embeddings $u$ of one kind.
        text: embeddings $v$ of the other kind, in the same order.
        logit_scale: the factor $s$ of the cosines; CLIP begins with 14.3 and lets it grow to 100.

    Returns:
        one loss per pair, in nats; 0 where there is but one.

    Use when:
        two encoders should meet in one space: images and captions, audio and text, code and its documentation, products and
        queries.

    Avoid when:
        batches are small or spread over many devices (take `siglip`, whose pairs are independent); many captions of a batch
        fit many images.

    Source:
        Radford et al., Learning Transferable Visual Models From Natural Language Supervision, 2021.
        https://arxiv.org/abs/2103.00020.
    """
    images, texts = directions(image), directions(text)
    logits = logit_scale * (images @ texts.T)
    own, kept = logits.diagonal(), different(len(images), images.device)
    return -(log_share(own, log_sum(logits, kept)) + log_share(own, log_sum(logits.T, kept))) / 2


@loss(
    suits={
        "cross_modal": "Each pair of an image and a text is judged by itself.",
        "small_batches": "Pairs are independent, so that it does not depend on many negatives.",
    },
    products="N N D",
    separable=False,
    aliases=["siglip_loss"],
    intermediate="N N",
    sweeps=18,
    examples=[
        Example(image=PLANE, text=PLANE, logit_scale=2.0, logit_bias=-1.0, value=2 * log1p(exp(-1))),
        Example(image=[[3.0, 4.0]], text=[[4.0, 3.0]], logit_scale=1.0, logit_bias=0.04, value=log1p(exp(-1))),
    ],
)
def siglip(
    image: Embeddings[Tensor, "N D"],
    text: Embeddings[Tensor, "N D"],
    logit_scale: Values[Tensor, ""],
    logit_bias: Values[Tensor, ""],
) -> Unreduced[Tensor, "N"]:
    r"""The loss of SigLIP: for each image and each text by itself, whether they belong together.

    As `clip`, but every one of the N times N pairs is a yes-or-no question of its own, through a sigmoid: yes on the
    diagonal, no elsewhere. Nothing is normalised over the batch, so small batches work, and a matrix can be computed in
    pieces. There are N - 1 times as many noes as yeses, which is what the bias is for.

    The value of an image is the sum over all texts; `mean` divides by N, as the paper does. `logit_scale` multiplies as it
    is, while SigLIP's parameter is its logarithm, beginning at log 10; the bias begins at -10. Embeddings are normalised
    inside; one that is 0 has a similarity of 0 to everything, and no gradient. Samples are coupled: a mask takes the row of
    an image away, and its text stays a negative of the others.

    Formula:
        \ell_n = \sum_{k=1}^{N} -\log \sigma \bigl( z_{nk} (t \cos(u_n, v_k) + b) \bigr), \qquad
        z_{nk} = 1 \text{ if } k = n \text{, else } -1

    Args:
        image: embeddings $u$ of one kind.
        text: embeddings $v$ of the other kind, in the same order.
        logit_scale: the factor $t$ of the cosines; SigLIP begins with 10.
        logit_bias: what is added to all logits, $b$; SigLIP begins with -10.

    Returns:
        one loss per image, in nats.

    Use when:
        as `clip`, with batches of any size, or where one thing may fit several others.

    Avoid when:
        the best match among candidates is all that matters and batches are large: take `clip`.

    Source:
        Zhai et al., Sigmoid Loss for Language Image Pre-Training, 2023. https://arxiv.org/abs/2303.15343.
    """
    logits = logit_scale * (directions(image) @ directions(text).T) + logit_bias
    return -F.logsigmoid(torch.where(different(len(logits), logits.device), -logits, logits)).sum(-1)
