"""Tensors in shared memory have the bits of those on the wire; what clients do to their memory is an error at worst."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.utils.shared_memory as triton_memory
from tritonclient.utils import InferenceServerException

from lossmeter.api.operations.inference import Infer
from lossmeter.api.shared_memory import is_of_this_machine
from lossmeter.losses import LOSSES
from tests.contracts.test_readme import OPEN_INFERENCE, blocks
from tests.support.open_inference import body, outputs
from tests.support.processes import started, wait_until
from tests.support.service import serving
from tests.support.shared_memory import Held, held, shrinking

RNG = np.random.default_rng(11)
PREDICTIONS = RNG.normal(size=(64, 10)).astype(np.float32)
LABELS = RNG.integers(0, 10, 64)
IN_BYTES = PREDICTIONS.nbytes
SIZE = 2 * IN_BYTES + LABELS.nbytes
CE = "/v2/models/cross_entropy/infer"
SYSTEM = "/v2/systemsharedmemory"
CUDA = "/v2/cudasharedmemory"
WANTED = [{"name": "value"}, {"name": "gradient_predictions"}]


@pytest.fixture(scope="module")
def shared_url() -> Iterator[str]:
    with serving(shared_memory=True) as url:
        yield url


@pytest.fixture(scope="module")
def shared(shared_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=shared_url, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def expected(http: httpx.Client) -> dict[str, np.ndarray[Any, Any]]:
    """What a server answers that is given the same tensors as bytes."""
    wanted = [{**one, "parameters": {"binary_data": True}} for one in WANTED]
    content, headers = body({"predictions": PREDICTIONS, "labels": LABELS}, binary=True, outputs=wanted)
    answer = http.post(CE, content=content, headers=headers)
    return outputs(answer.content, answer.headers)


@pytest.fixture
def given_object() -> Iterator[Held]:
    """Predictions, labels, and room for the gradient."""
    with held(SIZE) as found:
        found.fill(PREDICTIONS.tobytes() + LABELS.tobytes())
        yield found


@pytest.fixture
def registered(shared: httpx.Client, given_object: Held) -> Iterator[Held]:
    answer = register(shared, given_object)
    assert (answer.status_code, answer.json()) == (200, {}), answer.text
    yield given_object
    shared.post(f"{SYSTEM}/unregister").raise_for_status()


def register(http: httpx.Client, found: Held, name: str = "r", **fields: Any) -> httpx.Response:
    given = {"key": found.key, "offset": 0, "byte_size": SIZE, **fields}
    return http.post(f"{SYSTEM}/region/{name}/register", json=given)


def place(offset: int, size: int, region: str = "r") -> dict[str, Any]:
    where = {"shared_memory_region": region, "shared_memory_offset": offset, "shared_memory_byte_size": size}
    return {"parameters": where}


def request() -> dict[str, Any]:
    """Predictions, labels and gradient in the region."""
    gradient = {"name": "gradient_predictions", **place(IN_BYTES + LABELS.nbytes, IN_BYTES)}
    inputs = [
        {"name": "predictions", "datatype": "FP32", "shape": [64, 10], **place(0, IN_BYTES)},
        {"name": "labels", "datatype": "INT64", "shape": [64], **place(IN_BYTES, LABELS.nbytes)},
    ]
    return {"inputs": inputs, "outputs": [{"name": "value"}, gradient]}


def gradient_of(found: Held) -> np.ndarray[Any, Any]:
    return found.content[IN_BYTES + LABELS.nbytes :].view(np.float32).reshape(64, 10)


def test_a_region_gives_the_bits_of_the_wire(
    shared: httpx.Client, registered: Held, expected: dict[str, np.ndarray[Any, Any]]
) -> None:
    answer = shared.post(CE, json=request())
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["parameters"] == {"device": "cpu"}
    value, gradient = found["outputs"]
    assert np.float32(value["data"][0]) == expected["value"][0]
    assert gradient == {"name": "gradient_predictions", "datatype": "FP32", "shape": [64, 10]} | place(
        IN_BYTES + LABELS.nbytes, IN_BYTES
    )
    assert np.array_equal(gradient_of(registered), expected["gradient_predictions"])
    assert np.array_equal(registered.content[:IN_BYTES].view(np.float32), PREDICTIONS.ravel())


@pytest.mark.parametrize("rows", [64, 4096], ids=["small", "large"])
def test_the_client_of_triton_works_unchanged(shared_url: str, http: httpx.Client, rows: int) -> None:
    predictions = np.tile(PREDICTIONS, (rows // 64, 1))
    labels = np.tile(LABELS, rows // 64)
    given = triton_memory.create_shared_memory_region("given", "/lossmeter-given", predictions.nbytes + labels.nbytes)
    taken = triton_memory.create_shared_memory_region("taken", "/lossmeter-taken", predictions.nbytes)
    try:
        triton_memory.set_shared_memory_region(given, [predictions, labels])
        inputs = [triton.InferInput("predictions", [rows, 10], "FP32"), triton.InferInput("labels", [rows], "INT64")]
        inputs[0].set_shared_memory("given", predictions.nbytes)
        inputs[1].set_shared_memory("given", labels.nbytes, predictions.nbytes)
        wanted = [triton.InferRequestedOutput("value"), triton.InferRequestedOutput("gradient_predictions")]
        wanted[1].set_shared_memory("taken", predictions.nbytes)
        with triton.InferenceServerClient(shared_url.removeprefix("http://")) as client:
            assert "system_shared_memory" in client.get_server_metadata()["extensions"]
            client.register_system_shared_memory("given", "/lossmeter-given", predictions.nbytes + labels.nbytes)
            client.register_system_shared_memory("taken", "/lossmeter-taken", predictions.nbytes)
            assert client.get_system_shared_memory_status("taken") == [
                {"name": "taken", "key": "/lossmeter-taken", "offset": 0, "byte_size": predictions.nbytes}
            ]
            assert [one["name"] for one in client.get_system_shared_memory_status()] == ["given", "taken"]
            answer = client.infer("cross_entropy", inputs, outputs=wanted)
            gradient = triton_memory.get_contents_as_numpy(taken, np.float32, [rows, 10])
            content, headers = body({"predictions": predictions, "labels": labels}, binary=True, outputs=WANTED)
            other = http.post(CE, content=content, headers=headers)
            expected = outputs(other.content, other.headers)
            assert answer.as_numpy("value")[0] == expected["value"][0]
            assert np.array_equal(gradient, expected["gradient_predictions"])
            client.unregister_system_shared_memory("given")
            with pytest.raises(InferenceServerException, match="No region"):
                client.infer("cross_entropy", inputs, outputs=wanted)
            with pytest.raises(InferenceServerException, match="No region"):
                client.get_system_shared_memory_status("given")
            client.unregister_system_shared_memory()
            assert client.get_system_shared_memory_status() == []
    finally:
        del gradient
        triton_memory.destroy_shared_memory_region(given)
        triton_memory.destroy_shared_memory_region(taken)


def test_the_program_of_the_docs_runs(shared_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    (program,) = [one for one in blocks("python", OPEN_INFERENCE) if "shared_memory" in one]
    exec(program.replace("http://127.0.0.1:8000", shared_url), {})
    _, value, deviation = capsys.readouterr().out.splitlines()
    assert float(value.strip("[]")) > 0
    assert float(deviation) > 0


def test_regions_and_bytes_and_numbers_mix(
    shared: httpx.Client, registered: Held, expected: dict[str, np.ndarray[Any, Any]]
) -> None:
    given = request()
    given["inputs"][1] = {"name": "labels", "datatype": "INT64", "shape": [64], "data": LABELS.tolist()}
    given["outputs"] = [
        {"name": "gradient_predictions", "parameters": {"binary_data": True}},
        {"name": "value", **place(0, 4)},
    ]
    answer = shared.post(CE, json=given)
    assert answer.status_code == 200, answer.text
    length = int(answer.headers["Inference-Header-Content-Length"])
    assert np.array_equal(np.frombuffer(answer.content[length:], np.float32), expected["gradient_predictions"].ravel())
    assert registered.content[:4].view(np.float32)[0] == expected["value"][0]


def test_a_unix_socket_is_of_this_machine(tmp_path: Path, given_object: Held) -> None:
    path = str(tmp_path / "s")
    transport = httpx.HTTPTransport(uds=path)
    with serving(shared_memory=True, uds=path), httpx.Client(base_url="http://localhost", transport=transport) as http:
        assert http.get("/v2").json()["extensions"][-1] == "system_shared_memory"
        assert register(http, given_object).status_code == 200
        assert http.post(CE, json=request()).status_code == 200
        forwarded = {"X-Forwarded-For": "10.0.0.1"}
        assert http.get(f"{SYSTEM}/status", headers=forwarded).status_code == 404


def test_it_is_off_unless_a_setting_turns_it_on(http: httpx.Client, given_object: Held) -> None:
    assert http.get("/v2").json()["extensions"] == ["binary_tensor_data", "parameters"]
    for answer in (register(http, given_object), http.get(f"{SYSTEM}/status"), http.post(f"{SYSTEM}/unregister")):
        assert (answer.status_code, "LOSSMETER_SHARED_MEMORY" in answer.json()["error"]) == (404, True)
    refused = http.post(CE, json=request())
    assert (refused.status_code, "LOSSMETER_SHARED_MEMORY" in refused.json()["error"]) == (422, True)


LOOPBACK, OTHER = ("127.0.0.1", 80), ("10.0.0.7", 80)


@pytest.mark.parametrize(
    ("server", "client", "headers", "near"),
    [
        (LOOPBACK, LOOPBACK, [], True),
        (("127.0.0.1", 80), ("127.3.2.1", 80), [], True),
        (("::1", 80), ("::1", 80), [], True),
        (("/run/lossmeter.sock", None), None, [], True),
        (("lossmeter.sock", None), None, [], True),
        (LOOPBACK, OTHER, [], False),
        (OTHER, LOOPBACK, [], False),
        (OTHER, OTHER, [], False),
        (LOOPBACK, None, [], False),
        (None, LOOPBACK, [], False),
        (None, None, [], False),
        (("localhost", 80), ("localhost", 80), [], False),
        (OTHER, OTHER, [(b"x-forwarded-for", b"127.0.0.1"), (b"host", b"127.0.0.1")], False),
        (LOOPBACK, LOOPBACK, [(b"x-forwarded-for", b"127.0.0.1")], False),
        (LOOPBACK, LOOPBACK, [(b"forwarded", b"for=127.0.0.1")], False),
        (LOOPBACK, LOOPBACK, [(b"via", b"1.1 proxy")], False),
        (("/run/lossmeter.sock", None), None, [(b"x-real-ip", b"127.0.0.1")], False),
        (LOOPBACK, LOOPBACK, [(b"host", b"example.org")], True),
    ],
)
def test_both_ends_of_the_connection_say_who_is_of_this_machine(
    server: Any, client: Any, headers: Any, near: bool
) -> None:
    assert is_of_this_machine({"server": server, "client": client, "headers": headers}) is near


def test_a_proxy_on_this_machine_opens_nothing(shared: httpx.Client, registered: Held) -> None:
    forwarded = {"X-Forwarded-For": "127.0.0.1"}
    assert shared.get("/v2", headers=forwarded).json()["extensions"] == ["binary_tensor_data", "parameters"]
    assert shared.get(f"{SYSTEM}/status", headers=forwarded).status_code == 404
    assert register(shared, registered, "another").status_code == 200
    assert shared.post(f"{SYSTEM}/region/x/register", json={}, headers=forwarded).status_code == 404
    refused = shared.post(CE, json=request(), headers=forwarded)
    assert (refused.status_code, "this machine alone" in refused.json()["error"]) == (422, True)


BAD_REGIONS: dict[str, tuple[Any, int]] = {
    "no JSON": (b"{", 400),
    "no object": ([], 422),
    "no key": ({"byte_size": 1}, 422),
    "no size": ({"key": "/x"}, 422),
    "a number for a key": ({"key": 3, "byte_size": 1}, 422),
    "a path for a key": ({"key": "/../etc/passwd", "byte_size": 1}, 422),
    "no such object": ({"key": "/lossmeter-nothing", "byte_size": 1}, 422),
    "no bytes": ({"key": "/x", "byte_size": 0}, 422),
    "negative size": ({"key": "/x", "byte_size": -1}, 422),
    "negative offset": ({"key": "/x", "byte_size": 1, "offset": -1}, 422),
    "huge size": ({"key": "/x", "byte_size": 2**63}, 422),
    "larger than any integer": ({"key": "/x", "byte_size": 2**70}, 422),
    "a fraction": ({"key": "/x", "byte_size": 1.5}, 422),
    "a text": ({"key": "/x", "byte_size": "1"}, 422),
    "another field": ({"key": "/x", "byte_size": 1, "mode": "rw"}, 422),
}


@pytest.mark.parametrize("case", BAD_REGIONS)
def test_what_is_no_region_is_refused(shared: httpx.Client, case: str) -> None:
    given, status = BAD_REGIONS[case]
    content = given if isinstance(given, bytes) else json.dumps(given)
    answer = shared.post(f"{SYSTEM}/region/bad/register", content=content)
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"]
    assert shared.get(f"{SYSTEM}/region/bad/status").status_code == 404


def test_a_name_is_registered_once(shared: httpx.Client, registered: Held) -> None:
    assert register(shared, registered).status_code == 409
    assert register(shared, registered, "has%20spaces%2C%20commas").status_code == 200
    assert register(shared, registered, "x" * 256).status_code == 422
    assert len(shared.get(f"{SYSTEM}/status").json()) == 2
    shared.post(f"{SYSTEM}/region/nothing/unregister").raise_for_status()


def _changed(which: str, number: int, **fields: Any) -> dict[str, Any]:
    given = request()
    entry = given[which][number]
    for name, value in fields.items():
        (entry["parameters"] if name.startswith("shared") else entry)[name] = value
        if value is None:
            del entry["parameters"][name]
    return given


BAD_REQUESTS: dict[str, tuple[dict[str, Any], int]] = {
    "no region of that name": (_changed("inputs", 0, shared_memory_region="s"), 404),
    "no region of that name for an output": (_changed("outputs", 1, shared_memory_region="s"), 404),
    "a number for a name": (_changed("inputs", 0, shared_memory_region=7), 422),
    "no name": (_changed("inputs", 0, shared_memory_region=None), 422),
    "no size": (_changed("inputs", 0, shared_memory_byte_size=None), 422),
    "negative offset": (_changed("inputs", 0, shared_memory_offset=-4), 422),
    "negative size": (_changed("inputs", 0, shared_memory_byte_size=-4), 422),
    "a boolean": (_changed("inputs", 0, shared_memory_offset=True), 422),
    "a fraction": (_changed("inputs", 0, shared_memory_offset=0.5), 422),
    "too small": (_changed("inputs", 0, shared_memory_byte_size=IN_BYTES - 4), 422),
    "too large": (_changed("inputs", 0, shared_memory_byte_size=IN_BYTES + 4), 422),
    "beyond the region": (_changed("inputs", 0, shared_memory_offset=SIZE - IN_BYTES + 1), 422),
    "far beyond": (_changed("inputs", 0, shared_memory_offset=2**62), 422),
    "beyond 64 bits": (_changed("inputs", 0, shared_memory_offset=2**63 - 1), 422),
    "another shape": (_changed("inputs", 0, shape=[64, 11]), 422),
    "another datatype": (_changed("inputs", 0, datatype="FP64"), 422),
    "data too": (_changed("inputs", 1, data=LABELS.tolist()), 422),
    "no room for the gradient": (_changed("outputs", 1, shared_memory_byte_size=IN_BYTES - 1), 422),
    "no room behind the gradient": (_changed("outputs", 1, shared_memory_offset=SIZE - 4), 422),
    "an offset alone": ({**request(), "outputs": [{"name": "value", "parameters": {"shared_memory_offset": 1}}]}, 422),
}


@pytest.mark.parametrize("case", BAD_REQUESTS)
def test_a_slice_that_is_none_is_refused(shared: httpx.Client, registered: Held, case: str) -> None:
    given, status = BAD_REQUESTS[case]
    answer = shared.post(CE, json=given)
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"]
    assert shared.post(CE, json=request()).status_code == 200


def test_a_slice_that_is_written_in_escapes_is_refused(shared: httpx.Client, registered: Held) -> None:
    """How much a request refers to decides where it is worked on."""
    hidden = json.dumps(request()).replace("shared_memory_byte_size", "shared\\u005fmemory_byte_size")
    answer = shared.post(CE, content=hidden)
    assert (answer.status_code, "plainly" in answer.json()["error"]) == (400, True)


def test_what_a_request_refers_to_has_the_limit_of_a_body(given_object: Held) -> None:
    with serving(shared_memory=True, max_body_bytes=SIZE - 1000) as url, httpx.Client(base_url=url) as http:
        assert register(http, given_object).status_code == 200
        given = request()
        given["inputs"].append({"name": "upstream", "datatype": "FP64", "shape": [640], **place(0, 5120)})
        assert http.post(CE, json=given).status_code == 413
        assert http.post(CE, json=request()).status_code == 200


def test_an_object_that_is_removed_or_shrinks_is_an_error(shared: httpx.Client, registered: Held) -> None:
    registered.truncate(IN_BYTES)
    answer = shared.post(CE, json=request())
    assert (answer.status_code, "ends before" in answer.json()["error"]) == (409, True)
    registered.path.unlink()
    answer = shared.post(CE, json=request())
    assert (answer.status_code, "no shared memory object" in answer.json()["error"]) == (409, True)


def test_an_object_that_shrinks_under_requests_does_not_kill_the_worker() -> None:
    rows = 1024
    size = rows * 1000 * 4
    given = {
        "inputs": [
            {"name": "predictions", "datatype": "FP32", "shape": [rows, 1000], **place(0, size)},
            {"name": "labels", "datatype": "FP32", "shape": [rows, 1000], **place(0, size)},
        ],
        "outputs": [{"name": "gradient_predictions", **place(size, size)}],
    }
    with (
        started(forked=True, LOSSMETER_SHARED_MEMORY="1") as service,
        held(2 * size) as found,
        httpx.Client(base_url=service.url, timeout=60) as http,
    ):
        assert register(http, found, byte_size=2 * size).status_code == 200
        statuses = {200: 0, 409: 0}
        with shrinking(found.path, 2 * size):
            for turn in range(300):
                answer = http.post("/v2/models/mse/infer", json=given)
                assert answer.status_code in statuses, answer.text
                statuses[answer.status_code] += 1
                if turn > 60 and statuses[409] > 5:
                    break
        assert statuses[409] > 5
        assert service.process.poll() is None
        found.truncate(2 * size)
        assert http.post("/v2/models/mse/infer", json=given).status_code == 200


WRITER = """
import fcntl, os, random, sys
size, labels = int(sys.argv[1]), int(sys.argv[2])
file = os.memfd_create("writer", os.MFD_ALLOW_SEALING)
os.ftruncate(file, size)
fcntl.fcntl(file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
print(f"memfd:{os.getpid()}:{file}:{os.fstat(file).st_ino}", flush=True)
good, bad = bytes(size - labels), b"\\xff" * (size - labels)
while True:
    os.pwrite(file, random.choice((good, bad)), labels)
    os.pwrite(file, b"\\xff" * 64, random.randrange(0, labels - 64, 4))
    os.pwrite(file, bytes(labels), 0)
"""


def test_numbers_that_change_under_requests_are_wrong_at_worst() -> None:
    """The client writes infinities, numbers that are none, and labels beyond all classes while they are computed in place."""
    rows, classes = 512, 1000
    labels, size = rows * classes * 4, rows * classes * 4 + rows * 8
    predictions = {"name": "predictions", "datatype": "FP32", "shape": [rows, classes], **place(0, labels)}
    given = {
        "inputs": [predictions, {"name": "labels", "datatype": "INT64", "shape": [rows], **place(labels, rows * 8)}],
        "outputs": [{"name": "value"}, {"name": "gradient_predictions", **place(0, labels)}],
    }
    command = [sys.executable, "-c", WRITER, str(size), str(labels)]
    with (
        started(LOSSMETER_SHARED_MEMORY="1") as service,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer,
        httpx.Client(base_url=service.url, timeout=60) as http,
    ):
        assert writer.stdout is not None
        fields = {"key": writer.stdout.readline().strip(), "offset": 0, "byte_size": size}
        assert http.post(f"{SYSTEM}/region/r/register", json=fields).status_code == 200
        statuses = {200: 0, 422: 0}
        for _ in range(120):
            statuses[http.post(CE, json=given).status_code] += 1
        writer.kill()
        assert min(statuses.values()) > 0
        assert service.process.poll() is None


def test_only_numbers_of_which_any_will_do_are_computed_in_place() -> None:
    """No index, nothing with bounds, and nothing of a loss that puts rows in an order."""
    found = {loss.name: Infer(loss, cast(Any, None), 0).in_place for loss in LOSSES.values()}
    assert found["cross_entropy"] == {"predictions"}
    assert found["mse"] == {"predictions", "labels"}
    assert found["binary_cross_entropy"] == frozenset()
    assert "variance" not in found["gaussian_nll"]
    for loss in LOSSES.values():
        assert loss.separable or not found[loss.name]
        for name in found[loss.name]:
            for role in loss.tensor[name].options:
                assert role.meaning.kind == "floating"
                assert (role.meaning.minimum, role.meaning.maximum, role.meaning.choices) == (None, None, ())


def test_a_gradient_may_take_the_place_of_its_tensor(shared: httpx.Client) -> None:
    """With sealed memory, and without; in one piece and in several; at each of many steps that ask with the same bytes."""
    rows, classes = 300, 1000
    predictions, labels = RNG.normal(size=(rows, classes)).astype(np.float32), RNG.integers(0, classes, rows)
    size = predictions.nbytes + labels.nbytes
    sealed = os.memfd_create("lossmeter-test", os.MFD_ALLOW_SEALING)
    os.truncate(sealed, size)
    fcntl.fcntl(sealed, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    try:
        with held(size) as named:
            keys = {"named": named.key, "sealed": f"memfd:{os.getpid()}:{sealed}:{os.fstat(sealed).st_ino}"}
            for name, key in keys.items():
                assert register(shared, named, name, key=key, byte_size=size).status_code == 200
            for count in (100, rows):
                found = set()
                for name in (*keys, *["sealed"] * 12):
                    path = named.path if name == "named" else Path(f"/proc/self/fd/{sealed}")
                    with path.open("r+b") as file:
                        file.write(predictions.tobytes() + labels.tobytes())
                    at = place(0, count * classes * 4, name)
                    given = {
                        "inputs": [
                            {"name": "predictions", "datatype": "FP32", "shape": [count, classes], **at},
                            {"name": "labels", "datatype": "INT64", "shape": [count],
                             **place(predictions.nbytes, count * 8, name)},
                        ],
                        "outputs": [{"name": "value"}, {"name": "gradient_predictions", **at}],
                    }  # fmt: skip
                    answer = shared.post(CE, json=given)
                    assert answer.status_code == 200, answer.text
                    value = answer.json()["outputs"][0]["data"][0]
                    found.add((value, np.fromfile(path, np.float32, count * classes).tobytes()))
                assert len(found) == 1
                (value, gradient), = found  # fmt: skip
                softmax = np.exp(predictions[:count].astype(np.float64))
                softmax /= softmax.sum(1, keepdims=True)
                expected = (softmax - np.eye(classes)[labels[:count]]) / count
                np.testing.assert_allclose(
                    np.frombuffer(gradient, np.float32).reshape(count, classes), expected, atol=1e-8
                )
    finally:
        os.close(sealed)
        shared.post(f"{SYSTEM}/unregister").raise_for_status()


def test_regions_that_come_and_go_under_requests_end_in_errors(shared: httpx.Client, given_object: Held) -> None:
    ended = threading.Event()

    def come_and_go() -> None:
        with httpx.Client(base_url=shared.base_url) as other:
            while not ended.is_set():
                assert register(other, given_object).status_code == 200
                other.post(f"{SYSTEM}/region/r/unregister").raise_for_status()

    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        statuses = {shared.post(CE, json=request()).status_code for _ in range(400)}
    finally:
        ended.set()
        thread.join()
    assert statuses <= {200, 404}
    assert 404 in statuses


def test_a_region_works_whichever_worker_answers(given_object: Held) -> None:
    with started("--workers", "2", LOSSMETER_SHARED_MEMORY="1") as service, httpx.Client(base_url=service.url) as http:

        def of_each_worker(method: str, path: str, **options: Any) -> list[int]:
            """The status of an answer by each of the workers, while the others are stopped."""
            found = []
            for pid in service.workers():
                others = [other for other in service.workers() if other != pid]
                for other in others:
                    os.kill(other, signal.SIGSTOP)
                try:
                    # An open connection may be one to a worker that is stopped.
                    with httpx.Client(base_url=service.url, verify=False, timeout=30) as new:
                        found.append(new.request(method, path, **options).status_code)
                finally:
                    for other in others:
                        os.kill(other, signal.SIGCONT)
            return found

        wait_until(lambda: service.output.count("Application startup complete") == 2, "both workers serve")
        assert len(service.workers()) == 2
        assert register(http, given_object).status_code == 200
        assert of_each_worker("POST", CE, json=request()) == [200, 200]
        assert of_each_worker("GET", f"{SYSTEM}/region/r/status") == [200, 200]
        assert of_each_worker("POST", f"{SYSTEM}/region/r/unregister") == [200, 200]
        assert of_each_worker("POST", CE, json=request()) == [404, 404]


def test_without_a_gpu_its_memory_is_refused(shared: httpx.Client) -> None:
    assert "cuda_shared_memory" not in shared.get("/v2").json()["extensions"]
    given = {"raw_handle": {"b64": "A" * 86 + "=="}, "device_id": 0, "byte_size": 4}
    answer = shared.post(f"{CUDA}/region/g/register", json=given)
    assert (answer.status_code, "needs a GPU" in answer.json()["error"]) == (422, True)
    assert shared.get(f"{CUDA}/status").json() == []
    assert shared.get(f"{CUDA}/region/g/status").status_code == 404
    assert shared.post(f"{CUDA}/region/g/unregister").json() == {}
    assert shared.post(f"{CUDA}/unregister").json() == {}
