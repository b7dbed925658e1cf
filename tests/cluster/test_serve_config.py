"""The config of Ray Serve in `docker/ray`, run as it stands but for its address, its database and the size of its cluster.

Needs Ray: `make test-ray`.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any, Self

import httpx
import pytest
import yaml

from tests.support.ports import reserve_port

with warnings.catch_warnings():  # those of Ray's own code
    warnings.simplefilter("ignore")
    pytest.importorskip("ray", reason="Ray is not installed: make test-ray")
    from ray import serve
    from ray.cluster_utils import Cluster

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore")]

BODY = {"predictions": [[0.5, 1.0]], "labels": [1]}
CLIENTS = 8
CHANGES = {"min_replicas": 1, "max_replicas": 2, "target_ongoing_requests": 2, "upscale_delay_s": 1}
"""Of the scaling: as much as two nodes of one core carry, and as soon as few clients ask."""


class Load:
    """Clients that ask one after the other until they are told to stop, and count how they were answered."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.answers: Counter[str] = Counter()
        self._enough = Event()
        self._threads = [Thread(target=self._ask) for _ in range(CLIENTS)]

    def __enter__(self) -> Self:
        for one in self._threads:
            one.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        for one in self._threads:
            one.join()

    def _ask(self) -> None:
        with httpx.Client(base_url=self.address, timeout=120) as client:
            while not self._enough.is_set():
                try:
                    answer = client.post("/v1/losses/cross_entropy", json=BODY)
                except httpx.ConnectError:
                    self.answers["nobody"] += 1
                    return
                except httpx.HTTPError as error:
                    self.answers[type(error).__name__] += 1
                else:
                    self.answers[str(answer.status_code)] += 1


@contextmanager
def running(config: Path, cluster: Cluster) -> Iterator[subprocess.Popen[bytes]]:
    """Runs the config as `serve run` does, and ends it by SIGINT."""
    command = [str(Path(sys.executable).parent / "serve"), "run", str(config), "--address", cluster.address]
    with subprocess.Popen(command) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(300)


def until(found: Any, seconds: float = 300) -> None:
    """Waits for something that comes in its own time."""
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end
        time.sleep(0.5)


def answers(address: str) -> bool:
    try:
        return httpx.post(f"{address}/v1/losses/cross_entropy", json=BODY, timeout=60).status_code == 200
    except httpx.HTTPError:
        return False


def replicas() -> int:
    """How many replicas run."""
    found = serve.status().applications["lossmeter"].deployments["lossmeter"]
    return found.replica_states.get("RUNNING", 0)


@pytest.mark.usefixtures("serve_ended")
def test_the_config_serves_scales_under_load_and_ends_without_dropping_a_request(
    cluster: Cluster, second: Callable[[], Any], tmp_path: Path
) -> None:
    second()
    config = yaml.safe_load(Path("docker/ray/serve.yaml").read_text())
    with ExitStack() as reserved:
        port = reserved.enter_context(reserve_port()).getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    config["proxy_location"] = "HeadOnly"
    config["http_options"] |= {"host": "127.0.0.1", "port": port}
    (application,) = config["applications"]
    store = {"LOSSMETER_STORE_URL": f"sqlite:///{tmp_path / 'runs.db'}", "LOSSMETER_AUTH": "off"}
    application["runtime_env"]["env_vars"] |= store
    application["deployments"][0]["autoscaling_config"] |= CHANGES
    path = tmp_path / "serve.yaml"
    path.write_text(yaml.safe_dump(config))
    with running(path, cluster) as process:
        until(lambda: process.poll() is None and answers(address))
        assert replicas() == 1
        with Load(address) as load:
            until(lambda: replicas() == 2)
            serve.delete("lossmeter")
    assert load.answers["200"] > 0
    assert set(load.answers) <= {"200", "404", "503"}, load.answers  # what came after is told so
    assert process.returncode == 0
