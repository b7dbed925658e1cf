"""Every error of the service arrives as an exception of its own."""

from __future__ import annotations

import pickle

import lossmeter.client
from lossmeter.api.problems import STATUS
from lossmeter.client import errors
from lossmeter.client.errors import BY_STATUS, Busy, Problem, ServiceError, problem
from lossmeter.errors import Flaw


def test_every_status_of_the_service_has_its_exception() -> None:
    statuses = {*STATUS.values(), 500}
    assert statuses <= set(BY_STATUS)
    busy = {status for status in statuses if BY_STATUS[status] is Busy}
    assert busy == {429, 503, 504}
    assert len({BY_STATUS[status] for status in statuses - busy}) == len(statuses - busy)


def test_every_exception_is_drawn_exported_and_reachable() -> None:
    found = {
        name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, ServiceError)
    }
    assert all(f"── {name} " in (errors.__doc__ or "") or name == "ServiceError" for name in found)
    assert found <= set(lossmeter.client.__all__)
    assert {value.__name__ for value in BY_STATUS.values()} | {
        "ServiceError",
        "NoAnswer",
        "TimedOut",
        "BadAnswer",
        "Problem",
    } == found


def test_an_unknown_status_is_a_problem() -> None:
    assert type(problem(418, {}, "teapot", "abc", None)) is Problem


def test_a_problem_can_be_sent_to_another_process() -> None:
    entry = {"pointer": "/labels", "message": "labels is missing", "index": [0]}
    error = problem(422, {"detail": "no", "code": "invalid", "errors": [entry]}, "", "abc", 3.0)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert vars(again) == vars(error)
    assert again.errors == (Flaw("/labels", "labels is missing", (0,)),)
