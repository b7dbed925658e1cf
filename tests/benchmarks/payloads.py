"""The same cross entropy with gradient, as each format writes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from tests.benchmarks.load import request

SEED = 20_240_229
NUMPY = orjson.OPT_SERIALIZE_NUMPY
SAFETENSORS = "application/vnd.safetensors"

Arrays = dict[str, np.ndarray[Any, Any]]


@dataclass(frozen=True, slots=True)
class Payload:
    """A request body and where it goes."""

    form: str
    path: str
    body: bytes
    headers: tuple[tuple[str, str], ...]

    @property
    def prepared(self) -> bytes:
        return request("POST", self.path, self.body, self.headers)


def classification(rows: int, classes: int) -> Arrays:
    """Logits, as a linear layer gives them, and class indices."""
    random = np.random.default_rng(SEED)
    logits = random.standard_normal((rows, classes), dtype=np.float32)
    return {"predictions": logits, "labels": random.integers(0, classes, rows)}


def regression(size: int) -> Arrays:
    """Values and what they should have been."""
    random = np.random.default_rng(SEED)
    return {name: random.standard_normal(size, dtype=np.float32) for name in ("predictions", "labels")}


def detection(size: int) -> Arrays:
    """Logits, and labels of which one in a hundred is positive."""
    random = np.random.default_rng(SEED)
    labels = (random.random(size, dtype=np.float32) < 0.01).astype(np.float32)
    return {"predictions": random.standard_normal(size, dtype=np.float32), "labels": labels}


def as_json(loss: str, tensors: Arrays, **fields: Any) -> Payload:
    body = orjson.dumps({**tensors, "gradients": ["predictions"], **fields}, option=NUMPY)
    return Payload("JSON", f"/v1/losses/{loss}", body, (("Content-Type", "application/json"),))


def as_safetensors(loss: str, tensors: Arrays, **fields: Any) -> Payload:
    return _in_safetensors(f"/v1/losses/{loss}", tensors, {"gradients": ["predictions"], **fields})


def evaluation(tensors: Arrays, **plan: Any) -> Payload:
    """An evaluation of tensors, as safetensors."""
    return _in_safetensors("/v1/evaluate", tensors, plan)


def batch(tensors: Arrays) -> Payload:
    """A batch of a run, as safetensors; it is put under its own address."""
    return _in_safetensors("", tensors, {})


def _in_safetensors(path: str, tensors: Arrays, fields: dict[str, Any]) -> Payload:
    header: dict[str, Any] = {"__metadata__": {"request": orjson.dumps(fields).decode()}}
    at = 0
    for name, array in tensors.items():
        dtype = {"f4": "F32", "i8": "I64"}[array.dtype.str[1:]]
        header[name] = {"dtype": dtype, "shape": array.shape, "data_offsets": [at, at + array.nbytes]}
        at += array.nbytes
    head = orjson.dumps(header)
    head += b" " * (-len(head) % 8)
    body = b"".join([len(head).to_bytes(8, "little"), head, *(array.tobytes() for array in tensors.values())])
    headers = (("Content-Type", SAFETENSORS), ("Accept", SAFETENSORS))
    return Payload("safetensors", path, body, headers)


def as_inference(loss: str, tensors: Arrays, **fields: Any) -> Payload:
    """The Open Inference Protocol v2 with its binary extension."""
    inputs = [
        {
            "name": name,
            "shape": array.shape,
            "datatype": {"f4": "FP32", "i8": "INT64"}[array.dtype.str[1:]],
            "parameters": {"binary_data_size": array.nbytes},
        }
        for name, array in tensors.items()
    ]
    outputs = [{"name": name, "parameters": {"binary_data": True}} for name in ("value", "gradient_predictions")]
    head = orjson.dumps({"inputs": inputs, "outputs": outputs, "parameters": fields})
    body = b"".join([head, *(array.tobytes() for array in tensors.values())])
    headers = (("Content-Type", "application/octet-stream"), ("Inference-Header-Content-Length", str(len(head))))
    return Payload("Open Inference", f"/v2/models/{loss}/infer", body, headers)


FORMS = {"JSON": as_json, "safetensors": as_safetensors, "Open Inference": as_inference}
