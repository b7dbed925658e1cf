"""Requests of the Open Inference Protocol, put together by hand."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from lossmeter.losses import Loss

DATATYPES = {"float32": "FP32", "float64": "FP64", "int64": "INT64", "bool": "BOOL", "float16": "FP16"}


def arrays(loss: Loss, request: dict[str, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """The tensors of an example, in the datatypes that nested arrays take."""
    found = {}
    for name in request.keys() & loss.tensor.keys():
        array = np.array(request[name])
        kinds = {role.meaning.kind for role in loss.tensor[name].options}
        index = "index" in kinds and array.dtype.kind == "i"
        found[name] = array.astype(np.bool_ if kinds == {"boolean"} else np.int64 if index else np.float32)
    return found


def body(
    tensors: dict[str, np.ndarray[Any, Any]], *, binary: bool = False, **fields: Any
) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a request."""
    inputs: list[dict[str, Any]] = []
    bits = b""
    for name, array in tensors.items():
        entry: dict[str, Any] = {"name": name, "datatype": DATATYPES[array.dtype.name], "shape": array.shape}
        if binary:
            entry["parameters"] = {"binary_data_size": array.nbytes}
            bits += array.tobytes()
        else:
            entry["data"] = array.tolist()
        inputs.append(entry)
    text = json.dumps({"inputs": inputs, **fields}).encode()
    return text + bits, {"Inference-Header-Content-Length": str(len(text))} if binary else {}


def outputs(content: bytes, headers: Any) -> dict[str, np.ndarray[Any, Any]]:
    """The tensors of an answer."""
    dtypes = {name: np.dtype(dtype) for dtype, name in DATATYPES.items()}
    length = int(headers.get("Inference-Header-Content-Length", len(content)))
    position = length
    found = {}
    for output in json.loads(content[:length])["outputs"]:
        dtype = dtypes[output["datatype"]]
        if "data" in output:
            array = np.array(output["data"], dtype)
        else:
            size = output["parameters"]["binary_data_size"]
            array = np.frombuffer(content[position : position + size], dtype)
            position += size
        found[output["name"]] = array.reshape(output["shape"])
    assert position == len(content)
    return found
