"""The digest of a batch's content: the same for the same content in any format, so that a retry is recognised."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from lossmeter.tensors import Tensor


def digest(fields: Mapping[str, Any]) -> bytes:
    """SHA-256 of the fields; one that is null counts as one that is not given."""
    given = {name: value for name, value in fields.items() if value is not None}
    tensors = {name: value for name, value in given.items() if isinstance(value, Tensor)}
    rest = {name: value for name, value in given.items() if name not in tensors}
    found = hashlib.sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode())
    for name, tensor in sorted(tensors.items()):
        found.update(f"\n{name} {tensor.datatype.name} {list(tensor.shape)}\n".encode())
        found.update(tensor.bits.data)
    return found.digest()
