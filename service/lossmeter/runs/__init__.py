"""Runs: evaluations in many batches, which survive every process.

`Ledger` takes batches and gives reports; `Store` is what it asks of whatever keeps them, `SqlStore` the one that keeps them in
SQLite or PostgreSQL.
"""

from lossmeter.runs.digests import digest
from lossmeter.runs.edits import MAX_TAGS, RunEdit, tag_of
from lossmeter.runs.ledger import Ledger, plan_of
from lossmeter.runs.run import StoredRun
from lossmeter.runs.store import SqlStore, Store, StoredBatch, StoredState

__all__ = [
    "MAX_TAGS",
    "Ledger",
    "RunEdit",
    "SqlStore",
    "Store",
    "StoredBatch",
    "StoredRun",
    "StoredState",
    "digest",
    "plan_of",
    "tag_of",
]
