"""Losses of segmentation against MONAI, which does a part in float32, where every class has a pixel in every image."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from lossmeter.losses import find
from tests.support.inputs import Source

HOW = {"to_onehot_y": True, "softmax": True, "reduction": "none"}
SMOOTH = {"smooth_nr": 0.5, "smooth_dr": 0.5}


@pytest.fixture(scope="module")
def monai() -> Any:
    return pytest.importorskip("monai.losses")  # which takes seconds to import


def images() -> tuple[Tensor, Tensor]:
    source = Source("monai")
    labels = source.indices(3, 6, 7, below=4)
    labels[:, 0, :4] = torch.arange(4)
    return 3 * source.normal(3, 4, 6, 7), labels


def compare(name: str, theirs: Any, **parameters: Any) -> None:
    logits, labels = images()
    ours, other = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    values = find(name).function(ours, labels, **parameters)
    expected = theirs(other, labels.unsqueeze(1)).reshape(values.shape)
    torch.testing.assert_close(values, expected, rtol=1e-6, atol=1e-8, check_dtype=False)
    upstream = torch.linspace(-1, 2, values.numel(), dtype=values.dtype).reshape(values.shape)
    (gradient,) = torch.autograd.grad(values, ours, upstream)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, other, upstream)[0], rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("level", ["image", "batch"])
def test_dice_and_jaccard_are_those_of_monai(monai: Any, level: str) -> None:
    batch = level == "batch"
    for squared in (False, True):
        theirs = monai.DiceLoss(**HOW, **SMOOTH, batch=batch, squared_pred=squared)
        compare("dice", theirs, smooth=0.5, level=level, squared=squared)
    theirs = monai.DiceLoss(**HOW, **SMOOTH, batch=batch, include_background=False)
    compare("dice", theirs, smooth=0.5, level=level, include_background=False)
    # MONAI doubles both sums of jaccard, and does not double the smoothing.
    compare("jaccard", monai.DiceLoss(**HOW, **SMOOTH, batch=batch, jaccard=True), smooth=0.25, level=level)


@pytest.mark.parametrize(("alpha", "beta"), [(0.5, 0.5), (0.3, 0.7), (1.0, 0.0)])
def test_tversky_is_that_of_monai(monai: Any, alpha: float, beta: float) -> None:
    compare("tversky", monai.TverskyLoss(**HOW, **SMOOTH, alpha=alpha, beta=beta), smooth=0.5, alpha=alpha, beta=beta)


@pytest.mark.parametrize("weighting", ["square", "simple", "uniform"])
def test_generalized_dice_is_that_of_monai(monai: Any, weighting: str) -> None:
    compare(
        "generalized_dice",
        monai.GeneralizedDiceLoss(**HOW, **SMOOTH, w_type=weighting),
        smooth=0.5,
        weighting=weighting,
    )


def test_focal_is_that_of_monai(monai: Any) -> None:
    focal = monai.FocalLoss(to_onehot_y=True, use_softmax=True, gamma=1.5, reduction="none")
    compare("focal", lambda logits, labels: focal(logits, labels).sum(1), gamma=1.5)
