"""Random calls give the bits of autograd in process; `make equality` sends thousands to two kinds of server."""

from __future__ import annotations

import pytest

from tests.programs import equality


def test_random_calls_give_the_bits_of_autograd_in_process(url: str) -> None:
    answered: list[equality.Wanted] = []
    assert list(equality.differences([url], 80, 3, answered.append)) == []
    assert {each.format for each in answered} == set(equality.FORMATS)


def test_a_single_bit_is_noticed(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = equality.in_process

    def wrong(*given: object) -> equality.Bits:
        bits = right(*given)  # type: ignore[arg-type]
        return bits | {"sum": bytes([bits["sum"][0] ^ 1, *bits["sum"][1:]])}

    monkeypatch.setattr(equality, "in_process", wrong)
    found = list(equality.differences([url], 5, 3, lambda _: None))
    assert len(found) == 5
    assert all(each.endswith(": sum") for each in found)
