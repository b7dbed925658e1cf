"""The catalogue answers in the language that the client prefers."""

from __future__ import annotations

import httpx
import pytest

from lossmeter.api.negotiation import answer_language
from lossmeter.losses import LOSSES
from lossmeter.metrics import METRICS


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, "en"),
        ("", "en"),
        ("zh", "zh"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("ZH-hans-cn", "zh"),
        ("en-GB,en;q=0.9,zh;q=0.8", "en"),
        ("fr, zh;q=0.3", "zh"),
        ("fr, de;q=0.5", "en"),
        ("zh;q=0.2, en;q=0.7", "en"),
        ("zh, en", "zh"),
        ("en, zh", "en"),
        ("*", "en"),
        ("zh;q=0.5, *;q=0.1", "zh"),
        ("en;q=0, *", "zh"),
        ("zh;q=0", "en"),
        ("zh;q=2, en;q=0.1", "en"),
        ("zhx", "en"),
    ],
)
def test_the_preferred_language_is_chosen(given: str | None, expected: str) -> None:
    headers = [] if given is None else [(b"accept-language", given.encode())]
    assert answer_language(headers, ("en", "zh")) == expected


@pytest.mark.parametrize(
    ("kind", "name", "begins"), [("losses", "huber", "Huber 损失"), ("metrics", "recall", "召回率（Recall")]
)
def test_an_entry_is_in_the_language_that_was_asked_for(http: httpx.Client, kind: str, name: str, begins: str) -> None:
    english = http.get(f"/v1/{kind}/{name}", headers={"Accept-Language": "fr"})
    chinese = http.get(f"/v1/{kind}/{name}", headers={"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.8"})
    assert (english.headers["content-language"], chinese.headers["content-language"]) == ("en", "zh")
    assert english.headers["vary"] == chinese.headers["vary"] == "Accept-Language"
    assert chinese.json()["summary"].startswith(begins)
    assert english.json() == http.get(f"/v1/{kind}/{name}").json()
    differing = {field for field, value in english.json().items() if chinese.json()[field] != value}
    roles = {"roles"} if kind == "losses" else set()
    assert differing == {"summary", "explanation", "use_when", "avoid_when", "returns", "parameters"} | roles


def test_roles_are_described_in_the_language_and_keep_the_names_that_programs_read(http: httpx.Client) -> None:
    english, chinese = (
        http.get("/v1/losses/focal", headers={"Accept-Language": language}).json() for language in ("en", "zh")
    )
    for ours, theirs in zip(english["roles"], chinese["roles"], strict=True):
        changed = {field for field, value in ours.items() if theirs[field] != value}
        assert changed == {"meaning", "description"}
        names = [[text.partition(": ")[0] for text in one["meaning"]] for one in (ours, theirs)]
        assert names[0] == names[1]
    assert chinese["parameters"][-1]["description"].endswith("。")


@pytest.mark.parametrize(("kind", "catalogue"), [("losses", LOSSES), ("metrics", METRICS)])
def test_the_whole_catalogue_is_in_one_language(http: httpx.Client, kind: str, catalogue: dict[str, object]) -> None:
    answer = http.get(f"/v1/{kind}", headers={"Accept-Language": "zh"})
    assert answer.headers["content-language"] == "zh"
    entries = answer.json()[kind]
    assert [entry["name"] for entry in entries] == list(catalogue)
    assert all(entry["summary"].endswith("。") for entry in entries)
