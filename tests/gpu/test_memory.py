"""A batch that does not fit into the memory of the GPU is computed in chunks, or is 507; the service goes on."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
import safetensors.numpy
import torch
import torch.nn.functional as F

from tests.benchmarks.payloads import as_safetensors, classification
from tests.gpu.bounded import PROGRAM
from tests.support.devices import on_cuda
from tests.support.processes import started

pytestmark = [pytest.mark.cuda, on_cuda]
MSE = {"predictions": [1.0, 2.0], "labels": [0.0, 0.0]}


@pytest.fixture(scope="module")
def small() -> Iterator[httpx.Client]:
    with started(program=PROGRAM) as service, httpx.Client(base_url=service.url, timeout=60) as client:
        yield client


def fallbacks(client: httpx.Client) -> dict[str, float]:
    found = re.findall(r'lossmeter_memory_fallbacks(?:_total)?\{\w+="(\w+)"\} (\S+)', client.get("/metrics").text)
    return {name: float(number) for name, number in found}


def test_a_batch_that_does_not_fit_into_memory_is_computed_in_chunks(small: httpx.Client) -> None:
    before = fallbacks(small)["chunked"]
    tensors = classification(24_000, 1000)
    payload = as_safetensors("cross_entropy", tensors)
    answer = small.post(payload.path, content=payload.body, headers=dict(payload.headers))
    assert answer.status_code == 200, answer.text[:500]
    assert fallbacks(small)["chunked"] > before
    found = next(one for name, one in safetensors.numpy.load(answer.content).items() if "predictions" in name)
    logits = torch.from_numpy(tensors["predictions"]).cuda().requires_grad_()
    F.cross_entropy(logits, torch.from_numpy(tensors["labels"]).cuda()).backward()
    assert logits.grad is not None
    np.testing.assert_allclose(found, logits.grad.cpu().numpy(), rtol=1e-5, atol=1e-12)


def test_what_cannot_fit_into_memory_is_507_and_the_service_goes_on(small: httpx.Client) -> None:
    query = np.random.default_rng(0).standard_normal((9000, 8), dtype=np.float32)
    payload = as_safetensors("info_nce", {"query": query, "positive": query}, gradients=["query"])
    answer = small.post(payload.path, content=payload.body, headers=dict(payload.headers))
    assert answer.status_code == 507, answer.text[:500]
    assert "does not fit into the memory of cuda" in answer.json()["detail"]
    assert small.post("/v1/losses/mse", json=MSE).json()["value"] == 2.5
