"""The config of Ray Serve in `docker/ray`, as it stands but for its address, its database and the size of its cluster.

Needs Ray: `make test-ray`.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.load import Load
from tests.support.ports import reserve_port
from tests.support.processes import ready, wait_until

with warnings.catch_warnings():  # those of Ray's own code
    warnings.simplefilter("ignore")
    pytest.importorskip("ray", reason="Ray is not installed: make test-ray")
    from ray import serve
    from ray.cluster_utils import Cluster

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("serve_ended")]

SERVE = str(Path(sys.executable).parent / "serve")
CHANGES = {"min_replicas": 1, "max_replicas": 2, "target_ongoing_requests": 2, "upscale_delay_s": 1}
"""Of the scaling: as much as two nodes of one core carry, and as soon as few clients ask."""
PATIENCE_SECONDS = 300
ANSWERS = {"200", "404", "503"}
"""While an application is deleted: what comes after is told so."""


@dataclass(frozen=True)
class Config:
    """The config, on a port of its own.

    Attributes:
        path: where it is written.
        url: where the service is.
    """

    path: Path
    url: str

    def change(self, name: str, value: str) -> None:
        """Gives the application an environment variable."""
        content = yaml.safe_load(self.path.read_text())
        content["applications"][0]["runtime_env"]["env_vars"][name] = value
        self.path.write_text(yaml.safe_dump(content))


@pytest.fixture
def config(tmp_path: Path) -> Config:
    content = yaml.safe_load(Path("docker/ray/serve.yaml").read_text())
    with ExitStack() as reserved:
        port = reserved.enter_context(reserve_port()).getsockname()[1]
    content["proxy_location"] = "HeadOnly"
    content["http_options"] |= {"host": "127.0.0.1", "port": port}
    (application,) = content["applications"]
    application["deployments"][0]["autoscaling_config"] |= CHANGES
    path = tmp_path / "serve.yaml"
    path.write_text(yaml.safe_dump(content))
    found = Config(path, f"http://127.0.0.1:{port}")
    found.change("LOSSMETER_STORE_URL", f"sqlite:///{tmp_path / 'runs.db'}")
    found.change("LOSSMETER_AUTH", "off")
    return found


def wait(holds: Callable[[], object], what: str) -> None:
    """Waits for what comes in its own time, and takes no time of a machine that has little."""
    wait_until(holds, what, PATIENCE_SECONDS, pause_seconds=0.5)


@contextmanager
def running(config: Config, cluster: Cluster) -> Iterator[subprocess.Popen[bytes]]:
    """Runs the config as `serve run` does, and ends it by SIGINT."""
    with subprocess.Popen([SERVE, "run", str(config.path), "--address", cluster.address]) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(300)


def deploy(config: Config, dashboard: str) -> None:
    """Hands the config to the dashboard of a cluster."""
    subprocess.run([SERVE, "deploy", str(config.path), "--address", dashboard], check=True)


def application() -> Any:
    """What Ray Serve says of the application."""
    return serve.status().applications["lossmeter"]


def replicas() -> int:
    """How many replicas run."""
    return int(application().deployments["lossmeter"].replica_states.get("RUNNING", 0))


def test_the_config_serves_scales_under_load_and_ends_without_dropping_a_request(
    cluster: Cluster, second: Callable[[], Any], config: Config
) -> None:
    second()
    with running(config, cluster) as process:
        wait(lambda: process.poll() is not None or ready(config.url), "served")
        assert replicas() == 1
        with Load(config.url) as load:
            wait(lambda: replicas() == 2, "scaled")
            serve.delete("lossmeter")
    assert load.answers["200"] > 0
    assert set(load.answers) <= ANSWERS, load.answers
    assert process.returncode == 0


def test_a_cluster_takes_the_config_and_a_change_of_it_without_dropping_a_request(
    cluster: Cluster, second: Callable[[], Any], config: Config, dashboard: str
) -> None:
    second()
    deploy(config, dashboard)
    wait(lambda: ready(config.url), "deployed")
    with Load(config.url) as load:
        wait(lambda: replicas() == 2, "scaled")
        config.change("LOSSMETER_AUTH", "required")
        deploy(config, dashboard)
        wait(lambda: load.answers["401"], "changed")
        wait(lambda: application().status == "RUNNING", "replaced")
    assert load.answers["200"] > 0
    assert set(load.answers) <= {"200", "401"}, load.answers
