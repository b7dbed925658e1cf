"""`POST /v1/objectives` against torch's autograd of the summed terms."""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

PATH = "/v1/objectives"


def made(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def ask(http: httpx.Client, **request: Any) -> dict[str, Any]:
    body = {name: value.tolist() if isinstance(value, Tensor) else value for name, value in request.items()}
    answer = http.post(PATH, json={"precision": "float64", **body})
    assert answer.status_code == 200, answer.text
    fields: dict[str, Any] = answer.json()
    return fields


def refusal(http: httpx.Client, **request: Any) -> tuple[str, str]:
    answer = http.post(PATH, json={"predictions": [[2.0, -1.0, 0.3]], "labels": [0], **request})
    assert answer.status_code == 422, answer.text
    (error,) = answer.json()["errors"]
    return error["pointer"], error["message"]


def grown(answer: dict[str, Any], name: str) -> np.ndarray[Any, Any]:
    given = answer["gradients"][name]
    return np.array(given["data"]).reshape(given["shape"])


def test_segmentation_adds_dice_and_cross_entropy(http: httpx.Client) -> None:
    logits, labels = made(1, 2, 3, 4, 5).requires_grad_(), torch.randint(3, (2, 4, 5))
    answer = ask(
        http,
        losses=[{"loss": "dice", "weight": 0.5}, {"loss": "cross_entropy", "label_smoothing": 0.1}],
        predictions=logits,
        labels=labels,
        gradients=["predictions"],
    )
    truth, predicted = F.one_hot(labels, 3).movedim(-1, 1).double(), logits.softmax(1)
    both, either = (truth * predicted).sum((2, 3)), (truth + predicted).sum((2, 3))
    dice = (1 - (2 * both + 1) / (either + 1))[truth.sum((2, 3)) > 0].mean()
    smooth = F.cross_entropy(logits, labels, label_smoothing=0.1)
    whole = dice / 2 + smooth
    (expected,) = torch.autograd.grad(whole, logits, retain_graph=True)
    assert answer["value"] == pytest.approx(whole.item(), rel=1e-12)
    np.testing.assert_allclose(grown(answer, "predictions"), expected.numpy(), rtol=1e-9, atol=1e-14)
    for term, value, name, weight in zip(
        answer["losses"], (dice, smooth), ("dice", "cross_entropy"), (0.5, 1), strict=True
    ):
        (alone,) = torch.autograd.grad(value, logits, retain_graph=True)
        assert (term["loss"], term["weight"]) == (name, weight)
        assert term["value"] == pytest.approx(value.item(), rel=1e-12)
        assert term["gradient_norm"] == {"predictions": pytest.approx(alone.norm().item(), rel=1e-9)}


def test_a_students_loss_takes_labels_and_a_teacher(http: httpx.Client) -> None:
    student, teacher, labels = made(2, 6, 5).requires_grad_(), made(3, 6, 5), torch.arange(6) % 5
    class_weights = [1.0, 2.0, 0.5, 1.0, 3.0]
    answer = ask(
        http,
        losses=[
            {"loss": "distillation", "weight": 0.9, "temperature": 2.0},
            {"loss": "cross_entropy", "weight": 0.1, "parameters": {"weight": class_weights}},
        ],
        predictions=student,
        teacher=teacher,
        labels=labels,
        gradients=["predictions"],
        upstream=3.0,
    )
    soft = F.kl_div((student / 2).log_softmax(1), (teacher / 2).softmax(1), reduction="batchmean") * 4
    whole = 0.9 * soft + 0.1 * F.cross_entropy(student, labels, torch.tensor(class_weights, dtype=torch.float64))
    (expected,) = torch.autograd.grad(3 * whole, student)
    assert answer["value"] == pytest.approx(whole.item(), rel=1e-12)
    np.testing.assert_allclose(grown(answer, "predictions"), expected.numpy(), rtol=1e-9, atol=1e-14)


def test_a_policy_has_a_clipped_ratio_a_penalty_a_value_and_an_entropy(http: httpx.Client) -> None:
    new, old, reference = (made(seed, 3, 4) / 10 - 1 for seed in (4, 5, 6))
    advantages, values, old_values, returns = (made(seed, 3, 4) for seed in (7, 8, 9, 10))
    logits = made(11, 3, 4, 7)
    mask = torch.tensor([[True] * 4, [True, True, False, False], [True] * 3 + [False]])
    for leaf in (new, values, logits):
        leaf.requires_grad_()
    answer = ask(
        http,
        losses=[
            {"loss": "ppo_clip"},
            {"loss": "kl_k3", "weight": 0.04},
            {"loss": "value_clip", "weight": 0.5, "parameters": {"predictions": "values", "labels": "returns"}},
            {"loss": "entropy", "weight": -0.01, "parameters": {"predictions": "logits"}},
        ],
        log_probs=new,
        old_log_probs=old,
        reference_log_probs=reference,
        advantages=advantages,
        values=values,
        old_values=old_values,
        returns=returns,
        logits=logits,
        mask=mask,
        gradients=["log_probs", "values", "logits"],
    )
    ratio = (new - old).exp()
    policy = -torch.minimum(ratio * advantages, ratio.clamp(0.8, 1.2) * advantages)
    gap = reference - new
    clipped = old_values + (values - old_values).clamp(-0.2, 0.2)
    value = 0.5 * torch.maximum((values - returns) ** 2, (clipped - returns) ** 2)
    entropy = torch.distributions.Categorical(logits=logits).entropy()
    whole = sum(
        weight * term[mask].mean()
        for weight, term in ((1, policy), (0.04, gap.exp() - gap - 1), (0.5, value), (-0.01, entropy))
    )
    assert isinstance(whole, Tensor)
    assert answer["value"] == pytest.approx(whole.item(), rel=1e-12)
    expected = torch.autograd.grad(whole, [new, values, logits])
    for name, gradient in zip(("log_probs", "values", "logits"), expected, strict=True):
        np.testing.assert_allclose(grown(answer, name), gradient.numpy(), rtol=1e-8, atol=1e-14)
    assert [list(term["gradient_norm"]) for term in answer["losses"]] == [["log_probs"]] * 2 + [["values"], ["logits"]]


def test_one_term_is_the_loss_itself_bit_for_bit(http: httpx.Client) -> None:
    shared = {
        "predictions": made(12, 8, 3).float().tolist(),
        "labels": [0, 1, 2, 0, 1, 2, 0, 1],
        "gradients": ["predictions"],
    }
    alone = http.post("/v1/losses/focal", json={**shared, "gamma": 1.5}).json()
    answer = http.post(PATH, json={**shared, "losses": [{"loss": "focal", "gamma": 1.5}]}).json()
    assert (answer["value"], answer["gradients"]) == (alone["value"], alone["gradients"])


def test_what_is_not_finite_has_its_place(http: httpx.Client) -> None:
    request = {
        "predictions": [1.0],
        "labels": [2.0],
        "mask": [False],
        "losses": [{"loss": "mse"}],
        "gradients": ["predictions"],
    }
    answer = http.post(PATH, json=request).json()
    assert (answer["value"], answer["losses"][0]["value"]) == (None, None)
    assert {"/value", "/losses/0/value"} <= {warned["pointer"] for warned in answer["warnings"]}


@pytest.mark.parametrize(
    ("request_", "pointer", "message"),
    [
        ({"losses": []}, "/losses", "at least 1"),
        ({"losses": [{"loss": "nothing"}]}, "/losses/0/loss", "no loss 'nothing'"),
        ({"losses": [{"loss": "focal", "gama": 2}]}, "/losses/0/gama", "gama is not a field"),
        ({"losses": [{"loss": "focal", "gamma": -2}]}, "/losses/0/gamma", "at least 0"),
        ({"losses": [{"loss": "focal", "reduction": "none"}]}, "/losses/0/reduction", "'none'"),
        ({"losses": [{"loss": "focal"}], "reduction": "none"}, "/reduction", "'none'"),
        ({"losses": [{"loss": "focal"}], "reduction": "sequence_mean"}, "/reduction", "'sequence_mean'"),
        ({"losses": [{"loss": "focal", "precision": "float64"}]}, "/losses/0/precision", "for all terms"),
        ({"losses": [{"loss": "focal", "weight": "heavy"}]}, "/losses/0/weight", "expected a number"),
        (
            {"losses": [{"loss": "cross_entropy", "parameters": {"weight": [1, 2]}}]},
            "/losses/0/parameters/weight",
            "shape",
        ),
        (
            {"losses": [{"loss": "cross_entropy", "parameters": {"weight": ["a"]}}]},
            "/losses/0/parameters/weight",
            "number",
        ),
        ({"losses": [{"loss": "focal", "parameters": {"labels": "truth"}}]}, "/losses/0/parameters/labels", "'truth'"),
        ({"losses": [{"loss": "focal", "parameters": {"wait": 1}}]}, "/losses/0/parameters/wait", "not a parameter"),
        ({"losses": [{"loss": "focal"}, {"loss": "mse"}]}, "/labels", "shape"),
        ({"losses": [{"loss": "focal"}], "labels": [3]}, "/labels", "labels[0] is 3"),
        ({"losses": [{"loss": "focal"}], "teacher": [[1.0, 2.0, 3.0]]}, "/teacher", "no term takes"),
        ({"losses": [{"loss": "focal"}], "gradients": ["teacher"]}, "/gradients", "does not give"),
        ({"losses": [{"loss": "focal"}], "gradients": ["labels"]}, "/gradients", "labels"),
        ({"losses": [{"loss": "focal"}], "upstream": [1.0, 2.0]}, "/upstream", "a number"),
    ],
)
def test_what_is_wrong_is_named_where_it_stands(
    http: httpx.Client, request_: dict[str, Any], pointer: str, message: str
) -> None:
    given, text = refusal(http, **request_)
    assert given == pointer
    assert message in text
