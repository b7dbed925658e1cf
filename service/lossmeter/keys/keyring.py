"""Holds the keys in memory, so that a request need not ask the database.

All keys are read at once: a flood of tokens that nobody ever made causes no more than a reading a second.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic

from lossmeter.errors import StoreUnavailable, TooManyRequests, Unauthorized
from lossmeter.keys.bucket import Bucket
from lossmeter.keys.key import NOBODY, Key, id_of, now_microseconds
from lossmeter.keys.store import SqlKeys

log = logging.getLogger(__name__)

AGAIN_SECONDS = 1.0
"""Least time between two readings of the keys, and so the longest that a new one stays unknown."""
OUTAGE_SECONDS = 60.0
"""Known keys stay good for so long while the database cannot be reached."""
UNKNOWN = "The key is not one that this service knows."


class Keyring:
    """Holds the keys as they were a few seconds ago.

    What reads or changes them runs in one thread: a reading that began before a change does not undo it.

    Args:
        store: keeps them.
        fresh_seconds: how long what was read is good: a key that another process revokes is refused that much later at most.
        clock: seconds that never go back.
    """

    def __init__(self, store: SqlKeys, fresh_seconds: float, clock: Callable[[], float] = monotonic) -> None:
        self.store = store
        self.fresh_seconds = fresh_seconds
        self.clock = clock
        self._keys: dict[str, Key] = {}
        self._buckets: dict[str, Bucket] = {}
        self._read = self._tried = float("-inf")
        self._told = False

    def reading_due(self, token: str) -> bool | None:
        """Tells whether to read the keys before the token is authenticated; None if they had better be read soon."""
        now = self.clock()
        if now - self._tried < min(AGAIN_SECONDS, self.fresh_seconds):
            return False
        age = now - self._read
        if age >= self.fresh_seconds or id_of(token) not in self._keys:
            return True
        return None if age > self.fresh_seconds / 2 else False

    def knows(self, token: str) -> bool:
        """Returns whether the token claims to be of a key that is known."""
        return id_of(token) in self._keys

    @property
    def stale(self) -> bool:
        """True if the last attempt to read the keys has failed."""
        return self._tried > self._read

    def read(self) -> None:
        """Reads all keys.

        Raises:
            StoreUnavailable: the database cannot be reached, and what is known is too old to go by.
        """
        begin = self.clock()
        try:
            keys = {key.id: key for key in self.store.all()}
        except StoreUnavailable as error:
            self._tried = begin
            if begin - self._read > OUTAGE_SECONDS:
                raise StoreUnavailable(f"Keys cannot be looked up. {error.detail}") from None
            log.warning("keys cannot be read; those of %.0f seconds ago stay good", begin - self._read)
            return
        if not keys and not self._told:
            self._told = True
            log.warning("keys are asked for, and there are none yet: see `lossmeter keys create`, or LOSSMETER_AUTH")
        # A bucket goes on as it was, unless its key has other limits now.
        self._buckets = {
            name: bucket
            for name, bucket in self._buckets.items()
            if name in keys and (bucket.rate, bucket.burst) == (keys[name].requests_per_second, keys[name].burst)
        }
        self._keys = keys
        self._read = self._tried = begin

    def authenticate(self, token: str) -> Key:
        """Finds the key of a token.

        Raises:
            Unauthorized: if it is not good.
            StoreUnavailable: what is known is too old to go by.
        """
        if self.clock() - self._read > max(OUTAGE_SECONDS, self.fresh_seconds):
            raise StoreUnavailable("Keys cannot be looked up.")
        key_id = id_of(token)
        if key_id is None:
            raise Unauthorized("What follows Bearer is not a key of this service; expected lm_…", "invalid")
        key = self._keys.get(key_id)
        right = (key or NOBODY).matches(token)
        if key is None or not right:
            raise Unauthorized(UNKNOWN, "invalid")
        state = key.state(now_microseconds())
        if state != "good":
            raise Unauthorized(f"The key {key.id} {'has expired' if state == 'expired' else 'was revoked'}.", "invalid")
        return key

    def count(self, key: Key) -> None:
        """Counts a request.

        Raises:
            TooManyRequests: if there have been too many with this key.
        """
        if key.requests_per_second is None or key.burst is None:
            return
        now = self.clock()
        bucket = self._buckets.get(key.id)
        if bucket is None:
            bucket = self._buckets[key.id] = Bucket(key.requests_per_second, key.burst, key.burst, now)
        wait = bucket.take(now)
        if wait:
            raise TooManyRequests(f"The key {key.id} may be used {key.requests_per_second:g} times a second.", wait)

    def add(self, key: Key) -> None:
        """Keeps a new key, which this process knows at once."""
        self.store.add(key)
        self._keys = {**self._keys, key.id: key}

    def revoke(self, key_id: str) -> bool:
        """Makes a key useless, in this process at once; returns whether it had not been revoked before.

        Raises:
            NotFound: if there is none of that id.
        """
        revoked, changed = self.store.revoke(key_id, now_microseconds())
        self._keys = {**self._keys, key_id: revoked}
        return changed
