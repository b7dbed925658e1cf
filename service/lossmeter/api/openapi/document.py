"""Puts the whole document together (OpenAPI 3.1)."""

from __future__ import annotations

import json
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

import lossmeter
from lossmeter.api import problems
from lossmeter.api.addresses import OPEN_INFERENCE
from lossmeter.api.models.custom import CustomAnswer, custom_model
from lossmeter.api.models.evaluation import EvaluateAnswer, EvaluateRequest
from lossmeter.api.models.inference import InferAnswer, InferError, InferRequest
from lossmeter.api.models.keys import KeyRequest, KeyWithToken
from lossmeter.api.models.objectives import ObjectiveRequest, ObjectiveResult
from lossmeter.api.models.runs import (
    BatchAnswer,
    BatchRequest,
    Comparison,
    ComparisonRequest,
    RunPatch,
    RunReport,
    RunRequest,
    RunState,
)
from lossmeter.api.models.schemas import COMMON_TENSORS, GRADIENTS, LossAnswer, request_model
from lossmeter.api.models.shared_memory import CudaRegionRequest, SystemRegionRequest
from lossmeter.api.openapi import access, answers
from lossmeter.api.openapi.choices import loss_choices, metric_choices
from lossmeter.api.openapi.components import (
    BRIEFLY,
    DEFAULTS,
    ENUMERATIONS,
    PARAMETERS,
    REF,
    SCHEMAS,
    SHARED,
    TAG_PATCH,
    Schema,
    ref,
)
from lossmeter.api.openapi.operations import LOSS_ANSWER
from lossmeter.api.openapi.plain import plain
from lossmeter.losses import LOSSES

INFO: dict[str, Any] = {
    "title": "lossmeter",
    "version": lossmeter.__version__,
    "summary": "Losses, gradients and evaluation metrics as a service.",
    "description": "Post predictions and labels, get what PyTorch would have computed in process.\n\n"
    "Tensors are nested arrays of numbers, or objects with datatype and shape. Every answer carries `X-Request-ID`, which is "
    "the client's if it sends one, and `Server-Timing`. Errors are `application/problem+json` (RFC 9457), with a JSON Pointer "
    "to every place that is wrong; below `/v2`, they have the form of the Open Inference Protocol.",
    "contact": {"name": "The maintainers of lossmeter"},
    "license_info": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
}
SERVERS = [
    {"url": "/", "description": "The server that this document comes from."},
    {"url": "http://127.0.0.1:8000", "description": "A server on this machine, with its defaults."},
]
TAGS = [
    {"name": "losses", "description": "The catalogue of losses, and one operation for each."},
    {"name": "metrics", "description": "The catalogue of metrics."},
    {"name": "evaluation", "description": "Many losses and metrics at once, with confidence, slices and gates."},
    {"name": "open inference", "description": "The losses as models of the Open Inference Protocol v2."},
    {"name": "runs", "description": "Evaluations in many batches that survive every process, and two compared."},
    {"name": "keys", "description": "Who may do what, for holders of a key with the scope `admin`."},
    {"name": "service", "description": "Health."},
]

WIDTH = 200
"""Characters of a line."""

PATH_PARAMETERS = {
    "loss": ("The name of a loss, or an alias.", "mse"),
    "metric": ("The name of a metric, or an alias.", "accuracy"),
    "version": ("The version of a model: every loss has one.", "1"),
    "run_id": ("The `id` of a run.", "01a2044b-5f23-71cc-b0c4-65bcf97893af"),
    "key_id": ("The `id` of a key.", "k7dmxq2r4tza"),
    "region": ("The name that the client gave to a region.", "batch"),
    "batch_id": ("What the client calls the batch: the same again is the same batch.", "part-0007"),
}
REQUESTS: tuple[type[BaseModel], ...] = (
    *(ObjectiveRequest, EvaluateRequest, RunRequest, RunPatch, BatchRequest, ComparisonRequest, InferRequest),
    *(SystemRegionRequest, CudaRegionRequest, KeyRequest),
)
ANSWERS: tuple[type[BaseModel], ...] = (
    *(LossAnswer, CustomAnswer, ObjectiveResult, EvaluateAnswer, problems.Problem),
    *(RunReport, RunState, BatchAnswer, Comparison),
    *(InferAnswer, InferError, KeyWithToken),
)
ABSENT = {
    "LossAnswer": {"value", "values"},
    "CustomAnswer": {"value", "values"},
    "InferAnswer": {"id", "parameters"},
    "InferOutput": {"parameters", "data"},
    "LossEntry": {"choice"},
}
"""Fields of answers that are there or not; all others always are."""


def document(app: FastAPI) -> dict[str, Any]:
    """Returns the document of an application."""
    whole = get_openapi(**INFO, tags=TAGS, servers=SERVERS, routes=app.routes)
    schemas: dict[str, Schema] = whole["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas |= _models()
    for name, absent in ABSENT.items():
        schemas[name]["required"] = [field for field in schemas[name]["required"] if field not in absent]
    for path, item in whole["paths"].items():
        for method, operation in item.items():
            _complete(method, path, operation)
            _describe(operation, schemas)
    whole["paths"] = plain(whole["paths"])
    shared = _share_answers(whole["paths"])
    schemas |= {**loss_choices(), **metric_choices()}
    schemas = {name: plain(schema) for name, schema in schemas.items()} | SCHEMAS | ENUMERATIONS
    for loss in LOSSES.values():
        _shorten(schemas[request_model(loss).__name__])
    whole["components"] = {
        "schemas": schemas,
        "responses": answers.responses() | {"LossAnswer": _completed(LOSS_ANSWER)} | shared,
        "parameters": PARAMETERS | _path_parameters(),
        "headers": plain(answers.HEADERS),
        "securitySchemes": access.SCHEMES,
    }
    finished: Schema = _rename(_remove_unused(whole), {name: shorten(name) for name in schemas})
    return finished


def _models() -> dict[str, Schema]:
    """Returns the schemas of requests and answers that FastAPI does not know of."""
    requests = [*(request_model(loss) for loss in LOSSES.values()), custom_model(), *REQUESTS]
    _, taken = models_json_schema([(model, "validation") for model in requests], ref_template=REF)
    _, given = models_json_schema([(model, "serialization") for model in ANSWERS], ref_template=REF)
    schemas: dict[str, Schema] = {**taken["$defs"], **given["$defs"]}
    tensor = ref("TensorAnswer")
    for name in ("LossAnswer", "CustomAnswer"):
        schemas[name]["properties"]["values"] = {**tensor, "description": "The unreduced loss, under `none` only."}
    for name in ("LossAnswer", "CustomAnswer", "ObjectiveResult", "ObjectiveAnswer"):
        schemas[name]["properties"]["gradients"]["additionalProperties"] = tensor
    data = schemas["InferInput"]["properties"]["data"]
    data |= ref("Numbers")
    schemas["InferOutput"]["properties"]["data"]["items"] = {"type": ["number", "null"]}
    choice = schemas["GateFields"]["properties"]["slice"]
    schemas["GateFields"]["properties"]["slice"] = {
        "$ref": REF.format(model="SliceChoice"),
        "description": choice["description"],
    }
    schemas["RunPatch"]["properties"]["tags"] = TAG_PATCH
    for model in (EvaluateRequest, RunRequest, ComparisonRequest):
        for field in {"losses", "metrics", "gates"} & model.model_fields.keys():
            _name_items(schemas, schemas[model.__name__]["properties"][field])
    return schemas


def _name_items(schemas: dict[str, Schema], field: Schema) -> None:
    """Gives the union of an object and its text, which the items of a field are, a name: `GateOrText`."""
    union = field["items"]
    name = union["oneOf"][0]["$ref"].rpartition("/")[2].removesuffix("Choice").removesuffix("Fields") + "OrText"
    schemas[name] = union
    field["items"] = ref(name)


def _complete(method: str, path: str, operation: dict[str, Any]) -> None:
    """Adds what is the same everywhere: keys, errors, headers, and what the parameters of paths are."""
    declared: dict[str, Any] = operation["responses"]
    refusal = declared.get("422", {}).get("content", {}).get("application/json", {}).get("schema", {})
    if refusal.get("$ref") == REF.format(model="HTTPValidationError"):
        del declared["422"]  # parameters are text here, and our own answers refuse
    operation["security"] = access.security(method, path)
    refuses = bool(operation["security"] or operation.get("parameters") or "requestBody" in operation)
    ranges = answers.ranges(refuses=refuses, plain=path.startswith(OPEN_INFERENCE))
    declared |= {str(code): answer for code, answer in ranges.items()}
    for status, response in declared.items():
        if "$ref" in response:
            declared[status] = {"$ref": response["$ref"]}  # FastAPI puts a description beside it
        else:
            declared[status] = _completed(response)
    operation["responses"] = dict(sorted(declared.items()))
    if "parameters" in operation:
        operation["parameters"] = [
            {"$ref": f"#/components/parameters/{one['name']}"} if one.get("in") == "path" else one
            for one in operation["parameters"]
        ]


def _share_answers(paths: dict[str, Any]) -> dict[str, Schema]:
    """Puts a reference in the place of each answer that several operations give; returns these answers by name."""
    places: dict[str, list[tuple[dict[str, Any], str]]] = {}
    for item in paths.values():
        for operation in item.values():
            for status, answer in operation["responses"].items():
                places.setdefault(json.dumps(answer), []).append((operation["responses"], status))
    shared: dict[str, Schema] = {}
    for same in places.values():
        responses, first = same[0]
        answer = responses[first]
        model = answer.get("content", {}).get("application/json", {}).get("schema", {}).get("$ref", "")
        name = shorten(model.rpartition("/")[2])
        if len(same) > 1 and name and name not in shared:
            shared[name] = answer
            for responses, status in same:
                responses[status] = answers.response_ref(name)
    return shared


def _path_parameters() -> dict[str, Schema]:
    """Returns the parameters of paths, which several operations have each."""
    always = {"in": "path", "required": True, "schema": {"type": "string"}}
    return {
        name: {"name": name, **always, "description": description, "example": example}
        for name, (description, example) in PATH_PARAMETERS.items()
    }


def _shorten(request: Schema) -> None:
    """Says once what all losses share: by reference, or briefly where generators need the type in its place."""
    common = {**COMMON_TENSORS, "gradients": GRADIENTS}
    del request["description"]  # the operation says it
    for name, field in request["properties"].items():
        if name in common and field.get("description") == common[name]:
            field["description"] = BRIEFLY[name]
        elif (words := field.get("$ref", "").rpartition("/")[2]) in DEFAULTS:
            request["properties"][name] = ref(words)
        elif words in ENUMERATIONS:
            del field["description"]
        elif name in SHARED:
            request["properties"][name] = ref(SHARED[name])


def _completed(response: dict[str, Any]) -> dict[str, Any]:
    return {**response, "headers": {**response.get("headers", {}), **answers.common_headers()}}


def _describe(operation: dict[str, Any], schemas: dict[str, Schema]) -> None:
    """Says what an answer is where a route says nothing, and FastAPI says that it is one."""
    for response in operation["responses"].values():
        if response.get("description") == "Successful Response":
            schema = response.get("content", {}).get("application/json", {}).get("schema", {})
            model = schema.get("$ref", "").rpartition("/")[2]
            response["description"] = schemas[model]["description"] if model else "It is done."


def laid_out(part: Any, depth: int = 0) -> str:
    """Writes a document so that people and `git diff` can read it: what fits into a line stands in one."""
    line = json.dumps(part, ensure_ascii=False)
    if len(line) + depth <= WIDTH or not isinstance(part, dict | list):
        return line
    inner = " " * (depth + 1)
    if isinstance(part, dict):
        items = [f"{json.dumps(key)}: {laid_out(value, depth + 1)}" for key, value in part.items()]
    else:
        items = [laid_out(value, depth + 1) for value in part]
    begin, end = "{}" if isinstance(part, dict) else "[]"
    return f"{begin}\n{inner}" + f",\n{inner}".join(items) + f"\n{' ' * depth}{end}"


def shorten(name: str) -> str:
    """Returns the name of a schema in the document: that of its class, without the suffix that tells classes apart."""
    return name.removesuffix("Model").removesuffix("Fields")


def _rename(part: Any, names: dict[str, str]) -> Any:
    changed = {old: new for old, new in names.items() if old != new}
    taken = [new for new in changed.values() if new in names or list(changed.values()).count(new) > 1]
    if taken:
        raise ValueError(f"there are several schemas for the names {', '.join(sorted(set(taken)))}")
    references = {REF.format(model=old): REF.format(model=new) for old, new in changed.items()}
    schemas = part["components"]["schemas"]
    part["components"]["schemas"] = dict(sorted((names[name], schema) for name, schema in schemas.items()))
    return _substitute(part, references)


def _substitute(part: Any, references: dict[str, str]) -> Any:
    if isinstance(part, dict):
        return {key: _substitute(value, references) for key, value in part.items()}
    if isinstance(part, list):
        return [_substitute(value, references) for value in part]
    return references.get(part, part) if isinstance(part, str) else part


def _remove_unused(whole: dict[str, Any]) -> dict[str, Any]:
    """Removes components that nothing refers to."""
    parts = whole["components"]
    used = _references({key: value for key, value in whole.items() if key != "components"})
    todo = list(used)
    while todo:
        kind, name = todo.pop().split("/")[2:]
        more = _references(parts[kind][name]) - used
        used |= more
        todo += more
    for kind in ("schemas", "responses", "headers"):
        parts[kind] = {name: part for name, part in parts[kind].items() if f"#/components/{kind}/{name}" in used}
    return whole


def _references(part: Any) -> set[str]:
    if isinstance(part, dict):
        own = {part["$ref"]} if isinstance(part.get("$ref"), str) else set()
        return own.union(*(_references(value) for value in part.values()))
    if isinstance(part, list):
        return set[str]().union(*map(_references, part))
    return set()
