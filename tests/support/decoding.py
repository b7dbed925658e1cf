"""JSON decoding in every way that it can go, and what plain Python makes of the same text."""

from __future__ import annotations

import binascii
import contextlib
import json
import math
from collections.abc import Iterator
from typing import Any
from unittest import mock

import numpy as np

from lossmeter.errors import Invalid, LossmeterError, MalformedBody
from lossmeter.tensors import Datatype, Tensor
from lossmeter.wire import _extraction, _numbers, _rows
from lossmeter.wire import json as wire

NAMES = frozenset({"predictions", "labels", "mask"})

Outcome = tuple[str, Any]
"""`("fields", …)`, or the name of an error with the places that it names."""


@contextlib.contextmanager
def extracting(minimum: int, slice_bytes: int, window_bytes: int = 1 << 20, *, quick: bool = True) -> Iterator[None]:
    """Arrays are extracted out of the smallest bodies, and read in the smallest slices; only with care if not `quick`."""
    with (
        mock.patch.object(_rows, "read", _rows.read if quick else _never),
        mock.patch.object(wire, "LARGE_BODY_BYTES", 0),
        mock.patch.object(wire, "LONG_ARRAY_BYTES", minimum),
        mock.patch.object(_extraction, "LONG_STRING_BYTES", max(minimum, 2)),
        mock.patch.object(_extraction, "WINDOW_BYTES", window_bytes),
        mock.patch.object(_numbers, "FIRST_BYTES", slice_bytes),
        mock.patch.object(_numbers, "SLICE_BYTES", slice_bytes),
    ):
        yield


def _never(text: bytes | bytearray, start: int) -> None:
    """Leaves every array to the careful reading."""


def outcome(body: bytes) -> Outcome:
    """What decoding gives; anything but a result or a declared error comes out as it is."""
    try:
        fields = wire.decode(bytearray(body), NAMES)
    except LossmeterError as error:
        return type(error).__name__, [(flaw.pointer, flaw.index) for flaw in error.flaws]
    return "fields", {name: comparable(value) for name, value in fields.items()}


def comparable(value: Any) -> Any:
    """A value in a form that can be compared exactly."""
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
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant, parse_int=_integer)
        json.dumps(value, ensure_ascii=False).encode()  # fails for half a surrogate pair
    except ValueError as error:
        raise NotJson from error
    return value


def _integer(digits: str) -> int:
    return int(digits[:40])  # beyond 64 bits, which is all that matters


def _unique(pairs: list[tuple[str, Any]]) -> dict[Any, Any]:
    found = dict(pairs)
    if len(found) != len(pairs) or any("\0" in name for name in found):
        return {None: pairs}  # a name that no text can have
    return found


def _no_constant(name: str) -> None:
    raise NotJson(name)


def expected(body: bytes) -> str:
    """Whether the fields, or which error, must come of a body."""
    try:
        value = parsed(body)
    except NotJson:
        return MalformedBody.__name__
    except RecursionError:
        return Invalid.__name__
    if not isinstance(value, dict) or _extreme(value) or _twice(value):
        return Invalid.__name__
    if any(_depth(member) > 64 for member in value.values()):
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
        return None in value or any(map(_twice, value.values()))
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
    datatype, shape = value.get("datatype"), value.get("shape")
    if value.keys() not in ({"datatype", "shape", "data"}, {"datatype", "shape", "base64"}):
        return False
    if datatype not in list(Datatype.__members__) or not isinstance(shape, list):
        return False
    if not all(type(size) is int and size >= 0 for size in shape) or len(shape) > 64:
        return False
    if math.prod(max(size, 1) for size in shape) >= 2**63:
        return False
    if "base64" in value:
        return _is_bits(value["base64"], Datatype[datatype], math.prod(shape))
    return _is_data(value["data"], Datatype[datatype], shape)


def _is_bits(text: Any, datatype: Datatype, count: int) -> bool:
    try:
        bits = binascii.a2b_base64(text, strict_mode=True) if text else b""
    except (binascii.Error, ValueError, TypeError):
        return False
    right = isinstance(text, str) and len(bits) == count * datatype.size
    return right and (datatype is not Datatype.BOOL or max(bits, default=0) < 2)


def _is_data(value: Any, datatype: Datatype, shape: list[int]) -> bool:
    if value is None or isinstance(value, dict) or datatype.binary_only or not _is_tensor(value):
        return False
    leaves, found = list(_leaves(value)), _shape(value)
    if len(leaves) != math.prod(shape) or (len(found) > 1 and list(found) != shape):
        return False
    if leaves and isinstance(leaves[0], bool) is not (datatype is Datatype.BOOL):
        return False
    if datatype.kind != "index":
        return True
    bounds = np.iinfo(datatype.dtype)
    return all(leaf == math.trunc(leaf) and bounds.min <= leaf <= bounds.max for leaf in leaves)


def _depth(value: Any) -> int:
    if not isinstance(value, list | dict):
        return 0
    return 1 + max(map(_depth, value.values() if isinstance(value, dict) else value), default=0)


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
