"""Open Inference Protocol v2 ⇄ tensors: JSON, and JSON followed by the bytes of tensors (the binary tensor extension).

A tensor may also lie in shared memory; whoever calls says whether it may, and how it is read and written.

Where bytes follow the JSON, how long it is stands outside of the body, in a header; without one, all of the body is JSON.
The bytes of each tensor are `binary_data_size` many, little-endian, row-major, one tensor after the other without gaps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

import orjson
import simdjson

from lossmeter.errors import Invalid, MalformedBody
from lossmeter.tensors import Array, Datatype, Tensor
from lossmeter.wire import json
from lossmeter.wire._reader import Reader, read_datatype
from lossmeter.wire._values import BadValue, count, read_elements, read_members, shown
from lossmeter.wire.regions import Slice

MAX_INPUTS = 64
"""Inputs, or outputs, of one request: no loss has as many."""
FIELDS = ("id", "parameters", "inputs", "outputs")
BINARY_SIZE = "binary_data_size"
BINARY = "binary_data"
BINARY_OUTPUT = "binary_data_output"
REGION, OFFSET, SIZE = "shared_memory_region", "shared_memory_offset", "shared_memory_byte_size"

JOINED_BYTES = 1 << 16
"""An answer of JSON up to which its pieces are joined: each is a message to the server otherwise."""

CLOSED = "which is not open to this request (LOSSMETER_SHARED_MEMORY; clients of this machine alone)"

Places = Mapping[str, Slice]
"""Where in shared memory outputs are to be written."""
Fetch = Callable[[str, Slice, Places], Array]
"""Reads the bytes of an input out of shared memory."""
Store = Callable[[Slice, Array], None]
"""Writes those of an output there."""
_Read = Callable[[str, Slice], Array]


@dataclass(frozen=True, slots=True)
class InferenceRequest:
    """Holds a decoded request.

    Attributes:
        id: given by the client, for the answer to repeat.
        tensors: the inputs by name.
        parameters: of the request, without those of the binary extension.
        outputs: the outputs asked for, and whether each is to come as bytes; none if the request leaves them open.
        binary: whether outputs come as bytes that do not say so themselves.
        places: where in shared memory outputs are to be written.
        shared: whether anything of it lies in shared memory.
    """

    id: str | None
    tensors: dict[str, Tensor]
    parameters: dict[str, Any]
    outputs: dict[str, bool] | None
    binary: bool
    places: Places = field(default_factory=dict)
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """Holds an answer in pieces; if bytes follow the JSON, the JSON is the first piece."""

    pieces: list[bytes | memoryview]
    json_bytes: int | None = None


@dataclass(slots=True)
class _Binary:
    """Holds the part of the body behind the JSON, which the inputs take their bytes from in turn."""

    body: bytearray
    stated: bool
    position: int
    free: int = field(default=0)

    def take(self, name: str, size: Any, datatype: Datatype, shape: tuple[int, ...]) -> Tensor:
        """Takes the next tensor, as a view of the body."""
        if not self.stated:
            raise _malformed(f"states {BINARY_SIZE} of {name}, but no header states where the JSON ends")
        if type(size) is not int or size < 0:
            raise BadValue(f"has {BINARY_SIZE} {shown(size)}; expected a non-negative integer")
        expected = count(shape) * datatype.size
        if size != expected:
            raise BadValue(f"has {BINARY_SIZE} {size}; expected {expected} for {datatype.name} of shape {list(shape)}")
        start, left = self.position, len(self.body) - self.position
        if size > left:
            raise _malformed(f"is to hold {size} bytes of {name}; {left} are left")
        self.position += size
        return Tensor(datatype, shape, read_elements(self.body, self._align(start, size, datatype), datatype, shape))

    def _align(self, start: int, size: int, datatype: Datatype) -> int:
        """Moves bytes over JSON that nobody needs any more to where torch can use them, and returns where that is.

        A copy would take as much memory again.
        """
        place = -(-self.free // datatype.size) * datatype.size
        if start % datatype.size == 0 or place > start:
            place = start
        else:
            memory = memoryview(self.body)
            memory[place : place + size] = memory[start : start + size]
        self.free = place + size
        return place


def decode(
    body: bytearray, json_bytes: int | None, tensors: AbstractSet[str], fetch: Fetch | None = None
) -> InferenceRequest:
    """Reads the request that a body holds, of which the first `json_bytes` are JSON; all of it, if that is not stated.

    The body is written to: tensors are views of it. Without `fetch`, none may lie in shared memory.

    Raises:
        MalformedBody: if the bytes are not what they claim to be.
        Invalid: if the request breaks a rule of the protocol, or an input is none of those named in `tensors`.
        TooLarge: if too much of it is no tensor.
    """
    if json_bytes is not None and json_bytes > len(body):
        raise _malformed(f"has {len(body)} bytes; the header states {json_bytes} of JSON")
    text = body if json_bytes is None or json_bytes == len(body) else body[:json_bytes]
    document, reader = json.read(text)
    binary = _Binary(body, json_bytes is not None, len(text))
    slices: list[Slice] = []

    def fetched(name: str, where: Slice) -> Array:
        assert fetch is not None
        slices.append(where)
        return fetch(name, where, places)

    try:
        given = _object(document, FIELDS)
        parameters = _plain_object(given.get("parameters"), reader, "parameters")
        as_binary = _flag(parameters.pop(BINARY_OUTPUT, False), BINARY_OUTPUT)
        outputs, places = _outputs(given.get("outputs"), reader, as_binary, shared=fetch is not None)
        inputs = _inputs(given.get("inputs"), reader, binary, tensors, None if fetch is None else fetched)
        name = reader.to_python(given.get("id"))
        if not isinstance(name, str | None):
            raise BadValue(f"is {shown(name)}; expected a string", inside=("id",))
    except BadValue as bad:
        if bad.malformed:
            raise bad.error(".".join(map(str, bad.inside)) or "the request") from None
        raise reader.refusal(Invalid.of("request", [bad.flaw()])) from None
    flaws = [bad.flaw(*path) for path, bad in reader.find_hidden()]
    if flaws:
        raise reader.refusal(Invalid.of("request", flaws))
    if binary.position != len(body):
        raise _malformed(f"has {len(body) - binary.position} bytes behind the last input")
    return InferenceRequest(name, inputs, parameters, outputs, as_binary, places, bool(slices or places))


def _inputs(
    value: Any, reader: Reader, binary: _Binary, tensors: AbstractSet[str], fetch: _Read | None
) -> dict[str, Tensor]:
    inputs: dict[str, Tensor] = {}
    for given in _objects(value, reader, "inputs", ("name", "shape", "datatype", "parameters", "data")):
        name = _name(given, "inputs")
        if name in inputs:
            raise BadValue("is given twice", inside=(name,))
        if name not in tensors:
            raise BadValue(f"is not an input; expected one of {', '.join(sorted(tensors))}", inside=(name,))
        try:
            inputs[name] = _tensor(name, given, reader, binary, fetch)
        except BadValue as bad:
            bad.inside = (name, *bad.inside)
            raise
    return inputs


def _tensor(name: str, given: Mapping[str, Any], reader: Reader, binary: _Binary, fetch: _Read | None) -> Tensor:
    datatype = read_datatype(given.get("datatype"))
    shape = reader.to_shape(given.get("shape"))
    parameters = _plain_object(given.get("parameters"), reader, "parameters")
    data, size = given.get("data"), parameters.get(BINARY_SIZE)
    where = _slice(parameters)
    if where is not None:
        if fetch is None:
            raise BadValue(f"lies in shared memory, {CLOSED}")
        if data is not None or size is not None:
            raise BadValue(f"needs either data, {BINARY_SIZE} or {REGION}")
        expected = count(shape) * datatype.size
        if where.size != expected:
            message = f"{datatype.name} of shape {list(shape)}"
            raise BadValue(f"has {SIZE} {where.size}; expected {expected} for {message}")
        return shared_tensor(fetch(name, where), datatype, shape)
    if (data is None) == (size is None):
        raise BadValue(f"needs either data or {BINARY_SIZE}")
    if size is not None:
        return binary.take(name, size, datatype, shape)
    if datatype.binary_only:
        raise BadValue(f"is {datatype.name}, which travels as bytes only ({BINARY_SIZE})")
    return reader.fit(data, datatype, shape, (name,))


def shared_tensor(content: Array, datatype: Datatype, shape: tuple[int, ...]) -> Tensor:
    """Makes a tensor of its bytes, which lay in shared memory, or still do.

    Raises:
        BadValue: if a boolean is neither 0 nor 1.
    """
    return Tensor(datatype, shape, read_elements(content.data, 0, datatype, shape))


def _outputs(value: Any, reader: Reader, as_binary: bool, *, shared: bool) -> tuple[dict[str, bool] | None, Places]:
    wanted: dict[str, bool] = {}
    places: dict[str, Slice] = {}
    if value is None:
        return None, places
    for given in _objects(value, reader, "outputs", ("name", "parameters")):
        name = _name(given, "outputs")
        if name in wanted:
            raise BadValue(f"names {shown(name)} twice", inside=("outputs",))
        try:
            parameters = _plain_object(given.get("parameters"), reader, "parameters")
            if parameters.get("classification"):
                raise BadValue("asks for classification, which this server does not offer")
            where = _slice(parameters)
            if where is not None and not shared:
                raise BadValue(f"asks for shared memory, {CLOSED}")
            wanted[name] = _flag(parameters.get(BINARY, as_binary), BINARY)
        except BadValue as bad:
            bad.inside = ("outputs", name, *bad.inside)
            raise
        if where is not None:
            places[name] = where
    return wanted or None, places


def _slice(parameters: Mapping[str, Any]) -> Slice | None:
    """Reads where in shared memory a tensor lies; None if it does not."""
    if REGION not in parameters and SIZE not in parameters and OFFSET not in parameters:
        return None
    region = parameters.get(REGION)
    if not isinstance(region, str):
        raise BadValue(f"is {shown(region)}; expected the name of a region", inside=("parameters", REGION))
    offset, size = (_natural(parameters.get(name, default), name) for name, default in ((OFFSET, 0), (SIZE, None)))
    return Slice(region, offset, size)


def _natural(value: Any, name: str) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise BadValue(f"is {shown(value)}; expected a non-negative integer", inside=("parameters", name))
    return value


def _objects(value: Any, reader: Reader, what: str, fields: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Reads the members of each object of an array."""
    if not isinstance(value, simdjson.Array) or len(value) > MAX_INPUTS:
        raise BadValue(f"is no array of at most {MAX_INPUTS} objects", inside=(what,))
    reader.arrays += 1
    for position, item in enumerate(value):
        try:
            yield _object(item, fields)
        except BadValue as bad:
            bad.inside = (what, position, *bad.inside)
            raise


def _object(value: Any, fields: Sequence[str]) -> dict[str, Any]:
    if not isinstance(value, simdjson.Object):
        raise BadValue(f"is no object; expected one with {', '.join(fields)}")
    given = read_members(value)
    unknown = given.keys() - set(fields)
    if unknown:
        raise BadValue(f"has an unknown field {shown(min(unknown))}; expected {', '.join(fields)}")
    return given


def _plain_object(value: Any, reader: Reader, what: str) -> dict[str, Any]:
    plain = {} if value is None else reader.to_python(value)
    if not isinstance(plain, dict):
        raise BadValue(f"is {shown(plain)}; expected an object", inside=(what,))
    return plain


def _name(given: Mapping[str, Any], what: str) -> str:
    name = given.get("name")
    if not isinstance(name, str):
        raise BadValue("holds an object without a name", inside=(what,))
    return name


def _flag(value: Any, what: str) -> bool:
    if not isinstance(value, bool):
        raise BadValue(f"is {shown(value)}; expected true or false", inside=(what,))
    return value


def _malformed(problem: str) -> MalformedBody:
    return MalformedBody(f"The body {problem}.")


# --- answers --------------------------------------------------------------------------------------------------------------


def encode(
    head: Mapping[str, Any],
    outputs: Mapping[str, Tensor],
    binary: AbstractSet[str],
    places: Places | None = None,
    store: Store | None = None,
) -> Answer:
    """Writes the answer, with the outputs named in `binary` as bytes behind the JSON, each in its own memory.

    Those that have a place in shared memory are written there.
    """
    text: list[bytes | memoryview] = [orjson.dumps(head)[:-1] + b',"outputs":[']
    bits: list[bytes | memoryview] = []
    for number, (name, tensor) in enumerate(outputs.items()):
        if number:
            text.append(b",")
        entry = {"name": name, "datatype": tensor.datatype.name, "shape": tensor.shape}
        if places and name in places:
            assert store is not None, "a place is read only where there is shared memory"
            where = places[name]
            store(where, tensor.bits)
            place = {REGION: where.region, SIZE: tensor.bits.nbytes, OFFSET: where.offset}
            text.append(orjson.dumps(entry | {"parameters": place}))
        elif name in binary:
            raw = tensor.bits.data
            text.append(orjson.dumps(entry | {"parameters": {BINARY_SIZE: raw.nbytes}}))
            bits.append(raw)
        else:
            text += json.tensor_pieces(tensor, {"name": name})
    text.append(b"]}")
    if not bits and sum(map(len, text)) > JOINED_BYTES:
        return Answer(text)
    whole = b"".join(text)
    return Answer([whole, *bits], len(whole) if bits else None)
