"""`/v1/runs`: evaluations in many batches; `/v1/comparisons`: two of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from fastapi import APIRouter, BackgroundTasks, Request, Response
from starlette.background import BackgroundTask
from starlette.types import Receive, Scope, Send

import lossmeter
from lossmeter.api.addresses import COMPARISONS
from lossmeter.api.addresses import RUNS as PATH
from lossmeter.api.exchange import respond
from lossmeter.api.models.run_examples import BATCH, COMPARISON, PATCH, RUN
from lossmeter.api.models.runs import RUN_ID, BatchAnswer, RunList, RunModel, check_run_id, run_fields, run_model
from lossmeter.api.negotiation import JSON, Format, answer_format
from lossmeter.api.openapi.answers import error_answers
from lossmeter.api.openapi.components import ref
from lossmeter.api.openapi.operations import COMPARED, REPORTS, SAFETENSORS, json_content, request_body
from lossmeter.api.operations.runs import MERGE_PATCH, AddBatch, CompareRuns, EditRun, OpenRun, encode_json, tidy
from lossmeter.api.raw_routes import add_raw_route
from lossmeter.api.report_formats import OF_RUN
from lossmeter.api.resources import Resources
from lossmeter.errors import Invalid
from lossmeter.metrics import TASKS
from lossmeter.metrics.states import write_plainly
from lossmeter.runs import Ledger, StoredRun
from lossmeter.scheduling.report_threads import ReportThreads
from lossmeter.scheduling.store_threads import StoreThreads

BATCHES = PATH + "/{run_id}/batches/{batch_id:path}"
PAGE, MAX_PAGE = 50, 500
NO_HEADERS: Mapping[str, str] = MappingProxyType({})


def router(resources: Resources) -> APIRouter:
    """Returns the routes."""
    routes = APIRouter(tags=["runs"])
    ledger, store, limits = resources.ledger, resources.store, resources.limits
    reports = resources.reports
    max_elements = resources.settings.max_elements

    async def answer_open(scope: Scope, receive: Receive, send: Send) -> None:
        address = scope.get("root_path", "") + PATH
        await respond(OpenRun(ledger, store, address), limits, scope, receive, send)

    async def answer_batch(scope: Scope, receive: Receive, send: Send) -> None:
        ids = scope["path_params"]
        adding = AddBatch(ledger, store, max_elements, ids["run_id"], ids["batch_id"])
        await respond(adding, limits, scope, receive, send)

    async def answer_edit(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(EditRun(ledger, store, scope["path_params"]["run_id"]), limits, scope, receive, send)

    add_raw_route(routes, "POST", PATH, answer_open, **OPEN)
    _add_reading(routes, ledger, store, reports)
    add_raw_route(routes, "POST", COMPARISONS, partial(respond, CompareRuns(ledger, reports), limits), **COMPARE)
    add_raw_route(routes, "PATCH", PATH + "/{run_id}", answer_edit, edit_run, **EDIT)
    add_raw_route(routes, "PUT", BATCHES, answer_batch, add_batch, **ADD)
    return routes


async def add_batch(run_id: str, batch_id: str) -> Response:  # noqa: ARG001 - parameters of the document
    """The same batch again has no effect, and is answered by 200: whoever got no answer sends it once more.

    Batches come in any order, from any number of clients, through any number of servers on one database.
    """
    raise AssertionError("its raw route answers")


async def edit_run(run_id: str) -> Response:  # noqa: ARG001
    """What is left out stays. Of tags given by key, each takes the place of the tags `key` and `key=…`."""
    raise AssertionError("its raw route answers")


def _add_reading(routes: APIRouter, ledger: Ledger, store: StoreThreads, reports: ReportThreads) -> None:
    """Adds the routes that take no body."""

    def answer(run_id: str, content: bytes, form: Format = JSON, headers: Mapping[str, str] = NO_HEADERS) -> Response:
        # After it has gone, states are merged, so that later readers find fewer.
        later = BackgroundTask(tidy, store, ledger.gather, run_id)
        headers = {**headers, **{name.decode(): value.decode() for name, value in form.headers}}
        return Response(content, headers=headers, media_type=form.header.decode(), background=later)

    @routes.get(
        PATH,
        operation_id="list_runs",
        summary="Runs, newest first",
        openapi_extra={"parameters": PARAMETERS},
    )
    async def list_runs(request: Request) -> RunList:
        """By name, task and tag, in pages, which end early where plans are large; `next` is the cursor of the following one.

        Plans come without arrays, such as the weights of classes; the reports have them.
        """
        limit = _parse_limit(request.query_params.get("limit", str(PAGE)))
        cursor = request.query_params.get("cursor", "")
        if cursor and not RUN_ID.fullmatch(cursor):
            raise Invalid.at("runs", "", "cursor is not one that this service gave")
        tags = [tag.replace("\0", "\ufffd") for tag in request.query_params.getlist("tag")]
        name, task = (request.query_params.get(one, "").replace("\0", "\ufffd") for one in ("name", "task"))
        if task and task not in TASKS:
            raise Invalid.at("runs", "", f"task is {task!r}; expected one of {', '.join(TASKS)}")
        return await store.run(_list_runs, ledger, tags, cursor, limit, name, task)

    @routes.get(
        PATH + "/{run_id}",
        operation_id="report_run",
        summary="The report over everything acknowledged so far",
        responses={
            200: {"content": json_content("RunReport") | REPORTS},
            304: {"description": "Nothing has happened since the report of `If-None-Match`."},
            **error_answers(404),
        },
    )
    async def report_run(run_id: str, request: Request) -> Response:
        """Returns what `POST /v1/evaluate` would answer to all acknowledged batches in one.

        The report has an `ETag`: with it in `If-None-Match`, it is computed again only once there is something new.
        """
        form = answer_format(request.scope["headers"], OF_RUN)
        known = request.headers.get("if-none-match")
        if known:
            headers = _caching(await store.run(ledger.store.run, check_run_id(run_id)), form)
            if headers["ETag"] in (one.strip() for one in known.split(",")):
                return Response(status_code=304, headers=headers)
        run, content = await reports.run(_encode_report, ledger, check_run_id(run_id), form)
        return answer(run_id, content, form, _caching(run, form))

    @routes.get(
        PATH + "/{run_id}/state",
        operation_id="run_state",
        summary="The statistics of a run, which add up",
        responses={200: {"content": json_content("RunState")}, **error_answers(404)},
    )
    async def run_state(run_id: str) -> Response:
        """Sufficient statistics as JSON, which any language can add up."""
        return answer(run_id, await reports.run(_encode_state, ledger, check_run_id(run_id)))

    @routes.post(
        PATH + "/{run_id}/close",
        operation_id="close_run",
        summary="Let no new batch in",
        responses=error_answers(404),
    )
    async def close_run(run_id: str, later: BackgroundTasks) -> RunModel:
        """Batches that the run has may still be sent again; a new one is refused with 409."""
        run = await store.run(ledger.close, check_run_id(run_id))
        later.add_task(tidy, store, ledger.join, run_id)
        return run_model(run)

    @routes.delete(
        PATH + "/{run_id}",
        operation_id="delete_run",
        summary="Forget a run",
        status_code=204,
        responses=error_answers(404),
    )
    async def delete_run(run_id: str) -> None:
        """The run, its batches and its statistics are gone."""
        await store.run(ledger.store.delete, check_run_id(run_id))


def _list_runs(ledger: Ledger, tags: list[str], cursor: str, limit: int, name: str, task: str) -> RunList:
    page, more = ledger.store.find(tags, cursor, limit, name, task)
    return RunList(runs=[run_model(one, brief=True) for one in page], next=page[-1].id if more else None)


def _encode_report(ledger: Ledger, run_id: str, form: Format) -> tuple[StoredRun, bytes]:
    run, report = ledger.report(run_id)
    return run, b"".join(form.encode({"run": run_fields(run), **report}, base64=False))


def _caching(run: StoredRun, form: Format) -> dict[str, str]:
    """Returns headers by which a client need not ask for the same report twice: batches are added, and never taken away."""
    tag = repr((lossmeter.__version__, form.media_type, run.id, run.batches, run.closed, run.name, run.tags))
    return {
        "ETag": f'W/"{hashlib.sha256(tag.encode()).hexdigest()[:16]}"',
        "Cache-Control": "no-cache",
        "Vary": "Accept",
    }


def _encode_state(ledger: Ledger, run_id: str) -> bytes:
    with ledger.reading(run_id) as (run, record):
        written = None if record is None else record.to_json(write_plainly)
        return b"".join(
            encode_json({"format": "lossmeter.run", "version": 1, "run": run_fields(run), "record": written})
        )


PARAMETERS = [
    {
        "name": "tag",
        "in": "query",
        "description": "A tag that the runs have; given several times, all of them.",
        "schema": {"type": "array", "items": {"type": "string"}},
    },
    {
        "name": "name",
        "in": "query",
        "description": "The name that the runs have, all of it.",
        "schema": {"type": "string"},
    },
    {
        "name": "task",
        "in": "query",
        "description": "The task that the runs are about.",
        "schema": {"type": "string", "enum": list(TASKS)},
    },
    {
        "name": "limit",
        "in": "query",
        "description": "How many to list.",
        "schema": {"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": PAGE},
    },
    {"name": "cursor", "in": "query", "description": "`next` of the page before.", "schema": {"type": "string"}},
]
LINKS: dict[str, Any] = {
    name: {
        "operationId": name,
        "description": f"With `id` as `run_id`: {what}.",
        "parameters": {"run_id": "$response.body#/id"},
    }
    for name, what in {
        "add_batch": "adds to the run",
        "report_run": "what it says so far",
        "run_state": "its statistics",
        "edit_run": "calls it otherwise",
        "close_run": "lets no new batch in",
        "delete_run": "forgets it",
    }.items()
}


def _parse_limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= MAX_PAGE):
        raise Invalid.at("runs", "", f"limit is {text!r}; expected an integer from 1 to {MAX_PAGE}")
    return int(text)


OPEN: dict[str, Any] = {
    "operation_id": "open_run",
    "summary": "Open a run: an evaluation in many batches",
    "description": "What is measured is settled now; batches follow, with `PUT /v1/runs/{run_id}/batches/{batch_id}`.",
    "response_model": RunModel,
    "status_code": 201,
    "openapi_extra": request_body("RunRequest", {"example": {"value": RUN}}),
    "responses": {
        201: {
            "headers": {"Location": {"description": "Address of the run.", "schema": {"type": "string"}}},
            "links": LINKS,
        },
        **error_answers(404),
    },
}
EDIT: dict[str, Any] = {
    "operation_id": "edit_run",
    "summary": "Change name and tags of a run, open or closed (RFC 7396)",
    "response_model": RunModel,
    "openapi_extra": request_body(
        "RunPatch", {"example": {"value": PATCH}}, {MERGE_PATCH: {"schema": ref("RunPatch")}}
    ),
    "responses": error_answers(404),
}
COMPARE: dict[str, Any] = {
    "operation_id": "compare_runs",
    "summary": "Two runs: by how much every loss and metric differs, in pairs",
    "description": "Candidate minus baseline, over the samples that both have where they keep them.",
    "openapi_extra": request_body("ComparisonRequest", {"example": {"value": COMPARISON}}),
    "responses": {200: {"content": json_content("Comparison") | COMPARED}, **error_answers(404)},
}
ADD: dict[str, Any] = {
    "operation_id": "add_batch",
    "summary": "Add a batch, which is durable when this is answered",
    "openapi_extra": request_body("BatchRequest", {"example": {"value": BATCH}}, SAFETENSORS),
    "status_code": 201,
    "responses": {
        201: {"description": "The batch will not be lost.", "content": json_content(BatchAnswer.__name__)},
        200: {
            "description": "The run has this batch already: no effect.",
            "content": json_content(BatchAnswer.__name__),
        },
        **error_answers(404, 409),
    },
}
"""Declarations of the routes that take a body."""
