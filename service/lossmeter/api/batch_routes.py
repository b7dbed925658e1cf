"""The route that takes batches: as raw as those of losses, but what it does is durable before it is answered."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from functools import partial
from time import perf_counter
from typing import Any

import orjson
from starlette.types import Receive, Scope, Send

from lossmeter.api.messages import formats
from lossmeter.api.messages.body import Body, read
from lossmeter.api.messages.formats import Format
from lossmeter.api.models.evaluation import TENSORS
from lossmeter.api.models.runs import PRINTABLE, batch_fields, known
from lossmeter.errors import Invalid, LossmeterError
from lossmeter.runs import Ledger, digest
from lossmeter.scheduling.admission import Reservation
from lossmeter.scheduling.deadlines import run_with_deadline
from lossmeter.scheduling.limits import Limits
from lossmeter.telemetry.request import request_state

log = logging.getLogger(__name__)

BATCH_ID = re.compile(PRINTABLE)
MAX_ID_LENGTH = 200

Stored = Callable[..., Awaitable[Any]]
"""Runs a function in a thread that may wait for the database."""


class BatchEndpoint:
    """ASGI application: measures a batch in the pool, has it kept, and only then says so.

    Args:
        ledger: takes the batches.
        limits: what requests may cost.
        max_elements: that the tensors of one batch may have.
        stored: how the database is spoken to.
    """

    def __init__(self, ledger: Ledger, limits: Limits, max_elements: int, stored: Stored) -> None:
        self.ledger = ledger
        self.limits = limits
        self.max_elements = max_elements
        self.stored = stored

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        run_id, batch_id = scope["path_params"]["run_id"], scope["path_params"]["batch_id"]
        _check(run_id, batch_id)
        reader = formats.of_request(scope)
        state = request_state(scope)
        ticket = self.limits.reserve(state.late_seconds)
        begin = perf_counter()
        try:
            self.limits.pool.admit()
            given = await read(scope, receive, self.limits.max_body_bytes, ticket.grow)
            decoded = perf_counter()
            added = await self._added(run_id, batch_id, given, reader, ticket)
            state.elements = ticket.elements
        finally:
            ticket.close()
        state.stages = ((decoded - begin) * 1e3, (perf_counter() - decoded) * 1e3, 0.0)
        content = orjson.dumps({"run": run_id, "batch": batch_id, "added": added})
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
        await send({"type": "http.response.start", "status": 201 if added else 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})
        if added:
            await self._fold(run_id)

    async def _fold(self, run_id: str) -> None:
        """Keeps reading fast; nobody waits for it, and nobody is told if it fails: a later batch tries again."""
        try:
            await self.stored(self.ledger.fold, run_id)
        except LossmeterError as error:
            log.warning("run %s: its states could not be folded: %s", run_id, error.detail)

    async def _added(self, run_id: str, batch_id: str, body: Body, reader: Format, ticket: Reservation) -> bool:
        within = partial(run_with_deadline, self.limits.compute_seconds, self.limits.pool, ticket, body.cost)
        fields, content = await within(self._decoded, run_id, body, reader, ticket)
        run = await self.stored(self.ledger.expected, run_id, batch_id, content)
        if run is None:
            return False
        batch = await within(self.ledger.measured, run, batch_id, fields, content)
        return bool(await self.stored(self.ledger.add, run_id, batch))

    def _decoded(self, run_id: str, body: Body, reader: Format, ticket: Reservation) -> tuple[dict[str, Any], bytes]:
        fields, elements = batch_fields(run_id, reader.decode(body.take(), TENSORS), self.max_elements)
        ticket.grow(elements=elements)
        return fields, digest(fields)


def _check(run_id: str, batch_id: str) -> None:
    known(run_id)
    if not 0 < len(batch_id) <= MAX_ID_LENGTH or not BATCH_ID.fullmatch(batch_id):
        message = f"the id of a batch is 1 to {MAX_ID_LENGTH} characters, none of them a control character"
        raise Invalid.at(f"run {run_id}", "", message)
