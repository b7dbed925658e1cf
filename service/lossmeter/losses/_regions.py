"""Regions of images: what losses of segmentation share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, NamedTuple

import torch
from torch import Tensor

from lossmeter.catalogue import Prose
from lossmeter.errors import Flaw
from lossmeter.losses import _flaws
from lossmeter.losses.catalogue import Arguments, Support
from lossmeter.losses.vocabulary import ClassIndices, Flags, IgnoredIndex, Logits, NonNegative

RegionLogits = Annotated[
    Logits[Tensor, "N C *d"],
    Prose(
        "logits $x$ of images, classes in the second dimension; any number of further ones, as in pictures or volumes."
    ),
]
RegionLabels = Annotated[
    ClassIndices[Tensor, "N *d"] | Flags[Tensor, "N C *d"],
    Prose(
        "the class of each pixel $y$, for which the logits go through softmax; or 0 and 1 in the shape of `predictions`, for "
        "classes that may overlap, and then each logit goes through a sigmoid."
    ),
]
Level = Annotated[
    Literal["image", "batch"],
    Prose(
        "what a region is: all pixels of a class in one `image`, or in the whole `batch`, as if it were one large image."
    ),
]
Absent = Annotated[
    Literal["skip", "zero", "one"],
    Prose(
        "what a class costs of which no pixel is labelled: `skip` does not count it, `zero` and `one` are constants without "
        "gradient."
    ),
]
Smooth = Annotated[
    NonNegative,
    Prose("$s$, added to numerator and denominator of the quotient: the larger, the less very small regions weigh."),
]
Background = Annotated[
    bool, Prose("whether the first class counts too; without it there is one class less in the result.")
]
Ignored = Annotated[
    IgnoredIndex | None, Prose("label of pixels that belong to no region and are left out; for class indices only.")
]


class Regions(NamedTuple):
    """Pixels of all classes, (N, C, P): the probability of each, and 1 for those that belong to the class, 0 for others.

    Members are numbers, as a product with them takes a quarter of the time of a choice.
    """

    probabilities: Tensor
    members: Tensor

    def error(self, power: Literal[1, 2] = 1) -> Tensor:
        """Returns how far each probability is from the truth, to a power."""
        # p, or 1 - p of a member.
        distance = self.probabilities * torch.rsub(self.members, 1, alpha=2) + self.members
        return distance.square() if power == 2 else distance

    def hits(self) -> Tensor:
        """Returns the probabilities of the pixels that belong to the class, 0 for others."""
        return self.probabilities * self.members


def pixels(tensor: Tensor) -> Tensor:
    """Returns images with one dimension of pixels: (N, C, P)."""
    return tensor.unsqueeze(2) if tensor.ndim == 2 else tensor.flatten(2)


def places(level: str) -> tuple[int, ...]:
    """Returns the dimensions of (N, C, P) that a region stretches over."""
    return (2,) if level == "image" else (0, 2)


def regions(predictions: Tensor, labels: Tensor, *, include_background: bool, ignore_index: int | None) -> Regions:
    """Returns the regions of a batch. A pixel that is ignored has the probability 0 and belongs to no class."""
    if labels.ndim == predictions.ndim:
        probabilities, belong = pixels(predictions.sigmoid()), pixels(labels > 0)
    else:
        probabilities = pixels(predictions.softmax(1))
        flat = pixels(labels.unsqueeze(1))
        classes = torch.arange(predictions.shape[1], device=labels.device).view(-1, 1)
        belong = flat == classes
        if ignore_index is not None:
            ignored = flat == ignore_index
            probabilities = probabilities.masked_fill(ignored, 0.0)
            belong = belong & ~ignored
    members = belong.to(probabilities.dtype)
    return Regions(probabilities, members) if include_background else Regions(probabilities[:, 1:], members[:, 1:])


def present(arguments: Arguments) -> Tensor:
    """Returns which classes have a pixel: (N, C), or (C) for the whole batch."""
    predictions, labels = arguments["predictions"], arguments["labels"]
    if labels.ndim == predictions.ndim:
        there = pixels(labels > 0).any(2)
    else:
        count = predictions.shape[1]
        flat = pixels(labels.unsqueeze(1)).squeeze(1)
        if arguments["ignore_index"] is not None:
            flat = flat.masked_fill(flat == arguments["ignore_index"], count)
        there = torch.zeros(len(labels), count + 1, dtype=torch.bool, device=labels.device)
        there = there.scatter_(1, flat, True)[:, :count]
    if not arguments["include_background"]:
        there = there[:, 1:]
    return there if arguments["level"] == "image" else there.any(0)


def present_classes(arguments: Arguments) -> Support:
    """Classes count that have a pixel, unless those that have none have a constant."""
    return Support(present(arguments)) if arguments["absent"] == "skip" else Support()


def unless_absent(values: Tensor, there: Tensor, absent: str) -> Tensor:
    """Returns the values of classes that are there, and the constant of others."""
    return values.masked_fill(~there, 1.0 if absent == "one" else 0.0)


def quotient(missing: Tensor, whole: Tensor) -> Tensor:
    """Returns missing / whole, and 0 where there is nothing."""
    return missing / whole.masked_fill(whole == 0, 1.0)


def shape_by_class(arguments: Arguments) -> int:
    """Returns the number of the shape among `BY_CLASS`."""
    return 2 * int(arguments["level"] == "batch") + int(not arguments["include_background"])


BY_CLASS = "N C | N C-1 | C | C-1"


def shape_by_image(arguments: Arguments) -> int:
    """Returns the number of the shape among `N | `."""
    return int(arguments["level"] == "batch")


def region_flaws(arguments: Arguments) -> Iterator[Flaw]:
    """Finds predictions without classes, and an index to ignore among labels that are none."""
    yield from _flaws.classes("predictions", arguments["predictions"])
    given = arguments["ignore_index"]
    if given is not None and arguments["labels"].ndim == arguments["predictions"].ndim:
        yield Flaw(
            "/ignore_index", f"ignore_index is {given}; it applies to class indices, and these labels are 0 and 1."
        )
