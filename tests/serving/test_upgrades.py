"""A client that offers another protocol is answered in HTTP/1.1, body and all."""

from __future__ import annotations

import json
import time

import pytest

from lossmeter.serving.upgrades import Offers
from tests.support.service import answer_of, connected

BODY = b'{"predictions": [3.0], "labels": [1.0]}'
# As the HTTP client of JDK 17 writes it.
HEADER = (
    b"POST /v1/losses/mse HTTP/1.1\r\n"
    b"Connection: Upgrade, HTTP2-Settings\r\n"
    b"Content-Length: %d\r\n"
    b"Host: 127.0.0.1\r\n"
    b"HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n"
    b"Upgrade: h2c\r\n"
    b"User-Agent: Java-http-client/17\r\n"
    b"Content-Type: application/json\r\n\r\n"
) % len(BODY)


SPLIT = HEADER.index(b"rade: h2c")
OTHER = HEADER.replace(b"Upgrade: h2c", b"uPGRADE:TLS/1.0, x/2")


@pytest.mark.parametrize(
    "pieces",
    [
        [HEADER + BODY],
        [HEADER, BODY],
        [HEADER + BODY[:5], BODY[5:]],
        [HEADER[:SPLIT], HEADER[SPLIT:] + BODY],
        [HEADER[: SPLIT + 9], HEADER[SPLIT + 9 :], BODY],
        [OTHER + BODY],
    ],
    ids=["whole", "head, body", "part of the body", "offer in two", "after the offer", "another protocol"],
)
def test_the_body_of_a_request_with_an_offer_arrives(url: str, pieces: list[bytes]) -> None:
    with connected(url) as connection:
        for _ in range(2):
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(0.05)
            head, _, body = answer_of(connection).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            assert json.loads(body)["value"] == 4.0


def test_an_offer_that_was_not_removed_is_refused_and_no_body_lost(url: str) -> None:
    with connected(url) as connection:
        connection.sendall(b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert answer_of(connection).startswith(b"HTTP/1.1 400")


def test_only_the_offer_in_the_header_goes() -> None:
    assert Offers().remove(HEADER + BODY, 1000) == HEADER.replace(b"Upgrade: h2c\r\n", b"") + BODY
    for kept in (
        b"GET /?upgrade: HTTP/1.1\r\nX: upgrade:\r\n\r\n",
        b"POST / HTTP/1.1\r\n\r\n\r\nUpgrade: h2c\r\n",
        b"",
    ):
        assert Offers().remove(kept, 1000) == kept


@pytest.mark.parametrize("size", [1, 2, 7, 40])
def test_a_header_in_pieces_is_held_back_a_line_at_most(size: int) -> None:
    offers, parsed = Offers(), b""
    for start in range(0, len(HEADER), size):
        parsed += offers.remove(HEADER[start : start + size], 1000)
        assert len(offers.held) <= 60
    assert parsed == HEADER.replace(b"Upgrade: h2c\r\n", b"")
    assert not offers.held
    assert Offers().remove(b"GET / HTTP/1.1\r\n" + b"x" * 100, 50).endswith(b"x")
