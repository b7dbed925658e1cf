"""Every error has a status, and the OpenAPI document explains it."""

from __future__ import annotations

from collections.abc import Iterator

from lossmeter.api.openapi.answers import ERRORS
from lossmeter.api.problems import STATUS, answer
from lossmeter.errors import Busy, DeviceLost, LossmeterError, NotReady, StoreUnavailable
from lossmeter.telemetry.request import SCOPE_KEY, RequestState


def kinds(base: type[LossmeterError]) -> Iterator[type[LossmeterError]]:
    """All that are derived from it."""
    for one in base.__subclasses__():
        yield one
        yield from kinds(one)


def test_every_error_has_a_status_that_is_explained() -> None:
    assert set(STATUS) == set(kinds(LossmeterError))
    assert set(STATUS.values()) <= set(ERRORS)


def test_codes_are_unique() -> None:
    assert len({one.code for one in STATUS}) == len(STATUS)


def test_what_may_succeed_later_says_when() -> None:
    scope = {"path": "/v1/runs", SCOPE_KEY: RequestState("id")}
    assert answer(Busy("full", 7), scope).headers["retry-after"] == "7"
    assert int(answer(StoreUnavailable("away"), scope).headers["retry-after"]) > 0
    assert {one for one in STATUS if STATUS[one] == 503} == {Busy, DeviceLost, NotReady, StoreUnavailable}
