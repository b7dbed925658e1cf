"""Conversations, held without a socket: what is sent again, after how long, and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from lossmeter.client.errors import Busy, InternalError, InvalidRequest, NoAnswer, Problem, ServiceError, TimedOut
from lossmeter.client.exchanges import Pause, Reply, Request, Retries, conversation, refusal, retry_after_seconds

REQUEST = Request("POST", "/v1/losses/mse", lambda reply: bytes(reply.body), body=[b"body"])
WELL = Reply(200, {}, bytearray(b"well"))
NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


def busy(after: str | None = None, status: int = 503) -> Reply:
    headers: Mapping[str, str] = {} if after is None else {"retry-after": after}
    return Reply(status, headers, bytearray())


def held(
    outcomes: list[Reply | NoAnswer], retries: Retries | None = None, request: Request[bytes] = REQUEST
) -> tuple[bytes | ServiceError, list[float], list[Request[bytes]]]:
    """What a conversation comes to, its pauses in seconds, and what it sent."""
    pauses: list[float] = []
    sent: list[Request[bytes]] = []
    steps = conversation(request, retries or Retries())
    outcome: Reply | NoAnswer | None = None
    try:
        while True:
            step = steps.send(outcome)
            if isinstance(step, Pause):
                pauses.append(step.seconds)
                outcome = None
            else:
                sent.append(step)
                outcome = outcomes.pop(0)
    except StopIteration as end:
        return end.value, pauses, sent
    except ServiceError as error:
        return error, pauses, sent


def test_a_good_answer_ends_it() -> None:
    result, pauses, sent = held([WELL])
    assert (result, pauses, len(sent)) == (b"well", [], 1)


@pytest.mark.parametrize("failure", [NoAnswer("broken"), busy(), busy(status=429), busy(status=502)])
def test_what_may_pass_is_tried_again(failure: Reply | NoAnswer) -> None:
    result, pauses, sent = held([failure, failure, WELL])
    assert result == b"well"
    assert len(sent) == 3
    assert 0.05 <= pauses[0] <= 0.1 <= pauses[1] <= 0.2


@pytest.mark.parametrize("status", [400, 401, 404, 409, 413, 422, 500, 507, 302])
def test_what_will_not_pass_is_not(status: int) -> None:
    result, _, sent = held([Reply(status, {}, bytearray(b"no"))])
    assert isinstance(result, Problem)
    assert (result.status, result.detail, len(sent)) == (status, "no", 1)


def test_what_took_too_long_is_not_asked_again() -> None:
    result, _, sent = held([TimedOut("late")])
    assert isinstance(result, TimedOut)
    assert len(sent) == 1


def test_what_the_service_gave_up_is_not_asked_again() -> None:
    members = b'{"code": "took_too_long", "title": "The answer was not there in time", "status": 504}'
    late = Reply(504, {"content-type": "application/problem+json"}, bytearray(members))
    result, _, sent = held([late])
    assert isinstance(result, Busy)
    assert len(sent) == 1
    kept = Request("PUT", "/v1/runs/a/batches/b", lambda reply: bytes(reply.body), kept=True)
    assert held([late, WELL], request=kept)[0] == b"well"


def test_what_is_kept_is_asked_again_after_any_time() -> None:
    kept = Request("PUT", "/v1/runs/a/batches/b", lambda reply: bytes(reply.body), kept=True)
    result, pauses, sent = held([TimedOut("late"), TimedOut("late"), WELL], request=kept)
    assert (result, len(pauses), len(sent)) == (b"well", 2, 3)
    assert isinstance(held([TimedOut("late")] * 2, Retries(attempts=2), kept)[0], TimedOut)


def test_attempts_come_to_an_end() -> None:
    result, pauses, sent = held([busy()] * 4, Retries(attempts=4))
    assert isinstance(result, Busy)
    assert (len(pauses), len(sent)) == (3, 4)
    broken = NoAnswer("broken")
    assert held([broken], Retries(attempts=1))[0] is broken


def test_what_must_not_be_repeated_is_sent_once() -> None:
    once = Request("POST", "/v1/runs", lambda reply: bytes(reply.body), repeatable=False)
    assert isinstance(held([busy()], request=once)[0], Busy)


def test_waits_double_up_to_the_longest_and_differ_from_each_other() -> None:
    retries = Retries(attempts=20, first_wait_seconds=1.0, longest_wait_seconds=8.0)
    for attempt, longest in enumerate([1.0, 2.0, 4.0, 8.0, 8.0, 8.0], start=1):
        waits = {retries.wait_seconds(attempt, NoAnswer()) or 0.0 for _ in range(200)}
        assert longest / 2 <= min(waits) <= max(waits) <= longest
        assert len(waits) > 100


def test_the_wait_that_the_service_asks_for_is_kept() -> None:
    _, pauses, _ = held([busy("3"), WELL])
    assert 3.0 < pauses[0] <= 3.1
    result, pauses, _ = held([busy("61")])
    assert isinstance(result, Busy)
    assert (result.retry_after_seconds, pauses) == (61.0, [])


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        (" 120 ", 120.0),
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("-1", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(header, NOW) == seconds


def test_all_attempts_carry_the_same_id_and_every_call_its_own() -> None:
    ids = [{request.headers["X-Request-ID"] for request in held([busy(), busy(), WELL])[2]} for _ in range(2)]
    assert [len(found) for found in ids] == [1, 1]
    assert ids[0] != ids[1]
    chosen = Request("GET", "/", lambda _: b"", {"X-Request-ID": "mine"})
    assert held([WELL], request=chosen)[2][0].headers["X-Request-ID"] == "mine"


def test_a_problem_is_read_whole() -> None:
    body = b"""{"type": "urn:lossmeter:problem:invalid", "title": "The request is not valid", "status": 422,
        "detail": "mse: labels is missing (and 1 more)", "code": "invalid", "request_id": "abc", "errors": [
        {"pointer": "/labels", "message": "labels is missing", "index": null},
        {"pointer": "/predictions", "message": "predictions[1, 0] is NaN", "index": [1, 0]}]}"""
    error = refusal(Reply(422, {"content-type": "application/problem+json"}, bytearray(body)))
    assert type(error) is InvalidRequest
    assert (error.code, error.type, error.title) == (
        "invalid",
        "urn:lossmeter:problem:invalid",
        "The request is not valid",
    )
    assert [flaw.index for flaw in error.errors] == [None, (1, 0)]
    assert str(error) == (
        "mse: labels is missing (and 1 more) [422, request abc]\n  /predictions: predictions[1, 0] is NaN"
    )


@pytest.mark.parametrize("body", [b"<html>Bad Gateway</html>", b"{", b"[]", b"\xff", b""])
@pytest.mark.parametrize("content_type", ["text/html", "application/problem+json"])
def test_an_error_of_another_kind_is_an_error_all_the_same(body: bytes, content_type: str) -> None:
    error = refusal(Reply(500, {"content-type": content_type, "x-request-id": "abc"}, bytearray(body)))
    assert type(error) is InternalError
    assert (error.status, error.code, error.errors, error.request_id) == (500, "", (), "abc")
