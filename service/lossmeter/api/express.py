"""Answers calls of a kind that came before, in a few steps: what is the same in all of them was found out with the first.

A request is answered here with 200 or not at all: whatever is unusual about it takes the way on which it is looked at whole,
as if it had never been here.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Hashable, Mapping
from time import monotonic, perf_counter
from typing import Protocol

import numpy as np
from starlette.types import Scope

from lossmeter.api.access import Access
from lossmeter.api.endpoints import Endpoints
from lossmeter.api.envelope import Envelope
from lossmeter.api.exchange import MIN_COMPRESSED_BYTES
from lossmeter.api.heads import Heads
from lossmeter.api.lanes import PATTERNS, Kind, Lane, Template
from lossmeter.api.negotiation import JSON, answer_coding
from lossmeter.api.operations.losses import ComputeLoss
from lossmeter.engine import Engine, Express
from lossmeter.errors import Forbidden, LossmeterError
from lossmeter.scheduling.admission import Reservation
from lossmeter.scheduling.garbage import release_frames
from lossmeter.telemetry import logs
from lossmeter.telemetry.request import SCOPE_KEY, RequestState, request_state
from lossmeter.tensors import Array, Datatype, Tensor
from lossmeter.wire.compression import COMPRESSORS
from lossmeter.wire.patterns import FileForm, FilePattern, JsonForm, JsonPattern, Parts

KINDS = 512
"""Kinds of all lanes; when there are more, all are forgotten, and those that still come are learned again."""
IDS = 256
LEARN_SECONDS = 0.02
"""Least time between two attempts to learn a kind, each of which takes as long as a request."""
COST_OF_FAILURE, MOST_OWED = 8, 64
"""A request that cannot be answered here after all costs twice. A kind of which more than one in so many are like that, with
ignored labels, say, owes so much that most of them go the other way at once."""
READABLE = frozenset(Datatype) - {Datatype.BOOL, Datatype.BF16}
"""Datatypes of which any bytes are numbers that numpy knows."""


class ExpressReply(Protocol):
    """Answers one request, once."""

    scope_of_head: Scope
    """For the log alone."""

    def answer(self, lane: Lane, content: bytes, request_id: bytes, timing: bytes) -> bool:
        """Writes an answer; returns False if the request has to take another way after all, and has taken it."""

    def hand_over(self) -> None:
        """Has the request take another way, from the beginning."""


class Traveller:
    """One request on this way."""

    __slots__ = ("arrays", "begin", "decoded", "lane", "read", "reply", "request_id", "size")

    lane: Lane
    arrays: list[Array]
    read: float
    decoded: float

    def __init__(self, reply: ExpressReply, request_id: bytes, size: int) -> None:
        self.reply = reply
        self.request_id = request_id
        self.size = size
        self.begin = perf_counter()


class ExpressWay:
    """Leads requests of known kinds.

    Args:
        endpoints: what answers tensors, by path.
        envelope: counts what is answered.
        access: asks for keys; None where none are asked for.
        engine: computes.
    """

    def __init__(self, endpoints: Endpoints, envelope: Envelope, access: Access | None, engine: Engine) -> None:
        self.envelope = envelope
        self.access = access
        self.readiness = envelope.readiness
        self._engine = engine
        self._endpoints = {
            path: endpoint for path, endpoint in endpoints.items() if isinstance(endpoint.operation, ComputeLoss)
        }
        self._lanes: dict[Hashable, Lane] = {}
        self._kinds = 0
        self._learned = 0.0
        self.heads = Heads(self.lane)
        self._batches: dict[Kind, list[Traveller]] = {}
        self._reservation: Reservation | None = None  # of all of them
        self._ids: list[bytes] = []

    def new_id(self) -> bytes:
        """Returns an id for a request that has none; drawn many at a time, as each drawing asks the system."""
        if not self._ids:
            drawn = secrets.token_hex(8 * IDS).encode("ascii")
            self._ids = [drawn[start : start + 16] for start in range(0, len(drawn), 16)]
        return self._ids.pop()

    def lane(self, scope: Scope) -> Lane | None:
        """Returns the lane of a request with this head; None if there is none."""
        path, headers = scope["path"], scope["headers"]
        endpoint = self._endpoints.get(path)
        if endpoint is None:
            return None
        try:
            negotiated = endpoint.operation.negotiate(headers)
        except LossmeterError:
            return None
        codable = answer_coding(headers, COMPRESSORS) is not None
        key = path, negotiated.reader.media_type, negotiated.writer.media_type, codable
        lane = self._lanes.get(key)
        if lane is None:
            counters = self.envelope.counters.of_path(path)
            lane = self._lanes[key] = Lane(endpoint, negotiated, counters, codable=codable)
        return lane

    def admit(self, scope: Scope, size: int) -> bool:
        """Asks for the key. One that was counted is in the state of the request, and is not asked for again on another way."""
        assert self.access is not None
        state = request_state(scope)
        try:
            admitted = self.access.admit(scope)
        except Forbidden:
            return False
        except LossmeterError:
            state.key = None
            return False
        key = state.key
        return admitted and (key is None or key.max_body_bytes is None or size <= key.max_body_bytes)

    def take(self, lane: Lane, body: bytes, request: Traveller) -> bool:
        """Takes a request, to be answered after the turn of the event loop; returns False if it has to take another way."""
        begin = perf_counter()
        if len(body) > lane.most_bytes:
            return False
        found = lane.find(body) or self._learn(lane, body)
        if found is None:
            return False
        kind, parts = found
        if kind.owed > MOST_OWED:
            kind.owed -= 1
            return False
        arrays = kind.form.read(parts)
        if arrays is None:
            return False
        reservation = self._reservation
        if reservation is None:
            reservation = self._reservation = lane.limits.reserve()
        try:
            reservation.grow(len(body), kind.engine.elements)
        except LossmeterError:
            return False
        request.lane = lane
        request.arrays = arrays
        request.read = perf_counter()
        request.decoded = (request.read - begin) * 1e3
        if not self._batches:
            asyncio.get_running_loop().call_soon(self._run)  # after all that the loop has at hand now
        batch = self._batches.get(kind)
        if batch is None:
            self._batches[kind] = [request]
        else:
            batch.append(request)
        self.envelope.counters.in_flight += 1
        return True

    def _run(self) -> None:
        batches, self._batches = self._batches, {}
        if self._reservation is not None:
            self._reservation.close()
            self._reservation = None
        for kind, batch in batches.items():
            most = kind.engine.most
            for start in range(0, len(batch), most):
                self._answer(kind, batch[start : start + most] if len(batch) > most else batch)

    def _answer(self, kind: Kind, batch: list[Traveller]) -> None:
        try:
            results = kind.engine.compute([request.arrays for request in batch])
        except Exception:  # noqa: BLE001 - the other way meets it, too, and says so
            results = None
        if results is None:
            if len(batch) == 1:
                kind.owed += COST_OF_FAILURE
                self._hand_over(batch[0])
            else:
                for request in batch:
                    self._answer(kind, [request])
            return
        values, sums, gradients = results
        before = perf_counter()
        for place, request in enumerate(batch):
            content = self._write(kind, request, values[place], sums[place], [rows[place] for rows in gradients])
            if content is None:
                kind.owed += COST_OF_FAILURE
                self._hand_over(request)
                continue
            after = perf_counter()
            stages = request.decoded, (before - request.read) * 1e3, (after - before) * 1e3
            before = after
            self._finish(kind, request, content, stages)

    def _write(
        self, kind: Kind, request: Traveller, value: float, total: float, gradients: list[Array]
    ) -> bytes | None:
        """Writes an answer; None if its request has to take another way."""
        lane = request.lane
        try:
            content = kind.template.write(value, total, gradients)
            told = kind.engine.advises(request.arrays, value, gradients)
        except Exception:  # noqa: BLE001 - the other way meets it, too; here all that came in this turn would wait for ever
            return None
        size = len(content)
        if told or size > lane.limits.inline_bytes or (lane.codable and size >= MIN_COMPRESSED_BYTES):
            return None
        return content

    def _finish(self, kind: Kind, request: Traveller, content: bytes, stages: tuple[float, float, float]) -> None:
        counters, lane, size = self.envelope.counters, request.lane, len(content)
        counters.in_flight -= 1
        timing = b"decode;dur=%.3f, compute;dur=%.3f, encode;dur=%.3f" % stages
        if not request.reply.answer(lane, content, request.request_id, timing):
            return
        if kind.owed:
            kind.owed -= 1
        seconds = perf_counter() - request.begin
        lane.counters.add(200, seconds, request.size, size, kind.engine.elements, stages)
        if self.envelope.log_access:
            state = RequestState(request.request_id.decode("ascii"))
            state.received_bytes, state.stages = request.size, stages
            logs.log_access({**request.reply.scope_of_head, SCOPE_KEY: state}, 200, seconds, size)

    def _hand_over(self, request: Traveller) -> None:
        self.envelope.counters.in_flight -= 1
        request.reply.hand_over()

    def _learn(self, lane: Lane, body: bytes) -> tuple[Kind, Parts] | None:
        """Learns the kind of a body, if it is time for that, and there is something to learn."""
        now = monotonic()
        if now - self._learned < LEARN_SECONDS:
            return None
        self._learned = now
        operation, negotiated = lane.operation, lane.negotiated
        try:
            call, form, _ = operation.decode(bytearray(body), negotiated)
            work = self._engine.check(call)
        except LossmeterError as error:
            release_frames(error, len(body))
            return None
        engine = Express.of(work)
        if engine is None or any(call.tensors[name].datatype not in READABLE for name in engine.names):
            return None
        template = Template.learn(operation, form, negotiated, engine, call)
        tensors = {name: call.tensors[name] for name in engine.names}
        return None if template is None else self._keep(lane, body, engine, template, tensors)

    def _keep(
        self, lane: Lane, body: bytes, engine: Express, template: Template, tensors: Mapping[str, Tensor]
    ) -> tuple[Kind, Parts] | None:
        """Keeps a kind whose bodies can be read."""
        if self._kinds >= KINDS:
            self._kinds = 0
            for other in self._lanes.values():
                other.patterns.clear()
        pattern: JsonPattern | FilePattern | None = FilePattern()
        if lane.negotiated.reader is JSON:
            pattern = JsonPattern.learn(body, tensors)
        parts = None if pattern is None else pattern.cut(body)
        if pattern is None or parts is None:
            return None
        form: JsonForm | FileForm | None
        form = (
            JsonForm(pattern, tensors, engine.whole)
            if isinstance(pattern, JsonPattern)
            else FileForm.of(parts[0], tensors)
        )
        arrays = None if form is None else form.read(parts)
        if (
            form is None
            or arrays is None
            or not all(np.array_equal(a, x.data) for a, x in zip(arrays, tensors.values(), strict=True))
        ):
            return None
        _, kinds = lane.patterns.setdefault(pattern.identity, (pattern, {}))
        if len(lane.patterns) > PATTERNS:
            del lane.patterns[next(iter(lane.patterns))]
        kind = kinds[pattern.key(parts)] = Kind(engine, form, template)
        self._kinds += 1
        return kind, parts
