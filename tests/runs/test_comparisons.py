"""Two runs over the same samples are compared in pairs."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import httpx
import numpy as np
import pytest

from lossmeter.metrics import mcnemar

COUNT = 400
PLAN = {
    "task": "binary",
    "predictions_are": "probabilities",
    "losses": [{"loss": "binary_cross_entropy"}],
    "metrics": [{"metric": "accuracy"}, {"metric": "auroc"}],
    "slices": ["site"],
}
RNG = np.random.default_rng(3)
LABELS = RNG.integers(0, 2, COUNT)
LOGITS = 2 * LABELS - 1 + RNG.normal(0, 1.5, COUNT)
BETTER = LOGITS + 0.6 * (2 * LABELS - 1)


def run_of(http: httpx.Client, logits: Any, ids: bool = True, **plan: Any) -> str:
    run = http.post("/v1/runs", json={**PLAN, **plan}).json()["id"]
    for number, rows in enumerate(np.array_split(RNG.permutation(COUNT), 3)):
        fields = {
            "predictions": (1 / (1 + np.exp(-logits[rows]))).tolist(),
            "labels": LABELS[rows].tolist(),
            "slices": {"site": [f"site {row % 2}" for row in rows]},
            **({"sample_ids": rows.tolist()} if ids else {}),
        }
        assert http.put(f"/v1/runs/{run}/batches/{number}", json=fields).status_code == 201
    return str(run)


@pytest.fixture(scope="module")
def pair(http: httpx.Client) -> tuple[str, str]:
    """A baseline, and a candidate that is better."""
    return run_of(http, LOGITS), run_of(http, BETTER)


def compared(http: httpx.Client, baseline: str, candidate: str, *gates: dict[str, Any]) -> Any:
    answer = http.post("/v1/comparisons", json={"baseline": baseline, "candidate": candidate, "gates": list(gates)})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_comparison_comes_in_the_form_that_is_asked_for(http: httpx.Client, pair: tuple[str, str]) -> None:
    gates = [{"metric": "accuracy", "margin": 0.5}, {"metric": "accuracy", "margin": 0.0, "slice": "site"}]
    asked = {"baseline": pair[1], "candidate": pair[0], "gates": gates}

    def answered(accept: str) -> httpx.Response:
        return http.post("/v1/comparisons", json=asked, headers={"Accept": accept})

    page, suite = answered("text/markdown"), answered("application/junit+xml")
    assert [one.headers["content-type"] for one in (page, suite)] == [
        "text/markdown; charset=utf-8",
        "application/junit+xml; charset=utf-8",
    ]
    assert page.text.startswith("## ")
    assert "FAILED: 1 of 2 gates" in page.text
    assert "Differences (candidate minus baseline)" in page.text
    cases = ElementTree.fromstring(suite.content)[0]
    assert [len(case) for case in cases] == [0, 1]
    assert answered("text/markdown;q=0.5, */*").json() == http.post("/v1/comparisons", json=asked).json()
    assert answered("image/png").status_code == 406


def test_pairs_are_as_sure_as_the_differences_of_their_samples(http: httpx.Client, pair: tuple[str, str]) -> None:
    found = compared(http, *pair)
    (loss,) = found["losses"]
    each = [np.log1p(np.exp(-(2 * LABELS - 1) * logits)) for logits in (LOGITS, BETTER)]
    apart = each[1] - each[0]
    assert loss["difference"] == pytest.approx(apart.mean(), rel=1e-9)
    assert loss["interval"]["standard_error"] == pytest.approx(apart.std(ddof=1) / np.sqrt(COUNT), rel=0.2)
    assert loss["p_value"] < 0.01
    assert [one["column"] + one["value"] for one in found["slices"]] == ["sitesite 0", "sitesite 1"]
    assert sum(one["samples"]["candidate"] for one in found["slices"]) == COUNT
    backwards = compared(http, *pair[::-1])["losses"][0]
    assert backwards["difference"] == pytest.approx(-loss["difference"], rel=1e-12)
    assert backwards["interval"]["low"] == pytest.approx(-loss["interval"]["high"], rel=1e-12)


def test_a_run_differs_from_itself_by_nothing(http: httpx.Client, pair: tuple[str, str]) -> None:
    gates = [{"metric": "accuracy", "margin": margin} for margin in (0.02, 0)]
    found = compared(http, pair[0], pair[0], *gates)
    for figure in (*found["losses"], *found["metrics"]):
        assert (figure["difference"], figure["p_value"]) == (0.0, 1.0)
    accuracy, auroc = found["metrics"]
    # Of 400 decisions that never differ, as of 400 trials without a failure, something is known: less than 1 in 50 differs.
    assert 0 < accuracy["interval"]["high"] < 0.02
    assert auroc["interval"] is None
    assert [gate["passed"] for gate in found["gates"]] == [True, False]


def test_gates_hold_by_the_worse_end_of_the_interval(http: httpx.Client, pair: tuple[str, str]) -> None:
    gates = [{"metric": "accuracy", "margin": 0.005}, {"loss": "binary_cross_entropy", "margin": 0, "slice": "site"}]
    good, bad = compared(http, *pair, *gates), compared(http, *pair[::-1], *gates)
    assert [gate["passed"] for gate in good["gates"]] == [True, True]
    assert [gate["passed"] for gate in bad["gates"]] == [False, False]
    texts = compared(http, *pair, "acc>=-0.005", "binary_cross_entropy[site]<=0")["gates"]
    assert [one | {"gate": None} for one in texts] == [one | {"gate": None} for one in good["gates"]]
    assert (good["passed"], bad["passed"]) == (True, False)
    accuracy, loss = bad["gates"]
    assert accuracy["worse_by_at_most"] == -bad["metrics"][0]["interval"]["low"]
    ends = [one["losses"][0]["interval"]["high"] for one in bad["slices"]]
    assert loss["worse_by_at_most"] == max(ends)
    assert len(loss["failed_slices"]) == 2


def test_mcnemar_where_the_samples_are_known(http: httpx.Client, pair: tuple[str, str]) -> None:
    accuracy = compared(http, *pair)["metrics"][0]
    assert (accuracy["mcnemar"], "keep sums" in accuracy["mcnemar_unavailable"]) == (None, True)
    exact = [run_of(http, logits, curves={"bins": 0}) for logits in (LOGITS, BETTER)]
    found = compared(http, *exact)
    right = [(logits > 0) == (LABELS == 1) for logits in (LOGITS, BETTER)]
    only = [int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())]
    assert found["metrics"][0]["mcnemar"] == {
        "only_baseline_right": only[0],
        "only_candidate_right": only[1],
        "p_value": mcnemar(*only),
    }
    assert found["metrics"][1]["mcnemar"] is None
    assert compared(http, exact[0], pair[1])["left_out"] == [
        {"loss": None, "metric": name, "parameters": one["parameters"]}
        for name, one in zip(("accuracy", "auroc"), found["metrics"], strict=True)
    ]


@pytest.mark.parametrize(
    ("change", "status", "pointer"),
    [
        ({"candidate": "x"}, 404, None),
        ({"gates": [{"margin": 0.1}]}, 422, "/gates/0"),
        ({"gates": [{"metric": "f1", "margin": 0.1}]}, 422, "/gates/0/metric"),
        ({"gates": [{"metric": "magic", "margin": 0.1}]}, 422, "/gates/0/metric"),
        ({"gates": ["magic>=-0.1"]}, 422, "/gates/0"),
        ({"gates": ["accuracy<=0.1"]}, 422, "/gates/0"),
        ({"gates": ["accuracy>=0.1"]}, 422, "/gates/0"),
        ({"gates": [{"metric": "accuracy", "margin": -1}]}, 422, "/gates/0/margin"),
        ({"gates": [{"metric": "accuracy", "margin": 0, "slice": "age"}]}, 422, "/gates/0/slice"),
        ({"confidence": 1}, 422, "/confidence"),
    ],
)
def test_what_cannot_be_compared_is_told(
    http: httpx.Client, pair: tuple[str, str], change: dict[str, Any], status: int, pointer: str | None
) -> None:
    answer = http.post("/v1/comparisons", json={"baseline": pair[0], "candidate": pair[1], **change})
    assert answer.status_code == status, answer.text
    if pointer:
        assert answer.json()["errors"][0]["pointer"] == pointer


def test_runs_with_nothing_in_common_or_nothing_at_all(http: httpx.Client, pair: tuple[str, str]) -> None:
    empty = http.post("/v1/runs", json=PLAN).json()["id"]
    other = http.post("/v1/runs", json={"task": "regression", "predictions_are": "values"}).json()["id"]
    http.put(f"/v1/runs/{other}/batches/0", json={"predictions": [1.0], "labels": [1.0]})
    for candidate in (empty, other):
        answer = http.post("/v1/comparisons", json={"baseline": pair[0], "candidate": candidate})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/candidate")
