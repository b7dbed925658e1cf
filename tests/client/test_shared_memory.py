"""Through shared memory a client gets what it gets by sending, whatever becomes of the memory, the service or the process."""

from __future__ import annotations

import asyncio
import gc
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lossmeter.client import AsyncClient, Client
from lossmeter.client import sharing as client_sharing
from lossmeter.client.errors import InvalidRequest, ServiceError, TimedOut
from lossmeter.client.exchanges import Reply, Request
from lossmeter.client.results import LossResult
from lossmeter.client.segments import MAX_SEGMENTS, Segment
from lossmeter.client.transport import Endpoint, Transport
from lossmeter.losses import LOSSES, Loss
from tests.support.open_inference import arrays
from tests.support.service import serving

RNG = np.random.default_rng(5)
ROWS, CLASSES = 512, 100
LABELS = RNG.integers(0, CLASSES, ROWS)


@pytest.fixture(autouse=True)
def _small_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of these tests are worth it."""
    monkeypatch.setattr(client_sharing, "LEAST_BYTES", ROWS * CLASSES * 4)


@pytest.fixture(scope="module")
def shared_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(shared_memory=True, uds=str(tmp_path_factory.mktemp("uds") / "s")) as url:
        yield url


class WatchedTransport(Transport):
    """A transport that remembers the addresses that it asked."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        self.asked: list[str] = []

    def send(self, request: Request[Any]) -> Reply | ServiceError:
        self.asked.append(request.path.rpartition("/")[2])
        return super().send(request)


class Watched(Client):
    """A client that remembers the addresses that it asked."""

    def __init__(self, url: str, **options: Any) -> None:
        super().__init__(url, **options)
        self._transport.close()
        self._transport = transport = WatchedTransport(self._endpoint)
        self.asked = transport.asked


@pytest.fixture
def client(shared_url: str) -> Iterator[Watched]:
    with Watched(shared_url) as found:
        yield found
    assert mine(found) == []


@pytest.fixture(scope="module")
def plain(shared_url: str) -> Iterator[Client]:
    with Client(shared_url, shared_memory=False) as found:
        yield found


def mine(client: Client) -> list[str]:
    """The segments of a client."""
    assert client._sharing is not None
    return [*client._sharing.segments._known]


def batch(seed: int = 0, rows: int = ROWS) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).normal(size=(rows, CLASSES)).astype(np.float32)


def ask(client: Client, predictions: Any = None, labels: Any = None, **fields: Any) -> LossResult:
    given = {
        "predictions": batch() if predictions is None else predictions,
        "labels": LABELS if labels is None else labels,
    }
    return client.loss("cross_entropy", gradients=["predictions"], **given, **fields)


def assert_same(one: LossResult, other: LossResult) -> None:
    for name in ("loss", "reduction", "value", "sum", "normalizer", "count", "precision", "device", "warnings"):
        assert repr(getattr(one, name)) == repr(getattr(other, name)), name
    assert one.gradients.keys() == other.gradients.keys()
    for role, gradient in one.gradients.items():
        expected = other.gradients[role]
        assert type(gradient) is type(expected)
        assert (gradient.dtype, gradient.shape) == (expected.dtype, expected.shape)
        assert np.array_equal(np.asarray(gradient), np.asarray(expected), equal_nan=True)


@pytest.mark.parametrize("library", ["numpy", "torch"])
@pytest.mark.parametrize("loss", LOSSES.values(), ids=lambda loss: loss.name)
def test_every_loss_gives_the_same(
    shared_url: str, plain: Client, monkeypatch: pytest.MonkeyPatch, loss: Loss, library: str
) -> None:
    monkeypatch.setattr(client_sharing, "LEAST_BYTES", 0)
    with Watched(shared_url) as client:
        for example in loss.examples:
            tensors: dict[str, Any] = arrays(loss, example.request)
            roles = [role.name for role in loss.roles if role.differentiable and tensors[role.name].dtype.kind == "f"]
            if library == "torch":
                tensors = {name: torch.from_numpy(array) for name, array in tensors.items()}
            # Gradients that stand in a region are not looked at for advice.
            fields = {**example.request, **tensors, "reduction": "sum", "advice": False}
            found = client.loss(loss.name, gradients=roles, **fields)
            assert_same(found, plain.loss(loss.name, gradients=roles, **fields))
        # Null, which is another thing than nothing, and lists have no place among the parameters of the protocol.
        parameters = [[v for k, v in one.request.items() if k not in loss.tensor] for one in loss.examples]
        ways = [loss.name if None in one or any(isinstance(v, list) for v in one) else "infer" for one in parameters]
        assert [one for one in client.asked if one != "register"] == ["v2", *ways]


@pytest.mark.parametrize(
    "fields", [{}, {"label_smoothing": 0.1}, {"reduction": "sum"}, {"precision": "float64"}], ids=str
)
def test_parameters_change_the_result_as_they_do_without(
    client: Watched, plain: Client, fields: dict[str, Any]
) -> None:
    assert_same(ask(client, **fields), ask(plain, **fields))
    assert client.asked[-1] == "infer"


def test_every_step_of_a_loop_has_results_of_its_own(client: Watched, plain: Client) -> None:
    """Layout, request and answer are known from the second step on; the numbers are not, nor what a service may say besides."""
    for seed, fields in ((1, {}), (2, {}), (3, {"precision": "float64"}), (4, {"precision": "float64"}), (5, {})):
        assert_same(ask(client, batch(seed), **fields), ask(plain, batch(seed), **fields))
        assert client.asked[-1] == "infer"
    infinite = np.where(batch(6) > 3, np.float32(np.inf), batch(6))
    assert_same(ask(client, infinite, non_finite="allow"), ask(plain, infinite, non_finite="allow"))
    assert client.asked[-2:] == ["infer", "cross_entropy"]
    large = np.full((ROWS, CLASSES), 1e30, np.float32)
    large[:, 0] = -3e38
    assert_same(ask(client, large), ask(plain, large, advice=False))
    assert_same(ask(client, batch(7)), ask(plain, batch(7)))
    assert client.asked[-1] == "infer"


ODD_ANSWERS = {
    "a gradient in the answer": (rb'"parameters":{"shared_memory_region[^}]*}', b'"data":[0.0]'),
    "a gradient in another place": (rb'"shared_memory_offset":0', b'"shared_memory_offset":4096'),
    "a gradient in another region": (rb'"shared_memory_region":"', b'"shared_memory_region":"x'),
    "half a gradient": (rb'"shared_memory_byte_size":(\d+)\d', rb'"shared_memory_byte_size":\1'),
    "another datatype": (rb'"gradient_predictions","datatype":"FP32"', b'"gradient_predictions","datatype":"FP64"'),
    "no number": (rb'"data":\[[^]]*\]', b'"data":[--]'),
    "half a number of samples": (rb'"INT64","shape":\[1\],"data":\[\d+\]', b'"INT64","shape":[1],"data":[1.]'),
}


@pytest.mark.parametrize("case", ODD_ANSWERS)
def test_an_answer_that_says_something_else_is_no_answer(client: Watched, plain: Client, case: str) -> None:
    """Also where the one before was known: what lies in the segment is not what was asked for."""
    send, odd = client._transport.send, [False]

    def altered(request: Request[Any]) -> Reply | ServiceError:
        reply = send(request)
        if not odd[0] or not request.path.endswith("/infer"):
            return reply
        assert isinstance(reply, Reply)
        body, count = re.subn(*ODD_ANSWERS[case], bytes(reply.body))
        assert count
        return Reply(reply.status, reply.headers, bytearray(body))

    client._transport.send = altered  # type: ignore[method-assign]
    for seed, odd[0] in ((0, True), (1, False), (2, False), (3, True)):
        assert_same(ask(client, batch(seed)), ask(plain, batch(seed)))
        assert client.asked[-1] == ("cross_entropy" if odd[0] else "infer")


def test_tensors_beside_the_roles_go_the_same_way(client: Watched, plain: Client) -> None:
    fields = {
        "weight": RNG.random(CLASSES).astype(np.float32),
        "sample_weight": RNG.random(ROWS),
        "mask": LABELS % 2 == 0,
    }
    assert_same(ask(client, **fields), ask(plain, **fields))
    assert client.asked[-1] == "infer"
    assert_same(
        client.loss("cross_entropy", predictions=batch(), labels=LABELS),
        plain.loss("cross_entropy", predictions=batch(), labels=LABELS),
    )
    assert client.asked[-1] == "infer"


@pytest.mark.parametrize("kind", ["transposed", "strided", "half"])
def test_arrays_in_any_order_of_memory_go_the_same_way(client: Watched, plain: Client, kind: str) -> None:
    whole = batch(3, 2 * ROWS)
    predictions = {
        "transposed": np.asfortranarray(whole[:ROWS]),
        "strided": whole[::2],
        "half": whole[:ROWS].astype(np.float16),
    }[kind]
    assert_same(ask(client, predictions), ask(plain, predictions))


def test_small_tensors_are_sent(client: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    client.loss("mse", predictions=[1.0], labels=[2.0])
    client.loss("mse", predictions=np.ones(1 << 16), labels=np.ones(1 << 16, np.float32))
    assert client.asked == ["mse", "mse"]
    client.loss("mse", predictions=np.ones(1 << 16), labels=np.ones(1 << 16))
    assert client.asked[-1] == "infer"


@pytest.mark.parametrize("fields", [{"reduction": "none"}, {"labels": LABELS.tolist()}], ids=["unreduced", "a list"])
def test_what_does_not_fit_the_protocol_is_sent(client: Watched, plain: Client, fields: dict[str, Any]) -> None:
    assert np.array_equal(ask(client, **fields).gradients["predictions"], ask(plain, **fields).gradients["predictions"])
    assert client.asked == ["cross_entropy"]


def test_gradients_stay_as_they_are(client: Watched, plain: Client) -> None:
    """However many are kept: those that find no room in shared memory are sent."""
    results = [ask(client, batch(seed)) for seed in range(2 * MAX_SEGMENTS)]
    assert len(mine(client)) == MAX_SEGMENTS
    for seed, result in enumerate(results):
        assert_same(result, ask(plain, batch(seed)))
    assert client.asked.count("infer") == MAX_SEGMENTS


def test_a_loop_needs_one_segment_that_grows(client: Watched) -> None:
    for rows in (ROWS, ROWS, 16 * ROWS, ROWS, 8 * ROWS):
        result = ask(client, batch(0, rows), np.resize(LABELS, rows))
        del result
        assert len(mine(client)) == 1
    assert client.asked.count("register") == 2


def test_a_gradient_that_is_kept_in_part_keeps_its_segment(client: Watched, plain: Client) -> None:
    row = torch.from_numpy(ask(client, batch(1)).gradients["predictions"])[7, 3:9].view(2, 3)
    expected = ask(plain, batch(1)).gradients["predictions"][7, 3:9].reshape(2, 3)
    for seed in range(2, 8):
        ask(client, batch(seed))
    assert np.array_equal(row.numpy(), expected)
    del row
    gc.collect()
    assert len(mine(client)) == 2


def test_threads_do_not_get_in_each_others_way(client: Watched, plain: Client) -> None:
    expected = [ask(plain, batch(seed)) for seed in range(8)]
    wrong: list[int] = []

    def work(seed: int) -> None:
        for _ in range(12):
            try:
                assert_same(ask(client, batch(seed)), expected[seed])
            except AssertionError:
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(mine(client)) <= MAX_SEGMENTS
    assert client.asked.count("infer") > 12


def test_the_asynchronous_client_does_the_same(shared_url: str, plain: Client) -> None:
    async def main() -> None:
        async with AsyncClient(shared_url) as client:
            calls = [
                client.loss("cross_entropy", predictions=batch(seed), labels=LABELS, gradients="predictions")
                for seed in range(6)
            ]
            results = await asyncio.gather(*calls)
            assert client._sharing is not None
            assert len(client._sharing.segments._known) == MAX_SEGMENTS
        for seed, result in enumerate(results):
            assert_same(result, ask(plain, batch(seed)))

    asyncio.run(main())


def test_an_error_says_what_it_says_without(client: Watched, plain: Client) -> None:
    labels = LABELS.copy()
    labels[17] = CLASSES
    said = []
    for one in (client, plain):
        with pytest.raises(InvalidRequest) as error:
            ask(one, labels=labels)
        said.append((error.value.detail, error.value.errors))
    assert said[0] == said[1]
    assert client.asked[-2:] == ["infer", "cross_entropy"]
    assert_same(ask(client), ask(plain))
    assert client.asked[-1] == "infer"


def test_warnings_are_those_that_the_service_gives(client: Watched, plain: Client) -> None:
    predictions = batch()
    predictions[3, 4] = np.inf
    assert_same(ask(client, predictions, non_finite="allow"), ask(plain, predictions, non_finite="allow"))


def test_a_service_without_shared_memory_is_sent_everything(tmp_path: Path, plain: Client) -> None:
    with serving(uds=str(tmp_path / "s")) as url, Watched(url) as client:
        assert_same(ask(client), ask(plain))
        assert_same(ask(client), ask(plain))
        assert client.asked == ["v2", "cross_entropy", "cross_entropy"]


def test_a_service_that_sees_other_processes_is_sent_everything(
    client: Watched, plain: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    registration = client_sharing._registration

    def elsewhere(segment: Segment) -> Request[None]:
        segment.key = "memfd:4194305:3:7"  # a process beyond the largest number that there may be
        return registration(segment)

    monkeypatch.setattr(client_sharing, "_registration", elsewhere)
    assert_same(ask(client), ask(plain))
    assert_same(ask(client), ask(plain))
    assert client.asked == ["v2", "register", "cross_entropy", "cross_entropy"]
    assert mine(client) == []


def test_over_tcp_everything_is_sent(plain: Client) -> None:
    with serving(shared_memory=True) as url, Watched(url) as client:
        assert_same(ask(client), ask(plain))
        assert client.asked == ["cross_entropy"]


def test_a_service_that_was_restarted_is_told_again(tmp_path: Path, plain: Client) -> None:
    path = tmp_path / "s"
    with Watched(f"http+unix://{path}") as client:
        for _ in range(2):
            with serving(shared_memory=True, uds=str(path)):
                assert_same(ask(client), ask(plain))
                assert_same(ask(client), ask(plain))
            path.unlink()
        assert client.asked.count("register") == 2


def test_without_memory_everything_is_sent(client: Watched, plain: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    assert_same(ask(client), ask(plain))
    assert_same(ask(client), ask(plain))
    assert client.asked == ["v2", "cross_entropy", "cross_entropy"]


def test_memory_that_the_service_may_still_write_to_is_not_used_again(
    client: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ask(client)
    names = mine(client)
    del first
    with monkeypatch.context() as patched:
        patched.setattr(client._transport, "send", lambda _: TimedOut("late"))
        with pytest.raises(TimedOut):
            ask(client)
    assert mine(client) == []
    ask(client)
    assert mine(client) != names


FORKING = """
import os, sys
import numpy as np
from lossmeter.client import Client

def ask(client, seed):
    predictions = np.random.default_rng(seed).normal(size=(512, 600)).astype(np.float32)
    return client.loss("mse", predictions=predictions, labels=predictions * 0.5, gradients=["predictions"])

def right(result, seed):
    predictions = np.random.default_rng(seed).normal(size=(512, 600)).astype(np.float32)
    return np.allclose(result.gradients["predictions"], predictions / predictions.size, rtol=1e-5)

client = Client(sys.argv[1])
kept = ask(client, 0)
names = set(client._sharing.segments._known)
child = os.fork()
results = [ask(client, seed) for seed in range(1, 6)]
del results[0]
results.append(ask(client, 6))
good = right(kept, 0) and all(right(r, s) for r, s in zip(results, range(2, 7)))
if child == 0:
    mine = set(client._sharing.segments._known)
    good = good and not (mine & names)
    del kept, results
    client.close()
    os._exit(0 if good else 1)
del kept
results = [ask(client, seed) for seed in range(7, 12)]
_, status = os.waitpid(child, 0)
assert status == 0, status
assert good
assert all(right(r, s) for r, s in zip(results, range(7, 12)))
assert client._sharing.offered
"""


LEAVING = """
import gc, os, sys
import numpy as np
from lossmeter.client import Client

def files():
    links = (f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd"))
    return [one for one in links if os.path.islink(one) and "lossmeter-client" in os.readlink(one)]

array = np.random.default_rng(0).normal(size=(512, 600)).astype(np.float32)
with Client(sys.argv[1]) as client:
    result = client.loss("mse", predictions=array, labels=-array, gradients=["predictions"])
    assert client._sharing.segments._known
assert np.allclose(result.gradients["predictions"], 4 * array / array.size)
assert files()
del result
gc.collect()
assert not files()
client = Client(sys.argv[1])
client.loss("mse", predictions=array, labels=array, gradients=["predictions"])
client._transport.close()
assert files()
del client
gc.collect()
assert not files()
"""


def run(program: str, url: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-W", "error", "-c", program, url]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_gradients_survive_the_client_and_nothing_survives_them(shared_url: str) -> None:
    done = run(LEAVING, shared_url)
    assert done.returncode == 0, done.stderr


def test_a_fork_shares_no_memory_with_its_parent(shared_url: str) -> None:
    done = run(FORKING, shared_url)
    assert done.returncode == 0, done.stderr
