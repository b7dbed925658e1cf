"""A device that is full answers 507, and the service lives on."""

from __future__ import annotations

from typing import Any

import httpx
import torch

from lossmeter.losses import find


def test_what_does_not_fit_is_507_and_the_next_request_works(http: httpx.Client) -> None:
    loss = find("margin_ranking")

    def full(**_: Any) -> torch.Tensor:
        raise torch.OutOfMemoryError("simulated: this machine has no device that could be filled")

    request = {"input1": [0.5], "input2": [1.5], "labels": [1]}
    genuine = loss.function
    object.__setattr__(loss, "function", full)
    try:
        answer = http.post("/v1/losses/margin_ranking", json=request)
    finally:
        object.__setattr__(loss, "function", genuine)
    assert answer.status_code == 507
    assert answer.headers["content-type"] == "application/problem+json"
    assert "does not fit into the memory of cpu" in answer.json()["detail"]
    assert http.post("/v1/losses/margin_ranking", json=request).json()["value"] == 1.0
