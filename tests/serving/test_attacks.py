"""Every attack of the catalogue ends as it should, costs no more memory than it may, and leaves a server that works."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.programs.attacks import addresses
from tests.programs.attacks.catalogue import ATTACKS, GUESSING, Attack, Outcome, target, tried
from tests.programs.attacks.target import Target


@pytest.fixture(scope="module")
def attacked() -> Iterator[Target]:
    with target(forked=True) as found:
        yield found


def check(outcome: Outcome) -> None:
    assert outcome.said.startswith(outcome.attack.expected)
    assert outcome.megabytes <= outcome.attack.megabytes
    assert outcome.works


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_an_attack_is_refused(attack: Attack, attacked: Target) -> None:
    check(tried(attack, attacked))


def test_keys_cannot_be_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "GUESSING_SECONDS", 1)  # of both cores
    with target(forked=True, LOSSMETER_AUTH="required") as found:
        check(tried(GUESSING, found))


def test_memory_is_measured(attacked: Target) -> None:
    def expands(on: Target) -> str:
        body = b'{"predictions": [%s0], "labels": [%s0]}' % ((b"0," * 3_000_000,) * 2)
        return on.post("/v1/losses/mse", body)

    outcome = tried(Attack("a body that is as good as any", expands, "200"), attacked)
    assert outcome.said == "200"
    assert outcome.megabytes > 12
