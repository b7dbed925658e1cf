"""`lossmeter db upgrade` makes a database ready, or says why not."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from lossmeter.cli import program
from lossmeter.database.connections import resolve_url
from tests.support.postgres import Postgres


def upgrade(monkeypatch: pytest.MonkeyPatch, url: str) -> tuple[int, str]:
    monkeypatch.setenv("LOSSMETER_STORE_URL", url)
    result = CliRunner().invoke(program, ["db", "upgrade"])
    return result.exit_code, result.output


def test_a_database_is_made_ready_as_often_as_wanted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for _ in range(2):
        assert upgrade(monkeypatch, f"sqlite:///{tmp_path}/a.sqlite") == (
            0,
            f"sqlite:///{tmp_path}/a.sqlite is up to date\n",
        )


def test_postgresql_too(monkeypatch: pytest.MonkeyPatch, postgres: Postgres) -> None:
    assert upgrade(monkeypatch, postgres.url)[0] == 0


def test_a_database_that_cannot_be_reached_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    code, told = upgrade(monkeypatch, "postgresql://nobody:secret@127.0.0.1:1/none")
    assert (code, told) == (1, "The database of runs cannot be reached.\n")


def test_without_a_url_runs_are_among_the_data_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert resolve_url("").database == str(tmp_path / "lossmeter" / "runs.sqlite")
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert resolve_url("").database == str(tmp_path / ".local" / "share" / "lossmeter" / "runs.sqlite")


def test_a_database_of_another_kind_is_refused_at_the_start() -> None:
    with pytest.raises(ValueError, match="names mysql; expected sqlite or postgresql"):
        resolve_url("mysql://host/name")
