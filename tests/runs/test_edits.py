"""Name and tags of a run are changed by merge patches (RFC 7396), by many at once, while batches arrive."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from lossmeter.errors import Invalid, NotFound
from lossmeter.runs import MAX_TAGS, Ledger, RunEdit
from tests.runs.test_routes import NOWHERE, problem
from tests.support.runs import PLAN, SMALL, data, numbers, opened, part, put
from tests.support.service import serving

RUN = {**PLAN, "name": "nightly", "tags": ["model=b7", "night"]}
MERGE_PATCH = "application/merge-patch+json"


@pytest.fixture
def service(store_url: str) -> Iterator[httpx.Client]:
    """A service on each database."""
    with serving(store_url=store_url) as url, httpx.Client(base_url=url, timeout=60) as client:
        yield client


def address(http: httpx.Client, **fields: Any) -> str:
    answer = http.post("/v1/runs", json={**RUN, **fields})
    assert answer.status_code == 201, answer.text
    return str(answer.headers["location"])


def called(http: httpx.Client, path: str) -> tuple[str, list[str]]:
    """Name and tags in the report."""
    run = http.get(path).json()["run"]
    return run["name"], run["tags"]


def test_an_open_run_and_a_closed_one_are_called_otherwise(service: httpx.Client) -> None:
    path = address(service)
    for media_type in ("application/json", MERGE_PATCH):
        headers = {"content-type": media_type}
        answer = service.patch(
            path, content=b'{"name": "weekly", "tags": {"night": null, "week": ""}}', headers=headers
        )
        assert answer.status_code == 200, answer.text
        (listed,) = [one for one in service.get("/v1/runs").json()["runs"] if path.endswith(one["id"])]
        assert answer.json() == listed
        assert (listed["name"], listed["tags"]) == called(service, path) == ("weekly", ["model=b7", "week"])
        assert [f"/v1/runs/{one['id']}" for one in service.get("/v1/runs?tag=week").json()["runs"]][:1] == [path]
        service.patch(path, json={"name": "nightly", "tags": ["model=b7", "night"]})
        service.post(f"{path}/close")
    service.delete(path)


@pytest.mark.parametrize(
    ("patch", "name", "tags"),
    [
        ({}, "nightly", ["model=b7", "night"]),
        ({"name": "weekly"}, "weekly", ["model=b7", "night"]),
        ({"name": None}, "", ["model=b7", "night"]),
        ({"name": ""}, "", ["model=b7", "night"]),
        ({"tags": None}, "nightly", []),
        ({"tags": []}, "nightly", []),
        ({"tags": {}}, "nightly", ["model=b7", "night"]),
        ({"tags": ["b", "a", "b"]}, "nightly", ["a", "b"]),
        ({"tags": {"model": "b8"}}, "nightly", ["model=b8", "night"]),
        ({"tags": {"model": None}}, "nightly", ["night"]),
        ({"tags": {"model": ""}}, "nightly", ["model", "night"]),
        ({"tags": {"model=b7": None, "mod": None}}, "nightly", ["night"]),
        ({"tags": {"night": "2"}}, "nightly", ["model=b7", "night=2"]),
        ({"tags": {"a=b": "c", "never": None}}, "nightly", ["a=b=c", "model=b7", "night"]),
    ],
)
def test_what_a_patch_names_changes_and_nothing_else(
    http: httpx.Client, patch: dict[str, Any], name: str, tags: list[str]
) -> None:
    path = address(http)
    for _ in range(2):
        answer = http.patch(path, json=patch)
        assert (answer.status_code, answer.json()["name"], answer.json()["tags"]) == (200, name, tags)
        assert called(http, path) == (name, tags)


@pytest.mark.parametrize(
    ("patch", "pointer"),
    [
        ({"name": "a\nb"}, "/name"),
        ({"name": "a" * 201}, "/name"),
        ({"name": 1}, "/name"),
        ({"tags": "a"}, "/tags"),
        ({"tags": [""]}, "/tags/0"),
        ({"tags": ["a", "b" * 201]}, "/tags/1"),
        ({"tags": ["a", None]}, "/tags/1"),
        ({"tags": [str(number) for number in range(MAX_TAGS + 1)]}, "/tags"),
        ({"tags": {str(number): "" for number in range(MAX_TAGS)}}, "/tags"),
        ({"tags": {"": ""}}, "/tags/"),
        ({"tags": {"a\u0000": ""}}, "/tags/a\u0000"),
        ({"tags": {"a": "b" * 199}}, "/tags/a"),
        ({"tags": {"a": 1}}, "/tags/a"),
        ({"tags": {"a": True}}, "/tags/a"),
        ({"task": "binary"}, "/task"),
        ({"batches": 0}, "/batches"),
        ({"unknown": None}, "/unknown"),
        ([], ""),
        ("name", ""),
    ],
)
def test_what_no_run_can_be_called_is_told_where_and_changes_nothing(
    http: httpx.Client, patch: Any, pointer: str
) -> None:
    path = address(http)
    if isinstance(patch, dict):
        patch = {"name": "other", **patch}
    found = problem(http.patch(path, json=patch), 422, "invalid")
    assert [flaw["pointer"] for flaw in found["errors"]] == [pointer]
    assert called(http, path) == (RUN["name"], RUN["tags"])


def test_what_is_no_patch_or_of_no_run(http: httpx.Client) -> None:
    path = address(http)
    problem(http.patch(path, content=b"{", headers={"content-type": MERGE_PATCH}), 400, "malformed_body")
    problem(http.patch(path, content=b"", headers={"content-type": MERGE_PATCH}), 400, "malformed_body")
    for media_type in ("application/json-patch+json", "text/plain", "application/vnd.safetensors"):
        told = problem(http.patch(path, content=b"{}", headers={"content-type": media_type}), 415, "unsupported_format")
        assert MERGE_PATCH in told["detail"]
    for run_id in (NOWHERE, "x%00", "nothing"):
        problem(http.patch(f"/v1/runs/{run_id}", json={}), 404, "not_found")
    large = {"tags": {str(number): None for number in range(200_000)}}
    problem(http.patch(path, json=large), 413, "too_large")
    answer = http.patch("/v1/runs", json={})
    problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, HEAD, POST"
    assert "PATCH" in http.put(path, json={}).headers["allow"].split(", ")


def test_a_report_is_another_once_it_is_called_otherwise(http: httpx.Client) -> None:
    path, rows = address(http), data(10)
    http.put(f"{path}/batches/0", json=rows)
    tags = [http.get(path).headers["etag"]]
    for patch in ({"name": "other"}, {"tags": {"more": ""}}, {"tags": ["model=b7-night"]}):
        assert http.get(path, headers={"if-none-match": tags[-1]}).status_code == 304
        assert http.patch(path, json=patch).status_code == 200
        report = http.get(path, headers={"if-none-match": ", ".join(tags)})
        assert report.status_code == 200
        assert report.json()["run"]["samples"] > 0
        tags.append(report.headers["etag"])
    http.patch(path, json={})
    assert http.get(path, headers={"if-none-match": tags[-1]}).status_code == 304


def test_a_retry_of_a_batch_is_known_by_its_content_whatever_the_run_is_called(http: httpx.Client) -> None:
    path, rows = address(http), data(10)
    assert http.put(f"{path}/batches/0", json=part(rows, range(5))).status_code == 201
    http.patch(path, json={"name": "other", "tags": []})
    assert http.put(f"{path}/batches/0", json=part(rows, range(5))).status_code == 200
    assert http.put(f"{path}/batches/1", json=part(rows, range(5, 10))).status_code == 201


def test_many_edit_at_once_while_batches_arrive(books: Ledger) -> None:
    run = opened(books, SMALL)

    def add(number: int) -> None:
        assert put(books, run.id, str(number), numbers(1, -1))

    def edit(number: int) -> None:
        tags = {"owner": str(number), "same": "", f"of {number}": "", f"of {number - 1}": None}
        books.edit(run.id, RunEdit(f"by {number}", tags))

    with ThreadPoolExecutor(8) as threads:
        done = [threads.submit(what, number) for number in range(24) for what in (edit, add)]
        for one in done:
            one.result()
    found, told = books.report(run.id)
    (owner,) = (tag for tag in found.tags if tag.startswith("owner="))
    # Whoever came last gave the name too: no edit is there in part.
    assert found.name == f"by {owner.removeprefix('owner=')}"
    assert found.tags.count("same") == 1
    assert (found.batches, told["losses"][0]["sum"]) == (24, 48)


def test_no_number_of_edits_at_once_gives_a_run_too_many_tags(books: Ledger) -> None:
    run = opened(books, SMALL, *(str(number) for number in range(MAX_TAGS - 2)))

    def edit(number: int) -> bool:
        try:
            books.edit(run.id, RunEdit(tags={f"more {number}": ""}))
        except Invalid:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(edit, range(16))) == 2
    assert len(books.store.run(run.id).tags) == MAX_TAGS


def test_a_run_that_is_deleted_meanwhile_is_not_found(books: Ledger) -> None:
    runs = [opened(books, SMALL, "old") for _ in range(12)]

    def edit(run_id: str) -> bool:
        try:
            return books.edit(run_id, RunEdit("new", ["new"])).tags == ("new",)
        except NotFound:
            return True

    with ThreadPoolExecutor(4) as threads:
        deleted = [threads.submit(books.store.delete, run.id) for run in runs]
        assert all(threads.map(edit, [run.id for run in runs]))
        for one in deleted:
            one.result()
    for run in runs:
        with pytest.raises(NotFound):
            books.edit(run.id, RunEdit("new"))
