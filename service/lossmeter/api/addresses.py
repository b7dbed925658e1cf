"""The addresses that several files know."""

from __future__ import annotations

LOSSES = "/v1/losses"
CUSTOM = LOSSES + "/custom"
OBJECTIVES = "/v1/objectives"
EVALUATE = "/v1/evaluate"
RUNS = "/v1/runs"
COMPARISONS = "/v1/comparisons"
KEYS = "/v1/keys"
OPEN_INFERENCE = "/v2"
"""Below it lies the Open Inference Protocol, which has a form of its own for errors."""
MODEL = OPEN_INFERENCE + "/models/{loss}"
MODEL_VERSION = MODEL + "/versions/{version}"
SYSTEM_MEMORY = OPEN_INFERENCE + "/systemsharedmemory"
CUDA_MEMORY = OPEN_INFERENCE + "/cudasharedmemory"
VERSION = "1"
"""The only version of every model."""
