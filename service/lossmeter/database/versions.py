"""Brings the tables to the newest version, or makes sure that they have it."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from lossmeter.database.tables import HEAD
from lossmeter.errors import StoreUnavailable

# Any number that no other program takes: migrations of several processes wait for each other.
MIGRATION_LOCK = 0x6C6F73736D


def migrate(engine: Engine) -> None:
    """Applies the migrations that are missing, in one transaction; processes that do so at once wait for each other."""
    with engine.connect() as connection:
        if _version(connection) == HEAD:
            return
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    folder = str(Path(__file__).parent / "migrations")
    scripts = ScriptDirectory(folder, version_locations=[folder])
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        if engine.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(MIGRATION_LOCK)))
        context = MigrationContext.configure(connection)
        missing = list(scripts.iterate_revisions("head", context.get_current_revision() or "base"))
        with Operations.context(context):
            for script in reversed(missing):
                script.module.upgrade()
        context.stamp(scripts, "head")


def demand_newest(engine: Engine) -> None:
    """Makes sure that nothing is to be migrated.

    Raises:
        StoreUnavailable: the tables are missing, or not of the newest version.
    """
    with engine.connect() as connection:
        version = _version(connection)
    if version != HEAD:
        present = "no tables" if version is None else f"tables of version {version}"
        raise StoreUnavailable(
            f"The database of runs has {present}, not of version {HEAD}; run `lossmeter db upgrade`."
        )


def _version(connection: Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
