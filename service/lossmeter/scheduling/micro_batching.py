"""Computes small calls that arrive together as one batch.

A batch of [32, 10] keeps torch busy for a few microseconds and costs ten times as much to hand over, so handing over together
what one turn of the event loop brought is a gain for each of the calls. None waits for calls still to come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable

from lossmeter.engine import Call, Engine, Outcome, PassResult, Work, outcome
from lossmeter.scheduling.deadlines import run_with_deadline
from lossmeter.scheduling.limits import Limits

OPERATIONS_PER_BYTE = 32
"""Operations that make a job of the pool as dear as a byte does: the time in which both are worked on."""

Receiver = Callable[[Outcome | Exception], None]
"""Is told the outcome of a call, or what it raised; raises nothing itself."""
Batch = list[tuple[Work, Receiver]]


class MicroBatcher:
    """Computes calls on the event loop, those of one turn together; what is small in bytes and long in work goes to the pool.

    Args:
        engine: computes; its results do not depend on which calls were put together.
        limits: of what goes to the pool; without them all is computed on the event loop.
    """

    def __init__(self, engine: Engine, limits: Limits | None = None) -> None:
        self.engine = engine
        self.limits = limits
        self._long: set[asyncio.Task[None]] = set()
        self._batches: dict[Hashable, Batch] = {}

    async def compute(self, call: Call) -> Outcome:
        """Computes value and gradients of one call; raises what `Engine.compute` raises."""
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

        def settle(result: Outcome | Exception) -> None:
            if future.done():
                return
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)

        self.submit(call, settle)
        return await future

    def submit(self, call: Call, receiver: Receiver) -> None:
        """Computes a call before the turn of the event loop ends; what is wrong with the call itself it raises at once."""
        work = self.engine.check(call)
        if work.plan.long and self.limits is not None:
            self.engine.budget.check(call.loss.name, work.plan.cost)  # others sent more of this kind
            self._compute_in_pool(work, receiver, self.limits)
            return
        batch_key = work.batch_key
        if batch_key is None:
            receiver(outcome(work, self.engine.run(work)))
            return
        if not self._batches:
            asyncio.get_running_loop().call_soon(self._run)  # after all that the loop has at hand now
        self._batches.setdefault(batch_key, []).append((work, receiver))

    def _compute_in_pool(self, work: Work, receiver: Receiver, limits: Limits) -> None:
        """Computes one call in a thread, under the deadline of requests; refuses it if the pool has no time."""
        limits.pool.admit()

        def compute() -> Outcome:
            return outcome(work, self.engine.run(work))

        async def lead() -> None:
            result: Outcome | Exception
            reservation = limits.reserve()
            try:
                cost = work.plan.cost.operations // OPERATIONS_PER_BYTE
                result = await run_with_deadline(limits.compute_seconds, limits.pool, reservation, cost, compute)
            except Exception as error:  # noqa: BLE001 - whoever submitted the work gets it
                result = error
            receiver(result)

        task = asyncio.get_running_loop().create_task(lead())
        self._long.add(task)
        task.add_done_callback(self._long.discard)

    def _run(self) -> None:
        batches, self._batches = self._batches, {}
        for batch in batches.values():
            try:
                results = self.engine.run_together([work for work, _ in batch])
            except Exception as error:  # noqa: BLE001 - those who submitted the works get it
                self._fail(batch, error)
                continue
            for (work, receiver), done in zip(batch, results, strict=True):
                _tell(receiver, work, done)

    def _fail(self, batch: Batch, error: Exception) -> None:
        """Gives an error to the call that caused it; in a batch of several, running each alone shows which did."""
        if len(batch) == 1:
            batch[0][1](error)
            return
        for work, receiver in batch:
            try:
                done = self.engine.run(work)
            except Exception as own:  # noqa: BLE001 - as above
                receiver(own)
            else:
                _tell(receiver, work, done)


def _tell(receiver: Receiver, work: Work, done: PassResult) -> None:
    result: Outcome | Exception
    try:
        result = outcome(work, done)
    except Exception as error:  # noqa: BLE001 - as above
        result = error
    receiver(result)
