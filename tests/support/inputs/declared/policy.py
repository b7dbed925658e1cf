"""Losses of reinforcement learning."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from tests.support.inputs.declared._inputs import Inputs
from tests.support.inputs.source import Case, Source


def _near(source: Source, case: Case) -> Case:
    """Old log-probabilities near the new ones, so that tokens are within the bounds and outside of them."""
    return {**case, "old_log_probs": case["log_probs"] + 0.3 * source.normal(*case["log_probs"].shape)}


def _far(source: Source) -> Iterator[Case]:
    """Ratios beyond every clamp, and advantages of zero."""
    old = torch.tensor([[-60.0, -1.0, -1.0], [-1.0, -60.0, -70.0]], dtype=torch.float64)
    new = torch.tensor([[-1.0, -60.0, -1.0], [-70.0, -1.0, -1.0]], dtype=torch.float64)
    for sign in (1.0, -1.0, 0.0):
        yield {"log_probs": new, "old_log_probs": old, "advantages": torch.full_like(old, sign)}


def _masked(source: Source) -> Iterator[Case]:
    """Answers of which all, some and no tokens count."""
    mask = torch.tensor([[True, True, True], [True, False, False], [False, False, False]])
    for sign in (1.0, -1.0):
        new, advantages = source.normal(3, 3) - 2, sign * source.uniform(3, 3)
        yield {
            "log_probs": new,
            "old_log_probs": new + 0.3 * source.normal(3, 3),
            "advantages": advantages,
            "mask": mask,
        }
    yield from _far(source)


def _clipped(source: Source, case: Case) -> Case:
    """Old estimates near the new ones, so that they are within the bounds and outside of them."""
    return {**case, "old_values": case["predictions"] + 0.3 * source.normal(*case["predictions"].shape)}


DUAL = (1.05, 3.0)
DECLARED = {
    "importance_sampling": Inputs(arrange=_near, edges=_far),
    "ppo_clip": Inputs(parameters={"dual_clip": DUAL}, arrange=_near, edges=_far),
    "cispo": Inputs(arrange=_near, edges=_far),
    "dro": Inputs(arrange=_near, edges=_far),
    "sapo": Inputs(arrange=_near, edges=_far),
    "dppo_tv": Inputs(arrange=_near, edges=_far),
    "dppo_kl": Inputs(parameters={"low": (0.01, 0.1), "high": (0.01, 0.1)}, arrange=_near, edges=_far),
    "gspo": Inputs(arrange=_near, edges=_masked),
    "geometric_mean_policy": Inputs(arrange=_near, edges=_masked),
    "value_clip": Inputs(arrange=_clipped),
}
