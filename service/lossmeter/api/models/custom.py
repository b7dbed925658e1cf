"""Requests and answers of losses that a client brings as data."""

from __future__ import annotations

from functools import cache
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, create_model

from lossmeter.api.models.objectives import COMMON, OpenNames
from lossmeter.api.models.schemas import (
    COMMON_TENSORS,
    ENCODING,
    LossAnswer,
    LossRequest,
    arithmetic,
    count_elements,
    request_model,
)
from lossmeter.engine import Call
from lossmeter.engine.graphs import Graph, read_graph
from lossmeter.losses import find
from lossmeter.losses.vocabulary import Positive
from lossmeter.tensors import Tensor
from lossmeter.validation import validate

SUBJECT = "custom"
NAMES = OpenNames(COMMON | {"graph", "horizon"})


class GraphNode(BaseModel):
    """A node, as torch.fx records it."""

    op: Literal["placeholder", "call_function", "call_method", "output"] = Field(
        description="A tensor of the request, an operation, a method of its first argument, or the unreduced loss."
    )
    name: str = Field(description="By which later nodes refer to it.")
    target: str = Field(description="The role of a placeholder, the name of an operation, or `output`.")
    args: list[Any] = Field([], description='Numbers, true and false, null, lists, and `{"ref": name}`.')
    kwargs: dict[str, Any] = Field({}, description="Arguments by name.")


class CustomGraph(BaseModel):
    """A graph of operations, in the order in which they are computed."""

    format: Literal[1]
    nodes: list[GraphNode] = Field(min_length=1, max_length=512)


@cache
def custom_model() -> type[LossRequest]:
    """Returns the request: what all losses have in common, a graph, and tensors under the names of its placeholders."""
    plain = find("mse")
    fields: dict[str, Any] = {"graph": (CustomGraph, Field(description="The loss."))}
    for name, field in request_model(plain).model_fields.items():
        if name not in plain.tensor:
            fields[name] = (field.annotation, field)
    fields["reduction"] = (str, Field("mean", description="How the unreduced values become one number."))
    fields["gradients"] = (list[str], Field([], description="Placeholders to differentiate with respect to."))
    fields["horizon"] = (Positive | None, Field(None, description="What sequence_sum_norm divides by."))
    config = ConfigDict(extra="allow", strict=True)
    base = type("_Open", (LossRequest,), {"model_config": config, "__module__": __name__})
    doc = "A loss as a graph, and its tensors under the names of the placeholders."
    model: type[LossRequest] = create_model("CustomRequest", __base__=base, __doc__=doc, **fields)
    return model


KNOWN_GOOD = {"format": 1, "nodes": [{"op": "output", "name": "output", "target": "output"}]}
"""A graph that was read needs no second look."""


class CustomAnswer(LossAnswer):
    """The loss, and what it was made of."""

    metrics: dict[str, float | None] = Field(description="The numbers that the graph gives beside the loss.")


class ParsedCustom(NamedTuple):
    """A loss as data, with its tensors."""

    graph: Graph
    call: Call
    base64: bool
    elements: int


def parse_custom(given: dict[str, Any], max_elements: int) -> ParsedCustom:
    """Returns the graph and the call of it that the fields of a request describe.

    Raises:
        Invalid: with what is wrong with the fields or with the graph.
        TooLarge: if the tensors have too many elements.
    """
    given = {name: value for name, value in given.items() if value is not None}
    graph = read_graph(given["graph"]) if "graph" in given else None
    request = vars(validate(custom_model(), SUBJECT, {**given, "graph": KNOWN_GOOD} if graph else given))
    assert graph is not None
    tensors = {name: value for name, value in given.items() if isinstance(value, Tensor)}
    size = count_elements(SUBJECT, tensors, max_elements)
    own = {role.name for role in graph.roles}
    shared = {name: None if name in own else tensors.get(name) for name in COMMON_TENSORS}
    call = Call(
        find("mse"),  # until the graph is one
        {name: tensor for name, tensor in tensors.items() if name in own or name not in COMMON_TENSORS},
        {},
        request["reduction"],
        tuple(dict.fromkeys(request["gradients"])),
        shared["upstream"],
        shared["sample_weight"],
        shared["mask"],
        request["normalizer"],
        request["horizon"],
        request["empty"],
        arithmetic(request["precision"], tensors),
        request["non_finite"],
        request["out_of_domain"],
    )
    return ParsedCustom(graph, call, request[ENCODING] == "base64", size)
