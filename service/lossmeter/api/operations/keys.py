"""Makes keys."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import NamedTuple

from lossmeter.api.addresses import KEYS
from lossmeter.api.models.keys import KeyWithToken, key_model, parse_key
from lossmeter.api.negotiation import JSON
from lossmeter.api.operation import JSON_CONTENT, Answer, DatabaseOperation, DecodedRequest, Negotiated
from lossmeter.keys import Key, Keyring
from lossmeter.scheduling.store_threads import StoreThreads

log = logging.getLogger(__name__)

NO_STORE = "no-store"
"""Of answers that nothing on the way may keep."""


class Issued(NamedTuple):
    """A key, and its token, which nothing else holds."""

    key: Key
    token: str


@dataclass(frozen=True)
class MakeKey(DatabaseOperation[Issued, None, KeyWithToken]):
    """Answers `POST /v1/keys`.

    Args:
        keyring: keeps the key.
        store: the thread that reads and changes keys.
        root_path: before the address of keys, as the client reaches it.
        maker: id of the key that asks.
    """

    keyring: Keyring
    store: StoreThreads
    root_path: str
    maker: str

    max_body_bytes = 1 << 16

    def decode(self, body: bytearray, negotiated: Negotiated) -> DecodedRequest[Issued, None]:
        return DecodedRequest(Issued(*parse_key(negotiated.reader.decode(body, frozenset()))), None)

    def compute(self, work: Issued) -> KeyWithToken:
        # Made before the key is kept, which is of no use to anybody without its token.
        answer = KeyWithToken(key=key_model(work.key), token=work.token)
        self.keyring.add(work.key)
        log.info("key %s was made by key %s", work.key.id, self.maker)
        return answer

    def encode(self, form: None, result: KeyWithToken, negotiated: Negotiated) -> Answer:  # noqa: ARG002
        location = (b"location", f"{self.root_path}{KEYS}/{result.key.id}".encode("latin-1"))
        headers = (JSON_CONTENT, location, (b"cache-control", NO_STORE.encode()))
        return Answer(JSON.encode(result.model_dump(mode="json"), base64=False), headers, status=201)
