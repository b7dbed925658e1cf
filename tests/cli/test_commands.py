"""The command line prints what the service knows, and serves."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from lossmeter.losses import LOSSES
from lossmeter.settings import Settings

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-c", "from lossmeter.cli import main; main()"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "service"), "COLUMNS": "120", "LOSSMETER_DEVICE": "cpu"}


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        env={**ENVIRONMENT, **environment},
        timeout=120,
        check=False,
    )


def test_losses_lists_every_loss() -> None:
    listed = run("losses")
    assert listed.returncode == 0
    for loss in LOSSES.values():
        assert re.search(rf"^{loss.name}\b", listed.stdout, re.MULTILINE)


def test_losses_explains_one_and_its_alias() -> None:
    page = run("losses", "l1").stdout
    for title in ("mae", "Formula", "Tensors", "Use when", "Avoid when", "Source", "Example", "POST /v1/losses/mae"):
        assert title in page


def test_an_unknown_loss_is_answered_with_the_nearest() -> None:
    refused = run("losses", "focl")
    assert refused.returncode == 1
    assert "Did you mean focal?" in refused.stderr


def test_openapi_prints_the_committed_document() -> None:
    assert run("openapi").stdout == (ROOT / "openapi" / "openapi.json").read_text()


def test_settings_shows_what_the_environment_says() -> None:
    shown = run("settings", LOSSMETER_MAX_ELEMENTS="12345").stdout
    assert "12345" in shown
    for name in Settings.model_fields:
        assert f"LOSSMETER_{name.upper()}" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("--log-level", "loud"), "loud"), (("--workers", "0"), "workers"), (("--port", "x"), "port")],
)
def test_serve_refuses_what_it_cannot_be(arguments: tuple[str, ...], message: str) -> None:
    refused = run("serve", *arguments)
    assert refused.returncode == 2
    assert message in refused.stderr


def listening(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        return connection.connect_ex(str(path)) == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_serve_listens_on_a_unix_socket_and_stops_when_told(tmp_path: Path, workers: str) -> None:
    path = tmp_path / "lossmeter.sock"
    with subprocess.Popen(
        [*COMMAND, "serve", "--uds", str(path), "--workers", workers],
        stdout=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    ) as server:
        try:
            deadline = time.monotonic() + 60
            while not listening(path):
                assert time.monotonic() < deadline
                time.sleep(0.1)
            with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://lossmeter") as http:
                answer = http.post("/v1/losses/mse", json={"predictions": [1.0], "labels": [3.0]})
            assert answer.json()["value"] == 4.0
        finally:
            server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0
        assert server.stdout is not None
        assert str(path) in server.stdout.read()
