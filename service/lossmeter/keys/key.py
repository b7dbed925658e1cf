"""Defines keys: what they allow, and their tokens, of which only a digest is kept.

A token is `lm_`, twelve characters that name the key and are no secret, `_`, and 256 random bits in 43 characters. So much
chance needs no slow hash: there is nothing to guess, and one round of SHA-256 cannot be undone.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import re
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from lossmeter.errors import Invalid

Scope = Literal["evaluate", "runs:read", "runs:write", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
"""The scopes of a key: losses and evaluations; reading runs; changing runs; everything."""

TOKEN = re.compile(r"lm_([a-z2-7]{12})_[A-Za-z0-9_-]{43}")
SECRET = re.compile(r"(lm(?:_|%5[Ff])[a-z2-7]{12}(?:_|%5[Ff]))[A-Za-z0-9_%-]+")
KEY_ID = re.compile(r"[a-z2-7]{12}")
ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
ID_LENGTH = 12
SECRET_BYTES = 32
MAX_NAME_LENGTH = 200
MAX_REQUESTS_PER_SECOND = 1e9
MAX_BURST = 2**31 - 1
MAX_BODY_BYTES = 2**63 - 1
LATEST = 253_402_300_799 * 1_000_000
"""The end of 9999, in microseconds since 1970: no later time can be written."""


@dataclass(frozen=True, slots=True)
class Key:
    """Holds what is known of a key.

    Attributes:
        id: the public part of its token.
        name: for people.
        digest: SHA-256 of its token.
        scopes: what it allows; none at all still opens the catalogue.
        created, expires, revoked: microseconds since 1970; it is good until it expires, or is revoked, if ever.
        requests_per_second: that each worker takes from it on average, and `burst` at once; none for any number.
        max_body_bytes: the largest body that is read from it, if less than the server reads anyway.
    """

    id: str
    name: str
    digest: bytes = field(repr=False)
    scopes: frozenset[str]
    created: int
    expires: int | None = None
    revoked: int | None = None
    requests_per_second: float | None = None
    burst: int | None = None
    max_body_bytes: int | None = None

    def matches(self, token: str) -> bool:
        """Returns whether this is the token of the key, in the same time wherever it differs."""
        return hmac.compare_digest(digest_of(token), self.digest)

    def allows(self, scope: str | None) -> bool:
        """Returns whether the key covers a scope."""
        return scope is None or scope in self.scopes or "admin" in self.scopes

    def state(self, now: int) -> Literal["good", "expired", "revoked"]:
        """Returns the state of the key at a moment, in microseconds since 1970."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= now else "good"


def issue(
    name: str,
    scopes: Iterable[str],
    *,
    expires: int | None = None,
    requests_per_second: float | None = None,
    burst: int | None = None,
    max_body_bytes: int | None = None,
) -> tuple[Key, str]:
    """Makes a new key and its token, which nobody can find out later.

    Raises:
        Invalid: if no key can be like that.
    """
    if not name or len(name) > MAX_NAME_LENGTH or not name.isprintable():
        raise Invalid.at("keys", "/name", f"the name has 1 to {MAX_NAME_LENGTH} characters, all of them printable")
    wanted = frozenset(scopes)
    unknown = sorted(wanted - set(SCOPES))
    if unknown:
        raise Invalid.at("keys", "/scopes", f"{unknown[0]!r} is not a scope; expected {', '.join(SCOPES)}")
    if requests_per_second is not None and not 0 < requests_per_second <= MAX_REQUESTS_PER_SECOND:
        message = f"requests_per_second is a number above 0, at most {MAX_REQUESTS_PER_SECOND:.0f}"
        raise Invalid.at("keys", "/requests_per_second", message)
    if burst is not None and (requests_per_second is None or not 1 <= burst <= MAX_BURST):
        message = f"burst is an integer from 1 to {MAX_BURST}, and needs requests_per_second"
        raise Invalid.at("keys", "/burst", message)
    if max_body_bytes is not None and not 1 <= max_body_bytes <= MAX_BODY_BYTES:
        raise Invalid.at("keys", "/max_body_bytes", f"max_body_bytes is an integer from 1 to {MAX_BODY_BYTES}")
    now = now_microseconds()
    if expires is not None and expires <= now:
        raise Invalid.at("keys", "/expires", "the key would have expired already")
    if expires is not None and expires > LATEST:
        raise Invalid.at(
            "keys", "/expires", "expires is 9999-12-31T23:59:59Z at the latest; left out, the key never expires"
        )
    key_id = "".join(secrets.choice(ALPHABET) for _ in range(ID_LENGTH))
    token = f"lm_{key_id}_{secrets.token_urlsafe(SECRET_BYTES)}"
    if requests_per_second is not None and burst is None:
        burst = max(1, math.ceil(requests_per_second))
    limits = (requests_per_second, burst, max_body_bytes)
    return Key(key_id, name, digest_of(token), wanted, now, expires, None, *limits), token


def described(key: Key) -> dict[str, Any]:
    """Returns what may be known of a key, and nothing by which its token could be found out."""
    return {
        "id": key.id,
        "name": key.name,
        "state": key.state(now_microseconds()),
        "scopes": sorted(key.scopes),
        "created": _time(key.created),
        "expires": None if key.expires is None else _time(key.expires),
        "revoked": None if key.revoked is None else _time(key.revoked),
        "requests_per_second": key.requests_per_second,
        "burst": key.burst,
        "max_body_bytes": key.max_body_bytes,
    }


def _time(moment: int) -> str:
    return datetime.fromtimestamp(min(moment, LATEST) // 1_000_000, UTC).isoformat()


NOBODY = Key("", "", bytes(32), frozenset(), 0)
"""Stands for a key that does not exist, so that an unknown id takes as long as a wrong token."""


def id_of(token: str) -> str | None:
    """Reads the id of the key that a token claims to belong to; None if it is no token at all."""
    match = TOKEN.fullmatch(token)
    return None if match is None else match[1]


def without_secrets(text: str) -> str:
    """Returns a text with the secret part of every token in it, even of one that is cut short, replaced by `***`."""
    return SECRET.sub(r"\1***", text)


def digest_of(token: str) -> bytes:
    """Computes the digest of a token, which is all that is kept of it."""
    return hashlib.sha256(token.encode("ascii")).digest()


def now_microseconds() -> int:
    """Returns the present in microseconds since 1970."""
    return time.time_ns() // 1000
