"""`lossmeter db`: keeps the database of runs and keys at the version that the program needs."""

from __future__ import annotations

import typer

from lossmeter.cli.failures import failures_exit
from lossmeter.settings import Settings


@failures_exit(1)
def upgrade_database() -> None:
    """Bring the database of runs (LOSSMETER_STORE_URL) to the form that this version needs."""
    from lossmeter.database import Database

    settings = Settings()
    database = Database(settings.store_url, settings.store_timeout_seconds)
    database.upgrade()
    typer.echo(f"{database.url.render_as_string(hide_password=True)} is up to date")
