"""Small requests that arrive together are computed together.

A batch of [32, 10] keeps torch busy for a few microseconds and costs ten times as much to hand over, so handing over together
what one turn of the event loop brought is a gain for each of the requests. None waits for requests still to come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable

from lossmeter.engine import Call, Done, Engine, Outcome, Work, outcome

Waiting = list[tuple[Work, "asyncio.Future[Done]"]]


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
                self._fail(group, error)
                continue
            for (_, future), done in zip(group, results, strict=True):
                if not future.done():
                    future.set_result(done)

    def _fail(self, group: Waiting, error: Exception) -> None:
        """Tells whoever caused an error; of several, running each alone will show who did."""
        for work, future in group:
            if future.done():
                continue
            if len(group) == 1:
                future.set_exception(error)
                continue
            try:
                future.set_result(self.engine.run(work))
            except Exception as own:  # noqa: BLE001 - as above
                future.set_exception(own)
