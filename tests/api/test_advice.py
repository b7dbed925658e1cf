"""Advice: each code is told where its page says so, and of nothing that is healthy."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch

from lossmeter.engine import Call, Engine
from lossmeter.engine.advice import CODES
from lossmeter.losses import LOSSES, find
from tests.support.inputs import smooth
from tests.support.wire import split, wired

PAGE = (Path(__file__).parents[2] / "docs" / "advice.md").read_text()
SECTIONS = dict(re.findall(r"^## `(\w+)`.*?```python\n(.*?)```", PAGE, re.DOTALL | re.MULTILINE))
BY_REQUEST = {"kl_div_mean"}
"""Codes that follow from the request, whatever the numbers are."""
ENGINE = Engine("cpu")


def codes(name: str, wanted: tuple[str, ...] = (), parameters: Any = (), **tensors: torch.Tensor) -> list[str]:
    loss = find(name)
    whole = {parameter.name: parameter.default for parameter in loss.parameters} | dict(parameters)
    call = Call(loss, {k: wired(v) for k, v in tensors.items()}, whole, gradients=wanted, advice=True)
    return [warned.code for warned in ENGINE.compute(call).warnings]


def test_each_code_has_a_section() -> None:
    assert list(SECTIONS) == list(CODES)


@pytest.mark.parametrize("code", SECTIONS)
def test_the_page_shows_what_happens(url: str, code: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(SECTIONS[code].replace("http://127.0.0.1:8000", url), {})
    assert capsys.readouterr().out == f"['{code}']\n"


def test_advice_has_figures_a_remedy_and_a_place_and_can_be_turned_off(http: httpx.Client) -> None:
    request = {"predictions": [[0.7, 0.2, 0.1], [0.1, 0.8, 0.1]], "labels": [0, 1], "gradients": ["predictions"]}
    answer = http.post("/v1/losses/cross_entropy", json=request).json()
    (told,) = answer.pop("warnings")
    assert (told["code"], told["pointer"]) == ("probabilities_for_logits", "/predictions")
    assert told["evidence"] == pytest.approx({"minimum": 0.1, "maximum": 0.8, "largest_miss": 0}, abs=1e-6)
    assert told["remedy"] == CODES[told["code"]]
    silent = http.post("/v1/losses/cross_entropy", json={**request, "advice": False}).json()
    assert silent == {**answer, "warnings": []}
    terms = [{"loss": "mse", "parameters": {"labels": "predictions"}}, {"loss": "cross_entropy"}]
    objective = http.post("/v1/objectives", json={**request, "losses": terms}).json()
    assert [(told["code"], told["pointer"]) for told in objective["warnings"]] == [(told["code"], "/predictions")]


@pytest.mark.parametrize("loss", LOSSES.values(), ids=lambda loss: loss.name)
def test_the_inputs_of_the_other_tests_get_none(loss: Any) -> None:
    for case in smooth(loss.name):
        tensors, parameters = split(loss, case)
        outcome = ENGINE.compute(Call(loss, tensors, parameters, advice=True))
        assert {warned.code for warned in outcome.warnings} <= BY_REQUEST


def test_random_data_gets_none() -> None:
    source = torch.Generator().manual_seed(3)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=source)

    def among(bound: int, *shape: int) -> torch.Tensor:
        return torch.randint(bound, shape, generator=source)

    for trial in range(60):
        n, c, scale = 1 + 3 * trial, 2 + trial % 9, 10 ** (trial % 5 / 2 - 1)
        found = codes("cross_entropy", ("predictions",), predictions=scale * normal(n, c), labels=among(c, n))
        found += codes("cross_entropy", predictions=scale * normal(4, c, c), labels=among(c, 4, c))
        found += codes("cross_entropy", predictions=normal(n, c), labels=normal(n, c).softmax(1))
        found += codes("nll", predictions=(scale * normal(n, c)).log_softmax(1), labels=among(c, n))
        found += codes("binary_cross_entropy_with_logits", predictions=scale * normal(n), labels=among(2, n).float())
        found += codes("mse", ("predictions",), predictions=scale * normal(n), labels=normal(n))
        found += codes("mape", predictions=normal(n) + 30, labels=normal(n) + 30)
        old = -normal(4, n).abs()
        found += codes(
            "ppo_clip", log_probs=old + normal(4, n) / 10, old_log_probs=old, advantages=normal(4, n)
        )  # fmt: skip
        assert found == []


def test_a_batch_that_is_computed_in_pieces_is_looked_at_before_gradients_take_its_place() -> None:
    engine = Engine("cpu", chunk_elements=64)
    predictions, labels = torch.full((100, 3), 1 / 3), torch.arange(100) % 3
    tensors = {"predictions": wired(predictions), "labels": wired(labels)}
    parameters = {parameter.name: parameter.default for parameter in find("cross_entropy").parameters}
    call = Call(find("cross_entropy"), tensors, parameters, gradients=("predictions",), expendable=True, advice=True)
    assert [warned.code for warned in engine.compute(call).warnings] == ["probabilities_for_logits"]


def test_half_precision_of_both_kinds_is_read() -> None:
    rows = torch.tensor([[0.75, 0.25], [0.5, 0.5]])
    for dtype in (torch.float16, torch.bfloat16):
        assert codes("cross_entropy", predictions=rows.to(dtype), labels=torch.tensor([0, 1])) == [
            "probabilities_for_logits"
        ]


def test_classes_in_the_last_dimension_are_told_where_shapes_do_not_fit(http: httpx.Client) -> None:
    request = {"predictions": [[[1.0, 2.0, 3.0]] * 4], "labels": [[0, 1, 2, 0]]}
    answer = http.post("/v1/losses/cross_entropy", json=request).json()
    assert "classes belong in dimension 1" in answer["detail"]


def test_a_kind_that_is_known_gets_advice_like_its_first_request(http: httpx.Client) -> None:
    labels = [0.5, 2.0, 1.0, 4.0, 3.0, 1.0, 0.0, 2.0, 7.0]
    healthy = {"predictions": labels[::-1], "labels": labels, "gradients": ["predictions"]}
    for _ in range(5):
        for _ in range(30):
            assert http.post("/v1/losses/mse", json=healthy).json()["warnings"] == []
        (told,) = http.post("/v1/losses/mse", json={**healthy, "predictions": [1.5] * 9}).json()["warnings"]
        assert told["code"] == "constant_predictions"
