"""A client that offers HTTP/2 is answered in HTTP/1.1, body and all."""

from __future__ import annotations

import json
import time

import pytest

from lossmeter.serving.upgrades import remove_offer
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


@pytest.mark.parametrize("pieces", [[HEADER + BODY], [HEADER, BODY], [HEADER + BODY[:5], BODY[5:]]])
def test_the_body_of_a_request_with_an_offer_arrives(url: str, pieces: list[bytes]) -> None:
    with connected(url) as connection:
        for _ in range(2):
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(0.05)
            head, _, body = answer_of(connection).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            assert json.loads(body)["value"] == 4.0


def test_only_the_offer_in_the_header_goes() -> None:
    assert remove_offer(HEADER + BODY) == HEADER.replace(b"Upgrade: h2c\r\n", b"") + BODY
    for kept in (
        b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n",
        b"GET /?h2c HTTP/1.1\r\nX: h2c\r\n\r\n",
        b"POST / HTTP/1.1\r\n\r\n\r\nUpgrade: h2c\r\n",
        b"",
    ):
        assert remove_offer(kept) == kept
