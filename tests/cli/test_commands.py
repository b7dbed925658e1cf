"""The command line prints what the service knows, and serves."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from lossmeter import __version__
from lossmeter.api.models.catalogue import loss_entry
from lossmeter.catalogue.choosing import Choice
from lossmeter.catalogue.search import Match
from lossmeter.cli import program
from lossmeter.cli.loss_index import read_index
from lossmeter.losses import LOSSES
from lossmeter.losses.choosing import choose
from lossmeter.settings import Settings
from tests.support.processes import wait_until

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-c", "from lossmeter.cli import main; main()"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "service"), "COLUMNS": "120", "LOSSMETER_DEVICE": "cpu"}


@pytest.fixture(autouse=True)
def own_environment() -> Iterator[None]:
    """`serve` hands its options on to workers in the environment: not to the tests that follow."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def invoke(*arguments: str, **environment: str) -> Result:
    return CliRunner(env={"COLUMNS": "120", **environment}).invoke(program, arguments)


def test_losses_lists_every_loss() -> None:
    listed = invoke("losses")
    assert listed.exit_code == 0
    for loss in LOSSES.values():
        assert re.search(rf"^{loss.name}\b", listed.stdout, re.MULTILINE)


def test_losses_explains_one_and_its_alias() -> None:
    page = invoke("losses", "l1").stdout
    for title in ("mae", "Formula", "Tensors", "Use when", "Avoid when", "Source", "Example", "POST /v1/losses/mae"):
        assert title in page


def test_losses_are_chosen_with_the_reason() -> None:
    shown = " ".join(invoke("losses", "--for", "imbalance", "--task", "binary").stdout.split())
    assert shown.index("binary_focal") < shown.index("binary_cross_entropy_with_logits")
    assert "Easy cases fade out" in shown
    assert re.search(r"^ctc\b", invoke("losses", "--query", "speech").stdout, re.MULTILINE)
    assert "no loss for survival and counts" in invoke("losses", "--for", "counts", "--task", "survival").stdout
    refused = invoke("losses", "--for", "imbalanced")
    assert (refused.exit_code, "Did you mean imbalance?" in refused.stderr) == (1, True)
    assert "give one or the other" in invoke("losses", "mse", "--for", "imbalance").stderr


def test_an_unknown_loss_is_answered_with_the_nearest() -> None:
    refused = invoke("losses", "focl")
    assert refused.exit_code == 1
    assert "Did you mean focal?" in refused.stderr


def test_openapi_prints_the_committed_document() -> None:
    assert invoke("openapi").stdout == (ROOT / "openapi" / "openapi.json").read_text()


def test_settings_shows_what_the_environment_says() -> None:
    shown = invoke("settings", LOSSMETER_MAX_ELEMENTS="12345").stdout
    assert "12345" in shown
    for name in Settings.model_fields:
        assert f"LOSSMETER_{name.upper()}" in shown


OPTIONS = (
    "host port uds workers device threads log_level log_format tls_certificate tls_key drain_seconds grace_seconds"
)


def test_the_options_of_serve_are_settings() -> None:
    printed = invoke("serve", "--help", COLUMNS="200").stdout
    named = set(re.findall(r"--([a-z-]+)", printed)) - {"help"}
    assert named == {name.replace("_", "-") for name in OPTIONS.split()} | {"access-log", "no-access-log"}
    for name in (*OPTIONS.split(), "access_log"):
        assert f"[env var: LOSSMETER_{name.upper()}]" in printed


LIGHT = [
    "--help",
    "--version",
    "settings",
    "serve --help",
    "evaluate --help",
    "keys create ci",
    "keys list",
    "db upgrade",
    "metrics",
    "metrics auroc",
    "openapi",
    "losses",
    "losses mse",
    "losses --for imbalance --task binary --query rare",
]
HEAVY = (
    "evaluate docs/examples/predictions.csv --task binary --predictions-are probabilities --predictions p --labels y"
)
LOADED = """
import sys
from typer.testing import CliRunner
from lossmeter.cli import program
for command in {commands}:
    result = CliRunner().invoke(program, command.split())
    assert result.exit_code == 0, (command, result.output)
    print("torch" in sys.modules)
"""


def load_torch(*commands: str, store: Path) -> list[bool]:
    """Whether torch is loaded after each of some commands that one process runs."""
    program = [sys.executable, "-c", LOADED.format(commands=commands)]
    environment = {**ENVIRONMENT, "LOSSMETER_STORE_URL": f"sqlite:///{store}/keys.sqlite"}
    printed = subprocess.run(program, capture_output=True, text=True, env=environment, check=True, cwd=ROOT).stdout
    return [line == "True" for line in printed.splitlines()]


def test_what_computes_nothing_does_not_load_torch(tmp_path: Path) -> None:
    assert load_torch(*LIGHT, HEAVY, store=tmp_path) == [False] * len(LIGHT) + [True]


@pytest.mark.parametrize(
    "asked", [(None, None, None), ("binary", "imbalance", None), (None, None, "类别不平衡"), (None, None, "hubber")]
)
def test_the_index_of_losses_chooses_as_the_catalogue_does(asked: tuple[str | None, str | None, str | None]) -> None:
    def told(choices: list[Choice[Any]]) -> list[tuple[str, str, tuple[Match, ...]]]:
        return [(one.entry.name, one.reason, one.matched) for one in choices]

    assert told(read_index().choose(*asked)) == told(choose(*asked))


def test_the_index_of_losses_knows_all_their_names() -> None:
    index = read_index().entries
    assert [index.find(name).name for loss in LOSSES.values() for name in (loss.name, *loss.aliases)] == [
        loss.name for loss in LOSSES.values() for name in (loss.name, *loss.aliases)
    ]
    assert index.find("MSELoss").entry == loss_entry(LOSSES["mse"])
    for name in ("acc", "crossentrop", *(shared for loss in LOSSES.values() for shared in loss.shared_names)):
        assert index.explain(name) == LOSSES.explain(name)


def test_the_version_is_printed() -> None:
    assert invoke("--version").stdout == f"{__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("--log-level", "loud"), "loud"), (("--workers", "0"), "workers"), (("--port", "x"), "port")],
)
def test_serve_refuses_what_it_cannot_be(arguments: tuple[str, ...], message: str) -> None:
    refused = invoke("serve", *arguments)
    assert refused.exit_code == 2
    assert message in refused.stderr


@pytest.mark.parametrize(
    ("variables", "options", "code", "lines"),
    [
        (
            {"LOSSMETER_MAX_ELEMENTS": "x", "LOSSMETER_AUTH": "maybe"},
            [],
            2,
            [
                "MAX_ELEMENTS is 'x'; expected an integer",
                "LOSSMETER_AUTH is 'maybe'; expected 'auto', 'off' or 'required'",
            ],
        ),
        ({"LOSSMETER_STORE_URL": "foo"}, [], 2, ["LOSSMETER_STORE_URL is no URL; expected sqlite:///path"]),
        ({}, ["--device", "quantum"], 2, ["device 'quantum' cannot be used: expected auto"]),
        ({}, ["--host", "192.0.2.1"], 1, ["cannot listen on 192.0.2.1:8000: Cannot assign"]),
        ({}, ["--uds", "/nowhere/lossmeter.sock"], 1, ["cannot listen on /nowhere/lossmeter.sock: No such file"]),
        ({}, ["--tls-certificate", __file__], 2, [__file__.rpartition("/")[2]]),
    ],
)
def test_serve_says_in_a_line_why_it_cannot(
    variables: dict[str, str], options: list[str], code: int, lines: list[str]
) -> None:
    refused = invoke("serve", "--port", "8000", *options, COLUMNS="200", **variables)
    assert refused.exit_code == code, refused.output
    assert refused.stdout == ""
    for line in lines:
        assert line in refused.stderr


def test_serve_takes_no_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused = invoke("serve", "--port", port)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr == f"lossmeter: cannot listen on 127.0.0.1:{port}: Address already in use\n"


def test_settings_that_are_wrong_are_named_by_every_command() -> None:
    for command in ("settings", "keys list", "db upgrade"):
        refused = invoke(*command.split(), LOSSMETER_POOL_THREADS="0")
        assert refused.exit_code in (1, 2)
        assert refused.stderr == "settings: LOSSMETER_POOL_THREADS is '0'; expected a number of at least 1\n"


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
            wait_until(lambda: listening(path), "listening", 180)
            with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://lossmeter") as http:
                answer = http.post("/v1/losses/mse", json={"predictions": [1.0], "labels": [3.0]})
            assert answer.json()["value"] == 4.0
        finally:
            server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0
        assert server.stdout is not None
        assert str(path) in server.stdout.read()
