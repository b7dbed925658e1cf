"""The check of compatibility finds what breaks a client, and lets pass what does not."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.contracts import compatibility
from tests.contracts.compatibility import CURRENT, changes, last_release, undecided

Document = dict[str, Any]
Edit = Callable[[Document], None]


@pytest.fixture(scope="module")
def document() -> Document:
    return dict(json.loads(CURRENT.read_text()))


def edited(document: Document, edit: Edit) -> Document:
    changed = copy.deepcopy(document)
    edit(changed)
    return changed


def schema(document: Document, name: str) -> Any:
    return document["components"]["schemas"][name]


def mse(document: Document) -> Any:
    return document["paths"]["/v1/losses/mse"]["post"]


def shared(document: Document) -> Any:
    """The answer of all losses."""
    return document["components"]["responses"]["LossAnswer"]


BREAKING: dict[str, Edit] = {
    "GET /healthz is gone": lambda d: d["paths"].pop("/healthz"),
    "POST /v1/losses/mse is gone": lambda d: d["paths"]["/v1/losses/mse"].pop("post"),
    "POST /v1/losses/mse: operationId was mse, is compute_mse": lambda d: mse(d).update(operationId="compute_mse"),
    "POST /v1/losses/mse: tags were ['losses'], are ['all']": lambda d: mse(d).update(tags=["all"]),
    'POST /v1/losses/mse: needs [{"key": ["admin"]}]': lambda d: mse(d).update(security=[{"key": ["admin"]}]),
    "POST /v1/losses/mse: status 200 is gone": lambda d: mse(d)["responses"].pop("200"),
    "POST /v1/losses/mse: takes no application/vnd.safetensors": lambda d: mse(d)["requestBody"]["content"].pop(
        "application/vnd.safetensors"
    ),
    "POST /v1/losses/mse 200: gives no application/json": lambda d: shared(d)["content"].pop("application/json"),
    "POST /v1/losses/mse 200: header Server-Timing is gone": lambda d: shared(d)["headers"].pop("Server-Timing"),
    "POST /v1/losses/mse: query parameter trace is required": lambda d: mse(d).update(
        parameters=[{"name": "trace", "in": "query", "required": True, "schema": {"type": "string"}}]
    ),
    "GET /v1/runs: query parameter tag is gone": lambda d: d["paths"]["/v1/runs"]["get"].update(
        parameters=[one for one in d["paths"]["/v1/runs"]["get"]["parameters"] if one["name"] != "tag"]
    ),
    "GET /v1/runs query parameter limit: maximum was 500, is 100": lambda d: next(
        one for one in d["paths"]["/v1/runs"]["get"]["parameters"] if one["name"] == "limit"
    )["schema"].update(maximum=100),
    "schema Interval is gone": lambda d: d["components"]["schemas"].pop("Interval"),
    "HuberRequest.delta: is gone": lambda d: schema(d, "HuberRequest")["properties"].pop("delta"),
    "HuberRequest.delta: is required": lambda d: schema(d, "HuberRequest")["required"].append("delta"),
    "HuberRequest.delta: takes no number": lambda d: schema(d, "HuberRequest")["properties"]["delta"].update(
        type="string"
    ),
    "HuberRequest.delta: default was 1.0, is 2.0": lambda d: schema(d, "HuberRequest")["properties"]["delta"].update(
        default=2.0
    ),
    "HuberRequest.delta: exclusiveMinimum was 0, is 1": lambda d: schema(d, "HuberRequest")["properties"][
        "delta"
    ].update(exclusiveMinimum=1),
    "HuberRequest.delta: format was double, is float": lambda d: schema(d, "HuberRequest")["properties"][
        "delta"
    ].update(format="float"),
    "BinaryFocalRequest.alpha: takes no null": lambda d: schema(d, "BinaryFocalRequest")["properties"]["alpha"].update(
        type="number"
    ),
    "Reduction: takes no 'sum'": lambda d: schema(d, "Reduction")["enum"].remove("sum"),
    "Tensor: takes no array": lambda d: schema(d, "Tensor")["oneOf"].pop(1),
    "Gate: takes no other properties": lambda d: schema(d, "Gate").update(additionalProperties=False),
    "LossAnswer.count: is gone": lambda d: schema(d, "LossAnswer")["properties"].pop("count"),
    "LossAnswer.count: may be absent": lambda d: schema(d, "LossAnswer")["required"].remove("count"),
    "LossAnswer.count: may be null": lambda d: schema(d, "LossAnswer")["properties"]["count"].update(
        type=["integer", "null"]
    ),
    "LossAnswer.gradients[]: may be Numbers": lambda d: schema(d, "LossAnswer")["properties"]["gradients"].update(
        additionalProperties={"$ref": "#/components/schemas/Tensor"}
    ),
    "IntervalMethod: may be 'jackknife'": lambda d: schema(d, "IntervalMethod")["enum"].append("jackknife"),
    "LossChoice: was told apart by loss, is by name": lambda d: schema(d, "LossChoice")["discriminator"].update(
        propertyName="name"
    ),
}
AT = {"$ref": "#/components/schemas/At", "default": "value"}
HARMLESS: dict[str, Edit] = {
    "another operation": lambda d: d["paths"].update({"/v1/more": {"get": mse(d)}}),
    "another field that may be left out": lambda d: schema(d, "HuberRequest")["properties"].update(
        more={"type": "string"}
    ),
    "another field of an answer": lambda d: schema(d, "LossAnswer")["properties"].update(more={"type": "string"}),
    "a wider bound": lambda d: schema(d, "EvaluateRequest")["properties"]["hardest"].update(maximum=10**6),
    "another word that is taken": lambda d: schema(d, "Reduction")["enum"].append("median"),
    "a field of an answer that always is there": lambda d: schema(d, "LossAnswer")["required"].append("value"),
    "another error": lambda d: mse(d)["responses"].update({"418": {"$ref": "#/components/responses/Refused"}}),
    "a name for words": lambda d: d["components"]["schemas"].update(
        At=schema(d, "Gate")["properties"]["at"],
        Gate={**schema(d, "Gate"), "properties": {**schema(d, "Gate")["properties"], "at": AT}},
    ),
    "a default said by the schema that is referred to": lambda d: (
        schema(d, "PrecisionChoice").update(default="auto"),
        schema(d, "EvaluateRequest")["properties"]["precision"].pop("default"),
    )[0],
    "other prose": lambda d: mse(d).update(description="Other", summary="Other"),
}


@pytest.mark.parametrize("change", BREAKING)
def test_what_breaks_a_client_is_found(document: Document, change: str) -> None:
    assert change in changes(document, edited(document, BREAKING[change]))


@pytest.mark.parametrize("edit", HARMLESS.values(), ids=HARMLESS)
def test_what_breaks_nobody_passes(document: Document, edit: Edit) -> None:
    assert changes(document, edited(document, edit)) == []


def test_nothing_breaks_clients_of_the_last_release(document: Document) -> None:
    assert undecided(changes(json.loads(last_release().read_text()), document)) == []


def test_a_decision_record_may_allow_a_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "0099-smaller.md").write_text("Not needed any more: `GET /healthz is gone`.\n")
    monkeypatch.setattr(compatibility, "DECISIONS", tmp_path)
    assert undecided(["GET /healthz is gone", "GET /readyz is gone"]) == ["GET /readyz is gone"]


def test_the_newest_release_is_by_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("0.9.0", "0.10.0", "0.2.11"):
        (tmp_path / f"{name}.json").touch()
    monkeypatch.setattr(compatibility, "RELEASED", tmp_path)
    assert last_release().stem == "0.10.0"
