"""Losses for embeddings, rankings and regions: identities, other libraries' formulas, and numbers of every size."""

from __future__ import annotations

import math
import re
from typing import Any

import kornia.losses
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lossmeter.budget import Budget
from lossmeter.engine import Call, Engine
from lossmeter.errors import TooLarge
from lossmeter.losses import LOSSES
from tests.support.inputs import Source
from tests.support.wire import wired

F64 = torch.float64
SOURCE = Source("coupled")
ROWS, OTHERS = SOURCE.normal(12, 5), SOURCE.normal(12, 5)
GROUPS = torch.tensor([0, 0, 1, 1, 1, 2, 2, 3, 3, 3, 3, 4])
IMAGES = 2 * SOURCE.normal(3, 4, 6, 5)
PIXELS = SOURCE.indices(3, 6, 5, below=4)


def value(name: str, *tensors: Any, **parameters: Any) -> Tensor:
    return LOSSES[name].function(*(torch.as_tensor(tensor) for tensor in tensors), **parameters)


def close(actual: Any, expected: Any, rtol: float = 1e-12, atol: float = 1e-13) -> None:
    np.testing.assert_allclose(np.asarray(actual), np.asarray(expected), rtol=rtol, atol=atol)


def test_info_nce_is_cross_entropy_of_scaled_cosines() -> None:
    logits = F.normalize(ROWS) @ F.normalize(OTHERS).T / 0.07
    close(value("info_nce", ROWS, OTHERS), F.cross_entropy(logits, torch.arange(12), reduction="none"))


def test_nt_xent_is_info_nce_of_all_views_but_the_query_itself() -> None:
    views = F.normalize(torch.cat([ROWS, OTHERS]))
    logits = (views @ views.T / 0.5).fill_diagonal_(-torch.inf)
    partner = (torch.arange(24) + 12) % 24
    close(value("nt_xent", ROWS, OTHERS), F.cross_entropy(logits, partner, reduction="none"))


def test_nt_xent_of_equal_views_of_one_direction_is_the_logarithm_of_the_number_of_others() -> None:
    views = torch.ones(6, 3, dtype=F64)
    close(value("nt_xent", views, views), [math.log(11)] * 12)


def test_clip_is_the_mean_of_info_nce_in_both_directions() -> None:
    both = value("info_nce", ROWS, OTHERS, temperature=0.1) + value("info_nce", OTHERS, ROWS, temperature=0.1)
    close(value("clip", ROWS, OTHERS, torch.tensor(10.0, dtype=F64)), both / 2)


def test_siglip_of_one_pair_is_the_logistic_loss_of_its_cosine() -> None:
    scale, bias = torch.tensor(3.0, dtype=F64), torch.tensor(-0.5, dtype=F64)
    logit = 3 * F.cosine_similarity(ROWS[:1], OTHERS[:1]) - 0.5
    close(value("siglip", ROWS[:1], OTHERS[:1], scale, bias), value("soft_margin", logit, torch.ones(1, dtype=F64)))


def test_supervised_contrastive_of_two_views_of_each_class_is_nt_xent() -> None:
    labels = torch.arange(12).repeat(2)
    supervised = value("supervised_contrastive", torch.cat([ROWS, OTHERS]), labels, temperature=0.5)
    close(supervised, value("nt_xent", ROWS, OTHERS))


def test_circle_and_multi_similarity_have_pytorch_metric_learnings_formulas() -> None:
    """CircleLoss and MultiSimilarityLoss of version 2.8, on dense matrices."""
    cosines = F.normalize(ROWS) @ F.normalize(ROWS).T
    same = (GROUPS[:, None] == GROUPS).fill_diagonal_(False)
    other = GROUPS[:, None] != GROUPS
    far = -80 * torch.relu(1.4 - cosines) * (cosines - 0.6)
    near = 80 * torch.relu(cosines + 0.4) * (cosines - 0.4)
    lowest = torch.finfo(F64).min
    sums = [torch.logsumexp(m.masked_fill(~k, lowest), 1) for m, k in ((far, same), (near, other))]
    expected = F.softplus(sums[0] + sums[1], threshold=1000) * same.any(1)
    close(value("circle", ROWS, GROUPS), expected)
    positives = torch.log1p((torch.exp(-2 * (cosines - 0.5)) * same).sum(1)) / 2
    negatives = torch.log1p((torch.exp(50 * (cosines - 0.5)) * other).sum(1)) / 50
    close(value("multi_similarity", ROWS, GROUPS), positives + negatives)


def test_the_weights_of_circle_carry_no_gradient() -> None:
    vectors = ROWS.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(value("circle", vectors, GROUPS).sum(), vectors)
    fixed = F.normalize(ROWS) @ F.normalize(ROWS).T
    cosines = F.normalize(vectors) @ F.normalize(vectors).T
    same = (GROUPS[:, None] == GROUPS).fill_diagonal_(False)
    far = -80 * torch.relu(1.4 - fixed) * (cosines - 0.6)
    near = 80 * torch.relu(fixed + 0.4) * (cosines - 0.4)
    both = torch.logsumexp(far.masked_fill(~same, -1e300), 1) + torch.logsumexp(
        near.masked_fill(GROUPS[:, None] == GROUPS, -1e300), 1
    )
    (expected,) = torch.autograd.grad(F.softplus(both, threshold=1000)[same.any(1)].sum(), vectors)
    close(gradient, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["arcface", "cosface"])
def test_without_a_margin_it_is_cross_entropy_of_scaled_cosines(name: str) -> None:
    labels = SOURCE.indices(12, below=7)
    classes = SOURCE.normal(7, 5)
    logits = 64 * F.normalize(ROWS) @ F.normalize(classes).T
    expected = F.cross_entropy(logits, labels, reduction="none")
    close(value(name, ROWS, classes, labels, margin=0.0), expected, rtol=1e-10, atol=1e-12)


def test_arcface_adds_the_margin_to_the_angle() -> None:
    angles = torch.linspace(0.1, math.pi - 0.6, 9, dtype=F64)
    vectors = torch.stack([angles.cos(), angles.sin()], 1)
    classes = torch.tensor([[1.0, 0.0], [0.0, -1.0]], dtype=F64)
    expected = F.softplus(2 * (-angles.sin() - (angles + 0.5).cos()), threshold=1000)
    close(value("arcface", vectors, classes, torch.zeros(9).long(), scale=2.0), expected)


def test_contrastive_is_the_square_of_hinge_embedding_of_distances() -> None:
    signs, distance = SOURCE.signs(12), (ROWS - OTHERS).norm(dim=1)
    close(
        value("contrastive", ROWS, OTHERS, signs, margin=4.0),
        value("hinge_embedding", distance, signs, margin=4.0) ** 2,
    )


def test_vicreg_and_barlow_twins_do_not_see_a_shift_of_both_views() -> None:
    for name in ("vicreg", "barlow_twins"):
        close(value(name, ROWS + 3, OTHERS + 3), value(name, ROWS, OTHERS), rtol=1e-10)
    close(value("barlow_twins", 7 * ROWS, OTHERS), value("barlow_twins", ROWS, OTHERS))
    batch = [(one - one.mean(0)) / one.std(0, correction=0) for one in (ROWS, OTHERS)]
    matrix = batch[0].T @ batch[1] / 12
    diagonal = (1 - matrix.diagonal()).square().sum()
    rest = matrix.square().sum() - matrix.diagonal().square().sum()
    close(value("barlow_twins", ROWS, OTHERS), diagonal + 0.005 * rest)


def test_two_documents_make_listnet_list_mle_and_ranknet_logistic() -> None:
    scores, labels = SOURCE.normal(9, 2), SOURCE.normal(9, 2)
    gap, wanted = scores[:, 0] - scores[:, 1], (labels[:, 0] - labels[:, 1]).sigmoid()
    close(value("listnet", scores, labels), F.binary_cross_entropy_with_logits(gap, wanted, reduction="none"))
    logistic = F.softplus(-gap * (labels[:, 0] - labels[:, 1]).sign())
    close(value("list_mle", scores, labels), logistic)
    close(value("ranknet", scores, labels), logistic)
    close(value("bpr", scores[:, 0], scores[:, 1]), F.softplus(-gap))


def test_approx_ndcg_at_a_low_temperature_is_one_less_ndcg() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    scores, grades = SOURCE.normal(8, 6), SOURCE.indices(8, 6, below=4).double() + 0.0
    expected = [1 - metrics.ndcg_score([2**y - 1], [s]) for y, s in zip(grades.numpy(), scores.numpy(), strict=True)]
    close(value("approx_ndcg", scores, grades, temperature=1e-6), expected, rtol=1e-9, atol=1e-9)


def test_gains_of_any_size_leave_approx_ndcg_finite() -> None:
    values = value("approx_ndcg", torch.tensor([[1.0, 2.0, 0.0]]), torch.tensor([[3000.0, 2999.0, 0.0]]))
    second = 2 + torch.tensor([-1.0, -2.0]).sigmoid().sum()
    close(values, [1 - (1 / math.log2(3) + 0.5 / math.log2(second)) / (1 + 0.5 / math.log2(3))], rtol=1e-6, atol=0)


def test_documents_that_are_masked_are_as_if_they_were_not_there() -> None:
    scores, labels = SOURCE.normal(4, 6), SOURCE.uniform(4, 6, high=3.0)
    mask = torch.tensor([True, True, True, True, False, False]).expand(4, 6)
    poisoned = torch.where(mask, scores, torch.inf)
    for name in ("ranknet", "listnet", "list_mle", "approx_ndcg"):
        close(value(name, poisoned, labels, mask=mask), value(name, scores[:, :4], labels[:, :4]))
        whole = value(name, scores, labels, mask=torch.tensor([True, False, True, False]))
        close(whole[::2], value(name, scores, labels)[::2])
        assert (whole[1::2] == 0).all()


def test_tversky_of_halves_is_dice_and_of_ones_is_jaccard() -> None:
    for smooth in (0.0, 1.0):
        halves = value("tversky", IMAGES, PIXELS, smooth=smooth)
        close(halves, value("dice", IMAGES, PIXELS, smooth=2 * smooth))
        ones = value("tversky", IMAGES, PIXELS, alpha=1.0, beta=1.0, smooth=smooth)
        close(ones, value("jaccard", IMAGES, PIXELS, smooth=smooth))
    close(value("focal_tversky", IMAGES, PIXELS, gamma=1.0), value("tversky", IMAGES, PIXELS))


def test_tversky_keeps_the_digits_of_the_smaller_of_two_prices() -> None:
    logits = torch.tensor([[[20.0] * 4, [-20.0] * 4]])  # the second class is missed, and never too much
    labels = torch.tensor([[0, 0, 1, 1]])
    for alpha, beta in ((1.0, 1e-5), (1e-5, 1.0), (1.0, 1e-9)):
        expected = [2 * alpha / (2 + 2 * alpha + 1), 2 * beta / (2 * beta + 1)]
        close(value("tversky", logits, labels, alpha=alpha, beta=beta), [expected], rtol=1e-6, atol=0.0)


def test_jaccard_follows_from_dice() -> None:
    dice = value("dice", IMAGES, PIXELS, smooth=0.0)
    close(value("jaccard", IMAGES, PIXELS, smooth=0.0), 2 * dice / (1 + dice))
    close(1 - value("jaccard", IMAGES, PIXELS, smooth=0.0), (1 - dice) / (2 - (1 - dice)))


def test_generalized_dice_without_weights_is_one_dice_of_all_classes() -> None:
    ours = value("generalized_dice", IMAGES, PIXELS, weighting="uniform", smooth=0.0)
    close(ours.mean(), kornia.losses.dice_loss(IMAGES, PIXELS, average="micro", eps=0.0))


def test_dice_and_tversky_are_kornias() -> None:
    close(
        value("dice", IMAGES, PIXELS, smooth=0.0).mean(),
        kornia.losses.dice_loss(IMAGES, PIXELS, average="macro", eps=0.0),
    )


def test_lovasz_is_kornias_over_the_batch_and_one_less_iou_at_the_corners() -> None:
    flags = SOURCE.indices(3, 6, 5, below=2)
    logits = SOURCE.normal(3, 1, 6, 5)
    ours = value("lovasz_hinge", logits[:, 0], flags.double(), level="image")
    single = [kornia.losses.lovasz_hinge_loss(logits[i : i + 1], flags[i : i + 1]) for i in range(3)]
    close(ours, [one.item() for one in single], rtol=1e-6)
    certain = 1e3 * F.one_hot(SOURCE.indices(3, 6, 5, below=4), 4).movedim(3, 1).double()
    predicted, truth = certain > 0, F.one_hot(PIXELS, 4).movedim(3, 1) > 0
    overlap = (predicted & truth).flatten(2).sum(2).double() / (predicted | truth).flatten(2).sum(2)
    close(value("lovasz_softmax", certain, PIXELS), 1 - overlap)


def test_monais_dice_is_that_of_a_small_smooth() -> None:
    """monai.losses.DiceLoss(softmax=True, to_onehot_y=True) of version 1.5, written out."""
    target = F.one_hot(PIXELS, 4).movedim(3, 1).double()
    for squared in (False, True):
        p = IMAGES.softmax(1)
        sizes = (target + (p * p if squared else p)).sum((2, 3))
        expected = 1 - (2 * (target * p).sum((2, 3)) + 1e-5) / (sizes + 1e-5)
        close(value("dice", IMAGES, PIXELS, squared=squared, smooth=1e-5), expected)


def test_ignored_pixels_are_as_if_they_were_not_there() -> None:
    ignored = torch.zeros(6, 5, dtype=torch.bool)
    ignored[:, 3:] = True
    labels = PIXELS.masked_fill(ignored, 255)
    for name in ("dice", "generalized_dice", "jaccard", "tversky", "focal_tversky", "lovasz_softmax"):
        for level in ("image", "batch"):
            left = value(name, IMAGES[..., :3].contiguous(), PIXELS[..., :3].contiguous(), level=level)
            close(value(name, IMAGES, labels, level=level, ignore_index=255), left)


def test_absent_classes_are_skipped_or_constant() -> None:
    labels = torch.zeros(2, 5, dtype=torch.int64)
    logits = SOURCE.normal(2, 3, 5)
    tensors = {"predictions": wired(logits), "labels": wired(labels)}
    defaults = {parameter.name: parameter.default for parameter in LOSSES["dice"].parameters}
    counts, means = [], []
    for absent in ("skip", "zero", "one"):
        call = Call(LOSSES["dice"], tensors, {**defaults, "absent": absent}, precision="float64")
        outcome = Engine("cpu").compute(call)
        counts.append(outcome.count)
        means.append(outcome.value)
    assert counts == [2, 6, 6]
    assert means[0] is not None
    close(means[1:], [means[0] / 3, (means[0] + 2) / 3])


@pytest.mark.parametrize(
    ("name", "shapes", "made"),
    [
        ("nt_xent", {"view1": (300, 2), "view2": (300, 2)}, 360000),
        ("barlow_twins", {"view1": (2, 300), "view2": (2, 300)}, 90000),
        ("ranknet", {"predictions": (4, 300), "labels": (4, 300)}, 360000),
        ("info_nce", {"query": (300, 2), "positive": (300, 2)}, 90000),
    ],
)
def test_what_is_small_on_the_wire_and_large_in_memory_is_refused(name: str, shapes: Any, made: int) -> None:
    loss = LOSSES[name]
    tensors = {role: wired(SOURCE.normal(*shape)) for role, shape in shapes.items()}
    call = Call(loss, tensors, {parameter.name: parameter.default for parameter in loss.parameters})
    needed = Engine("cpu").check(call).plan.cost.memory
    assert needed >= 2 * loss.copies * made
    Engine("cpu", budget=Budget(needed)).compute(call)
    role = next(iter(shapes))
    made_of = rf"a tensor of {made} elements \({re.escape(loss.intermediate)}\)"
    message = f"^{name}: takes {needed} bytes of memory, most of them for {made_of}; this server gives a request {needed - 1} "
    with pytest.raises(TooLarge, match=message) as refused:
        Engine("cpu", budget=Budget(needed - 1)).compute(call)
    assert refused.value.flaws[0].pointer == f"/{role}"


DIRECTIONS = {
    "info_nce": ("query", "positive"),
    "nt_xent": ("view1", "view2"),
    "clip": ("image", "text"),
    "siglip": ("image", "text"),
    "supervised_contrastive": ("embeddings",),
    "circle": ("embeddings",),
    "multi_similarity": ("embeddings",),
    "arcface": ("embeddings", "prototypes"),
    "cosface": ("embeddings", "prototypes"),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("name", DIRECTIONS)
def test_vectors_of_any_length_have_a_direction(name: str, dtype: torch.dtype) -> None:
    """Lengths from the smallest to the largest that there are, zero among them, equal and opposite ones."""
    base = torch.tensor([[1.0, 2.0], [-1.0, 0.5], [1.0, 2.0], [-1.0, -2.0], [0.0, 1.0]], dtype=dtype)
    most = torch.finfo(dtype).max
    for size in (0.0, torch.finfo(dtype).tiny, 1e-12, 1.0, math.sqrt(most), most / 4):
        scaled = base.clone()
        scaled[:3] *= size
        given: dict[str, Any] = {role: scaled.clone().requires_grad_() for role in DIRECTIONS[name]}
        extra = {"logit_scale": torch.tensor(20.0, dtype=dtype), "logit_bias": torch.tensor(-5.0, dtype=dtype)}
        given |= {role: number for role, number in extra.items() if role in LOSSES[name].tensor}
        for labels in (torch.arange(5), torch.zeros(5).long()):
            rest = {"labels": labels} if "labels" in LOSSES[name].tensor else {}
            values = LOSSES[name].function(**given, **rest)
            assert values.isfinite().all()
            leaves = [given[role] for role in DIRECTIONS[name]]
            assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(values.sum(), leaves))
            if size >= 1:
                unit = {role: base.clone() for role in DIRECTIONS[name]} | {k: given[k] for k in extra if k in given}
                close(values.detach(), LOSSES[name].function(**unit, **rest), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    "name", ["dice", "generalized_dice", "jaccard", "tversky", "focal_tversky", "lovasz_softmax", "lovasz_hinge"]
)
def test_saturated_logits_have_finite_gradients(name: str) -> None:
    for scale in (0.0, 100.0, 1e6, 1e38):
        logits = (scale * IMAGES.sign()).float().requires_grad_()
        labels = (IMAGES < 0).float() if name == "lovasz_hinge" else PIXELS
        for level in ("image", "batch"):
            smooth = {} if "lovasz" in name else {"smooth": 0.0}
            values = value(name, logits, labels, level=level, **smooth)
            assert values.isfinite().all() or scale == 1e38
            (gradient,) = torch.autograd.grad(values.sum(), logits)
            assert not gradient.isnan().any()
