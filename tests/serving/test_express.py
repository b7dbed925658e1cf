"""Requests of known kinds are answered to the byte as on the way of ASGI, and all others go there."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import safetensors.numpy

from lossmeter.api import express as express_module
from lossmeter.api.app import create_app
from lossmeter.api.express import ExpressWay
from lossmeter.engine.advice import Glance
from lossmeter.engine.programs.cache import Programs
from lossmeter.settings import Settings
from lossmeter.telemetry.readiness import Readiness
from tests.serving.test_direct import (
    BINARY,
    ROUTE,
    by_asgi,
    figures,
    guarded,
    plain,
    read_answers,
    request,
    timeless,
)
from tests.support.service import answer_of, connected, serving

__all__ = ["guarded"]

RANDOM = np.random.default_rng(11)
ROWS, COLUMNS = 6, 4


class Expressly:
    """Counts the requests that the express way took, and those of them that it handed over again."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.taken = self.handed_over = 0
        take, hand_over = ExpressWay.take, ExpressWay._hand_over

        def counted(*arguments: Any) -> bool:
            taken = take(*arguments)
            self.taken += taken
            return taken

        def counted_again(*arguments: Any) -> None:
            self.handed_over += 1
            hand_over(*arguments)

        monkeypatch.setattr(ExpressWay, "take", counted)
        monkeypatch.setattr(ExpressWay, "_hand_over", counted_again)

    @property
    def answered(self) -> int:
        return self.taken - self.handed_over


@pytest.fixture
def expressly(monkeypatch: pytest.MonkeyPatch) -> Expressly:
    """Counts from here on; kinds are learned whenever there is one, and their programs recorded at once."""
    monkeypatch.setattr(express_module, "LEARN_SECONDS", 0.0)
    monkeypatch.setattr(Programs, "request", lambda self, kind: self.record(kind))
    return Expressly(monkeypatch)


def logits() -> Any:
    return RANDOM.normal(size=(ROWS, COLUMNS)).astype(np.float32)


def labels() -> Any:
    return RANDOM.integers(0, COLUMNS, ROWS)


def fields(**more: Any) -> dict[str, Any]:
    return {"predictions": logits().tolist(), "labels": labels().tolist(), "gradients": ["predictions"], **more}


def pair(**more: Any) -> dict[str, Any]:
    return {"predictions": logits().tolist(), "labels": logits().tolist(), **more}


def file(*gradients: str, dtype: Any = np.float32) -> bytes:
    tensors = {"predictions": logits().astype(dtype), "labels": labels()}
    return safetensors.numpy.save(tensors, {"request": json.dumps({"gradients": gradients})})


KINDS = {
    "json": lambda: request(ROUTE, fields()),
    "dense": lambda: request(ROUTE, json.dumps(fields(), separators=(",", ":")).encode()),
    "integers": lambda: request(
        "/v1/losses/mse", {"predictions": RANDOM.integers(-9, 9, 5).tolist(), "labels": [1] * 5}
    ),
    "sum": lambda: request(ROUTE, fields(reduction="sum", label_smoothing=0.1)),
    "normalizer": lambda: request(ROUTE, fields(normalizer=3.0)),
    "double": lambda: request("/v1/losses/mse", pair(precision="float64", gradients=["labels", "predictions"])),
    "alone": lambda: request("/v1/losses/smooth_l1", pair(gradients=["predictions"], beta=0.5)),
    "no gradient": lambda: request("/v1/losses/l1", pair()),
    "one row": lambda: request(
        ROUTE, {"predictions": logits()[:1].tolist(), "labels": [1], "gradients": ["predictions"]}
    ),
    "safetensors": lambda: request(ROUTE, file("predictions"), Content_Type=BINARY, Accept=BINARY),
    "halves": lambda: request(ROUTE, file("predictions", dtype=np.float16), Content_Type=BINARY, Accept=BINARY),
    "safetensors to json": lambda: request(ROUTE, file("predictions"), Content_Type=BINARY),
    "json to safetensors": lambda: request(ROUTE, fields(), Accept=BINARY),
    "no id": lambda: request(ROUTE, fields(), X_Request_ID=""),
    "a query": lambda: request(ROUTE + "?x=1", fields()),
}


def ask(connection: socket.socket, *data: bytes, answers: int = 1) -> bytes:
    for piece in data:
        connection.sendall(piece)
    return read_answers(connection, answers)


def learn(connection: socket.socket, data: bytes, expressly: Expressly) -> None:
    """Asks until the kind is known, which takes a dozen requests."""
    for _ in range(20):
        before = expressly.answered
        ask(connection, data)
        if expressly.answered > before:
            return
    raise AssertionError("not learned")


def same(direct: bytes, asgi: bytes) -> bool:
    direct, asgi = (re.sub(rb"x-request-id: [0-9a-f]{16}\r", b"", answer) for answer in (direct, asgi))
    return timeless(direct) == timeless(asgi)


@pytest.mark.parametrize("name", KINDS)
def test_a_known_kind_is_answered_with_the_same_bytes(url: str, expressly: Expressly, name: str) -> None:
    with connected(url) as connection:
        learn(connection, KINDS[name](), expressly)
        before = expressly.answered
        others = [KINDS[name]() for _ in range(3)]
        quick = [ask(connection, data) for data in others]
        assert expressly.answered == before + 3
        slow = [ask(connection, by_asgi(data)) for data in others]
        assert expressly.answered == before + 3
    assert all(map(same, quick, slow))
    assert b"HTTP/1.1 200 OK" in quick[0]


def text(**replaced: str) -> bytes:
    """A body in which the text of a member is replaced."""
    body = fields()
    members = {name: json.dumps(value) for name, value in body.items()} | replaced
    return b"{%s}" % ", ".join(f'"{name}": {value}' for name, value in members.items()).encode()


NUMBERS = json.dumps(logits().tolist())
OTHERS = {
    "label out of range": text(labels="[0, 1, 2, 3, 4, 0]"),
    "negative label": text(labels="[0, 1, 2, 3, -1, 0]"),
    "fraction": text(labels="[0, 1, 2, 3, 1.5, 0]"),
    "whole fraction": text(labels="[0, 1, 2, 3, 1.0, 0]"),
    "too large": text(predictions=NUMBERS.replace("[[", "[[1e39, ", 1).replace("], [", ", 1], [", 1)),
    "infinite": text(predictions=re.sub(r"-?\d[^,]*", "1e38", NUMBERS, count=2).replace("1e38", "1e39", 1)),
    "large": text(predictions=re.sub(r"-?\d[^,]*", "1e30", NUMBERS, count=1)),
    "no number": text(predictions=re.sub(r"-?\d[^,]*", "1.5.5", NUMBERS, count=1)),
    "two numbers": text(predictions=re.sub(r"-?\d[^,]*", "1 2", NUMBERS, count=1)),
    "missing": text(predictions=re.sub(r"-?\d[^,]*", " ", NUMBERS, count=1)),
    "leading zero": text(predictions=re.sub(r"-?\d[^,]*", "01", NUMBERS, count=1)),
    "plus": text(predictions=re.sub(r"-?\d[^,]*", "+1", NUMBERS, count=1)),
    "exponent": text(predictions=re.sub(r"-?\d[^,]*", "1E-3", NUMBERS, count=1)),
    "white space": text(predictions=NUMBERS.replace(",", " ,\n\t").replace("[", "[ ")),
    "another bracket": text(predictions=re.sub(r"-?\d[^,]*", "[1]", NUMBERS, count=1)),
    "a string": text(predictions=re.sub(r"-?\d[^,]*", '"1"', NUMBERS, count=1)),
    "null": text(predictions=re.sub(r"-?\d[^,]*", "null", NUMBERS, count=1)),
    "truth": text(predictions=re.sub(r"-?\d[^,]*", "true", NUMBERS, count=1)),
    "ragged": text(predictions=NUMBERS.replace(", ", "], [", 1).replace("], [", ", ", 1)),
    "a row less": text(predictions=json.dumps(logits()[1:].tolist())),
    "flat": text(predictions=json.dumps(logits().ravel().tolist())),
    "twice": text().replace(b"{", b'{"labels": [0, 1, 2, 3, 0, 0], ', 1),
    "another name": text().replace(b"labels", b"lab1els"),
    "not whole": text()[:-1],
    "more": text() + b"}",
    "nothing": b"",
}


def test_a_file_of_which_some_tensors_stand_among_the_fields_is_of_no_known_kind(
    url: str, expressly: Expressly
) -> None:
    written = {"gradients": ["predictions"], "labels": labels().tolist()}
    body = safetensors.numpy.save({"predictions": logits()}, {"request": json.dumps(written)})
    data = request(ROUTE, body, Content_Type=BINARY, Accept=BINARY)
    before = expressly.answered
    with connected(url) as connection:
        answers = [ask(connection, data) for _ in range(20)]
        assert all(same(answer, ask(connection, by_asgi(data))) for answer in answers[-2:])
    assert expressly.answered == before
    assert b"HTTP/1.1 200 OK" in answers[0]


@pytest.fixture
def known(url: str, expressly: Expressly) -> Iterator[socket.socket]:
    """A connection on which a kind is known."""
    with connected(url) as connection:
        learn(connection, request(ROUTE, text()), expressly)
        yield connection


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_like_a_known_kind_gets_the_answer_of_asgi(known: socket.socket, name: str) -> None:
    data = request(ROUTE, OTHERS[name])
    assert timeless(ask(known, data)) == timeless(ask(known, by_asgi(data)))


def test_numbers_are_read_exactly(known: socket.socket, expressly: Expressly) -> None:
    before = expressly.answered
    for _ in range(20):
        # Of any size, and halfway between two numbers of float32 as often as not.
        exponents = RANDOM.integers(-140, 40, (ROWS, COLUMNS))
        bits = np.ldexp(RANDOM.integers(-(2**25), 2**25, (ROWS, COLUMNS)).astype(np.float64), exponents - 25)
        data = request(ROUTE, text(predictions=json.dumps(bits.tolist())))
        assert timeless(ask(known, data)) == timeless(ask(known, by_asgi(data)))
    assert expressly.answered == before + 20


def test_one_bad_request_of_a_turn_is_no_harm_to_others(url: str, known: socket.socket, expressly: Expressly) -> None:
    good, bad = request(ROUTE, text()), request(ROUTE, OTHERS["label out of range"])
    expected = timeless(ask(known, by_asgi(good))), timeless(ask(known, by_asgi(bad)))
    connections = [connected(url) for _ in range(8)]
    sockets = [each.__enter__() for each in connections]
    for place, each in enumerate(sockets):
        each.sendall(bad if place == 3 else good)
    answers = [timeless(read_answers(each, 1)) for each in sockets]
    for each in connections:
        each.__exit__(None, None, None)
    assert answers == [expected[place == 3] for place in range(8)]


def test_what_fails_for_one_request_of_a_turn_leaves_no_other_waiting(
    url: str, known: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, genuine, failures = request(ROUTE, text()), Glance.advises, iter([True])

    def advises(*arguments: Any) -> bool:
        if next(failures, False):
            raise ZeroDivisionError
        return genuine(*arguments)

    monkeypatch.setattr(Glance, "advises", advises)
    expected = timeless(ask(known, by_asgi(data)))
    connections = [connected(url) for _ in range(4)]
    sockets = [each.__enter__() for each in connections]
    for each in sockets:
        each.sendall(data)
    assert [timeless(read_answers(each, 1)) for each in sockets] == [expected] * 4
    for each in connections:
        each.__exit__(None, None, None)
    assert next(failures, False) is False


@pytest.mark.parametrize("cut", [20, -200, -1])
def test_a_body_may_come_in_pieces(known: socket.socket, expressly: Expressly, cut: int) -> None:
    data, before = request(ROUTE, text()), expressly.taken
    known.sendall(data[:cut])
    time.sleep(0.05)
    answer = ask(known, data[cut:])
    assert timeless(answer) == timeless(ask(known, by_asgi(data)))
    assert expressly.taken == before + (cut < 0)


def test_a_body_that_takes_long_takes_another_way(known: socket.socket, expressly: Expressly) -> None:
    data, before = request(ROUTE, text()), expressly.taken
    known.sendall(data[:-1])
    time.sleep(2.3)  # two checks
    assert timeless(ask(known, data[-1:])) == timeless(ask(known, by_asgi(data)))
    assert expressly.taken == before


def test_what_comes_behind_is_answered_in_order(known: socket.socket, expressly: Expressly) -> None:
    kinds = [request(ROUTE, text()), by_asgi(request(ROUTE, text())), request(ROUTE, {})]
    before = expressly.answered
    data = [kinds[n % 3].replace(b"ID: mine", b"ID: n%d" % n) for n in range(30)]
    for one in data:
        known.sendall(one)
        time.sleep(0.001)
    answer = read_answers(known, 30)
    assert re.findall(rb"x-request-id: (\w+)", answer) == [b"n%d" % n for n in range(30)]
    assert [int(status) for status in re.findall(rb"HTTP/1.1 (\d+)", answer)[:3]] == [200, 200, 422]
    ask(known, request(ROUTE, text()))
    assert expressly.answered > before


@pytest.mark.parametrize("way", [bytes, by_asgi])
def test_a_client_that_sends_no_more_gets_all_answers_and_the_end(
    url: str, known: socket.socket, expressly: Expressly, way: Any
) -> None:
    data, before = way(request(ROUTE, text())), expressly.answered
    with connected(url) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        answer = answer_of(connection)
        assert b" 200 OK" in answer
        assert connection.recv(1) == b""
    assert timeless(answer) == timeless(ask(known, data))
    assert expressly.answered == before + 2 * (way is bytes)


def test_a_client_that_goes_leaves_nothing_behind(url: str, expressly: Expressly) -> None:
    data = request(ROUTE, text())
    with connected(url) as connection:
        learn(connection, data, expressly)
        connection.sendall(data[:-5])
    with connected(url) as connection:
        connection.sendall(data)
    with connected(url) as connection:
        assert b" 200 OK" in ask(connection, data)
        in_flight = re.search(r"lossmeter_requests_in_flight (\d+)", httpx.get(url + "/metrics").text)
    assert in_flight is None or in_flight[1] in ("0", "1")  # itself


def test_connections_end_while_the_server_drains(expressly: Expressly, monkeypatch: pytest.MonkeyPatch) -> None:
    shared: list[Readiness] = []
    genuine = Readiness.__init__
    monkeypatch.setattr(Readiness, "__init__", lambda self: (genuine(self), shared.append(self))[0])
    data = request(ROUTE, text())
    with serving() as url, connected(url) as connection:
        learn(connection, data, expressly)
        before = expressly.taken
        shared[0].draining = True
        answer = ask(connection, data, answers=2)
    assert b"\r\nconnection: close\r\n" in answer
    assert expressly.taken == before


def test_known_kinds_are_counted_and_logged_as_others(expressly: Expressly, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "lossmeter.access")
    data, seen = request(ROUTE, text()), []
    with serving() as url, connected(url) as connection:
        learn(connection, data, expressly)
        for turn in (bytes, by_asgi):
            taken, before = expressly.answered, figures(url)
            caplog.clear()
            for _ in range(3):
                ask(connection, turn(data))
            after = figures(url)
            lines = [plain(vars(record)["fields"]) for record in caplog.records if "POST" in record.getMessage()]
            seen.append(({name: after[name] - before.get(name, 0.0) for name in after}, lines))
            assert expressly.answered == taken + 3 * (turn is bytes)
    assert seen[0] == seen[1]
    assert len(seen[0][1]) == 3


def test_keys_are_asked_for(guarded: tuple[str, dict[str, str]], expressly: Expressly) -> None:
    url, tokens = guarded
    with connected(url) as connection:
        for kind, expected in (("good", 200), ("scope", 403), ("wrong", 401), ("size", 413), ("good", 200)):
            data = request(ROUTE, text(), Authorization=f"Bearer {tokens[kind]}")
            if kind == "good":
                learn(connection, data, expressly)
            before = expressly.answered
            for _ in range(3):
                answer = ask(connection, data)
                assert answer.startswith(b"HTTP/1.1 %d " % expected)
            assert expressly.answered == before + 3 * (expected == 200)
            assert timeless(answer) == timeless(ask(connection, by_asgi(data)))


def test_any_server_of_asgi_has_known_kinds(expressly: Expressly) -> None:
    async def run() -> None:
        app = create_app(Settings(device="cpu"))
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
        ):
            for body, headers in (
                (text(), {"content-type": "application/json"}),
                (file("predictions"), {"content-type": BINARY, "accept": BINARY}),
            ):
                headers = {**headers, "x-request-id": "mine"}
                for _ in range(14):
                    await client.post(ROUTE, content=body, headers=headers)
                before = expressly.answered
                quick = await client.post(ROUTE, content=body, headers=headers)
                assert expressly.answered == before + 1
                slow = await client.post(ROUTE, content=body, headers={**headers, "origin": "http://localhost"})
                assert expressly.answered == before + 1
                assert quick.content == slow.content
                untimed = [[p for p in answer.headers.raw if p[0] != b"server-timing"] for answer in (quick, slow)]
                assert untimed[0] == untimed[1]
                wrong = await client.post(ROUTE, content=OTHERS["label out of range"], headers={"x-request-id": "mine"})
                assert wrong.status_code == 422

    asyncio.run(run())
