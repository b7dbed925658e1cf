from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.image.running import LOCKED_DOWN, PODMAN, Container, command, run_once, serving
from tests.support.postgres import Postgres

RUN = json.dumps(
    {"task": "multiclass", "predictions_are": "logits", "metrics": [{"metric": "accuracy"}], "losses": []}
).encode()
BATCH = json.dumps({"predictions": [[2.0, -1.0], [0.1, 1.5], [1.0, 0.0]], "labels": [0, 1, 1]}).encode()


@pytest.fixture
def volume() -> Iterator[str]:
    name = command("podman", "volume", "create").strip()
    yield name
    command("podman", "volume", "rm", name)


def accuracy(report: dict[str, Any]) -> float:
    (metric,) = report["metrics"]
    return float(metric["value"])


def recorded(container: Container) -> str:
    """The path of a run to which a batch was added."""
    status, run = container.request("POST", "/v1/runs", RUN)
    assert status == 201, run
    path = f"/v1/runs/{run['id']}"
    assert container.request("PUT", f"{path}/batches/0", BATCH)[0] == 201
    return path


def test_runs_outlive_the_container(image: str, volume: str) -> None:
    options = (*LOCKED_DOWN, f"--volume={volume}:/data")
    with serving(image, options=options) as container:
        container.wait_until_ready()
        path = recorded(container)
        subprocess.run([*PODMAN, "kill", "--signal=KILL", container.id], check=True, stdout=subprocess.DEVNULL)
    with serving(image, options=options) as container:
        container.wait_until_ready()
        assert accuracy(container.request("GET", path)[1]) == pytest.approx(2 / 3)


def test_a_key_that_was_made_in_the_container_opens_it(image: str, volume: str) -> None:
    with serving(image, options=(*LOCKED_DOWN, f"--volume={volume}:/data"), auth="required") as container:
        container.wait_until_ready()
        key = container.execute("lossmeter", "keys", "create", "test", "--scope", "runs:write").strip()
        assert container.request("POST", "/v1/runs", RUN)[0] == 401
        assert container.request("POST", "/v1/runs", RUN, Authorization=f"Bearer {key}")[0] == 201
        assert container.request("POST", "/v1/evaluate", BATCH, Authorization=f"Bearer {key}")[0] == 403
        command(*PODMAN, "healthcheck", "run", container.id)


def test_without_a_volume_runs_are_refused_and_the_rest_works(image: str) -> None:
    with serving(image) as container:
        container.wait_until_ready()
        status, problem = container.request("POST", "/v1/runs", RUN)
        assert status == 503
        assert "LOSSMETER_STORE_URL" in problem["detail"]
        assert (
            container.request("POST", "/v1/losses/mse", b'{"predictions": [1, 2], "labels": [1, 4]}')[1]["value"] == 2
        )


def test_two_containers_share_runs_in_postgresql(image: str) -> None:
    with Postgres() as database:
        database.home.chmod(0o755)
        options = (*LOCKED_DOWN, f"--volume={database.home}:{database.home}")
        given = f"--env=LOSSMETER_STORE_URL={database.url}"
        run_once(image, "db", "upgrade", options=(*options, given), entrypoint="lossmeter")
        with (
            serving(image, options=options, store_url=database.url) as one,
            serving(image, options=options, store_url=database.url) as other,
        ):
            one.wait_until_ready()
            other.wait_until_ready()
            assert accuracy(other.request("GET", recorded(one))[1]) == pytest.approx(2 / 3)
