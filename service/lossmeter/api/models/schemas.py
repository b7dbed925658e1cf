"""Request and answer models, built from the catalogue."""

from __future__ import annotations

import types
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
    create_model,
)
from pydantic_core import CoreSchema, core_schema

from lossmeter.engine import Call
from lossmeter.errors import Flaw, Invalid, TooLarge, pointer
from lossmeter.losses import Loss
from lossmeter.losses.vocabulary import Positive
from lossmeter.tensors import Datatype, Tensor, Texts, as_mask, brackets, coordinates, elements
from lossmeter.validation import invalid

MAX_DIMENSIONS = 16

COMMON_TENSORS = {
    "upstream": "The gradient that flows in from outside, in the shape of the output; multiplies the gradients.",
    "sample_weight": "How much each sample counts: not negative, of shape (N,) or the shape of the unreduced loss.",
    "mask": "What counts (true) and what does not: of shape (N,) or the shape of the unreduced loss.",
}
GRADIENTS = "What to differentiate with respect to."
PRECISION = "Arithmetic; `auto` is float64 if a floating tensor of the loss is declared FP64, and float32 otherwise."
ENCODING = "tensor_encoding"


class TensorSchema:
    """Tells pydantic that a `Tensor` stands as it is."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.is_instance_schema(Tensor)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"x-tensor": True}  # the API document puts its own schema in this place


TensorField = Annotated[Tensor, TensorSchema()]


class TextsSchema(TensorSchema):
    """Tells pydantic that a `Tensor` or `Texts` stands as it is."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.is_instance_schema(cls=(Tensor, Texts), cls_repr="Tensor or Texts")


LabelsField = Annotated[Tensor | Texts, TextsSchema()]


class LossRequest(BaseModel):
    """The base of the requests of all losses."""

    model_config = ConfigDict(extra="forbid", strict=True)


@cache
def request_model(loss: Loss) -> type[LossRequest]:
    """Returns the request of one loss as a pydantic model: its tensors, its parameters, and what all losses share."""
    fields: dict[str, Any] = {}
    for argument in loss.tensors:
        meanings = " or ".join(f"{role.meaning.name} {shape_text(role.shape)}" for role in argument.options)
        fields[argument.name] = (
            TensorField,
            Field(... if argument.required else None, description=f"{argument.description} ({meanings})"),
        )
    for parameter in loss.parameters:
        fields[parameter.name] = (parameter.annotation, Field(parameter.default, description=parameter.description))
    reduction = "How the unreduced values become one number."
    fields["reduction"] = (_one_of(tuple(loss.reduction_names)), Field("mean", description=reduction))
    if "sequence_sum_norm" in loss.reductions:
        horizon = (
            "What sequence_sum_norm divides by: the largest length of an answer, say. By default the number of tokens."
        )
        fields["horizon"] = (Positive, Field(None, description=horizon))
    wanted = types.GenericAlias(list, (_one_of(loss.differentiable),))
    fields["gradients"] = (wanted, Field([], description=GRADIENTS))
    for name, description in COMMON_TENSORS.items():
        fields.setdefault(name, (TensorField, Field(None, description=description)))
    normalizer = "Takes the place of the denominator of the mean: a global count over many calls, say."
    fields["normalizer"] = (Positive, Field(None, description=normalizer))
    empty = Literal["nan", "zero", "error"]
    fields["empty"] = (empty, Field("nan", description="The mean where nothing counts; `nan` is what torch gives."))
    fields["precision"] = (Literal["auto", "float32", "float64"], Field("auto", description=PRECISION))
    non_finite = "What to do with NaN and infinities among the inputs."
    fields["non_finite"] = (Literal["error", "allow"], Field("error", description=non_finite))
    out_of_domain = "What to do with values that a role does not provide for, where torch computes with them."
    fields["out_of_domain"] = (Literal["error", "allow"], Field("error", description=out_of_domain))
    advice = "Whether to warn of what is valid and most likely not meant; see the page on advice."
    fields["advice"] = (bool, Field(True, description=advice))
    encoding = "How the tensors of a JSON answer are written."
    fields[ENCODING] = (Literal["data", "base64"], Field("data", description=encoding))
    name = "".join(word.capitalize() for word in loss.name.split("_")) + "Request"
    model: type[LossRequest] = create_model(name, __base__=LossRequest, __doc__=loss.summary, **fields)
    return model


def _one_of(names: tuple[str, ...]) -> Any:
    return Literal.__getitem__(names)


@cache
def tensor_names(loss: Loss) -> frozenset[str]:
    """Returns the names of the fields of a request that are tensors."""
    return frozenset([*loss.tensor, *COMMON_TENSORS])


@cache
def _optional(loss: Loss) -> frozenset[str]:
    """Returns the fields that may be left out and for which null is no value of its own."""
    nullable = {parameter.name for parameter in loss.parameters if parameter.nullable}
    fields = request_model(loss).model_fields
    return frozenset(name for name, field in fields.items() if not field.is_required() and name not in nullable)


def parse_call(loss: Loss, given: dict[str, Any], max_elements: int) -> tuple[Call, bool, int]:
    """Returns the call that the fields of a request describe, whether to answer in base64, and its number of elements.

    A field that is null counts as not given, unless null is one of its values.

    Raises:
        Invalid: with all that is wrong with the fields.
        TooLarge: if the tensors have too many elements.
    """
    if None in given.values():
        optional = _optional(loss)
        given = {name: value for name, value in given.items() if value is not None or name not in optional}
    model = request_model(loss)
    try:
        request = vars(model.model_validate(given))
    except ValidationError as error:
        raise invalid(loss.name, error, list(model.model_fields)) from None
    mask = request["mask"]
    if mask is not None and mask.datatype is not Datatype.BOOL:
        request["mask"] = mask_of(loss.name, mask)
    tensors = {name: tensor for name in loss.tensor if (tensor := request[name]) is not None}
    size = count_elements(
        loss.name, {name: value for name, value in given.items() if isinstance(value, Tensor)}, max_elements
    )
    call = Call(
        loss,
        tensors,
        {parameter.name: request[parameter.name] for parameter in loss.parameters},
        loss.reduction_names[request["reduction"]],
        tuple(dict.fromkeys(request["gradients"])),
        request["upstream"],
        request["sample_weight"],
        None if "mask" in loss.tensor else request["mask"],  # a loss that averages over tokens applies it by itself
        request["normalizer"],
        request.get("horizon"),
        request["empty"],
        arithmetic(request["precision"], tensors),
        request["non_finite"],
        request["out_of_domain"],
        expendable=True,
        advice=request["advice"],
    )
    if call.horizon is not None and call.reduction != "sequence_sum_norm":
        message = f"horizon belongs to the reduction sequence_sum_norm; this one is {call.reduction}"
        raise Invalid.at(loss.name, pointer("horizon"), message)
    absent = [name for name in call.gradients if name not in tensors]
    if absent:
        message = f"gradients names {absent[0]}, which the request does not give"
        raise Invalid.at(loss.name, pointer("gradients"), message)
    return call, request[ENCODING] == "base64", size


def mask_of(subject: str, mask: Tensor) -> Tensor:
    """Returns a mask as booleans; 0 and 1 are false and true.

    Raises:
        Invalid: if there are other numbers in it.
    """
    found = as_mask(mask)
    if found is None:
        first = int(((mask.data != 0) & (mask.data != 1)).argmax())
        index = coordinates(first, mask.shape)
        message = f"mask{brackets(index)} is {mask.data[first]}; expected true or false, or 1 or 0"
        raise Invalid.at(subject, pointer("mask"), message, index)
    return found


def arithmetic(precision: str, tensors: Mapping[str, Tensor]) -> Literal["float32", "float64"]:
    """Returns the precision of a call; numbers of nested arrays have none of their own."""
    if precision == "auto":
        double = any(tensor.declared and tensor.datatype is Datatype.FP64 for tensor in tensors.values())
        return "float64" if double else "float32"
    return "float64" if precision == "float64" else "float32"


def count_elements(subject: str, tensors: Mapping[str, Tensor | Texts], max_elements: int) -> int:
    """Returns how many elements the tensors have together.

    Raises:
        Invalid: if one has too many dimensions.
        TooLarge: if they have too many elements.
    """
    total = 0
    for name, tensor in tensors.items():
        if len(tensor.shape) > MAX_DIMENSIONS:
            message = f"{name} has {len(tensor.shape)} dimensions; expected at most {MAX_DIMENSIONS}"
            raise Invalid.of(subject, [Flaw(pointer(name), message)])
        if max(tensor.shape, default=0) > max_elements:
            message = f"{name} has shape {list(tensor.shape)}; this server takes {max_elements} along one dimension"
            raise TooLarge(f"{subject}: {message} (LOSSMETER_MAX_ELEMENTS).", [Flaw(pointer(name), message)])
        total += elements(tensor.shape)
    if total > max_elements:
        raise TooLarge(
            f"{subject}: the tensors have {total} elements; this server takes {max_elements} (LOSSMETER_MAX_ELEMENTS)."
        )
    return total


def shape_text(shape: str) -> str:
    """Returns a symbolic shape as it is printed: `(N, C, …d) or (C)`."""
    from lossmeter.losses.shapes import patterns

    return " or ".join(dict.fromkeys(str(pattern) for pattern in patterns(shape)))


class ResultWarning(BaseModel):
    """Something to know of the result: where it is not finite, say."""

    code: str = Field(description="`non_finite`, or `out_of_domain`.")
    message: str
    pointer: str = Field(description="JSON Pointer into the answer; of `out_of_domain`, into the request.")
    index: list[int] | None = Field(description="Position of the element, if the value is a tensor.")
    value: str = Field(description="What it is: `NaN`, `Infinity`, `-Infinity`, or a number.")


class LossWarning(BaseModel):
    """Something to know: where a result is not finite, or what was most likely not meant."""

    code: str = Field(description="`non_finite`, `out_of_domain`, or the code of a piece of advice.")
    message: str
    pointer: str = Field(description="JSON Pointer into the answer; of `out_of_domain` and advice into the request.")
    index: list[int] | None = Field(description="Position of the element, if the value is a tensor.")
    value: str | None = Field(
        description="What stands there: `NaN`, `Infinity`, `-Infinity`, or a number; null for advice."
    )
    evidence: dict[str, float] | None = Field(description="The figures that advice rests on.")
    remedy: str | None = Field(description="What to do about it.")


class LossAnswer(BaseModel):
    """The loss, and what it was made of."""

    loss: str = Field(description="The proper name of the loss.")
    requested: str = Field(description="The name that was asked for.")
    reduction: str = Field(description="How the unreduced values became one number.")
    value: Annotated[float | None, Field(description="The reduced loss; absent under `none`; null if not finite.")]
    values: Annotated[TensorField, Field(description="The unreduced loss, under `none` only.")]
    sum: float | None = Field(description="The weighted sum over what counts, in float64; null if not finite.")
    normalizer: float = Field(description="The denominator that `mean` used or would use.")
    count: int = Field(description="The number of elements that count.")
    gradients: dict[str, TensorField] = Field(description="By role, in the role's shape.")
    precision: Literal["float32", "float64"] = Field(description="Arithmetic in which it was computed.")
    device: str = Field(description="Where it was computed.")
    warnings: list[LossWarning] = Field(description="Results that are not finite, and advice.")
