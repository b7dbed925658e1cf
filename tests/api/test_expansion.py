"""Compressed bodies come out as they went in, a bounded piece at a time."""

from __future__ import annotations

import gzip
import random
import zlib

import pytest

from lossmeter.api.expansion import MAX_MEMBERS, PIECE_BYTES, expand
from lossmeter.errors import MalformedBody, TooLarge

COMPRESS = {"gzip": gzip.compress, "deflate": zlib.compress}
BODIES = {
    "empty": b"",
    "short": b"x",
    "zeros": bytes(5 * PIECE_BYTES + 3),
    "a whole number of pieces": bytes(2 * PIECE_BYTES),
    "noise": random.Random(3).randbytes(PIECE_BYTES + 7),
}


@pytest.mark.parametrize("encoding", COMPRESS)
@pytest.mark.parametrize("name", BODIES)
def test_what_went_in_comes_out(name: str, encoding: str) -> None:
    whole = BODIES[name]
    reserved: list[int] = []
    assert expand(bytearray(COMPRESS[encoding](whole)), encoding, len(whole), reserved.append) == whole
    assert sum(reserved) == len(whole)
    assert max(reserved) <= PIECE_BYTES


@pytest.mark.parametrize("encoding", COMPRESS)
def test_nothing_is_taken_beyond_the_limit(encoding: str) -> None:
    body = bytearray(COMPRESS[encoding](bytes(100 * PIECE_BYTES)))
    reserved: list[int] = []
    with pytest.raises(TooLarge):
        expand(body, encoding, 3 * PIECE_BYTES - 1, reserved.append)
    assert sum(reserved) <= 3 * PIECE_BYTES - 1


@pytest.mark.parametrize("encoding", COMPRESS)
def test_every_cut_is_noticed(encoding: str) -> None:
    body = COMPRESS[encoding](b"cut short" * 9)
    for length in range(len(body)):
        with pytest.raises(MalformedBody):
            expand(bytearray(body[:length]), encoding, 1000, lambda _: None)


def test_members_without_end_are_refused() -> None:
    member = gzip.compress(b"")
    assert expand(bytearray(member * MAX_MEMBERS), "gzip", 10, lambda _: None) == b""
    with pytest.raises(MalformedBody, match="more follows its end"):
        expand(bytearray(member * (MAX_MEMBERS + 1)), "gzip", 10, lambda _: None)
