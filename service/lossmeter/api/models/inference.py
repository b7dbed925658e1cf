"""Losses as models of the Open Inference Protocol: their metadata, their calls, their outputs."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

import lossmeter
from lossmeter.api.addresses import VERSION
from lossmeter.api.models.schemas import ENCODING, parse_call, tensor_names
from lossmeter.engine import Call, Outcome
from lossmeter.errors import Invalid, NotFound, pointer
from lossmeter.losses import Loss
from lossmeter.losses.shapes import patterns
from lossmeter.tensors import Datatype, Tensor
from lossmeter.wire import open_inference
from lossmeter.wire.open_inference import Answer, InferenceRequest, Store

PLATFORM = "lossmeter_torch"
EXTENSIONS = ("binary_tensor_data", "parameters")
GRADIENT = "gradient_"
SCHEDULING = frozenset({"sequence_id", "sequence_start", "sequence_end", "priority", "timeout"})
"""Parameters by which clients of Triton talk to its scheduler; they change no result."""
DATATYPES = {"floating": "FP32", "index": "INT64", "boolean": "BOOL"}


class ServerMetadata(BaseModel):
    """The server, and what it speaks."""

    name: str
    version: str
    extensions: list[str] = Field(description="Extensions of the protocol that are spoken.")


class Live(BaseModel):
    """A server that is alive."""

    live: bool


class Ready(BaseModel):
    """A server that is ready for work."""

    ready: bool


class ModelReady(BaseModel):
    """A loss, and whether it is ready for work."""

    name: str
    ready: bool


class TensorMetadata(BaseModel):
    """An input or an output of a loss."""

    name: str
    datatype: str = Field(description="The usual one; the page of the loss says what else is accepted.")
    shape: list[int] = Field(description="-1 for a dimension of any size, or, alone, for any number of dimensions.")


class ModelMetadata(BaseModel):
    """A loss as a model."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class InferInput(BaseModel):
    """An input: `data`, `binary_data_size` bytes behind the JSON, or a slice of a region of shared memory."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(description="A role or a tensor parameter of the loss, `sample_weight`, `mask` or `upstream`.")
    shape: list[int]
    datatype: str = Field(description="FP16 and BF16 travel as bytes only.")
    parameters: dict[str, Any] = Field({}, description="`binary_data_size`, where the tensor comes as bytes.")
    data: Any = Field(None, description="Flat or nested, row-major.")


class InferRequestedOutput(BaseModel):
    """An output that is asked for."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(description="`value` (`values` under `none`), `sum`, `normalizer`, `count`, `gradient_<role>`.")
    parameters: dict[str, Any] = Field({}, description="`binary_data`: whether it is to come as bytes.")


class InferRequest(BaseModel):
    """A request of the Open Inference Protocol."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field("", description="Repeated in the answer.")
    parameters: dict[str, Any] = Field(
        {},
        description="Scalar parameters of the loss, and `binary_data_output` for outputs that do not say themselves.",
    )
    inputs: list[InferInput]
    outputs: list[InferRequestedOutput] = Field([], description="By default `value`, or `values` under `none`.")


class InferOutput(BaseModel):
    """An output: `data`, or `binary_data_size` bytes behind the JSON."""

    name: str
    datatype: str
    shape: list[int] = Field(description="[1] for `value`, `sum`, `normalizer` and `count`.")
    parameters: dict[str, Any] = Field(description="`binary_data_size`, where the tensor comes as bytes; else absent.")
    data: list[Any] = Field(description="Flat, row-major; null where not finite; absent where it comes as bytes.")


class InferAnswer(BaseModel):
    """An answer of the Open Inference Protocol."""

    model_name: str = Field(description="The proper name of the loss.")
    model_version: str
    id: str = Field(description="That of the request; absent if it had none.")
    parameters: dict[str, Any] = Field(description="`warnings`: where the outputs are not finite; else absent.")
    outputs: list[InferOutput]


class InferError(BaseModel):
    """An error of the Open Inference Protocol."""

    error: str = Field(description="What went wrong.")


def server_metadata(more: Iterable[str] = ()) -> ServerMetadata:
    """Describes the server, with the extensions that it speaks with whoever asks."""
    return ServerMetadata(name="lossmeter", version=lossmeter.__version__, extensions=[*EXTENSIONS, *more])


def check_version(loss: Loss, version: str) -> None:
    """Checks the version of a model; every loss has one.

    Raises:
        NotFound: if that is not the one asked for.
    """
    if version != VERSION:
        raise NotFound(f"{loss.name} has no version {version!r}; expected {VERSION}.")


@cache
def metadata(loss: Loss) -> ModelMetadata:
    """Returns inputs and outputs of a loss, in their usual datatypes."""
    roles = {argument.name: argument.options[0] for argument in loss.tensors}
    inputs = [_described(name, DATATYPES[role.meaning.kind], role.shape) for name, role in roles.items()]
    inputs += [
        _described("upstream", "FP32", loss.output),
        _described("sample_weight", "FP32", "N"),
        *([] if "mask" in roles else [_described("mask", "BOOL", "N")]),
    ]
    outputs = [
        TensorMetadata(name="value", datatype="FP32", shape=[1]),
        _described("values", "FP32", loss.output),
        TensorMetadata(name="sum", datatype="FP64", shape=[1]),
        TensorMetadata(name="normalizer", datatype="FP64", shape=[1]),
        TensorMetadata(name="count", datatype="INT64", shape=[1]),
        *(_described(GRADIENT + name, "FP32", roles[name].shape) for name in loss.differentiable),
    ]
    return ModelMetadata(name=loss.name, versions=[VERSION], platform=PLATFORM, inputs=inputs, outputs=outputs)


def _described(name: str, datatype: str, shape: str) -> TensorMetadata:
    """Takes the first of alternative shapes, and leaves out dimensions of any number unless there are no others."""
    names = patterns(shape)[0].names
    fixed = [int(size) if size.isdigit() else -1 for size in names if size[0] != "*"]
    return TensorMetadata(name=name, datatype=datatype, shape=fixed or [-1])


def parse_infer_call(loss: Loss, asked: InferenceRequest, max_elements: int) -> tuple[Call, list[str], int]:
    """Returns the call that a request describes, the outputs that it asks for, and its number of elements.

    Raises:
        Invalid: with what is wrong with parameters or outputs.
        TooLarge: if the tensors have too many elements.
    """
    parameters = {name: value for name, value in asked.parameters.items() if name not in SCHEDULING}
    inputs = tensor_names(loss)
    for name in parameters:
        if name in inputs or name in ("gradients", ENCODING):
            instead = "an input" if name in inputs else "chosen by the outputs of the request"
            raise Invalid.at(loss.name, pointer("parameters", name), f"{name} is no parameter, but {instead}")
    under_none = parameters.get("reduction") == "none"
    main = "values" if under_none else "value"
    wanted = [main] if asked.outputs is None else list(asked.outputs)
    offered = [main, "sum", "normalizer", "count", *(GRADIENT + name for name in loss.differentiable)]
    unknown = [name for name in wanted if name not in offered]
    if unknown:
        message = f"{unknown[0]} is not an output; expected one of {', '.join(offered)}"
        raise Invalid.at(loss.name, pointer("outputs"), message)
    tensors = dict(asked.tensors)
    upstream = tensors.get("upstream")
    if upstream is not None and upstream.shape == (1,) and not under_none:
        # The value has shape [1] here, and what flows into it the same.
        tensors["upstream"] = Tensor(upstream.datatype, (), upstream.data)
    gradients = [name.removeprefix(GRADIENT) for name in wanted if name.startswith(GRADIENT)]
    call, _, size = parse_call(loss, {**tensors, **parameters, "gradients": gradients, "advice": False}, max_elements)
    return call, wanted, size


def encode_infer_answer(
    loss: Loss,
    precision: str,
    asked: InferenceRequest,
    wanted: Iterable[str],
    outcome: Outcome,
    store: Store | None = None,
) -> Answer:
    """Writes the outputs that were asked for, in the order in which they were."""
    head: dict[str, Any] = {"model_name": loss.name, "model_version": VERSION}
    if asked.id is not None:
        head["id"] = asked.id
    tensors = {name: _output(name, precision, outcome) for name in wanted}
    warnings = [w.message for w in outcome.warnings if w.pointer[1:].replace("gradients/", GRADIENT) in tensors]
    parameters = {"warnings": "; ".join(warnings)} if warnings else {}
    if asked.shared:
        parameters["device"] = outcome.device
    if parameters:
        head["parameters"] = parameters
    binary = {name for name in tensors if (asked.binary if asked.outputs is None else asked.outputs[name])}
    return open_inference.encode(head, tensors, binary, asked.places, store)


def _output(name: str, precision: str, outcome: Outcome) -> Tensor:
    if name.startswith(GRADIENT):
        return outcome.gradients[name.removeprefix(GRADIENT)]
    if name == "values":
        assert outcome.values is not None, "it is offered under `none` alone"
        return outcome.values
    single = name == "value" and precision == "float32"
    datatype = Datatype.INT64 if name == "count" else Datatype.FP32 if single else Datatype.FP64
    return Tensor(datatype, (1,), np.array([getattr(outcome, name)], datatype.dtype))
