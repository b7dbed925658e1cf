"""API keys: who may do what, until when and how often. What is kept of a token does not give it back.

`Key` is what is known of one, `issue` makes one with its token; `SqlKeys` keeps them in the database of runs, `Keyring` knows
those of the last seconds by heart.
"""

from lossmeter.keys.key import SCOPES, Key, Scope, issue
from lossmeter.keys.keyring import Keyring
from lossmeter.keys.store import SqlKeys

__all__ = ["SCOPES", "Key", "Keyring", "Scope", "SqlKeys", "issue"]
