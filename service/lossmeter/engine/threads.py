"""Threads of torch: one for short work, those that were set for long work.

torch starts its second thread by rules of its own, in softmax from some 2,000 elements on, and then waits for a core. Where
every core is busy, a batch of a few microseconds waits for milliseconds.
"""

from __future__ import annotations

from types import TracebackType

import torch


class Threads:
    """Has torch compute with so many threads inside of `with`, in the thread that enters; others keep theirs.

    Setting them takes a third of a microsecond. A thread that calls torch for the first time meanwhile begins with so many:
    what needs more has to say so.
    """

    __slots__ = ("_before", "count")

    def __init__(self, count: int) -> None:
        self.count = count
        self._before = count

    def __enter__(self) -> None:
        self._before = torch.get_num_threads()
        if self._before != self.count:
            torch.set_num_threads(self.count)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._before != self.count:
            torch.set_num_threads(self._before)
