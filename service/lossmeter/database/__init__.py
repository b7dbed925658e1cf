"""The database of runs and keys: connections, tables, and migrations."""

from lossmeter.database.connections import Database

__all__ = ["Database"]
