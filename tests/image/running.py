"""Containers of the image, as locked down as they can be, and requests to them."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.image.building import command

PODMAN = ("podman", "--runtime", "runc")
LOCKED_DOWN = ("--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--memory=2g")
# Defaults above those of the machine cannot be set from within another container.
LIMITS = ("--network=host", "--pull=never", "--ulimit=nofile=1024:1024", "--ulimit=nproc=4096:4096")
# Nothing here runs systemd, which would schedule the checks.
os.environ["DISABLE_HC_SYSTEMD"] = "true"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def run_once(image: str, *arguments: str, options: tuple[str, ...] = LOCKED_DOWN, entrypoint: str = "python") -> str:
    """What a command prints in a container of its own."""
    return command(*PODMAN, "run", "--rm", *LIMITS, *options, f"--entrypoint={entrypoint}", image, *arguments)


@dataclass
class Container:
    """A container that serves."""

    id: str
    port: int
    begin: float = field(default_factory=time.perf_counter)

    def request(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any]:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.request(method, path, body, headers | ({"Content-Type": "application/json"} if body else {}))
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())

    def status(self, method: str, path: str, body: bytes | None = None) -> int:
        """The status of an answer that is read and forgotten, however large."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
            answer = connection.getresponse()
            while answer.read(1 << 20):
                pass
            return answer.status

    def wait_until_ready(self, seconds: float = 120) -> float:
        """Seconds from the start of the container until it was ready."""
        while time.perf_counter() - self.begin < seconds:
            with suppress(OSError, http.client.HTTPException):
                if self.request("GET", "/readyz")[0] == 200:
                    return time.perf_counter() - self.begin
            time.sleep(0.01)
        raise TimeoutError(f"not ready within {seconds} seconds:\n{self.logs()}")

    def execute(self, *arguments: str) -> str:
        return command(*PODMAN, "exec", self.id, *arguments)

    def processor_seconds(self) -> float:
        """Time that the first process has spent computing."""
        user, system = self.execute("cat", "/proc/1/stat").rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def terminate(self) -> None:
        command(*PODMAN, "kill", "--signal=TERM", self.id)

    def exit_code(self, seconds: float = 60) -> int:
        """The code with which it ended; fails if it runs on for longer than that."""
        return int(command(*PODMAN, "wait", self.id, timeout=seconds))

    def changes(self) -> list[str]:
        """Paths in the image that differ in the container."""
        return command("podman", "diff", self.id).split("\n")[:-1]

    def logs(self) -> str:
        return subprocess.run(
            ["podman", "logs", self.id], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ).stdout


@contextmanager
def serving(
    image: str, *arguments: str, options: tuple[str, ...] = LOCKED_DOWN, **settings: str | int
) -> Iterator[Container]:
    """A container that was just started, with these settings, and that is removed in the end."""
    port = free_port()
    given = (
        f"--env=LOSSMETER_{name.upper()}={value}" for name, value in {"port": port, "auth": "off", **settings}.items()
    )
    begin = time.perf_counter()
    container = Container(
        command(*PODMAN, "run", "-d", *LIMITS, *options, *given, image, *arguments).strip(), port, begin
    )
    try:
        yield container
    finally:
        command(*PODMAN, "rm", "--force", "--time=0", container.id)


@contextmanager
def serving_pod(image: str, deployment: dict[str, Any], folder: Path) -> Iterator[Container]:
    """A pod of a Deployment, run by podman, which has no cluster: host networking, no probes."""
    port = free_port()
    deployment = deepcopy(deployment)
    deployment["spec"]["replicas"] = 1
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    for name in ("ports", "startupProbe", "readinessProbe", "livenessProbe"):
        del container[name]
    container |= {"image": image, "imagePullPolicy": "Never"}
    container["env"].append({"name": "LOSSMETER_PORT", "value": str(port)})
    manifest, settings = folder / "pod.yaml", folder / "containers.conf"
    manifest.write_text(yaml.safe_dump(deployment))
    settings.write_text('[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]\n')
    environment = {**os.environ, "CONTAINERS_CONF": str(settings)}
    begin = time.perf_counter()
    try:
        command(*PODMAN, "play", "kube", "--network=host", manifest, env=environment)
        yield Container(f"{deployment['metadata']['name']}-pod-0-{container['name']}", port, begin)
    finally:
        command(*PODMAN, "play", "kube", "--down", manifest, env=environment)
