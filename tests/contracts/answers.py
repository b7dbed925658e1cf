"""What the service answers to the examples of its catalogue, asked in process."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from lossmeter.api.app import create_app
from lossmeter.api.models.loss_entries import LossEntry
from lossmeter.settings import Settings

LOSSES = "/v1/losses/"
CURL = re.compile(r"curl http://127\.0\.0\.1:8000/v1/losses/(\w+).*?-d '(.*?)'", re.DOTALL)


@dataclass(frozen=True)
class Exchange:
    """A request and its answer, both as JSON objects."""

    request: dict[str, Any]
    answer: dict[str, Any]


def of_examples(entries: Sequence[LossEntry]) -> dict[str, list[Exchange]]:
    """Every example of every loss, with its answer."""
    found = asyncio.run(_ask({LOSSES + entry.name: _requests(entry) for entry in entries}))
    return {entry.name: found[LOSSES + entry.name] for entry in entries}


def of_posts(path: str, bodies: Sequence[dict[str, Any]]) -> list[Exchange]:
    """Requests to one address, with their answers."""
    return asyncio.run(_ask({path: list(bodies)}))[path]


def of_command(text: str) -> Exchange:
    """The first request that a text makes with curl, with its answer."""
    found = CURL.search(text)
    if found is None:
        raise ValueError("there is no curl command that posts a loss")
    loss, body = found.groups()
    return of_posts(LOSSES + loss, [json.loads(body)])[0]


def _requests(entry: LossEntry) -> list[dict[str, Any]]:
    first, *others = [example.request for example in entry.examples]
    wanted = next(role.name for role in entry.roles if role.differentiable)
    return [{**first, "gradients": [wanted]}, *others]


async def _ask(requests: dict[str, list[dict[str, Any]]]) -> dict[str, list[Exchange]]:
    app = create_app(Settings(device="cpu"))
    found: dict[str, list[Exchange]] = {}
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://lossmeter") as client,
    ):
        for name, bodies in requests.items():
            found[name] = []
            for body in bodies:
                response = await client.post(name, content=json.dumps(body))
                response.raise_for_status()
                found[name].append(Exchange(body, response.json()))
    return found
