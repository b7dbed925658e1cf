"""Whether this worker wants work."""

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
"""How long a worker that gives up goes on for what it is about to answer."""
GAVE_UP = 70
"""Exit status of such a worker: EX_SOFTWARE."""


class Readiness:
    """Ready, until the worker is told to stop or has lost its device."""

    def __init__(self) -> None:
        self.reason = ""
        self.draining = False

    @property
    def ready(self) -> bool:
        return not self.reason

    def check(self) -> None:
        """Raises:
        NotReady: if it is not.
        """
        if self.reason:
            raise NotReady(self.reason)

    def drain(self) -> None:
        """Goes on serving, but no new client should come here."""
        self.reason = self.reason or "The server is about to stop."
        self.draining = True

    def give_up(self, reason: str, end: Callable[[int], Any] = os._exit) -> None:
        """Ends this process soon, whatever it does, so that another one takes its place."""
        if self.draining and self.reason == reason:
            return
        log.critical("%s This worker ends.", reason)
        self.reason = reason
        self.draining = True
        timer = threading.Timer(LAST_ANSWERS_SECONDS, end, (GAVE_UP,))
        timer.daemon = True
        timer.start()


def stop_without_parent() -> None:
    """Lets a worker whose parent was killed stop as it does on SIGTERM: nobody would replace it, and it holds the port."""
    parent = multiprocessing.parent_process()
    if parent is not None and not parent.is_alive():
        log.error("The parent of this worker has ended, and so does the worker.")
        os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def drained(readiness: Readiness, seconds: float) -> Iterator[None]:
    """Lets SIGTERM take effect only some time after readiness has ended, so that load balancers notice first.

    A second one takes effect at once. Where the handler of a signal cannot be changed, which is outside the main thread,
    nothing is.
    """
    if not seconds or threading.current_thread() is not threading.main_thread():
        yield
        return
    stop = signal.getsignal(signal.SIGTERM)
    if not callable(stop):
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
