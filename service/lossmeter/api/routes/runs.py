"""`/v1/runs`: evaluations in many batches; `/v1/comparisons`: two of them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response
from starlette.background import BackgroundTask

from lossmeter.api.batch_routes import BatchEndpoint
from lossmeter.api.messages import body
from lossmeter.api.messages.formats import JSON
from lossmeter.api.models.run_examples import BATCH, COMPARISON, RUN
from lossmeter.api.models.runs import (
    RUN_ID,
    BatchAnswer,
    ComparisonRequest,
    RunList,
    RunModel,
    known,
    plan_fields,
    run_fields,
    run_model,
    validated,
)
from lossmeter.api.openapi import REF, SAFETENSORS, error_answers
from lossmeter.api.tensor_routes import TensorRoute
from lossmeter.errors import Busy, Invalid, LossmeterError, pointer
from lossmeter.evaluation import Plan
from lossmeter.evaluation.reports import not_finite
from lossmeter.runs import Ledger, Margin, compare, plan_of
from lossmeter.scheduling.admission import Reservation
from lossmeter.scheduling.limits import Limits
from lossmeter.scheduling.pool import Pool
from lossmeter.telemetry.request import request_state

log = logging.getLogger(__name__)

PATH = "/v1/runs"
MAX_WAITING = 256
"""Requests that wait for the database; beyond them callers are told to come back."""
PAGE, MAX_PAGE = 50, 500

T = TypeVar("T")
Answer = dict[str, Any]


class Desk:
    """Work on runs, in threads of its own: a database that does not answer holds up nothing else."""

    def __init__(self, ledger: Ledger, limits: Limits, pool: Pool) -> None:
        self.ledger = ledger
        self.limits = limits
        self.pool = pool

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """The result of the function.

        Raises:
            Busy: too many wait already.
        """
        if self.pool.waiting >= MAX_WAITING:
            raise Busy(f"{MAX_WAITING} requests wait for the database of runs.")
        return await self.pool.run(0, function, *arguments)

    async def fields(self, request: Request) -> dict[str, Any]:
        """The fields of a JSON request."""
        ticket: Reservation = self.limits.reserve(request_state(request.scope).late_seconds)
        try:
            given = await body.read(request.scope, request.receive, self.limits.max_body_bytes, ticket.grow)
            return await self.run(lambda: JSON.decode(given.take(), frozenset()))
        finally:
            ticket.close()

    def answer(self, run_id: str, content: bytes) -> Response:
        """What was read of a run; after it has gone, later readers are made to find less to read."""
        return Response(content, media_type="application/json", background=BackgroundTask(self.gather, run_id))

    async def gather(self, run_id: str) -> None:
        """Nobody waits for it, and nobody is told if it fails: a later reader tries again."""
        try:
            await self.run(self.ledger.gather, run_id)
        except LossmeterError as error:
            log.warning("run %s: its states could not be gathered: %s", run_id, error.detail)

    def report(self, run_id: str) -> bytes:
        run, found = self.ledger.report(run_id)
        return written({"run": run_fields(run), **found})

    def state(self, run_id: str) -> bytes:
        run, record = self.ledger.record(run_id)
        known = None if record is None else record.to_json()
        return written({"format": "lossmeter.run", "version": 1, "run": run_fields(run), "record": known})

    def comparison(self, request: ComparisonRequest) -> bytes:
        margins = [Margin.of(one.model_dump(exclude_unset=True), place) for place, one in enumerate(request.gates)]
        sides = []
        for role in ("baseline", "candidate"):
            run, record = self.ledger.record(known(getattr(request, role)))
            if record is None:
                raise Invalid.at("comparison", pointer(role), f"{role}: run {run.id} has no batch yet")
            sides.append((run, plan_of(run.plan), record))
        (first, first_plan, first_record), (second, second_plan, second_record) = sides
        plans, records = (first_plan, second_plan), (first_record, second_record)
        found = compare(plans, records, margins, request.confidence)
        warnings = list(not_finite(found))
        return written({"baseline": run_fields(first), "candidate": run_fields(second), **found, "warnings": warnings})


def router(ledger: Ledger, limits: Limits, max_elements: int, pool: Pool) -> APIRouter:
    """The routes."""
    routes = APIRouter(tags=["runs"])
    desk = Desk(ledger, limits, pool)

    @routes.post(
        PATH,
        operation_id="open_run",
        summary="Open a run: an evaluation in many batches",
        status_code=201,
        openapi_extra=_takes("RunRequest", RUN),
        responses={
            201: {
                "headers": {"Location": {"description": "Address of the run.", "schema": {"type": "string"}}},
                "links": LINKS,
            },
            **error_answers(400, 404, 413, 415, 422, 503),
        },
    )
    async def open_run(request: Request, response: Response) -> RunModel:
        """What is measured is settled now; batches follow, with `PUT /v1/runs/{run_id}/batches/{batch_id}`."""
        fields = plan_fields(await desk.fields(request))
        run = await desk.run(lambda: ledger.open(fields.name, fields.tags, Plan.of(fields)))
        response.headers["Location"] = f"{request.scope.get('root_path', '')}{PATH}/{run.id}"
        return run_model(run)

    @routes.get(
        PATH,
        operation_id="list_runs",
        summary="Runs, newest first",
        openapi_extra={"parameters": PARAMETERS},
        responses=error_answers(422, 503),
    )
    async def list_runs(request: Request) -> RunList:
        """By tag, in pages; `next` of one page is the cursor of the following one."""
        limit = _limit(request.query_params.get("limit", str(PAGE)))
        cursor = request.query_params.get("cursor", "")
        if cursor and not RUN_ID.fullmatch(cursor):
            raise Invalid.at("runs", "", "cursor is not one that this service gave")
        tags = [tag.replace("\0", "\ufffd") for tag in request.query_params.getlist("tag")]
        found = await desk.run(ledger.store.find, tags, cursor, limit + 1)
        page = found[:limit]
        return RunList(runs=[run_model(one) for one in page], next=page[-1].id if len(found) > limit else None)

    @routes.get(
        PATH + "/{run_id}",
        operation_id="report_run",
        summary="The report over everything acknowledged so far",
        responses=_gives("RunReport") | error_answers(404, 503),
    )
    async def report_run(run_id: str) -> Response:
        """What `POST /v1/evaluate` would answer to all acknowledged batches in one."""
        return desk.answer(run_id, await desk.run(desk.report, known(run_id)))

    @routes.get(
        PATH + "/{run_id}/state",
        operation_id="run_state",
        summary="The statistics of a run, which add up",
        responses=_gives("RunState") | error_answers(404, 503),
    )
    async def run_state(run_id: str) -> Response:
        """Sufficient statistics as JSON, which any language can add up."""
        return desk.answer(run_id, await desk.run(desk.state, known(run_id)))

    @routes.post(
        PATH + "/{run_id}/close",
        operation_id="close_run",
        summary="Let no new batch in",
        responses=error_answers(404, 503),
    )
    async def close_run(run_id: str) -> RunModel:
        """Batches that the run has may still be sent again; a new one is refused with 409."""
        return run_model(await desk.run(ledger.close, known(run_id)))

    @routes.delete(
        PATH + "/{run_id}",
        operation_id="delete_run",
        summary="Forget a run",
        status_code=204,
        responses=error_answers(404, 503),
    )
    async def delete_run(run_id: str) -> None:
        """The run, its batches and its statistics are gone."""
        await desk.run(ledger.store.delete, known(run_id))

    @routes.post(
        "/v1/comparisons",
        operation_id="compare_runs",
        summary="Two runs: by how much every loss and metric differs, in pairs",
        openapi_extra=_takes("ComparisonRequest", COMPARISON),
        responses=_gives("Comparison") | error_answers(400, 404, 413, 415, 422, 503),
    )
    async def compare_runs(request: Request) -> Response:
        """Candidate minus baseline, over the samples that both have where they keep them."""
        wanted = validated(ComparisonRequest, "comparison", await desk.fields(request))
        return Response(await desk.run(desk.comparison, wanted), media_type="application/json")

    async def add_batch(run_id: str, batch_id: str) -> Response:  # noqa: ARG001 parameters of the document
        """The same batch again has no effect, and is answered by 200: whoever got no answer sends it once more.

        Batches come in any order, from any number of clients, through any number of servers on one database.
        """
        raise AssertionError("a TensorRoute runs its tensor endpoint")

    add_batch.tensor_endpoint = BatchEndpoint(desk.ledger, limits, max_elements, desk.run)  # type: ignore[attr-defined]
    again = {"description": "The run has this batch already: no effect.", **_gives(BatchAnswer.__name__)[200]}
    routes.routes.append(
        TensorRoute(
            PATH + "/{run_id}/batches/{batch_id:path}",
            add_batch,
            methods=["PUT"],
            tags=routes.tags,
            operation_id="add_batch",
            summary="Add a batch, which is durable when this is answered",
            openapi_extra=_takes("BatchRequest", BATCH, SAFETENSORS),
            status_code=201,
            responses={
                201: {"description": "The batch will not be lost.", **_gives(BatchAnswer.__name__)[200]},
                200: again,
                **error_answers(400, 404, 409, 413, 415, 422, 503, 507),
            },
        )
    )
    return routes


PARAMETERS = [
    {
        "name": "tag",
        "in": "query",
        "description": "A tag that the runs have; given several times, all of them.",
        "schema": {"type": "array", "items": {"type": "string"}},
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
        "close_run": "lets no new batch in",
        "delete_run": "forgets it",
    }.items()
}


def written(fields: Answer) -> bytes:
    """An answer as JSON; what is not finite becomes null."""
    return b"".join(JSON.encode(fields, base64=False))


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= MAX_PAGE):
        raise Invalid.at("runs", "", f"limit is {text!r}; expected an integer from 1 to {MAX_PAGE}")
    return int(text)


def _takes(model: str, example: Any, more: dict[str, Any] | None = None) -> dict[str, Any]:
    media = {"schema": {"$ref": REF.format(model=model)}, "examples": {"example": {"value": example}}}
    return {"requestBody": {"required": True, "content": {"application/json": media, **(more or {})}}}


def _gives(model: str) -> dict[int | str, dict[str, Any]]:
    return {200: {"content": {"application/json": {"schema": {"$ref": REF.format(model=model)}}}}}
