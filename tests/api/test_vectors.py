"""The service computes what the reference vectors of every loss say, as does every reference."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import httpx
import numpy as np
import pytest

from lossmeter.losses import LOSSES
from tests.contracts.vectors import FOLDER, written
from tests.support.references import REFERENCES
from tests.support.references._exact import Array

FILES = {path.stem: path for path in FOLDER.glob("*.json")}
STRANGE = {"NaN": np.nan, "Infinity": np.inf, "-Infinity": -np.inf}
BOOKKEEPING = ("reduction", "gradients", "precision", "sample_weight")

every_loss = pytest.mark.parametrize("name", LOSSES)


def read(tensor: Mapping[str, Any]) -> Array:
    """A tensor as an array; an answer of the service has no `non_finite`, but nulls, which are NaN here."""
    array = np.array([np.nan if one is None else one for one in tensor["data"]])
    for one in tensor.get("non_finite", ()):
        array[one["index"]] = STRANGE[one["value"]]
    return array.reshape(tensor["shape"])


def test_every_loss_has_vectors_and_all_are_small() -> None:
    assert set(FILES) == set(LOSSES)
    assert sum(path.stat().st_size for path in FILES.values()) < 1_500_000


@every_loss
def test_the_service_gives_what_the_vectors_say(http: httpx.Client, name: str) -> None:
    vectors = http.get(f"/v1/losses/{name}/vectors").json()
    assert (vectors["loss"], vectors["format"]) == (name, 1)
    assert len(vectors["cases"]) > 1
    limits = vectors["tolerance"]
    for case in vectors["cases"]:
        answer = http.post(f"/v1/losses/{name}", json=case["request"]).raise_for_status().json()
        expected = case["answer"]
        pairs = [
            (read(answer["gradients"][role]), read(one), "gradients") for role, one in expected["gradients"].items()
        ]
        if "values" in expected:
            tensor = dict(expected["values"])
            tensor.pop("non_finite", None)  # null in JSON, and a warning, which other tests read
            pairs.append((read(answer["values"]), read(tensor), "values"))
        else:
            pairs += [
                (answer[one], expected[one], "values") for one in ("value", "sum", "normalizer") if one in expected
            ]
        assert set(answer["gradients"]) == set(expected["gradients"])
        for ours, theirs, kind in pairs:
            assert np.shape(ours) == np.shape(theirs)
            np.testing.assert_allclose(ours, theirs, rtol=limits[kind]["relative"], atol=limits[kind]["absolute"])


@every_loss
def test_values_are_those_of_the_reference_now(name: str) -> None:
    document = json.loads(FILES[name].read_text())
    assert FILES[name].read_text() == written(document)
    for case in document["cases"]:
        request, expected = case["request"], case["answer"]
        if "values" in expected:
            given = {key: one for key, one in request.items() if key not in BOOKKEEPING}
            arrays = {key: read(one) if isinstance(one, dict) else one for key, one in given.items()}
            np.testing.assert_allclose(
                REFERENCES[name](**arrays),
                read(expected["values"]),
                rtol=1e-12,
                atol=1e-14,
                err_msg="run `make vectors`",
            )


def test_vectors_hold_gradients_edges_and_every_kind_of_reduction() -> None:
    cases = {name: json.loads(path.read_text())["cases"] for name, path in FILES.items()}
    for name, found in cases.items():
        assert any(case["answer"]["gradients"] for case in found) or not LOSSES[name].differentiable, name
    everything = [case for found in cases.values() for case in found]
    assert {case["request"]["reduction"] for case in everything} == {"none", "sum", "mean"}
    assert any("mask" in case["request"] and "sample_weight" in case["request"] for case in everything)
    ignoring = [case["request"] for case in cases["cross_entropy"] if "ignore_index" in case["request"]]
    assert any(request["ignore_index"] in request["labels"]["data"] for request in ignoring)


def test_an_alias_has_the_vectors_of_its_loss_and_a_stranger_has_none(http: httpx.Client) -> None:
    assert http.get("/v1/losses/MSELoss/vectors").json() == http.get("/v1/losses/mse/vectors").json()
    missing = http.get("/v1/losses/huberr/vectors")
    assert (missing.status_code, missing.headers["content-type"]) == (404, "application/problem+json")
    assert "Did you mean huber?" in missing.json()["detail"]
