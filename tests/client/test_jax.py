"""A remote loss is a differentiable function of jax. `make test-jax` installs jax and runs this."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lossmeter.client import Client

jax = pytest.importorskip("jax", reason="jax is not installed; make test-jax installs it")

from lossmeter.client.jax import remote_loss  # noqa: E402

RANDOM = np.random.default_rng(5)
LOGITS = RANDOM.normal(size=(4, 3)).astype(np.float32)
LABELS = np.array([0, 1, 2, 0])


@pytest.fixture
def criterion(client: Client) -> Any:
    return remote_loss("cross_entropy", client=client, label_smoothing=0.1)


def expected() -> tuple[float, np.ndarray[Any, Any]]:
    logits = torch.tensor(LOGITS, requires_grad=True)
    loss = F.cross_entropy(logits, torch.tensor(LABELS), label_smoothing=0.1)
    loss.backward()
    assert logits.grad is not None
    return loss.item(), logits.grad.numpy()


@pytest.mark.parametrize("compiled", [False, True])
def test_value_and_gradient_are_those_of_torch(criterion: Any, compiled: bool) -> None:
    function = jax.value_and_grad(lambda logits: 3 * criterion(logits, LABELS))
    value, gradient = (jax.jit(function) if compiled else function)(LOGITS)
    np.testing.assert_allclose(value, 3 * expected()[0], rtol=1e-6)
    np.testing.assert_allclose(gradient, 3 * expected()[1], rtol=1e-5)


def test_it_can_be_called_without_a_gradient_and_by_name(criterion: Any) -> None:
    np.testing.assert_allclose(criterion(predictions=LOGITS, labels=LABELS), expected()[0], rtol=1e-6)


def test_only_the_gradients_that_are_wanted_are_asked_for(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    ask = client.loss

    def loss(name: str, **fields: Any) -> Any:
        asked.append(fields["gradients"])
        return ask(name, **fields)

    monkeypatch.setattr(client, "loss", loss)
    squares = remote_loss("mse", client=client)
    first = jax.grad(squares)(LOGITS, LOGITS + 1)
    both = jax.grad(squares, argnums=(0, 1))(LOGITS, LOGITS + 1)
    assert asked == [("predictions",), ("labels", "predictions")]
    np.testing.assert_array_equal(first, both[0])
    np.testing.assert_array_equal(first, -both[1])


def test_gradients_have_the_dtype_of_their_input(criterion: Any) -> None:
    assert jax.grad(criterion)(LOGITS.astype(jax.numpy.bfloat16), LABELS).dtype == jax.numpy.bfloat16


def test_large_arrays_pass_through_a_compiled_step(client: Client) -> None:
    squares = remote_loss("mse", client=client, reduction="sum")
    large = RANDOM.normal(size=(1000, 1000)).astype(np.float32)
    gradient = jax.jit(jax.grad(lambda scale: squares(scale * large, large)))(2.0)
    np.testing.assert_allclose(gradient, 2 * np.sum(large.astype(np.float64) ** 2), rtol=1e-4)


def test_it_maps_over_a_batch(client: Client) -> None:
    squares = remote_loss("mse", client=client)
    np.testing.assert_allclose(jax.vmap(squares)(LOGITS, LOGITS + 2), [4.0] * 4, rtol=1e-5)


def test_unreduced_losses_are_refused(client: Client) -> None:
    with pytest.raises(ValueError, match="reduction is 'none'"):
        remote_loss("mse", client=client, reduction="none")
