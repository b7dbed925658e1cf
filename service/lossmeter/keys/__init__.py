"""API keys: what a client may do, until when and how often. A token cannot be computed from what is kept of it.

`issue` makes a `Key` and its token; `SqlKeys` keeps keys in the database of runs, and `Keyring` holds them in memory for a few
seconds.
"""

from lossmeter.keys.key import SCOPES, Key, Scope, described, issue
from lossmeter.keys.keyring import Keyring
from lossmeter.keys.store import SqlKeys

__all__ = ["SCOPES", "Key", "Keyring", "Scope", "SqlKeys", "described", "issue"]
