"""CUDA shared memory with a real runtime: tensors lie in memory of the GPU that another process holds."""

from __future__ import annotations

import base64
import ctypes
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import torch

from lossmeter.engine.cuda_memory import HANDLE_BYTES, cuda_runtime
from tests.support.devices import on_cuda
from tests.support.open_inference import body, outputs
from tests.support.processes import started

pytestmark = [pytest.mark.cuda, on_cuda]
CE = "/v2/models/cross_entropy/infer"
CUDA = "/v2/cudasharedmemory"
ROWS, CLASSES = 256, 10
RNG = np.random.default_rng(3)
PREDICTIONS = RNG.normal(size=(ROWS, CLASSES)).astype(np.float32)
LABELS = RNG.integers(0, CLASSES, ROWS)
SIZE = 2 * PREDICTIONS.nbytes + LABELS.nbytes
TO_DEVICE, TO_HOST = 1, 2


class Memory:
    """Memory of the GPU, of this process."""

    def __init__(self, size: int) -> None:
        torch.zeros(1, device="cuda")  # makes the context
        self.runtime, self.address = cuda_runtime(), ctypes.c_void_p()
        self.call("cudaMalloc", ctypes.byref(self.address), ctypes.c_size_t(size))

    def call(self, name: str, *arguments: Any) -> None:
        assert getattr(self.runtime, name)(*arguments) == 0, name

    @property
    def handle(self) -> str:
        raw = (ctypes.c_char * HANDLE_BYTES)()
        self.call("cudaIpcGetMemHandle", ctypes.byref(raw), self.address)
        return base64.b64encode(bytes(raw)).decode()

    def write(self, offset: int, content: np.ndarray[Any, Any]) -> None:
        target, source = ctypes.c_void_p((self.address.value or 0) + offset), ctypes.c_void_p(content.ctypes.data)
        self.call("cudaMemcpy", target, source, ctypes.c_size_t(content.nbytes), TO_DEVICE)

    def read(self, offset: int, into: np.ndarray[Any, Any]) -> None:
        target, source = ctypes.c_void_p(into.ctypes.data), ctypes.c_void_p((self.address.value or 0) + offset)
        self.call("cudaMemcpy", target, source, ctypes.c_size_t(into.nbytes), TO_HOST)

    def free(self) -> None:
        self.call("cudaFree", self.address)


@pytest.fixture(scope="module")
def shared() -> Iterator[httpx.Client]:
    with started(LOSSMETER_SHARED_MEMORY="1") as service, httpx.Client(base_url=service.url, timeout=60) as client:
        yield client


def place(offset: int, size: int) -> dict[str, Any]:
    where = {"shared_memory_region": "g", "shared_memory_offset": offset, "shared_memory_byte_size": size}
    return {"parameters": where}


def test_cuda_memory_gives_the_bits_of_the_wire(shared: httpx.Client) -> None:
    assert "cuda_shared_memory" in shared.get("/v2").json()["extensions"]
    wanted = [{"name": one, "parameters": {"binary_data": True}} for one in ("value", "gradient_predictions")]
    content, headers = body({"predictions": PREDICTIONS, "labels": LABELS}, binary=True, outputs=wanted)
    answer = shared.post(CE, content=content, headers=headers)
    assert answer.status_code == 200, answer.text
    expected = outputs(answer.content, answer.headers)["gradient_predictions"]

    memory = Memory(SIZE)
    memory.write(0, PREDICTIONS)
    memory.write(PREDICTIONS.nbytes, LABELS)
    given = {"raw_handle": {"b64": memory.handle}, "device_id": 0, "byte_size": SIZE}
    answer = shared.post(f"{CUDA}/region/g/register", json=given)
    assert answer.status_code == 200, answer.text
    at = PREDICTIONS.nbytes + LABELS.nbytes
    asked = {
        "inputs": [
            {"name": "predictions", "datatype": "FP32", "shape": [ROWS, CLASSES], **place(0, PREDICTIONS.nbytes)},
            {"name": "labels", "datatype": "INT64", "shape": [ROWS], **place(PREDICTIONS.nbytes, LABELS.nbytes)},
        ],
        "outputs": [{"name": "value"}, {"name": "gradient_predictions", **place(at, PREDICTIONS.nbytes)}],
    }
    answer = shared.post(CE, json=asked)
    assert answer.status_code == 200, answer.text
    found = np.empty_like(PREDICTIONS)
    memory.read(at, found)
    assert np.array_equal(found, expected.reshape(found.shape))
    memory.free()
    gone = shared.post(CE, json=asked)
    assert gone.status_code == 409, gone.text
    assert shared.post("/v1/losses/mse", json={"predictions": [1.0], "labels": [0.0]}).json()["value"] == 1.0


def test_a_handle_of_cuda_that_is_none_is_refused_and_the_server_goes_on(shared: httpx.Client) -> None:
    given = {"raw_handle": {"b64": base64.b64encode(bytes(HANDLE_BYTES)).decode()}, "device_id": 0, "byte_size": 4}
    assert shared.post(f"{CUDA}/region/none/register", json=given).status_code == 422
    assert shared.post("/v1/losses/mse", json={"predictions": [1.0], "labels": [0.0]}).json()["value"] == 1.0
