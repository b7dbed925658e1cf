"""Losses in the engine, beside what computes them in process: torch, kornia, MONAI, and the formulas of trainers."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import kornia.losses as kornia
import torch
import torch.nn.functional as F
from monai import losses as monai
from torch import Tensor

from lossmeter.engine import Call, Engine
from lossmeter.losses import LOSSES, Loss, find
from tests.benchmarks.results import Result
from tests.benchmarks.rivals import floors, trainers
from tests.benchmarks.servers import CLIENT_CORE, pinned
from tests.support.wire import wired

SHAPE = (4096, 1000)
IMAGES = (8, 4, 256, 256)
PAIRS, TOKENS = (1024,), (256, 1024)
ROUNDS = 15
WARM = 10
"""Calls before anything is measured: from some of them on, a program is recorded."""
AIM = 2.0
LEFT_OUT = ("linear_cross_entropy",)
"""Takes features and a classifier: a product of matrices, of which cross entropy is a small part."""
BESIDE = ("binary_focal",)
"""Of another family: with many labels for each sample, of which each is there or not, it is a loss of classes, too."""

Work = Callable[[], object]


class Group(NamedTuple):
    """What takes turns, round after round: losses of the engine, and rivals, of which the fastest counts."""

    ours: Mapping[str, Work]
    rivals: Mapping[str, Work]
    floors: Mapping[str, Work]


def measure(quick: bool) -> Result:
    result = Result("losses", "Losses in process, value and gradient")
    engine = Engine("cpu")
    source = torch.Generator().manual_seed(1)
    with pinned(CLIENT_CORE), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries beside ours
        for group in (_classification(engine, source), *_segmentation(engine, source), *_training(engine, source)):
            _add(result, group, engine, 3 if quick else ROUNDS)
    result.notes.append(
        f"Losses of classes {list(SHAPE)}, segmentation {list(IMAGES)}, pairs {list(PAIRS)}, tokens {list(TOKENS)}. float32, "
        "Processor time of one thread for the mean and its gradient of what a model gives; ours checks every element."
    )
    result.notes.append(
        "A floor is the least that was found for that loss with operations of torch, one after the other by hand: pieces that "
        "fit the cache, derivatives written out, nothing checked."
    )
    return result


def _add(result: Result, group: Group, engine: Engine, rounds: int) -> None:
    steps = {**group.rivals, **group.floors, **group.ours}
    for step in group.ours.values():
        for _ in range(WARM):
            step()
    engine.programs.join()
    for _ in range(rounds):
        for name, step in steps.items():
            step()
            before = time.thread_time()
            step()
            result.add(name, "ms", (time.thread_time() - before) * 1e3)

    def spent(name: str) -> float:
        measured = result.of(name)
        assert measured is not None
        return measured.median

    fastest = min(group.rivals, key=spent)
    for name in group.floors:
        result.compare(f"{name} ÷ {fastest}", name, fastest)
    for name in group.ours:
        result.compare(f"{name} ÷ {fastest}", name, fastest, AIM, "≤")


def _classification(engine: Engine, source: torch.Generator) -> Group:
    logits, labels = torch.randn(SHAPE, generator=source), torch.randint(SHAPE[1], SHAPE[:1], generator=source)
    found = [
        loss
        for loss in LOSSES.values()
        if (loss.family == "classification" and loss.separable and loss.name not in LEFT_OUT) or loss.name in BESIDE
    ]
    given = {loss.name: dict(_inputs(loss, logits, labels, source)) for loss in found}
    return Group(
        {loss.name: _ours(engine, loss.name, given[loss.name]) for loss in found},
        {"torch cross_entropy": _differentiated(lambda x: F.cross_entropy(x, labels), logits)},
        {f"floor of {name}": floors.whole(function, given[name]) for name, function in floors.FLOORS.items()},
    )


def _inputs(loss: Loss, logits: Tensor, labels: Tensor, source: torch.Generator) -> Iterator[tuple[str, Tensor]]:
    """What a loss of classes asks for, by what it says of its roles."""
    classes = logits.shape[1]
    made: dict[str, Callable[[Tensor], Tensor]] = {
        "class indices": lambda _: labels,
        "counts per class": lambda _: torch.arange(1.0, classes + 1),
        "priors": lambda _: torch.full((classes,), 1 / classes),
        "flags": lambda fresh: (fresh > 2.3).float(),
        "±1": lambda fresh: (fresh > 0).float() * 2 - 1,
        "probabilities": lambda fresh: fresh.softmax(1),
        "distributions": lambda fresh: fresh.softmax(1),
        "log-probabilities": lambda fresh: fresh.log_softmax(1),
    }
    if loss.name in BESIDE:
        made["probabilities"] = made["flags"]
    for argument in loss.tensors:
        if argument.required:
            fresh = torch.randn(logits.shape, generator=source)
            yield argument.name, made.get(argument.options[0].meaning.name, torch.clone)(fresh)


def _segmentation(engine: Engine, source: torch.Generator) -> Iterator[Group]:
    logits = torch.randn(IMAGES, generator=source)
    labels = torch.randint(IMAGES[1], (IMAGES[0], *IMAGES[2:]), generator=source)
    channels, how = labels.unsqueeze(1), {"to_onehot_y": True, "softmax": True}
    monai_dice, monai_tversky = monai.DiceLoss(**how), monai.TverskyLoss(**how)
    monai_generalized = monai.GeneralizedDiceLoss(**how)
    monai_focal = monai.FocalLoss(to_onehot_y=True, use_softmax=True)
    rivals: dict[str, dict[str, Callable[[Tensor], Tensor]]] = {
        "dice": {
            "kornia dice": lambda x: kornia.dice_loss(x, labels, average="macro"),
            "MONAI dice": lambda x: monai_dice(x, channels),
        },
        "tversky": {
            "kornia tversky": lambda x: kornia.tversky_loss(x, labels, 0.5, 0.5),
            "MONAI tversky": lambda x: monai_tversky(x, channels),
        },
        "generalized_dice": {"MONAI generalized_dice": lambda x: monai_generalized(x, channels)},
        "focal": {
            "kornia focal": lambda x: kornia.focal_loss(x, labels, None, 2.0, "mean"),
            "MONAI focal": lambda x: monai_focal(x, channels),
        },
        "lovasz_softmax": {"kornia lovasz_softmax": lambda x: kornia.lovasz_softmax_loss(x, labels)},
    }
    for name, functions in rivals.items():
        ours = {f"{name} of images": _ours(engine, name, {"predictions": logits, "labels": labels})}
        yield Group(ours, {rival: _differentiated(one, logits) for rival, one in functions.items()}, {})


def _training(engine: Engine, source: torch.Generator) -> Iterator[Group]:
    roles = ("policy_chosen", "policy_rejected", "reference_chosen", "reference_rejected")
    pairs = {name: -torch.rand(PAIRS, generator=source) for name in roles}
    yield Group(
        {"dpo": _ours(engine, "dpo", pairs, roles[:2])}, {"TRL dpo": _trained(trainers.dpo, pairs, roles[:2])}, {}
    )
    one, other, third = (torch.randn(TOKENS, generator=source) for _ in range(3))
    tokens = {"log_probs": -one.abs(), "old_log_probs": other / 10 - one.abs(), "advantages": third}
    mask = torch.rand(TOKENS, generator=source) < 0.8
    theirs = _trained(lambda **roles: trainers.ppo_clip(**roles, mask=mask), tokens, ("log_probs",))
    yield Group({"ppo_clip": _ours(engine, "ppo_clip", tokens, ("log_probs",), mask)}, {"verl ppo_clip": theirs}, {})


def _differentiated(function: Callable[[Tensor], Tensor], given: Tensor) -> Work:
    return _trained(lambda given: function(given), {"given": given}, ("given",))


def _trained(function: Callable[..., Tensor], given: Mapping[str, Tensor], wanted: Sequence[str]) -> Work:
    def step() -> tuple[float, list[Tensor | None]]:
        leaves = {name: given[name].detach().requires_grad_() for name in wanted}
        value = function(**{**given, **leaves})
        value.backward()
        return value.item(), [leaf.grad for leaf in leaves.values()]

    return step


def _ours(
    engine: Engine,
    name: str,
    tensors: Mapping[str, Tensor],
    wanted: Sequence[str] = ("predictions",),
    mask: Tensor | None = None,
) -> Work:
    parameters = {parameter.name: parameter.default for parameter in find(name).parameters}
    given = {role: wired(tensor) for role, tensor in tensors.items()}
    call = Call(
        find(name), given, parameters, gradients=tuple(wanted), mask=None if mask is None else wired(mask), advice=True
    )
    return lambda: engine.compute(call)
