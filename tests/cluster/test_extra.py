"""Without Ray, what needs it says which extra brings it, and nothing else needs it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lossmeter.cli import program


@pytest.fixture(autouse=True)
def without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "ray"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "ray", None)


def test_the_engine_names_its_extra(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("p,y\n0.5,1\n")
    options = ["--task", "binary", "--predictions-are", "probabilities", "--predictions", "p", "--labels", "y"]
    found = CliRunner().invoke(program, ["evaluate", str(tmp_path / "d.csv"), *options, "--engine", "ray"])
    assert (found.exit_code, "install lossmeter[ray]." in found.output) == (2, True), found.output
    both = CliRunner().invoke(program, ["evaluate", "-", *options, "--engine", "ray", "--server", "http://127.0.0.1:1"])
    assert (both.exit_code, "a service computes by itself" in both.output) == (2, True), both.output


def test_the_deployment_names_its_extra() -> None:
    from lossmeter import cluster

    with pytest.raises(ModuleNotFoundError, match=r"install lossmeter\[ray\]"):
        _ = cluster.app
    with pytest.raises(AttributeError):
        _ = cluster.other


def test_a_replica_asks_everybody_for_a_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from lossmeter.cluster import deployment
    from lossmeter.settings import Settings

    monkeypatch.setenv("LOSSMETER_STORE_URL", f"sqlite:///{tmp_path / 'runs.db'}")
    seen: list[Settings] = []
    monkeypatch.setattr("lossmeter.api.app.create_app", seen.append)
    for auth in ("auto", "off", "required"):
        monkeypatch.setenv("LOSSMETER_AUTH", auth)
        deployment.build()
    assert [one.auth for one in seen] == ["required", "off", "required"]


def test_a_replica_takes_its_share_of_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    from lossmeter.cluster import deployment
    from lossmeter.settings import Settings

    seen: list[Settings] = []
    monkeypatch.setattr("lossmeter.api.app.create_app", seen.append)
    monkeypatch.setattr("lossmeter.cpus.available", lambda: 16)
    for cores in ("1", "4", "32"):
        monkeypatch.setenv("OMP_NUM_THREADS", cores)
        deployment.build()
    monkeypatch.setenv("LOSSMETER_WORKERS", "2")
    deployment.build()
    assert [one.workers for one in seen] == [16, 4, 1, 2]
    assert [one.torch_threads for one in seen] == [1, 4, 16, 8]
