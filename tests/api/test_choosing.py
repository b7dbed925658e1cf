"""`GET /v1/losses` chooses among the losses, and says why."""

from __future__ import annotations

import re

import httpx
import pytest

from lossmeter.losses import LOSSES
from lossmeter.losses.situations import SITUATIONS, TASKS
from tests.contracts.test_openapi import DOCUMENT, SCHEMAS


def test_without_parameters_the_whole_catalogue_is_answered_as_ever(http: httpx.Client) -> None:
    entries = http.get("/v1/losses").json()["losses"]
    assert [entry["name"] for entry in entries] == list(LOSSES)
    assert not any("choice" in entry for entry in entries)
    assert entries[0] == http.get(f"/v1/losses/{entries[0]['name']}").json()


def test_those_that_fit_are_answered_best_first_with_the_reason(http: httpx.Client) -> None:
    answer = http.get("/v1/losses", params={"task": "binary", "situation": "imbalance"})
    best, *_ = answer.json()["losses"]
    assert best.pop("choice") == {
        "reason": LOSSES["binary_focal"].suits["imbalance"],
        "tasks": ["binary", "multilabel", "detection", "segmentation"],
        "suits": ["imbalance", "small_regions", "long_tail"],
        "matched": [],
    }
    assert best == http.get("/v1/losses/binary_focal").json()
    found = http.get("/v1/losses", params={"query": "BCEWithLogitsLoss"}).json()["losses"]
    assert found[0]["choice"]["matched"][0] == {"part": "alias", "text": "bce_with_logits_loss"}


def test_the_reason_is_in_the_language_that_was_asked_for(http: httpx.Client) -> None:
    answer = http.get("/v1/losses", params={"situation": "counts"}, headers={"Accept-Language": "zh"})
    assert (answer.headers["content-language"], answer.headers["vary"]) == ("zh", "Accept-Language")
    assert all("。" in entry["choice"]["reason"] for entry in answer.json()["losses"])


@pytest.mark.parametrize(
    ("asked", "pointer", "message"),
    [
        ("situation=imbalanced", "/situation", r"is 'imbalanced'; expected one of usual, .*Did you mean imbalance"),
        ("task=regresion", "/task", r"is 'regresion'; expected one of regression, .*Did you mean regression"),
        ("query=", "/query", "query is empty; expected words"),
        ("situatoin=imbalance", "/situatoin", "no parameter 'situatoin'; expected task, situation, query"),
        ("task=binary&task=text", "/task", "task is 'binary' and 'text'; expected one of them"),
    ],
)
def test_what_is_not_known_is_refused(http: httpx.Client, asked: str, pointer: str, message: str) -> None:
    answer = http.get(f"/v1/losses?{asked}")
    assert answer.status_code == 422
    (flaw,) = answer.json()["errors"]
    assert flaw["pointer"] == pointer
    assert re.search(message, flaw["message"])


def test_the_document_says_what_each_word_means() -> None:
    for schema, known in (("LossTask", TASKS), ("Situation", SITUATIONS)):
        assert SCHEMAS[schema]["enum"] == list(known)
        assert all(f"- `{word}`: {about}" in SCHEMAS[schema]["description"] for word, about in known.items())
    (operation,) = DOCUMENT["paths"]["/v1/losses"].values()
    assert [one.get("name") for one in operation["parameters"][:3]] == ["task", "situation", "query"]
