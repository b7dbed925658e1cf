"""`/v1/keys`: keys listed, made and revoked. The door lets nobody in here without a key of the scope `admin`."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.types import Receive, Scope, Send

from lossmeter.api.access import check_scope
from lossmeter.api.addresses import KEYS
from lossmeter.api.exchange import respond
from lossmeter.api.models.keys import EXAMPLE, KeyList, key_model
from lossmeter.api.openapi.answers import error_answers
from lossmeter.api.openapi.operations import json_content, request_body
from lossmeter.api.operations.keys import NO_STORE, MakeKey
from lossmeter.api.raw_routes import add_raw_route
from lossmeter.api.resources import Resources
from lossmeter.errors import KeysOff, NotFound
from lossmeter.keys import Keyring
from lossmeter.keys.key import KEY_ID, now_microseconds
from lossmeter.telemetry.request import request_state

log = logging.getLogger(__name__)

NEWEST = 1000
"""Keys that are listed whether they are good or not: those that are not become more for ever."""
OFF = (
    "This server asks nobody for a key (LOSSMETER_AUTH=off), so that it cannot know who may manage them. "
    "Whoever may write to its database can, with `lossmeter keys`."
)


def router(resources: Resources) -> APIRouter:
    """Returns the routes."""
    routes = APIRouter(tags=["keys"])
    thread = resources.key_thread

    async def answer_make(scope: Scope, receive: Receive, send: Send) -> None:
        keyring, maker = _administered(resources.keyring, scope)
        making = MakeKey(keyring, thread, scope.get("root_path", ""), maker)
        await respond(making, resources.limits, scope, receive, send)

    @routes.get(KEYS, operation_id="list_keys", summary="Keys, newest first, also those that are not good any more")
    async def list_keys(request: Request, response: Response) -> KeyList:
        """What is known of them, and never a token. Of keys that are not good any more those among the newest 1,000."""
        keyring, _ = _administered(resources.keyring, request.scope)
        response.headers["Cache-Control"] = NO_STORE
        keys, now = await thread.run(keyring.store.all), now_microseconds()
        shown = (key for place, key in enumerate(keys) if place < NEWEST or key.state(now) == "good")
        return KeyList(keys=[key_model(key) for key in shown])

    add_raw_route(routes, "POST", KEYS, answer_make, **MAKE)

    @routes.delete(
        KEYS + "/{key_id}",
        operation_id="revoke_key",
        summary="Make a key useless for ever",
        status_code=204,
        responses=error_answers(404),
    )
    async def revoke_key(key_id: str, request: Request) -> None:
        """It stays in the list; once more has no effect."""
        keyring, revoker = _administered(resources.keyring, request.scope)
        if not KEY_ID.fullmatch(key_id):
            raise NotFound("There is no such key.")  # what was given may be a token
        if await thread.run(keyring.revoke, key_id):
            log.info("key %s was revoked by key %s", key_id, revoker)

    return routes


def _administered(keyring: Keyring | None, scope: Scope) -> tuple[Keyring, str]:
    """Returns the keyring, and the id of the key that asks for it.

    Raises:
        KeysOff: nobody was asked for one.
        Forbidden: it may not manage keys. The door has said so before, if it knows this address.
    """
    key = request_state(scope).key
    if keyring is None or key is None:
        raise KeysOff(OFF)
    check_scope(key, "admin")
    return keyring, key.id


MAKE: dict[str, Any] = {
    "operation_id": "make_key",
    "summary": "Make a key",
    "description": "Its token is in this answer only.",
    "status_code": 201,
    "openapi_extra": request_body("KeyRequest", {"example": {"value": EXAMPLE}}),
    "responses": {
        201: {
            "description": "A new key, and its token.",
            "headers": {"Location": {"description": "Address of the key.", "schema": {"type": "string"}}},
            "content": json_content("KeyWithToken"),
        }
    },
}
