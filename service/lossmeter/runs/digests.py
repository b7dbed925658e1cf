"""Digests of the contents of batches: equal for equal content in any format, so that a retry is recognised."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from lossmeter.tensors import Tensor, Texts


def digest(fields: Mapping[str, Any]) -> bytes:
    """Hashes the fields with SHA-256; one that is null counts as one that is not given."""
    given = {name: value for name, value in fields.items() if value is not None}
    tensors = {name: value for name, value in given.items() if isinstance(value, Tensor)}
    given |= {name: [value.shape, *value.data] for name, value in given.items() if isinstance(value, Texts)}
    rest = {name: value for name, value in given.items() if name not in tensors}
    hashed = hashlib.sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode())
    for name, tensor in sorted(tensors.items()):
        hashed.update(f"\n{name} {tensor.datatype.name} {list(tensor.shape)}\n".encode())
        hashed.update(tensor.bits.data)
    return hashed.digest()
