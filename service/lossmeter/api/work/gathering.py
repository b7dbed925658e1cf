"""Small requests that arrive together are computed together.

A batch of [32, 10] keeps torch busy for a few microseconds and costs ten times as much to hand over, so handing over together
what one turn of the event loop brought is a gain for each of the requests. None waits for requests still to come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from time import perf_counter
from typing import Any, Generic, NamedTuple, TypeVar

from starlette.types import Receive, Scope

from lossmeter.api.messages import body
from lossmeter.api.tensor_routes import Limits, Stages
from lossmeter.api.work.errands import run_within
from lossmeter.engine import Call, Done, Engine, Outcome, Work, outcome

T = TypeVar("T")
Waiting = list[tuple[Work, "asyncio.Future[Done]"]]


class Asked(NamedTuple, Generic[T]):
    """What a body asks for.

    Attributes:
        call: to be computed.
        elements: that its tensors have together.
        answer: what is made of its outcome. It holds no tensor of the call, so that their memory is free by then.
    """

    call: Call
    elements: int
    answer: Callable[[Outcome], T]


async def computed(
    scope: Scope,
    receive: Receive,
    limits: Limits,
    gathering: Gathering,
    decode: Callable[..., Asked[T]],
    *arguments: Any,
) -> T:
    """The answer to a body, which `decode` understands: at once, if it is small, and otherwise in the pool."""
    ticket = limits.admission.ticket()
    try:
        limits.admit(scope)
        given = await body.read(scope, receive, limits.max_body_bytes, ticket.grow)
        begin = perf_counter()
        if given.size <= limits.inline_bytes and not given.applied:
            asked = decode(given, *arguments)
            ticket.grow(elements=asked.elements)
            decoded = perf_counter()
            found = await gathering.compute(asked.call)
            ticket.warnings = [warned.code for warned in found.warnings]
            done = perf_counter()
            result = asked.answer(found)
            stages = _stages(begin, decoded, done)
        else:

            def work() -> tuple[T, Stages]:
                begin = perf_counter()
                asked = decode(given, *arguments)
                ticket.grow(elements=asked.elements)
                answer, decoded = asked.answer, perf_counter()
                found = gathering.engine.compute(asked.call)
                del asked
                ticket.warnings = [warned.code for warned in found.warnings]
                done = perf_counter()
                return answer(found), _stages(begin, decoded, done)

            result, stages = await run_within(limits.compute_seconds, limits.pool, ticket, given.cost, work)
        scope["lossmeter.elements"] = ticket.elements
        scope["lossmeter.warnings"] = ticket.warnings
    finally:
        ticket.close()
    scope["lossmeter.stages"] = stages
    return result


def _stages(begin: float, decoded: float, done: float) -> Stages:
    return (decoded - begin) * 1e3, (done - decoded) * 1e3, (perf_counter() - done) * 1e3


class Gathering:
    """Computes calls on the event loop, those of one turn as one.

    Args:
        engine: computes; what it gives does not depend on which calls were put together.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._waiting: dict[Hashable, Waiting] = {}

    async def compute(self, call: Call) -> Outcome:
        """Value and gradients of one call; raises what `Engine.compute` raises."""
        work = self.engine.check(call)
        kin = work.kin
        if kin is None:
            return outcome(work, self.engine.run(work))
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._run)  # after all that the loop has at hand now
        future: asyncio.Future[Done] = loop.create_future()
        self._waiting.setdefault(kin, []).append((work, future))
        return outcome(work, await future)

    def _run(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for group in waiting.values():
            try:
                results = self.engine.run_together([work for work, _ in group])
            except Exception as error:  # noqa: BLE001 - whoever awaits the future gets it
                self._run_apart(group, error)
                continue
            for (_, future), done in zip(group, results, strict=True):
                if not future.done():
                    future.set_result(done)

    def _run_apart(self, group: Waiting, error: Exception) -> None:
        """Whose fault it was, running each alone will show."""
        for work, future in group:
            if future.done():
                continue
            try:
                future.set_result(self.engine.run(work) if len(group) > 1 else _raise(error))
            except Exception as own:  # noqa: BLE001 - as above
                future.set_exception(own)


def _raise(error: Exception) -> Done:
    raise error
