"""Losses for tokens."""

from __future__ import annotations

from tests.support.inputs.declared._inputs import Inputs
from tests.support.inputs.source import Case, Source


def _with_a_tail(source: Source, case: Case) -> Case:
    """Something is left for the tokens that are not among the likeliest."""
    return {**case, "predictions": case["predictions"] - 0.2, "teacher": case["teacher"] - 0.4}


DECLARED = {"topk_distillation": Inputs(arrange=_with_a_tail)}
