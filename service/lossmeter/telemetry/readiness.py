"""Keeps whether this worker takes work, and ends it when it cannot go on or is told to stop."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from lossmeter.errors import NotReady

log = logging.getLogger(__name__)

LAST_ANSWERS_SECONDS = 1.0
"""Time for which a worker that gives up goes on, for what it is about to answer."""
EXIT_STATUS = 70
"""Exit status of a worker that gave up: EX_SOFTWARE."""


class Readiness:
    """Ready, until the worker is told to stop or has lost its device."""

    def __init__(self) -> None:
        self.reason = ""
        self.draining = False

    @property
    def ready(self) -> bool:
        return not self.reason

    def check(self) -> None:
        """Raises NotReady if the worker does not take work."""
        if self.reason:
            raise NotReady(self.reason)

    def drain(self) -> None:
        """Ends readiness, so that no new client comes here; what comes is still served."""
        self.reason = self.reason or "The server is about to stop."
        self.draining = True

    def give_up(self, reason: str, end: Callable[[int], Any] = os._exit) -> None:
        """Ends readiness at once and this process soon, whatever it does, so that another one takes its place."""
        if self.draining and self.reason == reason:
            return
        log.critical("%s This worker ends.", reason)
        self.reason = reason
        self.draining = True
        timer = threading.Timer(LAST_ANSWERS_SECONDS, end, (EXIT_STATUS,))
        timer.daemon = True
        timer.start()


def stop_if_orphaned() -> None:
    """Stops a worker whose parent was killed, as SIGTERM does: nobody would replace it, and it holds the port."""
    parent = multiprocessing.parent_process()
    if parent is not None and not parent.is_alive():
        log.error("The parent of this worker has ended, and so does the worker.")
        os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def delay_sigterm(readiness: Readiness, seconds: float) -> Iterator[None]:
    """Delays SIGTERM until some time after readiness has ended, so that load balancers notice first.

    A second one takes effect at once. Where the handler of a signal cannot be changed, which is outside the main thread,
    nothing is.
    """
    stop = signal.getsignal(signal.SIGTERM)
    if not seconds or not callable(stop) or threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting: list[threading.Timer] = []

    def on_signal(number: int, frame: FrameType | None) -> None:
        readiness.drain()
        if waiting:
            waiting.pop().cancel()
            stop(number, frame)
            return
        timer = threading.Timer(seconds, stop, (number, None))
        timer.daemon = True
        waiting.append(timer)
        timer.start()

    signal.signal(signal.SIGTERM, on_signal)
    try:
        yield
    finally:
        for timer in waiting:
            timer.cancel()
        if signal.getsignal(signal.SIGTERM) is on_signal:
            signal.signal(signal.SIGTERM, stop)
