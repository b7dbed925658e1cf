"""Lays out safetensors files, for all that write and read them. Needs nothing but numpy: clients import it too.

A file is the length of the header (8 bytes), the header (JSON: name → dtype, shape, data_offsets) and the bytes of the tensors,
back to back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lossmeter.tensors import Datatype, Tensor

Piece = bytes | memoryview

MEDIA_TYPE = "application/vnd.safetensors"
MAX_HEADER_BYTES = 100_000_000
"""A limit of the format."""
LENGTH_BYTES = 8
ALIGNMENT = 8
METADATA = "__metadata__"
REQUEST = "request"
RESPONSE = "response"

DTYPES = {
    "BOOL": Datatype.BOOL,
    "U8": Datatype.UINT8,
    "I8": Datatype.INT8,
    "I16": Datatype.INT16,
    "I32": Datatype.INT32,
    "I64": Datatype.INT64,
    "F16": Datatype.FP16,
    "BF16": Datatype.BF16,
    "F32": Datatype.FP32,
    "F64": Datatype.FP64,
}
NAMES = {datatype: name for name, datatype in DTYPES.items()}


def pieces(tensors: Mapping[str, Tensor], metadata: Mapping[str, str], dumps: Callable[[Any], bytes]) -> list[Piece]:
    """Writes a file in pieces: the header, written by `dumps`, then each tensor's own memory."""
    header: dict[str, Any] = {METADATA: metadata}
    position = 0
    memory: list[Piece] = []
    for name in in_order(tensors):
        tensor = tensors[name]
        bits = tensor.bits.data
        begin, position = position, position + len(bits)
        header[name] = {"dtype": NAMES[tensor.datatype], "shape": tensor.shape, "data_offsets": (begin, position)}
        if bits:
            memory.append(bits)
    text = dumps(header)
    text += b" " * (-len(text) % ALIGNMENT)
    return [len(text).to_bytes(LENGTH_BYTES, "little") + text, *memory]


def in_order(tensors: Mapping[str, Tensor]) -> list[str]:
    """Returns the names of tensors in the order in which they lie in a file: the widest first, so that all are aligned."""
    return sorted(tensors, key=lambda name: -tensors[name].datatype.size)
