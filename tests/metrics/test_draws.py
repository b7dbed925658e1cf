"""Replicates draw by a hash that other languages can compute, and the draws are Poisson(1), independent of each other."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np

from lossmeter.metrics.draws import THRESHOLDS, draws, hashes, positions

MASK = 2**64 - 1


def plain_draw(identity: str, replicate: int) -> int:
    """The page docs/statistics.md, word for word, in plain integers."""
    h = 14695981039346656037
    for byte in identity.encode():
        h = ((h ^ byte) * 1099511628211) & MASK
    z = (h + (replicate // 4 + 1) * 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    z ^= z >> 31
    number = (z >> (16 * (replicate % 4))) & 0xFFFF
    return sum(number >= threshold for threshold in (24109, 48219, 60273, 64292, 65296, 65497, 65531, 65535))


def test_draws_follow_the_documented_recipe() -> None:
    ids = ["foobar", "", "a", "naïve ☃", "nul\0", "nul", "batch/17", "x" * 300]
    ours = draws(hashes(ids), 0, 23).T
    assert ours.tolist() == [[plain_draw(item, b) for item in ids] for b in range(23)]
    assert draws(hashes(ids), 5, 14).T.tolist() == ours[5:14].tolist()


def test_the_hash_is_the_published_one() -> None:
    # Test vectors of http://www.isthe.com/chongo/src/fnv/test_fnv.c
    assert [hex(int(item)) for item in hashes(["", "a", "foobar"])] == [
        "0xcbf29ce484222325",
        "0xaf63dc4c8601ec8c",
        "0x85944171f73967e8",
    ]


def test_the_page_shows_the_draws_of_its_test_vector() -> None:
    page = (Path(__file__).parents[2] / "docs" / "statistics.md").read_text()
    shown = re.search(r"first eight replicates draw it:\s+([\d, ]+)\.", page)
    assert shown is not None
    assert [int(item) for item in shown[1].split(",")] == [plain_draw("foobar", b) for b in range(8)]


def test_ids_are_text_numbers_or_places() -> None:
    assert hashes([7, 12]).tolist() == hashes(["7", "12"]).tolist() == hashes(np.array([7, 12])).tolist()
    for count in (0, 2, 10, 11, 1234):
        assert positions("b☃", count).tolist() == hashes([f"b☃/{place}" for place in range(count)]).tolist()


def test_thresholds_are_those_of_poisson() -> None:
    share = np.diff([0, *THRESHOLDS, 65536]) / 65536
    exact = [math.exp(-1) / math.factorial(k) for k in range(len(share))]
    np.testing.assert_allclose(share, exact, atol=1.5 / 65536)


def test_draws_are_poisson_and_uncorrelated() -> None:
    drawn = draws(positions("batch", 20_000), 0, 64).T.astype(float)
    assert abs(drawn.mean() - 1) < 5 / math.sqrt(drawn.size)
    assert abs(drawn.var() - 1) < 5 * math.sqrt(3 / drawn.size)
    apart = np.corrcoef(drawn) - np.eye(64)
    assert np.abs(apart).max() < 5 / math.sqrt(20_000)
    neighbours = (drawn[:, 1:] - 1) * (drawn[:, :-1] - 1)
    assert abs(neighbours.mean()) < 5 / math.sqrt(drawn.size)
