"""JSON decoding in every way that it can go, and what plain Python makes of the same text."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator
from typing import Any
from unittest import mock

import numpy as np

from lossmeter.errors import Invalid, LossmeterError, MalformedBody
from lossmeter.tensors import Tensor
from lossmeter.wire import _lift, _numbers
from lossmeter.wire import json as wire

NAMES = frozenset({"predictions", "labels", "mask"})

Outcome = tuple[str, Any]
"""`("fields", …)`, or the name of an error with the places that it names."""


@contextlib.contextmanager
def lifting(minimum: int, slice_bytes: int, window_bytes: int = 1 << 20) -> Iterator[None]:
    """Arrays are lifted out of the smallest bodies, and read in the smallest slices."""
    with (
        mock.patch.object(wire, "LIFT_BYTES", 0),
        mock.patch.object(wire, "LIFTED_BYTES", minimum),
        mock.patch.object(_lift, "LONG_STRING_BYTES", max(minimum, 2)),
        mock.patch.object(_lift, "WINDOW_BYTES", window_bytes),
        mock.patch.object(_numbers, "FIRST_BYTES", slice_bytes),
        mock.patch.object(_numbers, "SLICE_BYTES", slice_bytes),
    ):
        yield


def outcome(body: bytes) -> Outcome:
    """What decoding gives; anything but a result or a declared error comes out as it is."""
    try:
        fields = wire.decode(bytearray(body), NAMES)
    except LossmeterError as error:
        return type(error).__name__, [(flaw.pointer, flaw.index) for flaw in error.flaws]
    return "fields", {name: _comparable(value) for name, value in fields.items()}


def _comparable(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.datatype.name, value.shape, value.data.dtype.str, value.data.tobytes(), value.declared
    return repr(value)  # tells 1 from 1.0 and from true


class NotJson(Exception):
    """The text is not JSON."""


def parsed(body: bytes) -> Any:
    """What the standard library reads, where RFC 8259 agrees.

    Raises:
        NotJson: if it is not JSON.
        Invalid: if it is, but says something twice.
    """
    try:
        text = body.decode("utf-8-sig")  # which may begin with a byte order mark
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
        json.dumps(value, ensure_ascii=False).encode()  # fails for half a surrogate pair
    except (ValueError, RecursionError) as error:
        raise NotJson from error
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs) or any("\0" in name for name in found):
        found["\0"] = None
    return found


def _no_constant(name: str) -> None:
    raise NotJson(name)


def expected(body: bytes) -> str:
    """Whether the fields, or which error, must come of a body."""
    try:
        value = parsed(body)
    except NotJson:
        return MalformedBody.__name__
    if not isinstance(value, dict) or _extreme(value) or _twice(value):
        return Invalid.__name__
    tensors = [value[name] for name in NAMES if value.get(name) is not None]
    return "fields" if all(_is_tensor(tensor) for tensor in tensors) else Invalid.__name__


def _extreme(value: Any) -> bool:
    if isinstance(value, list | dict):
        return any(map(_extreme, value.values() if isinstance(value, dict) else value))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isinf(value) if isinstance(value, float) else not -(2**63) <= value < 2**64


def _twice(value: Any) -> bool:
    if isinstance(value, dict):
        return "\0" in value or any(map(_twice, value.values()))
    return isinstance(value, list) and any(map(_twice, value))


def _is_tensor(value: Any) -> bool:
    """Whether it is a rectangle of numbers, or one of booleans."""
    if isinstance(value, dict):
        return _is_declared(value)
    leaves = list(_leaves(value))
    if len({isinstance(leaf, bool) for leaf in leaves}) > 1:
        return False
    if not all(isinstance(leaf, int | float) for leaf in leaves):
        return False
    try:
        _shape(value)
    except ValueError:
        return False
    return True


def _is_declared(value: dict[str, Any]) -> bool:
    if value.keys() - {"datatype", "shape", "data"} or len(value) != 3 or not _is_tensor(value["data"]):
        return False
    datatype, shape, data = value["datatype"], value["shape"], np.array(value["data"])
    if datatype not in ("BOOL", "INT8", "FP32") or not isinstance(shape, list):
        return False
    if not all(type(size) is int and size >= 0 for size in shape) or value["data"] is None:
        return False
    if data.size != math.prod(shape) or (data.ndim > 1 and list(data.shape) != shape):
        return False
    if data.size and (data.dtype.kind == "b") is not (datatype == "BOOL"):
        return False
    return datatype != "INT8" or bool(((data == np.trunc(data)) & (abs(data + 0.5) < 128)).all())


def _shape(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list):
        return ()
    (inner,) = {_shape(item) for item in value} or {()}
    return (len(value), *inner)


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    else:
        yield value
