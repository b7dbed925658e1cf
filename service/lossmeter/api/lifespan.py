"""Declares what the running application tells the server that runs it."""

from __future__ import annotations

from typing import TypedDict

from lossmeter.scheduling.limits import Limits
from lossmeter.scheduling.request_queue import RequestQueue
from lossmeter.telemetry.counters import Counters
from lossmeter.telemetry.readiness import Readiness


class LifespanState(TypedDict):
    """The state of the lifespan protocol of ASGI: by it a server sheds load for the application."""

    queue: RequestQueue
    counters: Counters
    limits: Limits
    readiness: Readiness
