"""The version of the tables: what it is, and how it becomes the newest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    folder = str(Path(__file__).parent / "migrations")
    scripts = ScriptDirectory(folder, version_locations=[folder])

    def missing(version: Any, _: Any) -> Any:
        return scripts._upgrade_revs("head", version)

    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        if engine.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(MIGRATION_LOCK)))
        with EnvironmentContext(Config(), scripts, fn=missing) as environment:
            environment.configure(connection=connection, transactional_ddl=True)
            environment.run_migrations()


def demand_newest(engine: Engine) -> None:
    """Makes sure that nothing is to be migrated.

    Raises:
        StoreUnavailable: the tables are missing, or not of the newest version.
    """
    with engine.connect() as connection:
        version = _version(connection)
    if version != HEAD:
        found = "no tables" if version is None else f"tables of version {version}"
        raise StoreUnavailable(f"The database of runs has {found}, not of version {HEAD}; run `lossmeter db upgrade`.")


def _version(connection: Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
