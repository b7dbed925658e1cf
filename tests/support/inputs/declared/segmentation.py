"""Losses for segmentation."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from tests.support.inputs.declared._inputs import Cases, Inputs
from tests.support.inputs.source import Case, Source

CHOICES: tuple[Case, ...] = (
    {"level": "batch"},
    {"include_background": False, "absent": "one"},
    {"level": "batch", "include_background": False, "absent": "zero", "smooth": 0.0},
    {"smooth": 2.5},
)
RANKED = ({"level": "batch"}, {"include_background": False}, {"classes": "all"})


def _small(*sets: Case, overlapping: bool = True) -> Cases:
    """Images of a few pixels: what costs time is the number of logits to differentiate."""

    def smooth(source: Source) -> Iterator[Case]:
        for number, given in enumerate(({}, {}, {}, *sets)):
            pixels = ((), (4,), (2, 3))[number % 3]
            yield {"predictions": source.normal(2, 3, *pixels), "labels": source.indices(2, *pixels, below=3), **given}
            if overlapping:
                flags = source.indices(2, 3, *pixels, below=2).double()
                flags.view(2, 3, -1)[:, :2, 0] = 1.0  # in each image something counts
                yield {"predictions": source.normal(2, 3, *pixels), "labels": flags, **given}

    return smooth


def _extreme(*sets: Case) -> Cases:
    """Logits that saturate, right and wrong, of every class or of one; images of one pixel, and without any."""

    def edges(source: Source) -> Iterator[Case]:
        labels = source.indices(3, 6, below=3)
        labels[1] = 2
        truth = torch.nn.functional.one_hot(labels, 3).movedim(2, 1)
        for given in sets:
            for logits in (800.0 * (2 * truth - 1), -40.0 * truth, torch.zeros(3, 3, 6), 2 * source.normal(3, 3, 6)):
                yield {"predictions": logits.double(), "labels": labels, "smooth": 0.0, **given}
                yield {"predictions": logits.double(), "labels": labels, "level": "batch", **given}
            yield {"predictions": source.normal(3, 3), "labels": labels[:, 0], **given}
            yield {"predictions": source.normal(2, 3, 0), "labels": labels[:2, :0], **given}
            yield {"predictions": source.normal(0, 3, 6), "labels": labels[:0], **given}
            yield {"predictions": source.normal(0, 3, 6), "labels": labels[:0], "level": "batch", **given}
            yield {"predictions": source.normal(3, 1, 6), "labels": 0 * labels, **given}
            for ignored in (0, 2, 255):
                with_ignored = labels.clone()
                with_ignored[:, ::2] = ignored
                case = {"predictions": source.normal(3, 3, 6), "labels": with_ignored, "ignore_index": ignored, **given}
                yield case
                yield {**case, "level": "batch", "include_background": False, "absent": "one"}

    return edges


def _overlapping(*sets: Case) -> Cases:
    """The same, and labels of 0 and 1 for each class by itself, none of them anywhere."""

    def edges(source: Source) -> Iterator[Case]:
        yield from _extreme(*sets)(source)
        for given in sets:
            for labels in (torch.zeros(2, 3, 4), torch.ones(2, 3, 4), source.indices(2, 3, 4, below=2)):
                yield {"predictions": 30 * source.normal(2, 3, 4), "labels": labels.double(), "level": "batch", **given}

    return edges


def _sorted(source: Source) -> Iterator[Case]:
    for case in _extreme({})(source):
        yield {name: value for name, value in case.items() if name not in ("smooth", "absent")}
    yield {"predictions": torch.zeros(2, 3, 4).double(), "labels": source.indices(2, 4, below=2), "classes": "all"}


def _hinged(source: Source) -> Iterator[Case]:
    flags = source.indices(3, 5, below=2).double()
    for labels in (flags, torch.zeros_like(flags), torch.ones_like(flags)):
        for predictions in (source.normal(3, 5), torch.zeros(3, 5).double(), 1e6 * (2 * labels - 1)):
            yield {"predictions": predictions, "labels": labels}
            yield {"predictions": predictions, "labels": labels, "level": "batch"}


UNEQUAL: Case = {"alpha": 0.3, "beta": 0.7}
DECLARED = {
    "dice": Inputs(
        smooth=_small(*CHOICES, {"squared": True}), edges=_overlapping({}, {"squared": True}), generate_edges=False
    ),
    "generalized_dice": Inputs(
        smooth=_small(*CHOICES, {"weighting": "simple"}, {"weighting": "uniform", "smooth": 1e-5}),
        edges=_overlapping({}, {"weighting": "simple"}),
        generate_edges=False,
    ),
    "jaccard": Inputs(smooth=_small(*CHOICES), edges=_overlapping({}), generate_edges=False),
    "tversky": Inputs(
        smooth=_small(*CHOICES, UNEQUAL), edges=_overlapping(UNEQUAL, {"beta": 0.0}), generate_edges=False
    ),
    "focal_tversky": Inputs(
        smooth=_small(*CHOICES, UNEQUAL, {"gamma": 0.75}),
        edges=_overlapping(UNEQUAL, {"gamma": 3.0}),
        generate_edges=False,
    ),
    "lovasz_softmax": Inputs(smooth=_small(*RANKED, overlapping=False), edges=_sorted, generate_edges=False),
    "lovasz_hinge": Inputs(edges=_hinged),
}
