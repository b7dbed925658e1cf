"""Requests and answers of objectives: weighted sums of losses over shared roles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Annotated, Any, Literal, NamedTuple

import orjson
from pydantic import BaseModel, ConfigDict, Field

from lossmeter.api.models.schemas import (
    COMMON_TENSORS,
    PRECISION,
    LossWarning,
    TensorField,
    arithmetic,
    count_elements,
    parse_call,
    request_model,
    tensor_names,
)
from lossmeter.engine.objectives import Term, placed, placing
from lossmeter.errors import Flaw, Invalid, NotFound, pointer
from lossmeter.losses import Loss, find
from lossmeter.losses.vocabulary import Positive, Real
from lossmeter.tensors import Tensor
from lossmeter.validation import validate
from lossmeter.wire import json

MAX_TERMS = 32
SUBJECT = "objective"
TERM = ("loss", "weight", "parameters")
OWN = frozenset(("reduction", "normalizer", "horizon"))
"""Fields of a loss that each term may have its own of."""


class OpenNames(AbstractSet[str]):
    """Holds all names but some: requests whose tensors have names of their own say so by it."""

    def __init__(self, reserved: AbstractSet[str]) -> None:
        self._reserved = reserved

    def __contains__(self, name: object) -> bool:
        return name not in self._reserved

    def __iter__(self) -> Iterator[str]:
        return iter(("names of roles",))  # as a message lists them

    def __len__(self) -> int:
        return 1


class ObjectiveTerm(BaseModel):
    """A loss of the sum. Its parameters stand beside its name, or under `parameters`."""

    model_config = ConfigDict(extra="allow", strict=True)

    loss: str = Field(description="The name of a loss, or an alias.")
    weight: Real = Field(1.0, description="Its factor in the sum; negative for what is to become large.")
    parameters: dict[str, Any] = Field(
        {},
        description="Parameters and tensors of this loss alone, where their names clash with others: `weight` of its classes, "
        "say. Text in the place of a tensor is the name of one that the request has beside `losses`.",
    )
    reduction: str | None = Field(None, description="How its values become one number; by default as the request says.")
    normalizer: Positive | None = Field(None, description="Takes the place of the denominator of its mean.")
    horizon: Positive | None = Field(None, description="What its sequence_sum_norm divides by.")


class ObjectiveRequest(BaseModel):
    """Losses with their weights, and the tensors that they share, under the names of their roles."""

    model_config = ConfigDict(extra="allow", strict=True)

    losses: Annotated[list[ObjectiveTerm], Field(min_length=1, max_length=MAX_TERMS)] = Field(
        description="The terms of the sum."
    )
    gradients: list[str] = Field([], description="Names of tensors to differentiate the sum with respect to.")
    upstream: TensorField | None = Field(
        None, description="A number that flows in from outside; multiplies the gradients."
    )
    sample_weight: TensorField | None = Field(None, description=COMMON_TENSORS["sample_weight"])
    mask: TensorField | None = Field(None, description=COMMON_TENSORS["mask"])
    reduction: str = Field("mean", description="How the values of each term become one number; not `none`.")
    empty: Literal["nan", "zero", "error"] = Field("nan", description="The mean where nothing counts.")
    precision: Literal["auto", "float32", "float64"] = Field("auto", description=PRECISION)
    non_finite: Literal["error", "allow"] = Field(
        "error", description="What to do with NaN and infinities among the inputs."
    )
    out_of_domain: Literal["error", "allow"] = Field(
        "error", description="What to do with values that a role does not provide for, where torch computes with them."
    )
    advice: bool = Field(True, description="Whether to warn of what is valid and most likely not meant.")
    tensor_encoding: Literal["data", "base64"] = Field(
        "data", description="How the tensors of a JSON answer are written."
    )


class ObjectiveTermAnswer(BaseModel):
    """A term by itself, without its weight."""

    loss: str = Field(description="The proper name of the loss.")
    weight: float = Field(description="Its factor in the sum.")
    value: float | None = Field(description="Its value; null if not finite.")
    gradient_norm: dict[str, float | None] = Field(
        description="The Euclidean norm of the gradient of its value, by the tensors that were asked for and that it takes."
    )


class ObjectiveResult(BaseModel):
    """A weighted sum of losses, and its gradients."""

    value: float | None = Field(description="The sum of weight times value; null if not finite.")
    losses: list[ObjectiveTermAnswer] = Field(description="The terms, in the order of the request.")
    gradients: dict[str, TensorField] = Field(description="Of the sum, by name, in the shape of the tensor.")
    precision: Literal["float32", "float64"] = Field(description="Arithmetic in which it was computed.")
    device: str = Field(description="Where it was computed.")
    warnings: list[LossWarning] = Field(description="Results that are not finite, and advice.")


class ParsedObjective(NamedTuple):
    """An objective that can be computed."""

    terms: list[Term]
    gradients: list[str]
    upstream: Tensor | None
    base64: bool
    elements: int


def _common() -> frozenset[str]:
    """Returns the fields that all losses have in common, and that are no tensors."""
    plain = find("mse")
    return frozenset(request_model(plain).model_fields) - tensor_names(plain)


COMMON = _common()
NAMES = OpenNames(COMMON | {"losses", "horizon"})


def parse_objective(given: dict[str, Any], max_elements: int) -> ParsedObjective:
    """Returns the objective that the fields of a request describe.

    Raises:
        Invalid: with what is wrong with the fields, or with those of the first term that is wrong.
        NotFound: if there is no such loss.
        TooLarge: if the tensors have too many elements.
    """
    given = {name: value for name, value in given.items() if value is not None}
    request = validate(ObjectiveRequest, SUBJECT, given)
    if request.reduction == "none":
        raise Invalid.at(
            SUBJECT, pointer("reduction"), "reduction is 'none'; expected one that gives a number to add up"
        )
    tensors = {name: value for name, value in given.items() if isinstance(value, Tensor)}
    shared = {name: tensor for name, tensor in tensors.items() if name not in COMMON_TENSORS}
    wanted = list(dict.fromkeys(request.gradients))
    unknown = [name for name in wanted if name not in shared]
    if unknown:
        message = f"gradients names {unknown[0]}, which the request does not give"
        raise Invalid.at(SUBJECT, pointer("gradients"), message)
    if request.upstream is not None and request.upstream.shape != ():
        message = f"upstream has shape {list(request.upstream.shape)}; expected a number"
        raise Invalid.at(SUBJECT, pointer("upstream"), message)
    fields = {name: value for name, value in given.items() if name in COMMON - {"gradients"}}
    fields |= {name: tensors[name] for name in ("sample_weight", "mask") if name in tensors}
    fields["precision"] = arithmetic(request.precision, tensors)
    size = count_elements(SUBJECT, tensors, max_elements)
    terms = []
    for number, entry in enumerate(request.losses):
        term, own = _term(number, given["losses"][number], entry, fields, shared, wanted, max_elements - size)
        terms.append(term)
        size += own
    taken = {name for term in terms for name in term.names.values()}
    idle = [name for name in shared if name not in taken]
    if idle:
        takes = dict.fromkeys(role for term in terms for role in term.call.loss.tensor)
        message = f"{idle[0]} is a tensor that no term takes; expected one of {', '.join(takes)}"
        raise Invalid.at(SUBJECT, pointer(idle[0]), message)
    for name in wanted:
        if not any(term.names[role] == name for term in terms for role in term.call.gradients):
            raise Invalid.at(SUBJECT, pointer("gradients"), f"gradients names {name}, which no term differentiates")
    return ParsedObjective(terms, wanted, request.upstream, request.tensor_encoding == "base64", size)


def _term(
    number: int,
    given: Mapping[str, Any],
    entry: ObjectiveTerm,
    common: Mapping[str, Any],
    shared: Mapping[str, Tensor],
    wanted: list[str],
    max_elements: int,
) -> tuple[Term, int]:
    """Makes a term, and counts the elements of the tensors that are its own."""
    at = ("losses", number)
    try:
        loss = find(entry.loss)
    except NotFound as error:
        raise Invalid.of(SUBJECT, [Flaw(pointer(*at, "loss"), error.detail)]) from None
    inside = _parameters(loss, entry.parameters, (*at, "parameters"))
    flat = {name: value for name, value in given.items() if name not in TERM and value is not None}
    places = {name: pointer(*at, name) for name in flat}
    places |= {name: pointer(*at, "parameters", name) for name in inside}
    names = {name: name for name in loss.tensor if name in shared}
    for name in inside.keys() & flat.keys():
        message = f"{name} stands beside the name of the loss and under parameters; expected one of the two"
        raise Invalid.at(loss.name, places[name], message)
    own: dict[str, Any] = {}
    for name, value in {**flat, **inside}.items():
        if name in COMMON - OWN or (name in COMMON_TENSORS and name not in loss.tensor):
            raise Invalid.at(loss.name, places[name], f"{name} is for all terms; expected beside losses")
        if name in loss.tensor and isinstance(value, str):
            if value not in shared:
                message = f"{name} is {value!r}, which the request does not give; expected a tensor or the name of one"
                raise Invalid.at(loss.name, places[name], message)
            names[name] = value
            places[name] = pointer(value)
        elif name in loss.tensor:
            own[name] = _tensor(loss, name, value, places[name])
            names.pop(name, None)
        else:
            own[name] = value
    roles = [role for role, name in names.items() if name in wanted and role in loss.differentiable]
    fields = {**common, **{role: shared[name] for role, name in names.items()}, **own, "gradients": roles}
    if "mask" in loss.tensor and "mask" in common:
        names["mask"] = "mask"
    place = placing(places)
    try:
        call, _, _ = parse_call(loss, fields, 1 << 62)
    except Invalid as error:
        raise placed(error, loss.name, place) from None
    if call.reduction == "none":
        raise Invalid.at(
            loss.name, place("/reduction"), "reduction is 'none'; expected one that gives a number to add up"
        )
    size = count_elements(loss.name, {k: v for k, v in own.items() if isinstance(v, Tensor)}, max_elements)
    return Term(replace(call, expendable=False), entry.weight, names, place), size


def _parameters(loss: Loss, given: Mapping[str, Any], at: tuple[str | int, ...]) -> dict[str, Any]:
    own = {name: value for name, value in given.items() if value is not None}
    unknown = [name for name in own if name not in request_model(loss).model_fields]
    if unknown:
        expected = ", ".join([*loss.tensor, *(parameter.name for parameter in loss.parameters)])
        message = f"{unknown[0]} is not a parameter; expected one of {expected}"
        raise Invalid.at(loss.name, pointer(*at, unknown[0]), message)
    return own


def _tensor(loss: Loss, name: str, value: Any, at: str) -> Tensor:
    """Makes a tensor of what stands where other parameters do."""
    try:
        tensor: Tensor = json.decode(orjson.dumps({name: value}), {name})[name]
    except Invalid as error:
        raise placed(error, loss.name, lambda _: at) from None
    return tensor
