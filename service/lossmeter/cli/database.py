"""`lossmeter db`: keeps the database of runs and keys at the version that the program needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from lossmeter.cli.failures import failures_exit
from lossmeter.cli.settings import read_settings
from lossmeter.errors import Invalid
from lossmeter.settings import Settings

if TYPE_CHECKING:
    from lossmeter.database import Database


def open_database(settings: Settings) -> Database:
    """Opens the database of the settings.

    Raises:
        Invalid: they name none.
    """
    from lossmeter.database import Database

    try:
        return Database(settings.store_url, settings.store_timeout_seconds)
    except ValueError as error:
        raise Invalid.at("settings", "/store_url", str(error)) from None


@failures_exit(1)
def upgrade_database() -> None:
    """Bring the database of runs (LOSSMETER_STORE_URL) to the form that this version needs."""
    database = open_database(read_settings())
    database.upgrade()
    typer.echo(f"{database.url.render_as_string(hide_password=True)} is up to date")
