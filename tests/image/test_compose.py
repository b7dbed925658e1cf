from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import yaml

from tests.image.building import ROOT, command
from tests.image.running import PODMAN, Container, free_port

FOLDER = ROOT / "docker"
COMPOSE = (str(Path(sys.executable).with_name("podman-compose")), "--in-pod=false", "--podman-args=--runtime runc")
PASSWORD = {"LOSSMETER_STORE_PASSWORD": "secret", "GRAFANA_PASSWORD": "secret"}
VARIANTS = {"cpu": (), "gpu": ("gpu",), "postgresql": ("postgresql",), "all": ("gpu", "postgresql", "monitoring")}
WRITES = {"grafana"}  # to places of its own choosing


def compose(*arguments: str, files: list[Path], **environment: str) -> str:
    chosen = [f"--file={file}" for file in files]
    return command(*COMPOSE, *chosen, *arguments, env={**os.environ, **environment})


def services(variant: str) -> dict[str, dict[str, object]]:
    files = [FOLDER / "compose.yaml", *(FOLDER / f"compose.{name}.yaml" for name in VARIANTS[variant])]
    found: dict[str, dict[str, object]] = yaml.safe_load(compose("config", files=files, **PASSWORD))["services"]
    return found


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_service_is_locked_down(variant: str) -> None:
    for name, service in services(variant).items():
        assert service.get("read_only") is True or name in WRITES
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "mem_limit" in service


def test_only_this_machine_can_reach_it_unless_told_otherwise() -> None:
    ports = {name: service["ports"] for name, service in services("all").items() if "ports" in service}
    assert ports == {"lossmeter": ["127.0.0.1:8000:8000"], "grafana": ["127.0.0.1:3000:3000"]}


def test_the_password_of_the_store_has_no_default() -> None:
    with pytest.raises(RuntimeError, match="choose a password"):
        compose("config", files=[FOLDER / "compose.yaml", FOLDER / "compose.postgresql.yaml"])


def test_it_comes_up_and_goes_down(image: str, tmp_path: Path) -> None:
    port = free_port()
    here = {
        "image": image,
        "network_mode": "host",
        "environment": {"LOSSMETER_PORT": port},
        "ulimits": {"nofile": 1024, "nproc": 4096},
    }
    override = tmp_path / "compose.here.yaml"
    text = yaml.safe_dump({"services": {"lossmeter": here}})
    override.write_text(text.replace("network_mode:", "ports: !reset []\n    network_mode:"))
    files = [FOLDER / "compose.yaml", override]
    project = f"--project-name=lossmeter{port}"
    try:
        compose(project, "up", "--detach", "--no-build", files=files)
        (name,) = command(*PODMAN, "ps", "--filter", f"name=lossmeter{port}", "--format", "{{.Names}}").split()
        container = Container(name, port)
        container.wait_until_ready()
        assert (
            container.request("POST", "/v1/losses/mse", b'{"predictions": [1, 2], "labels": [1, 4]}')[1]["value"] == 2
        )
    finally:
        compose(project, "down", files=files)
