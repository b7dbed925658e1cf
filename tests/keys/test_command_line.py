"""`lossmeter keys`: a token is shown once, and nothing else that is secret ever."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from lossmeter.cli import program
from lossmeter.keys.key import TOKEN, digest_of


@pytest.fixture(autouse=True)
def _own_database(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LOSSMETER_STORE_URL", f"sqlite:///{tmp_path}/keys.sqlite")
    monkeypatch.setenv("COLUMNS", "200")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(program, ["keys", *arguments])


def test_the_token_alone_stands_on_standard_output() -> None:
    made = run("create", "ci", "--scope", "evaluate", "--scope", "runs:write")
    assert made.exit_code == 0
    assert TOKEN.fullmatch(made.stdout.strip())
    assert "evaluate, runs:write" in made.stderr


def test_no_list_shows_a_token_or_its_digest() -> None:
    made = json.loads(run("create", "ci", "--days", "1", "--requests-per-second", "5", "--json").stdout)
    secret = made["token"].split("_", 2)[2]
    shown = run("list").stdout + run("list", "--json").stdout + run("revoke", made["id"]).stdout + run("list").stdout
    assert made["id"] in shown
    assert "5/s, 5 at once" in shown
    assert secret not in shown
    assert digest_of(made["token"]).hex() not in shown


def test_a_revoked_key_stays_in_the_list_as_such() -> None:
    made = json.loads(run("create", "ci", "--json").stdout)
    assert run("revoke", made["id"]).exit_code == 0
    (listed,) = json.loads(run("list", "--json").stdout)
    assert (listed["id"], listed["state"]) == (made["id"], "revoked")


def test_what_cannot_be_done_is_said() -> None:
    unknown = run("revoke", "nobody")
    assert (unknown.exit_code, unknown.stderr) == (1, "'nobody' is not a key.\n")
    wrong = run("create", "ci", "--scope", "root")
    assert wrong.exit_code == 1
    late = run("create", "ci", "--days", "3000000")
    assert (late.exit_code, late.stdout) == (1, "")
    assert "9999-12-31T23:59:59Z at the latest" in late.stderr
    assert "'root' is not a scope; expected evaluate, runs:read, runs:write, admin" in wrong.stderr
    for days in ("nan", "inf"):
        endless = run("create", "ci", "--days", days)
        assert (endless.exit_code, endless.stdout) == (2, "")
        assert "--days" in endless.stderr


def test_the_password_of_the_store_is_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOSSMETER_STORE_URL", "postgresql://me:hunter2@host/name")
    shown = CliRunner().invoke(program, ["settings"]).stdout
    assert "hunter2" not in shown
    assert "postgresql://me:…@host/name" in shown
