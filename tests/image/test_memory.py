from __future__ import annotations

import http.client
import json
import subprocess
import threading
from collections import Counter
from pathlib import Path

import pytest

from tests.image.running import LOCKED_DOWN, PODMAN, Container, serving
from tests.image.test_compose import services
from tests.image.test_kubernetes import pod_of

CLIENTS = 8
ROUNDS = 2


def of_deployment() -> tuple[int, dict[str, str]]:
    """How much memory the pod has, in bytes, and its settings."""
    (container,) = pod_of("overlays/cpu")["containers"]
    memory = container["resources"]["limits"]["memory"]
    assert memory.endswith("Gi")
    return int(memory[:-2]) << 30, {each["name"]: each["value"] for each in container["env"]}


def dearest(elements: int) -> bytes:
    """A request with so many elements, each in two bytes of JSON, that asks for everything that takes room."""
    half = b",".join([b"0,1"] * (elements // 4))
    wanted = {"gradients": ["predictions", "labels"], "precision": "float64", "reduction": "none"}
    return b'{"predictions": [%b], "labels": [%b], %b' % (half, half, json.dumps(wanted).encode()[1:])


def peak(container: Container) -> int:
    """The most memory that the first process ever had, in bytes."""
    (line,) = (line for line in container.execute("cat", "/proc/1/status").splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def test_the_dearest_requests_fit_into_the_memory_of_the_pod(image: str, figures: dict[str, str]) -> None:
    memory, environment = of_deployment()
    settings = {name.removeprefix("LOSSMETER_").lower(): value for name, value in environment.items()}
    body = dearest(int(settings["max_elements"]))
    statuses: Counter[int] = Counter()
    with serving(image, options=(*LOCKED_DOWN, f"--memory={memory}"), **settings) as container:
        container.wait_until_ready()
        before = peak(container)

        def post() -> None:
            for _ in range(ROUNDS):
                statuses[container.status("POST", "/v1/losses/mse", body)] += 1

        threads = [threading.Thread(target=post) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        after = peak(container)
        assert container.request("GET", "/readyz")[0] == 200
    figures["memory"] = (
        f"{before / 1e6:.0f} MB when ready, {after / 1e6:.0f} MB at most under {CLIENTS} clients with requests of "
        f"{settings['max_elements']} elements ({dict(statuses)})"
    )
    assert statuses[200] >= 4
    assert statuses.keys() <= {200, 503}
    assert after < 0.8 * memory


def test_one_element_more_is_refused(image: str) -> None:
    with serving(image, max_elements=1000) as container:
        container.wait_until_ready()
        assert container.status("POST", "/v1/losses/mse", dearest(1000)) == 200
        assert container.status("POST", "/v1/losses/mse", dearest(1004)) == 413


def test_more_memory_than_there_is_ends_the_server(image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # podman leaves a file called oom behind
    with serving(image, options=(*LOCKED_DOWN, "--memory=600m")) as container:
        container.wait_until_ready()
        with pytest.raises((OSError, http.client.HTTPException)):
            container.status("POST", "/v1/losses/mse", dearest(40_000_000))
        killed = subprocess.run([*PODMAN, "wait", container.id], text=True, stdout=subprocess.PIPE).stdout
        assert int(killed) == 137


def test_compose_gives_as_much_memory_for_the_same_limits() -> None:
    memory, environment = of_deployment()
    service = services("cpu")["lossmeter"]
    assert service["mem_limit"] == f"{memory >> 30}g"
    given = service["environment"]
    assert isinstance(given, dict)
    limits = {name for name in environment if "_MAX_" in name}
    assert {name: str(given[name]) for name in limits} == {name: environment[name] for name in limits}
