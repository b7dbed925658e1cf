"""Whatever the wire, the address and the client: the numbers are those of torch."""

from __future__ import annotations

import asyncio
import math
import pickle
import warnings
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import lossmeter
from lossmeter.client import AsyncClient, Client, InvalidRequest, LossResult, NotFound

RANDOM = np.random.default_rng(7)
LOGITS = RANDOM.normal(size=(5, 3)).astype(np.float32)
LABELS = np.array([0, 2, 1, 1, 0])
UNREDUCED: dict[str, Any] = {"reduction": "none", "label_smoothing": 0.1}
WIRES = ("safetensors", "json")


def expected() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    logits = torch.tensor(LOGITS, requires_grad=True)
    values = F.cross_entropy(logits, torch.tensor(LABELS), **UNREDUCED)
    values.sum().backward()
    assert logits.grad is not None
    return values.detach().numpy(), logits.grad.numpy()


def check(result: LossResult) -> None:
    values, gradient = expected()
    np.testing.assert_array_equal(result.values, values, strict=True)
    np.testing.assert_array_equal(result.gradients["predictions"], gradient, strict=True)


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("address", ["url", "socket_url"])
def test_values_and_gradients_are_torch_s_bit_for_bit(request: pytest.FixtureRequest, address: str, wire: Any) -> None:
    with Client(request.getfixturevalue(address), wire=wire) as client:
        for _ in range(3):  # over the same connection
            fields = {"predictions": LOGITS, "labels": LABELS, **UNREDUCED}
            check(client.loss("cross_entropy", gradients=["predictions"], **fields))


@pytest.mark.parametrize("address", ["url", "socket_url"])
def test_the_asynchronous_client_gives_the_same(request: pytest.FixtureRequest, address: str) -> None:
    async def ask() -> None:
        async with AsyncClient(request.getfixturevalue(address)) as client:
            fields = {"predictions": LOGITS, "labels": LABELS, **UNREDUCED}
            calls = [client.loss("cross_entropy", gradients="predictions", **fields) for _ in range(4)]
            for result in await asyncio.gather(*calls):
                check(result)
            assert (await client.health())["status"] == "ready"
            assert (await client.describe("l1"))["name"] == "mae"
            assert len(await client.losses()) > 20

    asyncio.run(ask())


def test_a_result_says_what_the_service_says(client: Client) -> None:
    result = client.loss("l1", predictions=[1.0, 2.0], labels=[0.0, 0.0], sample_weight=[1.0, 3.0])
    assert (result.loss, result.reduction, result.value) == ("mae", "mean", 1.75)
    assert (result.sum, result.normalizer, result.count) == (7.0, 4.0, 2)
    assert (result.precision, result.device, result.warnings, result.gradients) == ("float32", "cpu", (), {})
    assert len(result.request_id) == 16
    assert result.timing.compute_milliseconds > 0


@pytest.mark.parametrize("wire", WIRES)
def test_arrays_come_back_as_what_went_out(url: str, wire: Any) -> None:
    with Client(url, wire=wire) as client:
        mixed: dict[str, Any] = {"predictions": torch.tensor(LOGITS), "labels": LABELS, **UNREDUCED}
        result = client.loss("cross_entropy", gradients="predictions", **mixed)
        assert isinstance(result.values, torch.Tensor)
        assert isinstance(result.gradients["predictions"], torch.Tensor)
        result.gradients["predictions"].mul_(2)  # may be written to
        lists = client.loss("mse", predictions=[[1.0, 2.0]], labels=[[0.0, 0.0]], gradients=["predictions", "labels"])
        np.testing.assert_array_equal(lists.gradients["labels"], np.array([[-1.0, -2.0]], np.float32), strict=True)
        lists.gradients["labels"] += 1


def test_numbers_that_are_not_finite_arrive(client: Client) -> None:
    infinite = client.loss(
        "mse", predictions=np.array([3e38, 0.0], np.float32), labels=np.zeros(2, np.float32), reduction="none"
    )
    assert infinite.values.tolist() == [math.inf, 0.0]
    assert infinite.sum == math.inf
    assert client.loss("mse", predictions=[3e38], labels=[0.0], reduction="sum").value == math.inf
    empty = client.loss("mse", predictions=np.zeros(0), labels=np.zeros(0))
    assert math.isnan(empty.value or 0.0)
    assert empty.warnings[0].pointer == "/value"
    with pytest.raises(ValueError, match="JSON"):
        client.loss("mse", predictions=[math.nan], labels=[0.0])


def test_errors_point_at_the_place(client: Client) -> None:
    with pytest.raises(InvalidRequest, match=r"labels\[3\] is 9; expected class indices in \[0, 2\]") as caught:
        client.loss("focal", predictions=LOGITS, labels=np.array([0, 1, 2, 9, 0]))
    error = caught.value
    assert (error.status, error.code, len(error.request_id)) == (422, "invalid", 16)
    assert [(flaw.pointer, flaw.index) for flaw in error.errors] == [("/labels", (3,))]
    with pytest.raises(NotFound, match="Did you mean focal"):
        client.loss("fokal", predictions=LOGITS, labels=LABELS)
    with pytest.raises(NotFound):
        client.describe("../healthz")


def test_the_catalogue_and_the_health_can_be_asked(client: Client) -> None:
    names = [entry["name"] for entry in client.losses()]
    assert {"focal", "mse"} <= set(names)
    best, *_ = client.losses(task="binary", situation="imbalance", query="rare & few")
    assert (best["name"], best["choice"]["tasks"][0]) == ("binary_focal", "binary")
    with pytest.raises(InvalidRequest, match="Did you mean imbalance"):
        client.losses(situation="imbalanced")
    assert client.describe("focal")["roles"][0]["name"] == "predictions"
    assert client.health() == {"status": "ready", "version": lossmeter.__version__}


def test_what_cannot_be_sent_is_refused_before_it_is(client: Client) -> None:
    with pytest.raises(TypeError, match="predictions has dtype complex64; expected one of bool, uint8"):
        client.loss("mse", predictions=np.zeros(2, np.complex64), labels=np.zeros(2))
    with pytest.raises(TypeError, match="set cannot be sent"):
        client.loss("mse", predictions=np.zeros(2), labels=np.zeros(2), reduction={1})


@pytest.mark.parametrize("url", ["ftp://host", "127.0.0.1:8000", "http+unix://path.sock", "http+unix:///", ""])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"base_url is .*; expected http://"):
        Client(url)


def test_an_unknown_wire_is_refused() -> None:
    with pytest.raises(ValueError, match="wire is 'protobuf'; expected one of safetensors, json"):
        Client(wire="protobuf")  # type: ignore[arg-type]


def test_progress_of_a_long_upload_is_told(url: str) -> None:
    told: list[tuple[int, int]] = []
    large = RANDOM.normal(size=(1000, 1000)).astype(np.float32)
    with Client(url, progress=lambda sent, total: told.append((sent, total))) as client:
        assert client.loss("mse", predictions=large, labels=large).value == 0.0

    async def ask() -> None:
        async with AsyncClient(url, progress=lambda sent, total: told.append((sent, total))) as client:
            await client.loss("mse", predictions=large, labels=large)

    once = list(told)
    asyncio.run(ask())
    assert len(once) >= 8
    assert [sent for sent, _ in once] == sorted({sent for sent, _ in once})
    assert {total for _, total in once} == {once[-1][0]}
    assert once[-1][0] > 2 * large.nbytes
    assert told == once * 2


def test_a_client_that_is_closed_leaves_nothing_open(url: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        with Client(url) as client:
            client.health()
    assert repr(client) == f"Client({url!r})"


def test_a_copy_has_connections_of_its_own(client: Client) -> None:
    with pickle.loads(pickle.dumps(client)) as copy:
        assert copy.health() == client.health()
        assert copy.base_url == client.base_url
    assert client.health()["status"] == "ready"
