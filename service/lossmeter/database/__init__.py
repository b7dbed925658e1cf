"""The database of runs and keys: how it is reached, its tables, and how they become the newest."""

from lossmeter.database.connections import Database

__all__ = ["Database"]
