"""Both OpenAPI documents are valid, say what generators of clients understand, and say the same."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from openapi_schema_validator import OAS30Validator, OAS31Validator
from openapi_spec_validator import validate

from lossmeter.api.openapi.answers import ERRORS
from lossmeter.api.openapi.components import ENUMERATIONS
from lossmeter.api.problems import STATUS
from lossmeter.database import Database
from lossmeter.keys import SqlKeys, issue
from lossmeter.losses import LOSSES
from lossmeter.metrics import METRICS
from tests.contracts import openapi_3_0
from tests.contracts.compatibility import CURRENT, ROOT, named, operations, parameters
from tests.support.loops import for_each
from tests.support.service import serving
from tests.support.shared_memory import held

DOCUMENTS = {path.stem: json.loads(path.read_text()) for path in (CURRENT, ROOT / "openapi" / "openapi-3.0.json")}
DOCUMENT, OLDER = DOCUMENTS["openapi"], DOCUMENTS["openapi-3.0"]
SCHEMAS = DOCUMENT["components"]["schemas"]
OPERATIONS = {operation["operationId"]: (path, method, operation) for path, method, operation in operations(DOCUMENT)}
OF_RUNS = {"open_run", "add_batch", "report_run", "run_state", "edit_run", "close_run", "delete_run", "compare_runs"}
"""Each needs what another one did."""

OF_SHARED_MEMORY = {name for name in OPERATIONS if "region" in name}
"""Off by default."""

OF_KEYS = {"list_keys", "make_key", "revoke_key"}
"""For an admin's key alone."""

every_document = pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS)
every_operation = for_each("name", OPERATIONS.keys())


def schemas(part: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """All schemas of a document, with their places; data, such as examples, is none."""
    if isinstance(part, list):
        for number, item in enumerate(part):
            yield from schemas(item, f"{place}/{number}")
    if isinstance(part, dict):
        if {"type", "$ref", "oneOf", "anyOf", "allOf"} & part.keys() and isinstance(part.get("type", ""), str | list):
            yield place, part
        for key, value in part.items():
            if key not in ("example", "examples", "default", "enum"):
                yield from schemas(value, f"{place}/{key}")


def validator(document: dict[str, Any], schema: dict[str, Any]) -> Any:
    kind = OAS30Validator if document is OLDER else OAS31Validator
    return kind(
        {**schema, "components": document["components"]} if "$ref" not in schema else referred(document, schema)
    )


def referred(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """The schema that a reference names, with what it refers to itself."""
    name = schema["$ref"].rpartition("/")[2]
    return {**document["components"]["schemas"][name], "components": document["components"]}


@every_document
def test_it_is_valid(document: dict[str, Any]) -> None:
    validate(document)


def test_a_flaw_is_found() -> None:
    with pytest.raises(Exception, match='"responses" is a required property'):
        validate({**OLDER, "paths": {"/healthz": {"get": {}}}})


def test_operations_have_names_of_their_own() -> None:
    assert len(OPERATIONS) == len(list(operations(DOCUMENT)))
    assert set(LOSSES) <= set(OPERATIONS)
    assert all(name.isidentifier() and name.islower() for name in OPERATIONS)
    assert [one["operationId"] for _, _, one in operations(OLDER)] == list(OPERATIONS)


@every_operation
def test_an_operation_says_what_it_is_and_how_it_fails(name: str) -> None:
    path, _, operation = OPERATIONS[name]
    assert operation["summary"]
    assert operation["description"]
    assert operation["tags"][0] in [tag["name"] for tag in DOCUMENT["tags"] if tag["description"]]
    assert all(one["description"] for one in parameters(DOCUMENT, operation))
    answers = operation["responses"]
    assert "5XX" in answers
    assert ("4XX" in answers) == bool(
        "requestBody" in operation or operation["security"] or operation.get("parameters")
    )
    if "{" in path:
        assert "404" in answers
    for status, answer in answers.items():
        if status >= "400":
            (content,) = named(DOCUMENT, answer)["content"].values()
            model = "InferError" if path.startswith("/v2") else "Problem"
            assert content["schema"]["$ref"].endswith(model)
            for example in content["examples"].values():
                assert model == "InferError" or re.fullmatch(status.replace("X", "."), str(example["value"]["status"]))


def test_every_status_of_an_error_has_an_example() -> None:
    shared = DOCUMENT["components"]["responses"]
    own = [one["value"]["status"] for name in ("NotFound", "Conflict") for one in examples_in(shared[name])]
    ranges = [one["value"]["status"] for name in ("Refused", "Failed") for one in examples_in(shared[name])]
    assert {*STATUS.values(), 500} <= {*own, *ranges}
    assert set(own) <= set(ranges) == set(ERRORS)


def examples_in(part: dict[str, Any]) -> list[dict[str, Any]]:
    """The examples of a body or an answer."""
    return [one for content in part.get("content", {}).values() for one in content.get("examples", {}).values()]


@pytest.mark.parametrize("path", [CURRENT, CURRENT.with_name("openapi-3.0.json")], ids=DOCUMENTS)
def test_what_is_said_often_is_said_once(path: Path) -> None:
    assert path.stat().st_size < 600_000


def test_formulas_are_plain_text() -> None:
    described = [one for one in strings(DOCUMENT) if "\\" in one or re.search(r"\$[^.$]+\$", one)]
    assert described == []
    assert "½ (x_i - y_i)² if |x_i - y_i| < δ" in OPERATIONS["huber"][2]["description"]


def strings(part: Any) -> Iterator[str]:
    """All descriptions and summaries."""
    if isinstance(part, dict):
        yield from (part[key] for key in ("description", "summary") if isinstance(part.get(key), str))
    for inner in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from strings(inner)


def test_nothing_is_any_of_with_null() -> None:
    found = [place for place, schema in schemas(DOCUMENT) if "anyOf" in schema]
    assert found == []


@every_document
def test_numbers_have_a_format(document: dict[str, Any]) -> None:
    wanted = {"number": "double", "integer": "int64"}
    seen = set()
    for place, schema in schemas(document):
        kinds = [schema["type"]] if isinstance(schema.get("type"), str) else schema.get("type", [])
        for kind in wanted.keys() & set(kinds):
            assert schema.get("format") == wanted[kind], place
            seen.add(kind)
    assert seen == set(wanted)


def test_enumerations_and_unions_of_several_places_have_names() -> None:
    words = [
        tuple(map(str, one["enum"])) for name, one in schemas(SCHEMAS) if one.get("type") == "string" and "enum" in one
    ]
    named = {tuple(one["enum"]) for one in SCHEMAS.values() if "enum" in one}
    assert {tuple(one["enum"]) for one in ENUMERATIONS.values()} <= named, "no place has these words any more"
    assert all(words.count(one) == 1 for one in named), "used without its name"
    inline = [place for place, one in schemas(SCHEMAS) if "oneOf" in one and place.count("/") > 1]
    assert all({"type": "null"} in _at(SCHEMAS, place)["oneOf"] for place in inline), inline


def _at(part: Any, place: str) -> Any:
    for step in place.split("/")[1:]:
        part = part[int(step)] if isinstance(part, list) else part[step]
    return part


@pytest.mark.parametrize(
    ("union", "key", "names"), [("LossChoice", "loss", LOSSES), ("MetricChoice", "metric", METRICS)]
)
def test_choices_are_told_apart_by_their_name(union: str, key: str, names: dict[str, Any]) -> None:
    told = SCHEMAS[union]["discriminator"]
    assert told["propertyName"] == key
    assert len(SCHEMAS[union]["oneOf"]) == len(set(told["mapping"].values()))
    for name, reference in told["mapping"].items():
        assert name in SCHEMAS[reference.rpartition("/")[2]]["properties"][key]["enum"]
    fitting = {name for name, one in names.items() if key == "metric" or _is_pair(one)}
    aliases = {alias for name in fitting for alias in names[name].aliases}
    assert set(told["mapping"]) == fitting | aliases


def _is_pair(loss: Any) -> bool:
    return [one.name for one in loss.tensors if one.required] == ["predictions", "labels"]


@every_document
def test_examples_fit_their_schemas(document: dict[str, Any]) -> None:
    count = 0
    for _, _, operation in operations(document):
        for content in operation.get("requestBody", {"content": {}})["content"].values():
            for example in content.get("examples", {}).values():
                validator(document, content["schema"]).validate(example["value"])
                count += 1
    for answer in document["components"]["responses"].values():
        for content in answer["content"].values():
            for example in content.get("examples", {}).values():
                validator(document, content["schema"]).validate(example["value"])
                count += 1
    for name, schema in document["components"]["schemas"].items():
        for example in schema.get("examples", [schema["example"]] if "example" in schema else []):
            validator(document, {"$ref": f"#/components/schemas/{name}"}).validate(example)
            count += 1
    assert count > 60


def test_examples_that_do_not_fit_are_found() -> None:
    with pytest.raises(jsonschema.ValidationError):
        validator(OLDER, {"$ref": "#/components/schemas/Interval"}).validate({"low": "0"})


@pytest.mark.parametrize("name", sorted(OPERATIONS.keys() - OF_RUNS - OF_SHARED_MEMORY - OF_KEYS))
def test_examples_work_when_posted(http: httpx.Client, name: str) -> None:
    path, method, operation = OPERATIONS[name]
    values = {one["name"]: one["example"] for one in parameters(DOCUMENT, operation) if one["in"] == "path"}
    examples = operation.get("requestBody", {"content": {}})["content"].get("application/json", {}).get("examples", {})
    answered = next(status for status in operation["responses"] if status < "300")
    for example in examples.values() or [{"value": None}]:
        answer = http.request(method, path.format(**values), json=example["value"])
        assert answer.status_code == int(answered), answer.text
        check_answer(name, answer)


def test_examples_of_shared_memory_work_where_it_is_on() -> None:
    """In the order in which a client does them, since some are of regions that others register."""
    order = ["register_system_region", "system_regions", "system_region", "unregister_system_region"]
    order += ["unregister_system_regions", "cuda_regions", "unregister_cuda_region", "unregister_cuda_regions"]
    without_gpu = {"register_cuda_region": 422, "cuda_region": 404}
    assert {*order, *without_gpu} == OF_SHARED_MEMORY
    with (
        serving(shared_memory=True) as url,
        httpx.Client(base_url=url) as http,
        held(4096, example_of("register_system_region")["key"].removeprefix("/")),
    ):
        for name, status in {**dict.fromkeys(order, 200), **without_gpu}.items():
            path, method, operation = OPERATIONS[name]
            posted = example_of(name) if "requestBody" in operation else None
            answer = http.request(method, path.format(region="batch"), json=posted)
            assert answer.status_code == status, answer.text
            if status == 200:
                check_answer(name, answer)


def test_examples_of_keys_work_for_an_admin(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/keys.sqlite")
    key, token = issue("admin", ["admin"])
    SqlKeys(database).add(key)
    database.close()
    headers = {"Authorization": f"Bearer {token}"}
    with serving(store_url=str(database.url)) as url, httpx.Client(base_url=url, headers=headers) as http:
        made = http.post("/v1/keys", json=example_of("make_key"))
        check_answer("make_key", made)
        check_answer("list_keys", http.get("/v1/keys"))
        assert http.delete(made.headers["location"]).status_code == 204


def check_answer(name: str, answer: httpx.Response) -> None:
    """An answer is what both documents say."""
    for document in (DOCUMENT, OLDER):
        _, _, operation = next(one for one in operations(document) if one[2]["operationId"] == name)
        content = named(document, operation["responses"][str(answer.status_code)])["content"].get("application/json")
        if content:
            validator(document, content["schema"]).validate(answer.json())


def example_of(name: str) -> dict[str, Any]:
    """The request that the document shows for an operation."""
    examples = OPERATIONS[name][2]["requestBody"]["content"]["application/json"]["examples"]
    return dict(next(iter(examples.values()))["value"])


def test_examples_about_runs_work_one_after_the_other(http: httpx.Client) -> None:
    answers = []
    runs = []
    for _ in range(2):
        opened = http.post("/v1/runs", json=example_of("open_run"))
        run = opened.headers["location"]
        runs.append(opened.json()["id"])
        answers += [("open_run", opened), ("add_batch", http.put(f"{run}/batches/a", json=example_of("add_batch")))]
        answers.append(("edit_run", http.patch(run, json=example_of("edit_run"))))
        answers += [("report_run", http.get(run)), ("run_state", http.get(f"{run}/state"))]
        answers.append(("close_run", http.post(f"{run}/close")))
    wanted = {**example_of("compare_runs"), "baseline": runs[0], "candidate": runs[1]}
    answers.append(("compare_runs", http.post("/v1/comparisons", json=wanted)))
    for name, answer in answers:
        assert answer.is_success, answer.text
        check_answer(name, answer)
    assert {name for name, _ in answers} == OF_RUNS - {"delete_run"}
    assert [http.delete(f"/v1/runs/{one}").status_code for one in runs] == [204, 204]


def test_figures_of_every_kind_are_as_documented_with_data_and_without(http: httpx.Client) -> None:
    plan = {
        "task": "multiclass",
        "predictions_are": "probabilities",
        "classes": 3,
        "curves": {"bins": 10},
        "metrics": [
            {"metric": "accuracy"},
            {"metric": "f1", "average": "none"},
            {"metric": "auroc", "average": "none"},
            {"metric": "confusion_matrix"},
            {"metric": "roc_curve"},
        ],
    }
    data = {"predictions": [[0.7, 0.2, 0.1], [0.1, 0.8, 0.1]], "labels": [0, 2], "slices": {"even": [True, False]}}
    evaluated = http.post("/v1/evaluate", json=plan | data)
    opened = http.post("/v1/runs", json={**plan, "slices": ["even"]}).headers["location"]
    empty = http.get(opened)
    for name, answer in (("evaluate", evaluated), ("report_run", empty)):
        assert answer.is_success, answer.text
        assert {one["kind"] for one in answer.json()["metrics"]} == {"scalar", "per_class", "matrix", "curve"}
        check_answer(name, answer)
    assert [len(one["error_bound"]) for one in evaluated.json()["metrics"][1:3]] == [3, 3]
    http.delete(opened)


def test_the_older_document_says_the_same() -> None:
    assert openapi_3_0.converted(DOCUMENT) == OLDER
    assert OLDER["openapi"].startswith("3.0")
    for _, method, operation in operations(OLDER):
        assert method
        assert all(scopes == [] for one in operation["security"] for scopes in one.values())


CONVERTED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "null": ({"type": ["number", "null"]}, {"type": "number", "nullable": True}),
    "null among words": (
        {"type": ["string", "null"], "enum": ["a"]},
        {"type": "string", "nullable": True, "enum": ["a", None]},
    ),
    "several types": ({"type": ["string", "integer"]}, {"oneOf": [{"type": "string"}, {"type": "integer"}]}),
    "an exclusive bound": ({"exclusiveMinimum": 0}, {"minimum": 0, "exclusiveMinimum": True}),
    "one value": ({"const": 1}, {"enum": [1]}),
    "bytes": ({"type": "string", "contentEncoding": "base64"}, {"type": "string", "format": "byte"}),
    "words beside a reference": ({"$ref": "#/x", "default": 1}, {"allOf": [{"$ref": "#/x"}], "default": 1}),
    "a reference alone": ({"$ref": "#/x"}, {"$ref": "#/x"}),
    "examples": ({"examples": [1, 2]}, {"example": 1}),
    "a reference or null": (
        {"oneOf": [{"$ref": "#/x"}, {"type": "null"}]},
        {"oneOf": [{"$ref": "#/x"}, openapi_3_0.NULL_3_0]},
    ),
}


@pytest.mark.parametrize(("new", "old"), CONVERTED.values(), ids=CONVERTED)
def test_3_0_has_other_words(new: dict[str, Any], old: dict[str, Any]) -> None:
    wrapped: Callable[[Any], Any] = lambda schema: {"properties": {"type": {"items": schema}}}  # noqa: E731
    assert openapi_3_0.schema_3_0(wrapped(new)) == wrapped(old)


def test_what_3_0_cannot_say_is_an_error() -> None:
    with pytest.raises(ValueError, match="patternProperties"):
        openapi_3_0.schema_3_0({"patternProperties": {}})
    with pytest.raises(ValueError, match="webhooks"):
        openapi_3_0.converted({**DOCUMENT, "webhooks": {}})
