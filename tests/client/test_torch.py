"""A remote loss is a loss of torch: the same gradients, from one request."""

from __future__ import annotations

import copy
import gc
import pickle
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lossmeter.client import Client, InvalidRequest, LossResult, RemoteLoss, Retries, sockets
from tests.support.faults import Proxy, faulty

LABELS = torch.tensor([0, 2, 1, 1, 0, 2])


def logits(dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(6, 3, generator=torch.Generator().manual_seed(1)).to(dtype).requires_grad_()


def gradient(loss: Tensor, given: Tensor) -> Tensor:
    (found,) = torch.autograd.grad(loss, given)
    return found


class Counting(Client):
    """Remembers what was asked."""

    asked: list[dict[str, Any]]

    def loss(self, loss: str, /, *, gradients: Any = (), **fields: Any) -> LossResult:
        self.asked.append({"gradients": list(gradients), **fields})
        return super().loss(loss, gradients=gradients, **fields)


@pytest.fixture
def counting(url: str) -> Iterator[Counting]:
    with Counting(url) as found:
        found.asked = []
        yield found


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_value_and_gradient_are_those_of_torch_and_come_from_one_request(counting: Counting, reduction: str) -> None:
    given = logits()
    remote = RemoteLoss("cross_entropy", client=counting, label_smoothing=0.1, reduction=reduction)(given, LABELS)
    local = F.cross_entropy(given, LABELS, label_smoothing=0.1, reduction=reduction)
    torch.testing.assert_close(remote, local)
    torch.testing.assert_close(gradient(3 * remote, given), gradient(3 * local, given))
    assert [call["gradients"] for call in counting.asked] == [["predictions"]]


@pytest.mark.parametrize(("loss", "requests"), [("cross_entropy", 2), ("mse", 1)])
def test_unreduced_losses_take_one_request_if_elementwise_and_two_if_not(
    counting: Counting, loss: str, requests: int
) -> None:
    given = logits()
    labels = LABELS if loss == "cross_entropy" else torch.zeros(6, 3)
    inflow = torch.linspace(-1, 2, labels.numel()).view(labels.shape)
    remote = RemoteLoss(loss, client=counting, reduction="none")(given, labels)
    local = {"cross_entropy": F.cross_entropy, "mse": F.mse_loss}[loss](given, labels, reduction="none")
    assert torch.equal(remote, local)
    assert torch.equal(gradient((inflow * remote).sum(), given), gradient((inflow * local).sum(), given))
    assert len(counting.asked) == requests


def test_every_input_that_requires_a_gradient_gets_it(counting: Counting) -> None:
    features = torch.randn(6, 4, generator=torch.Generator().manual_seed(2), requires_grad=True)
    layer = nn.Linear(4, 3)
    given = (features, layer.weight, layer.bias)
    remote = RemoteLoss("linear_cross_entropy", client=counting)(features, layer.weight, LABELS, bias=layer.bias)
    local = F.cross_entropy(layer(features), LABELS)
    for found, expected in zip(torch.autograd.grad(remote, given), torch.autograd.grad(local, given), strict=True):
        torch.testing.assert_close(found, expected)
    assert len(counting.asked) == 1


def test_a_gradient_reaches_the_labels_if_they_ask_for_it(client: Client) -> None:
    given, labels = logits(), torch.randn(6, 3, requires_grad=True)
    loss = RemoteLoss("mse", client=client)(given, labels)
    assert torch.equal(gradient(loss, labels), -gradient(loss_of(given, labels), given))


def loss_of(given: Tensor, labels: Tensor) -> Tensor:
    return F.mse_loss(given, labels.detach())


def test_without_a_gradient_none_is_asked_for(counting: Counting) -> None:
    criterion = RemoteLoss("cross_entropy", client=counting, reduction="none")
    with torch.no_grad():
        assert not criterion(logits(), LABELS).requires_grad
    assert not criterion(logits().detach(), LABELS).requires_grad
    assert [call["gradients"] for call in counting.asked] == [[], []]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_arithmetic_is_float32_or_float64_and_gradients_have_the_dtype_of_their_input(
    client: Client, dtype: torch.dtype
) -> None:
    given = logits(dtype)
    loss = RemoteLoss("cross_entropy", client=client)(given, LABELS)
    assert loss.dtype is (torch.float64 if dtype is torch.float64 else torch.float32)
    loss.backward()
    assert given.grad is not None
    assert given.grad.dtype is dtype
    exact = given.detach().to(loss.dtype).requires_grad_()
    expected = gradient(F.cross_entropy(exact, LABELS), exact).to(dtype)
    torch.testing.assert_close(given.grad, expected)


def test_mixed_precision_trains_as_in_process(client: Client) -> None:
    torch.manual_seed(0)
    network, inputs = nn.Linear(5, 3), torch.randn(6, 5)
    found = []
    for criterion in (RemoteLoss("cross_entropy", client=client), nn.CrossEntropyLoss()):
        network.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            outputs = network(inputs)
            loss = criterion(outputs, LABELS)
        assert (outputs.dtype, loss.dtype) == (torch.bfloat16, torch.float32)
        (65536 * loss).backward()
        assert network.weight.grad is not None
        found.append(network.weight.grad.clone())
    torch.testing.assert_close(*found, rtol=1e-2, atol=0)


@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_second_derivatives_are_refused(client: Client, loss: str, reduction: str) -> None:
    given = logits()
    labels = LABELS if loss == "cross_entropy" else torch.zeros(6, 3)
    value = RemoteLoss(loss, client=client, reduction=reduction)(given, labels).sum()
    (first,) = torch.autograd.grad(value, given, create_graph=True)
    with pytest.raises(NotImplementedError, match="RemoteLoss has no second derivatives"):
        (value + first.norm()).backward()


def test_weights_are_buffers_and_masks_are_given_with_the_call(client: Client) -> None:
    weight = torch.tensor([1.0, 2.0, 3.0])
    criterion = RemoteLoss("cross_entropy", client=client, weight=weight, label_smoothing=0.1)
    assert set(criterion.state_dict()) == {"weight"}
    assert criterion.double().get_buffer("weight").dtype is torch.float64
    criterion.float()
    mask = torch.tensor([True, True, False, True, False, True])
    given = logits()
    loss = criterion(predictions=given, labels=LABELS, mask=mask)
    expected = F.cross_entropy(given[mask], LABELS[mask], weight=weight, label_smoothing=0.1)
    torch.testing.assert_close(loss, expected)
    assert criterion.result is not None
    assert (criterion.result.count, criterion.result.gradients) == (4, {})
    assert repr(criterion) == "RemoteLoss('cross_entropy', label_smoothing=0.1)"


def test_a_module_with_a_client_of_its_own_closes_it(url: str) -> None:
    criterion = RemoteLoss("mse", url=url)
    assert criterion(torch.ones(2), torch.zeros(2)).item() == 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        del criterion


def test_what_makes_no_sense_is_refused(client: Client) -> None:
    with pytest.raises(TypeError, match="takes no upstream: it comes from autograd"):
        RemoteLoss("mse", client=client, upstream=torch.ones(()))
    criterion = RemoteLoss("mse", client=client)
    with pytest.raises(TypeError, match="takes no gradients"):
        criterion(torch.ones(2), torch.ones(2), gradients=["predictions"])
    with pytest.raises(TypeError, match=r"expected a name, or trace\(function\)"):
        RemoteLoss(torch.sub, client=client)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="mse takes 2 tensors in order, predictions, labels; 3 were given"):
        criterion(torch.ones(2), torch.ones(2), torch.ones(2))
    with pytest.raises(TypeError, match="no tensor was given"):
        criterion()
    with pytest.raises(InvalidRequest, match="sample_weight"):
        criterion(torch.ones(2), torch.ones(2), sample_weight=torch.ones(2, requires_grad=True))
    with pytest.raises(TypeError, match="not both"):
        RemoteLoss("mse", client=client, url="http://127.0.0.1:1")


def test_a_broken_connection_does_not_disturb_the_training(url: str) -> None:
    from tests.support import faults

    def steps(proxy: Proxy, count: int) -> list[float]:
        torch.manual_seed(0)
        network = nn.Linear(3, 1)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        with Client(proxy.url, retries=Retries(first_wait_seconds=0.01)) as client:
            criterion, curve = RemoteLoss("mse", client=client), []
            for _ in range(count):
                optimizer.zero_grad()
                loss = criterion(network(torch.ones(4, 3)), torch.zeros(4, 1))
                loss.backward()
                optimizer.step()
                curve.append(loss.item())
        return curve

    with faulty(url) as good, faulty(url, faults.drop, faults.well, faults.cut, faults.reset, faults.says(503)) as bad:
        assert steps(bad, 4) == steps(good, 4)


def test_a_copy_of_a_module_is_as_good(client: Client) -> None:
    criterion = RemoteLoss("cross_entropy", client=client, weight=torch.tensor([1.0, 2.0, 3.0]))
    copied = copy.deepcopy(criterion)
    with copied.client:
        assert torch.equal(copied(logits(), LABELS), criterion(logits(), LABELS))


def test_a_copy_that_is_forgotten_leaves_no_connection_open(url: str) -> None:
    copied = pickle.loads(pickle.dumps(RemoteLoss("cross_entropy", url=url)))
    assert torch.isfinite(copied(logits(), LABELS))
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        del copied
        gc.collect()


def test_gradients_stay_as_they_are_while_training_goes_on(client: Client) -> None:
    criterion, given = RemoteLoss("cross_entropy", client=client), logits()
    loss = criterion(given, LABELS)
    expected = gradient(F.cross_entropy(given, LABELS), given)
    kept = []
    for again in (True, True, False):
        (found,) = torch.autograd.grad(loss, given, retain_graph=again)
        torch.testing.assert_close(found, expected)
        kept.append(found.mul_(2))  # as clipping does
    for step in range(3):
        other = logits().detach().add(step).requires_grad_()
        criterion(other * step, LABELS).backward()
    for found in kept:
        torch.testing.assert_close(found, expected * 2)


def interrupted(*_: Any) -> sockets.Steps:
    """Ends as Ctrl-C does while an answer is waited for, which arrives after all."""
    yield memoryview(bytearray(1))
    raise KeyboardInterrupt


def test_a_step_that_is_interrupted_does_not_disturb_the_next(url: str) -> None:
    with Client(url) as asked:
        criterion, given = RemoteLoss("cross_entropy", client=asked), logits()
        criterion(given, LABELS)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sockets, "answer", interrupted)
            with pytest.raises(KeyboardInterrupt):
                criterion(given, LABELS)
        for factor in (1.0, 2.0):
            other = (given.detach() * factor).requires_grad_()
            loss = criterion(other, LABELS)
            torch.testing.assert_close(loss, F.cross_entropy(other, LABELS))


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_loss_and_gradient_are_on_the_device_of_the_inputs(client: Client, reduction: str) -> None:
    given = logits().detach().cuda().requires_grad_()
    criterion = RemoteLoss("cross_entropy", client=client, reduction=reduction, weight=torch.ones(3)).cuda()
    loss = criterion(given, LABELS.cuda())
    loss.sum().backward()
    assert given.grad is not None
    assert loss.device == given.grad.device == given.device
    local = logits()
    torch.testing.assert_close(
        given.grad.cpu(), gradient(F.cross_entropy(local, LABELS, reduction=reduction).sum(), local)
    )
