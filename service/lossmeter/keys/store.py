"""Keeps keys in a table beside those of runs."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from lossmeter.database import Database
from lossmeter.database.tables import KEYS
from lossmeter.errors import NotFound
from lossmeter.keys.key import Key

COLUMNS = [column.name for column in KEYS.columns]


class SqlKeys:
    """Keeps keys in a database. Everything raises `StoreUnavailable` if that cannot be reached."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def add(self, key: Key) -> None:
        """Keeps a new key."""
        row = {name: getattr(key, name) for name in COLUMNS} | {"scopes": " ".join(sorted(key.scopes))}
        with self.database.writing() as connection:
            connection.execute(sa.insert(KEYS).values(row))

    def all(self) -> list[Key]:
        """Returns every key that was ever made, the newest first."""
        with self.database.reading() as connection:
            rows = connection.execute(sa.select(KEYS).order_by(KEYS.c.created.desc(), KEYS.c.id))
            return [_key(row) for row in rows]

    def revoke(self, key_id: str, now: int) -> tuple[Key, bool]:
        """Makes a key useless for ever; it stays in the list. Returns it, and whether it had not been revoked before.

        Raises:
            NotFound: if there is none of that id.
        """
        change = sa.update(KEYS).where(KEYS.c.id == key_id, KEYS.c.revoked.is_(None)).values(revoked=now)
        with self.database.writing() as connection:
            changed = connection.execute(change).rowcount == 1
            row = connection.execute(sa.select(KEYS).where(KEYS.c.id == key_id)).one_or_none()
            if row is None:
                raise NotFound(f"{key_id!r} is not a key.")
            return _key(row), changed


def _key(row: Any) -> Key:
    fields = dict(row._mapping)
    fields["scopes"] = frozenset(fields["scopes"].split())
    fields["digest"] = bytes(fields["digest"])
    return Key(**fields)
