"""Computes small calls that arrive together as one batch.

A batch of [32, 10] keeps torch busy for a few microseconds and costs ten times as much to hand over, so handing over together
what one turn of the event loop brought is a gain for each of the calls. None waits for calls still to come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable

from lossmeter.engine import Call, Engine, Outcome, PassResult, Work, outcome

Receiver = Callable[[Outcome | Exception], None]
"""Is told the outcome of a call, or what it raised; raises nothing itself."""
Batch = list[tuple[Work, Receiver]]


class MicroBatcher:
    """Computes calls on the event loop, those of one turn together.

    Args:
        engine: computes; its results do not depend on which calls were put together.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
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
        batch_key = work.batch_key
        if batch_key is None:
            receiver(outcome(work, self.engine.run(work)))
            return
        if not self._batches:
            asyncio.get_running_loop().call_soon(self._run)  # after all that the loop has at hand now
        self._batches.setdefault(batch_key, []).append((work, receiver))

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
