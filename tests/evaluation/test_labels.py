"""Labels and predicted classes may be texts; what they mean is said by `class_names`, or declared in the answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import safetensors.numpy as oracle

from lossmeter.cli.measurement import LocalRunner
from lossmeter.errors import Invalid
from lossmeter.wire.datasets import Dataset
from lossmeter.wire.sources import Source
from lossmeter.wire.tables import Columns
from tests.support.evaluations import plan

PATH = "/v1/evaluate"
BINARY = {
    "task": "binary",
    "predictions_are": "probabilities",
    "predictions": [0.9, 0.2, 0.6, 0.3],
    "labels": ["yes", "no", "no", "yes"],
    "metrics": ["recall", "auroc"],
}
PETS = {
    "task": "multiclass",
    "predictions_are": "classes",
    "predictions": ["dog", "cat", "owl", "cat"],
    "labels": ["dog", "cat", "cat", "cat"],
    "metrics": ["accuracy", "f1(average=none)"],
}


def without_names(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name != "class_names"}


@pytest.mark.parametrize(
    ("body", "indices", "names"),
    [
        (BINARY, {"labels": [1, 0, 0, 1]}, ["no", "yes"]),
        (BINARY | {"class_names": ["yes", "no"]}, {"labels": [0, 1, 1, 0]}, ["yes", "no"]),
        (PETS, {"predictions": [1, 0, 2, 0], "labels": [1, 0, 0, 0], "classes": 3}, ["cat", "dog", "owl"]),
        (
            PETS | {"class_names": ["owl", "dog", "cat"]},
            {"predictions": [1, 2, 0, 2], "labels": [1, 2, 2, 2], "classes": 3},
            ["owl", "dog", "cat"],
        ),
    ],
    ids=["sorted", "in an order", "predicted too", "in an order, predicted too"],
)
def test_texts_are_the_indices_of_their_names(
    http: httpx.Client, body: dict[str, Any], indices: dict[str, Any], names: list[str]
) -> None:
    answer = http.post(PATH, json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["class_names"] == names
    plain = {name: value for name, value in body.items() if name != "class_names"} | indices
    expected = http.post(PATH, json=plain).json()
    assert expected["class_names"] is None
    assert without_names(answer.json()) == without_names(expected)


def test_the_second_of_two_sorted_texts_is_the_positive_class(http: httpx.Client) -> None:
    answer = http.post(PATH, json=BINARY | {"metrics": ["recall"], "losses": []}).json()
    assert answer["metrics"][0]["value"] == 0.5  # of the two yes, one has a probability above one half


def test_texts_of_a_large_body_and_of_safetensors(http: httpx.Client) -> None:
    n = 40_000
    labels = ["cat", "dog"] * (n // 2)
    body = {"task": "binary", "predictions_are": "classes", "metrics": ["accuracy"], "losses": [], "replicates": 2}
    large = http.post(PATH, json=body | {"predictions": labels, "labels": labels})
    assert large.json()["metrics"][0]["value"] == 1.0
    rest = body | {"labels": labels[:4]}

    content = oracle.save({"predictions": np.array([0, 1, 0, 0])}, {"request": json.dumps(rest)})
    answer = http.post(PATH, content=content, headers={"Content-Type": "application/vnd.safetensors"})
    assert answer.json()["metrics"][0]["value"] == 0.75


@pytest.mark.parametrize(
    ("changed", "pointer", "message"),
    [
        ({"labels": ["yes", "yes", "yes", "yes"]}, "/labels", "hold 1 different texts (yes); expected 2"),
        ({"labels": ["yes", "no", "maybe", "no"]}, "/labels", "hold 3 different texts (maybe, no, yes); expected 2"),
        ({"labels": ["yes", "no", 1, "no"]}, "/labels", "labels[2] is 1; expected a text like the first"),
        ({"labels": [["yes"], ["no", "no"]]}, "/labels", "labels[1] has 2 elements; expected 1"),
        ({"class_names": ["no", "si"]}, "/labels", "labels[0] is 'yes'; expected one of no, si"),
        ({"class_names": ["no", "no"]}, "/class_names", "has 'no' twice"),
        ({"class_names": ["a", "b", "c"]}, "/class_names", "has 3 names; expected 2"),
        ({"predictions": ["yes", "no", "no", "no"]}, "/predictions", "predictions[0] is 'yes'; expected a number, as"),
        ({"task": "multilabel", "class_names": ["no", "yes"]}, "/class_names", "has no classes that could have names"),
        (
            {"task": "regression", "predictions_are": "values", "metrics": None, "labels": ["1", "2", "x", "3"]},
            "/labels",
            "labels[2] is 'x'; expected a number",
        ),
    ],
)
def test_what_is_wrong_with_texts_is_named(
    http: httpx.Client, changed: dict[str, Any], pointer: str, message: str
) -> None:
    body = {name: value for name, value in (BINARY | changed).items() if value is not None}
    answer = http.post(PATH, json=body)
    assert answer.status_code == 422, answer.text
    (flaw,) = answer.json()["errors"]
    assert (flaw["pointer"], message in flaw["message"]) == (pointer, True), flaw


def test_a_run_knows_the_order_of_its_classes(http: httpx.Client) -> None:
    opened = {name: value for name, value in BINARY.items() if name not in ("predictions", "labels")}
    nameless = http.post("/v1/runs", json=opened).headers["location"]
    batch = {name: BINARY[name] for name in ("predictions", "labels")}
    refused = http.put(f"{nameless}/batches/0", json=batch)
    assert "not known without class_names" in refused.json()["detail"]
    run = http.post("/v1/runs", json=opened | {"class_names": ["no", "yes"]}).headers["location"]
    for place, part in enumerate((slice(0, 1), slice(1, 4))):  # in the first there is no "no"
        sent = http.put(f"{run}/batches/{place}", json={name: value[part] for name, value in batch.items()})
        assert sent.status_code == 201, sent.text
    again = http.put(f"{run}/batches/0", json={name: value[:1] for name, value in batch.items()})
    other = http.put(f"{run}/batches/0", json={"predictions": [0.9], "labels": ["no"]})
    assert (again.status_code, other.status_code) == (200, 409)
    report = http.get(run).json()
    whole = http.post(PATH, json=BINARY).json()
    assert report["class_names"] == whole["class_names"] == ["no", "yes"]
    assert report["metrics"][0]["value"] == whole["metrics"][0]["value"]


def test_a_file_may_hold_texts(tmp_path: Path) -> None:
    file = tmp_path / "pets.csv"
    rows = ["dog,dog,0.9", "cat,cat,0.2", "dog,cat,0.7", "cat,cat,0.4"]
    file.write_text("\n".join(["guess,truth,p", *rows, ""]))
    decided = plan(task="multiclass", predictions_are="classes", metrics=["accuracy"], losses=[])
    report = LocalRunner().measure(Dataset.of(Source.of_file(file)), Columns(("guess",), ("truth",)), decided)
    assert (report["class_names"], report["metrics"][0]["value"]) == (["cat", "dog"], 0.75)
    scored = plan(task="binary", predictions_are="probabilities", metrics=["recall"], losses=[])
    assert (
        LocalRunner().measure(Dataset.of(Source.of_file(file)), Columns(("p",), ("truth",)), scored)["metrics"][0][
            "value"
        ]
        == 1.0
    )
    numbers = plan(task="regression", predictions_are="values", metrics=["mae"], losses=[])
    with pytest.raises(Invalid, match=r"row 0: regression: labels\[0\] is 'dog'; expected a number"):
        LocalRunner().measure(Dataset.of(Source.of_file(file)), Columns(("p",), ("truth",)), numbers)
