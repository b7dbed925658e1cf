"""Computes small calls that arrive together as one batch.

A batch of [32, 10] keeps torch busy for a few microseconds and costs ten times as much to hand over, so handing over together
what one turn of the event loop brought is a gain for each of the calls. None waits for calls still to come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable

from lossmeter.engine import Call, Engine, Outcome, PassResult, Work, outcome

Batch = list[tuple[Work, "asyncio.Future[PassResult]"]]


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
        work = self.engine.check(call)
        batch_key = work.batch_key
        if batch_key is None:
            return outcome(work, self.engine.run(work))
        loop = asyncio.get_running_loop()
        if not self._batches:
            loop.call_soon(self._run)  # after all that the loop has at hand now
        future: asyncio.Future[PassResult] = loop.create_future()
        self._batches.setdefault(batch_key, []).append((work, future))
        return outcome(work, await future)

    def _run(self) -> None:
        batches, self._batches = self._batches, {}
        for batch in batches.values():
            try:
                results = self.engine.run_together([work for work, _ in batch])
            except Exception as error:  # noqa: BLE001 - whoever awaits the future gets it
                self._fail(batch, error)
                continue
            for (_, future), done in zip(batch, results, strict=True):
                if not future.done():
                    future.set_result(done)

    def _fail(self, batch: Batch, error: Exception) -> None:
        """Gives an error to the call that caused it; in a batch of several, running each alone shows which did."""
        for work, future in batch:
            if future.done():
                continue
            if len(batch) == 1:
                future.set_exception(error)
                continue
            try:
                future.set_result(self.engine.run(work))
            except Exception as own:  # noqa: BLE001 - as above
                future.set_exception(own)
