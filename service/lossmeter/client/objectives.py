"""Objectives: the request for a weighted sum of losses, and its result."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lossmeter.client.arrays import array_of, tensor_of, tensors_of
from lossmeter.client.calls import answer_fields
from lossmeter.client.codecs import Codec
from lossmeter.client.errors import BadAnswer
from lossmeter.client.exchanges import Reply, Request
from lossmeter.client.results import Timing, Warned, number, timing, warned

OBJECTIVES = "/v1/objectives"

Terms = Sequence[str | Mapping[str, Any]]
"""Losses, by name or as objects with `loss`, `weight`, parameters, and `parameters` where names clash."""


@dataclass(frozen=True, slots=True)
class TermResult:
    """A term by itself, without its weight.

    Attributes:
        loss, weight: its proper name, and its factor in the sum.
        value: of the loss.
        gradient_norm: by tensor, the Euclidean norm of the gradient of that value.
    """

    loss: str
    weight: float
    value: float
    gradient_norm: dict[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class ObjectiveResult:
    """A weighted sum of losses. Arrays are of the kind that was given, in the precision of the arithmetic.

    Attributes:
        value: the sum of weight times value.
        losses: the terms, in the order in which they were given.
        gradients: of the sum, by name, in the shape of the tensor.
        precision: of the arithmetic, `float32` or `float64`.
        device: where it was computed.
        warnings: something to know of the result: where it is not finite, say.
        request_id: under which the log of the service knows the call.
        timing: what the service spent on it.
    """

    value: float
    losses: tuple[TermResult, ...]
    gradients: dict[str, Any]
    precision: str
    device: str
    warnings: tuple[Warned, ...]
    request_id: str
    timing: Timing


def objective(
    codec: Codec, losses: Terms, gradients: str | Sequence[str], fields: Mapping[str, Any]
) -> Request[ObjectiveResult]:
    """Asks for a weighted sum of losses.

    Args:
        codec: the format of request and answer.
        losses: the terms. Arrays among their parameters travel as tensors beside those of the roles.
        gradients: names of tensors to differentiate with respect to.
        fields: of the request: tensors by name, and what all terms share.

    Raises:
        TypeError: if something cannot be sent.
        ValueError: if a number outside of an array is not finite.
    """
    wanted = [gradients] if isinstance(gradients, str) else list(gradients)
    tensors = tensors_of(fields)
    like = {key: fields[key] for key in tensors}
    terms = [_term(f"losses.{place}", term, tensors) for place, term in enumerate(losses)]
    body = codec.encode({**fields, **tensors, "losses": terms, "gradients": wanted, **codec.asked})

    def read(reply: Reply) -> ObjectiveResult:
        try:
            return _result(answer_fields(reply), reply.headers, like)
        except (KeyError, TypeError, AttributeError) as error:
            raise BadAnswer(f"The answer is not that of an objective: {error!r}") from None

    headers = {"Content-Type": codec.media_type, "Accept": codec.media_type}
    return Request("POST", OBJECTIVES, read, headers, body)


def _term(prefix: str, term: str | Mapping[str, Any], tensors: dict[str, Any]) -> dict[str, Any]:
    """Returns a term whose arrays are among the tensors of the request, under a name of their own."""
    if isinstance(term, str):
        return {"loss": term}

    def named(name: str, value: Any) -> Any:
        tensor = tensor_of(name, value)
        if tensor is None:
            return value
        tensors[f"{prefix}.{name}"] = tensor
        return f"{prefix}.{name}"

    inside = {name: named(name, value) for name, value in term.get("parameters", {}).items()}
    rest = {
        name: value if name in ("loss", "weight") else named(name, value)
        for name, value in term.items()
        if name != "parameters"
    }
    return {**rest, **({"parameters": inside} if inside else {})}


def _result(fields: Mapping[str, Any], headers: Mapping[str, str], like: Mapping[str, Any]) -> ObjectiveResult:
    warnings = tuple(warned(entry) for entry in fields["warnings"])
    words = {warning.pointer: warning.value for warning in warnings}

    def restored(value: float | None, pointer: str) -> float:
        return value if value is not None else number(words.get(pointer)) if pointer in words else math.nan

    terms = tuple(
        TermResult(
            term["loss"],
            term["weight"],
            restored(term["value"], f"/losses/{place}/value"),
            {
                name: restored(norm, f"/losses/{place}/gradient_norm/{name}")
                for name, norm in term["gradient_norm"].items()
            },
        )
        for place, term in enumerate(fields["losses"])
    )
    return ObjectiveResult(
        restored(fields["value"], "/value"),
        terms,
        {name: array_of(tensor, like.get(name)) for name, tensor in fields["gradients"].items()},
        fields["precision"],
        fields["device"],
        warnings,
        headers.get("x-request-id", ""),
        timing(headers.get("server-timing", "")),
    )
