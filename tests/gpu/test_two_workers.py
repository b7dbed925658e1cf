"""Two workers share one GPU: both answer, with the bits of one process, and each has its part of the memory."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import torch
import torch.nn.functional as F

from tests.support.devices import DEVICE, on_cuda
from tests.support.processes import count_workers, started, wait_until

pytestmark = [pytest.mark.cuda, on_cuda]


def test_both_workers_answer_with_the_bits_of_one_process() -> None:
    logits = torch.randn(64, 10, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(64) % 10
    body = {"predictions": logits.tolist(), "labels": labels.tolist(), "gradients": ["predictions"]}
    given = logits.to(DEVICE).requires_grad_()
    F.cross_entropy(given, labels.to(DEVICE)).backward()
    assert given.grad is not None
    expected = given.grad.cpu().flatten()

    with started("--workers", "2") as service:
        wait_until(lambda: count_workers(service.url) == 2, "both there", 60)

        def asked(_: int) -> torch.Tensor:
            answer = httpx.post(service.url + "/v1/losses/cross_entropy", json=body, timeout=60)
            assert answer.status_code == 200, answer.text
            assert answer.json()["device"].startswith("cuda")
            return torch.tensor(answer.json()["gradients"]["predictions"]["data"]).flatten()

        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(asked, range(160)))
    assert all(torch.equal(one, found[0]) for one in found)
    torch.testing.assert_close(found[0], expected, rtol=1e-6, atol=1e-9)
