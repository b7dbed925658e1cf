"""Losses for preferences."""

from __future__ import annotations

from tests.support.inputs.declared._inputs import Inputs

DECLARED = {"discopop": Inputs(parameters={"temperature": (0.02, 0.5, 1.0)})}
