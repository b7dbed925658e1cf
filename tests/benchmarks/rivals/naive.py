"""The service that one writes in five minutes: FastAPI, pydantic lists, `torch.tensor`, `.tolist()`."""

from __future__ import annotations

from typing import Any

import torch
from fastapi import FastAPI
from pydantic import BaseModel
from torch.nn.functional import cross_entropy

app = FastAPI()


class LossRequest(BaseModel):
    """Logits and class indices."""

    predictions: list[list[float]]
    labels: list[int]


@app.post("/v1/losses/cross_entropy")
def compute(request: LossRequest) -> dict[str, Any]:
    predictions = torch.tensor(request.predictions, requires_grad=True)
    loss = cross_entropy(predictions, torch.tensor(request.labels))
    loss.backward()
    assert predictions.grad is not None
    return {"value": loss.item(), "gradients": {"predictions": predictions.grad.tolist()}}


# The same without the return annotation: FastAPI then walks the answer in Python before it is written.
app.post("/unannotated", response_model=None)(compute)


@app.get("/healthz")
async def health() -> dict[str, str]:
    return {"status": "alive"}
