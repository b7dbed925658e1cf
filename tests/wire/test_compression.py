"""Compressed bodies come out as they went in, a bounded piece at a time, or are refused."""

from __future__ import annotations

import contextlib
import gzip
import random
import sys
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossmeter.errors import LossmeterError, MalformedBody, TooLarge
from lossmeter.wire import compression
from lossmeter.wire.compression import COMPRESSORS, EXPANDERS, MAX_MEMBERS, PIECE_BYTES, compress, expand

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


def raw(whole: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(whole) + stream.flush()


WAYS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "deflate": ("deflate", zlib.compress),
    "deflate without container": ("deflate", raw),
    "zstd": ("zstd", zstd.compress),
}
BODIES = {
    "empty": b"",
    "short": b"x",
    "zeros": bytes(5 * PIECE_BYTES + 3),
    "a whole number of pieces": bytes(2 * PIECE_BYTES),
    "text": "".join(f"{i * 0.37:.4f}," for i in range(300_000)).encode(),
    "noise": random.Random(3).randbytes(PIECE_BYTES + 7),
}


def expanded(body: bytes, *codings: str, limit: int = 1 << 24) -> bytes:
    return bytes(expand(bytearray(body), codings, limit, lambda _: None))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", BODIES)
def test_what_went_in_comes_out(name: str, way: str) -> None:
    coding, squeeze = WAYS[way]
    whole = BODIES[name]
    reserved: list[int] = []
    assert expand(bytearray(squeeze(whole)), (coding,), len(whole), reserved.append) == whole
    assert sum(reserved) == len(whole)
    assert max(reserved) <= PIECE_BYTES


@pytest.mark.parametrize("first", WAYS)
@pytest.mark.parametrize("second", WAYS)
def test_codings_are_undone_in_reverse(first: str, second: str) -> None:
    body = WAYS[second][1](WAYS[first][1](b"both ways"))
    assert expanded(body, WAYS[first][0], WAYS[second][0]) == b"both ways"


@pytest.mark.parametrize(("coding", "squeeze"), [("gzip", gzip.compress), ("zstd", zstd.compress)])
def test_members_follow_one_another(coding: str, squeeze: Callable[[bytes], bytes]) -> None:
    assert expanded(squeeze(b"one, ") + squeeze(b"") + squeeze(b"two"), coding) == b"one, two"


@pytest.mark.parametrize(("coding", "squeeze"), [("gzip", gzip.compress), ("zstd", zstd.compress)])
def test_members_without_end_are_refused(coding: str, squeeze: Callable[[bytes], bytes]) -> None:
    member = squeeze(b"")
    assert expanded(member * MAX_MEMBERS, coding) == b""
    with pytest.raises(MalformedBody, match="after its compressed data"):
        expanded(member * (MAX_MEMBERS + 1), coding)


@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_taken_beyond_the_limit(way: str) -> None:
    coding, squeeze = WAYS[way]
    body = bytearray(squeeze(bytes(400 * PIECE_BYTES)))
    assert len(body) < PIECE_BYTES
    reserved: list[int] = []
    tracemalloc.start()
    with pytest.raises(TooLarge, match="The body, expanded, is larger than"):
        expand(body, (coding,), 3 * PIECE_BYTES - 1, reserved.append)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sum(reserved) <= 3 * PIECE_BYTES - 1
    assert peak < 8 * PIECE_BYTES


def test_a_bomb_in_a_bomb_is_stopped() -> None:
    inner = gzip.compress(bytes(1 << 26))
    with pytest.raises(TooLarge):
        expanded(gzip.compress(inner), "gzip", "gzip", limit=1 << 20)


@pytest.mark.parametrize("way", WAYS)
def test_every_cut_is_noticed(way: str) -> None:
    coding, squeeze = WAYS[way]
    body = squeeze(b"cut short" * 9)
    for length in range(len(body)):
        with pytest.raises(MalformedBody):
            expanded(body[:length], coding)


@pytest.mark.parametrize("way", WAYS)
def test_what_follows_the_end_is_refused(way: str) -> None:
    coding, squeeze = WAYS[way]
    with pytest.raises(MalformedBody):
        expanded(squeeze(b"x") + b"and more", coding)


@pytest.mark.parametrize("coding", EXPANDERS)
def test_what_is_no_compressed_data_is_malformed(coding: str) -> None:
    with pytest.raises(MalformedBody, match="The body cannot be expanded: "):
        expanded(b"\xff" * 99, coding)


def test_a_window_beyond_what_http_allows_is_refused() -> None:
    options = {zstd.CompressionParameter.window_log: 27}
    compressor = zstd.ZstdCompressor(options=options)
    body = compressor.compress(bytes(1 << 20)) + compressor.flush()
    with pytest.raises(MalformedBody, match="memory"):
        expanded(body, "zstd")


@given(st.sampled_from(sorted(EXPANDERS)), st.binary(max_size=100))
def test_only_declared_errors_come_out_of_any_bytes(coding: str, body: bytes) -> None:
    with contextlib.suppress(LossmeterError):
        expanded(body, coding)


@given(st.sampled_from(sorted(WAYS)), st.integers(0, 10**6), st.integers(0, 255))
def test_only_declared_errors_come_out_of_damaged_bodies(way: str, position: int, value: int) -> None:
    coding, squeeze = WAYS[way]
    body = bytearray(squeeze(b"some text, some text, and more of it"))
    body[position % len(body)] = value
    with contextlib.suppress(LossmeterError):
        expanded(bytes(body), coding)


@pytest.mark.parametrize("coding", COMPRESSORS)
def test_what_is_compressed_here_can_be_expanded(coding: str) -> None:
    pieces = [b"head", memoryview(bytes(3 * PIECE_BYTES)), b"", b"0.25," * 1000]
    found = compress(pieces, coding)
    assert found is not None
    assert sum(map(len, found)) < 10_000
    assert expanded(b"".join(found), coding) == b"".join(pieces)


@pytest.mark.parametrize("coding", COMPRESSORS)
def test_what_hardly_shrinks_is_left_as_it_is(coding: str) -> None:
    assert compress([random.Random(1).randbytes(100_000)], coding) is None


def test_a_sample_decides() -> None:
    noise, zeros = random.Random(1).randbytes(compression.SAMPLE_BYTES), bytes(compression.SAMPLE_BYTES)
    assert compress([noise, zeros], "gzip") is None
    assert compress([zeros, noise], "gzip") is not None
