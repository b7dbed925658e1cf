"""Runs: evaluations in many batches, which survive every process.

`Ledger` takes batches and gives reports; `Store` is what it asks of whatever keeps them, `SqlStore` the one that keeps them in
SQLite or PostgreSQL; `compare` sets two runs side by side.
"""

from lossmeter.runs.comparisons import compare
from lossmeter.runs.digests import digest
from lossmeter.runs.ledger import Ledger, plan_of
from lossmeter.runs.margins import Margin
from lossmeter.runs.run import Run
from lossmeter.runs.store import Batch, SqlStore, State, Store

__all__ = ["Batch", "Ledger", "Margin", "Run", "SqlStore", "State", "Store", "compare", "digest", "plan_of"]
