"""The state of one request: what the layers between socket and answer tell each other of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

from lossmeter.errors import LossmeterError
from lossmeter.keys import Key

SCOPE_KEY = "lossmeter"
"""Where an ASGI scope holds the state."""

Stages = tuple[float, float, float]
"""Milliseconds of decoding, computing and encoding."""

Fill = Callable[[memoryview, Callable[[int], None]], Awaitable[None]]
"""Reads the rest of a body into memory of that size, and tells each time how many bytes came."""


class RequestState:
    """Holds what is known of one request.

    Attributes:
        request_id: identifies the request in answers and logs.
        trace_id: names the trace that the request belongs to; empty without tracing.
        route: the template of the address; empty until the request is counted.
        loss: the proper name of the loss; empty where the route has none.
        key: opened the door; None where no key was asked for.
        arrived: when the request was complete enough to be queued, by `perf_counter`; None if it was not queued.
        late_seconds: how long others have waited, for a request that came with too many of them; 0 if it may be answered.
        body_error: why no more of the body will come; None while it may.
        fill: reads the rest of the body; None where only ASGI does.
        received_bytes: the size of the body as it came.
        elements: how many elements its tensors have.
        warnings: the codes of the warnings in the answer.
        stages: how long each stage took; None for routes that do not tell them apart.
        error_code: the code of the error in the answer; empty if it is none.
    """

    __slots__ = (
        "arrived",
        "body_error",
        "elements",
        "error_code",
        "fill",
        "key",
        "late_seconds",
        "loss",
        "received_bytes",
        "request_id",
        "route",
        "stages",
        "trace_id",
        "warnings",
    )

    def __init__(self, request_id: str = "", error_code: str = "") -> None:
        self.request_id = request_id
        self.error_code = error_code
        self.trace_id = self.route = self.loss = ""
        self.key: Key | None = None
        self.arrived: float | None = None
        self.late_seconds = 0.0
        self.body_error: LossmeterError | None = None
        self.fill: Fill | None = None
        self.received_bytes = self.elements = 0
        self.warnings: Sequence[str] = ()
        self.stages: Stages | None = None


def request_state(scope: MutableMapping[str, Any]) -> RequestState:
    """Returns the state of a request, and creates it where there is none yet."""
    state: RequestState | None = scope.get(SCOPE_KEY)
    if state is None:
        state = scope[SCOPE_KEY] = RequestState()
    return state
