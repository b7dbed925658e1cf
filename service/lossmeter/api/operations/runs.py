"""Opens runs, adds batches to them, compares two."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from lossmeter.api.headers import Headers
from lossmeter.api.models.evaluation import TENSORS, TEXTS, validate_given
from lossmeter.api.models.runs import (
    PRINTABLE,
    ComparisonRequest,
    RunRequest,
    check_run_id,
    parse_batch,
    parse_edit,
    parse_plan,
    run_fields,
)
from lossmeter.api.negotiation import JSON, answer_format, media_type_of, request_format
from lossmeter.api.operation import (
    JSON_CONTENT,
    Answer,
    DatabaseOperation,
    DecodedRequest,
    DurableOperation,
    Negotiated,
    Pieces,
    tensor_answer,
)
from lossmeter.api.report_formats import OF_COMPARISON
from lossmeter.errors import Invalid, LossmeterError, UnsupportedFormat, pointer
from lossmeter.evaluation import ComparisonGate, Plan, compare
from lossmeter.evaluation.costs import Extent, cost_of
from lossmeter.evaluation.fields import outside_texts
from lossmeter.evaluation.reports import not_finite
from lossmeter.runs import Ledger, RunEdit, StoredRun, digest, plan_of
from lossmeter.scheduling.store_threads import StoreThreads

log = logging.getLogger(__name__)

BATCH_ID = re.compile(PRINTABLE)
MAX_ID_LENGTH = 200
MERGE_PATCH = "application/merge-patch+json"


def encode_json(fields: dict[str, Any]) -> Pieces:
    """Writes an answer as JSON; what is not finite becomes null."""
    return JSON.encode(fields, base64=False)


@dataclass(frozen=True)
class OpenRun(DatabaseOperation[RunRequest, None, StoredRun]):
    """Answers `POST /v1/runs`.

    Args:
        ledger: opens the run.
        store: waits for the database.
        address: of runs, as the client reaches it.
    """

    ledger: Ledger
    store: StoreThreads
    address: str

    def decode(self, body: bytearray, negotiated: Negotiated) -> DecodedRequest[RunRequest, None]:
        return DecodedRequest(parse_plan(negotiated.reader.decode(body, frozenset())), None)

    def compute(self, work: RunRequest) -> StoredRun:
        return self.ledger.open(work.name, work.tags, Plan.of(work))

    def encode(self, form: None, result: StoredRun, negotiated: Negotiated) -> Answer:  # noqa: ARG002
        location = (b"location", f"{self.address}/{result.id}".encode("latin-1"))
        return Answer(encode_json(run_fields(result)), (JSON_CONTENT, location), status=201)


class EditRun(DatabaseOperation[RunEdit, None, StoredRun]):
    """Answers `PATCH /v1/runs/{run_id}`.

    Args:
        ledger: knows the run.
        store: waits for the database.

    Raises:
        NotFound: if there can be no such run.
    """

    def __init__(self, ledger: Ledger, store: StoreThreads, run_id: str) -> None:
        self.ledger = ledger
        self.store = store
        self.run_id = check_run_id(run_id)

    def negotiate(self, headers: Headers) -> Negotiated:
        # A JSON patch (RFC 6902) is JSON too, and something else.
        if media_type_of(headers) not in ("", JSON.media_type, MERGE_PATCH):
            expected = f"{JSON.media_type} or {MERGE_PATCH}"
            raise UnsupportedFormat(f"Content-Type is {media_type_of(headers)!r}; expected {expected}.")
        return Negotiated(request_format(headers))

    def decode(self, body: bytearray, negotiated: Negotiated) -> DecodedRequest[RunEdit, None]:
        return DecodedRequest(parse_edit(self.run_id, negotiated.reader.decode(body, frozenset())), None)

    def compute(self, work: RunEdit) -> StoredRun:
        return self.ledger.edit(self.run_id, work)

    def encode(self, form: None, result: StoredRun, negotiated: Negotiated) -> Answer:  # noqa: ARG002
        return Answer(encode_json(run_fields(result, brief=True)), (JSON_CONTENT,))


@dataclass(frozen=True)
class CompareRuns(DatabaseOperation[ComparisonRequest, None, dict[str, Any]]):
    """Answers `POST /v1/comparisons`.

    Args:
        ledger: knows the runs.
        store: waits for the database.
    """

    ledger: Ledger
    store: StoreThreads

    def negotiate(self, headers: Headers) -> Negotiated:
        return Negotiated(writer=answer_format(headers, OF_COMPARISON))

    def decode(self, body: bytearray, negotiated: Negotiated) -> DecodedRequest[ComparisonRequest, None]:
        fields = negotiated.reader.decode(body, frozenset())
        return DecodedRequest(validate_given(ComparisonRequest, "comparison", fields), None)

    def compute(self, work: ComparisonRequest) -> dict[str, Any]:
        try:
            return self._compare(work)
        except Invalid as error:
            raise outside_texts(error, {"gates": work.gates}) from None

    def _compare(self, work: ComparisonRequest) -> dict[str, Any]:
        gates = [ComparisonGate.of(gate.model_dump(exclude_unset=True), place) for place, gate in enumerate(work.gates)]
        roles = ("baseline", "candidate")
        (baseline, record), (candidate, other) = (self.ledger.record(check_run_id(getattr(work, one))) for one in roles)
        for role, run, found in zip(roles, (baseline, candidate), (record, other), strict=True):
            if found is None:
                raise Invalid.at("comparison", pointer(role), f"{role}: run {run.id} has no batch yet")
        assert record is not None
        assert other is not None
        plan, other_plan = plan_of(baseline.plan), plan_of(candidate.plan)
        cost = cost_of(plan, Extent.of_record(record)) + cost_of(other_plan, Extent.of_record(other))
        with self.ledger.engine.budget.reserve("comparison", cost):
            comparison = compare((plan, other_plan), (record, other), gates, work.confidence)
        warnings = list(not_finite(comparison))
        runs = {"baseline": run_fields(baseline), "candidate": run_fields(candidate)}
        return {**runs, **comparison, "warnings": warnings}

    def encode(self, form: None, result: dict[str, Any], negotiated: Negotiated) -> Answer:  # noqa: ARG002
        return tensor_answer(result, negotiated, base64=False)


class Batch(NamedTuple):
    """A batch as it came."""

    fields: dict[str, Any]
    digest: bytes


class AddBatch(DurableOperation[Batch, None, bool]):
    """Answers `PUT /v1/runs/{run_id}/batches/{batch_id}`, when the batch will not be lost.

    Args:
        ledger: takes the batch.
        store: waits for the database.
        max_elements: how many elements the tensors of the batch may have.

    Raises:
        NotFound: if there can be no such run.
        Invalid: if there can be no such batch.
    """

    def __init__(self, ledger: Ledger, store: StoreThreads, max_elements: int, run_id: str, batch_id: str) -> None:
        self.ledger = ledger
        self.store = store
        self.max_elements = max_elements
        self.run_id = check_run_id(run_id)
        if not 0 < len(batch_id) <= MAX_ID_LENGTH or not BATCH_ID.fullmatch(batch_id):
            message = f"the id of a batch is 1 to {MAX_ID_LENGTH} characters, none of them a control character"
            raise Invalid.at(f"run {run_id}", "", message)
        self.batch_id = batch_id

    def negotiate(self, headers: Headers) -> Negotiated:
        return Negotiated(request_format(headers))

    def decode(self, body: bytearray, negotiated: Negotiated) -> DecodedRequest[Batch, None]:
        fields, elements = parse_batch(self.run_id, negotiated.reader.decode(body, TENSORS, TEXTS), self.max_elements)
        return DecodedRequest(Batch(fields, digest(fields)), None, elements)

    async def compute_durably(self, work: Batch, run_in_pool: Callable[..., Awaitable[Any]]) -> bool:
        """Returns whether the run did not have the batch yet."""
        run = await self.store.run(self.ledger.check_batch, self.run_id, self.batch_id, work.digest)
        if run is None:
            return False
        batch = await run_in_pool(self.ledger.measure_batch, run, self.batch_id, work.fields, work.digest)
        return await self.store.run(self.ledger.add, self.run_id, batch)

    def encode(self, form: None, result: bool, negotiated: Negotiated) -> Answer:  # noqa: ARG002
        pieces = encode_json({"run": self.run_id, "batch": self.batch_id, "added": result})
        fold = partial(tidy, self.store, self.ledger.fold, self.run_id)
        return Answer(pieces, (JSON_CONTENT,), status=201 if result else 200, follow_up=fold if result else None)


async def tidy(store: StoreThreads, step: Callable[[str], None], run_id: str) -> None:
    """Merges states of a run, so that later readers find fewer. An error is logged only: a later request tries again."""
    try:
        await store.run(step, run_id)
    except LossmeterError as error:
        log.warning("run %s: its states could not be merged: %s", run_id, error.detail)
