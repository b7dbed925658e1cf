"""Addresses, keys and lines of the log that are not what they should be."""

from __future__ import annotations

from time import monotonic

import httpx

from lossmeter.keys import issue
from tests.programs.attacks.connections import counted
from tests.programs.attacks.target import Target

GUESSING_SECONDS = 5
FEWEST_GUESSES = 11
"""However busy the machine is."""
PATHS = (
    "/..",
    "/../../etc/passwd",
    "/static/../../settings.py",
    "/static/%2e%2e/%2e%2e/settings.py",
    "/static/..%2f..%2fsettings.py",
    "/static/..%5c..%5csettings.py",
    "/static//etc/passwd",
    "/static/%2fetc/passwd",
    "/static/console.js%00.txt",
    "/static/%00",
    "/static/" + "a/" * 5000,
    "/static/" + "a" * 5000,
    "/v1/losses/%2e%2e%2fruns",
    "/v1/runs/..%2f..%2fhealthz",
    "/v1/losses/%ff%fe",
    "/" + "%2e%2e%2f" * 1000,
    "/%0d%0aSet-Cookie:%20x=y",
)


def paths(target: Target) -> str:
    return counted([target.raw(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()) for path in PATHS])


def key_guessing(target: Target) -> str:
    """Against a server that asks for keys."""
    begin, found = monotonic(), []
    with httpx.Client(base_url=target.url) as http:
        while monotonic() - begin < GUESSING_SECONDS or len(found) < FEWEST_GUESSES:
            token = issue("guess", [])[1]
            found.append(str(http.get("/v1/losses", headers={"Authorization": f"Bearer {token}"}).status_code))
    return counted(found)


def log_injection(target: Target) -> str:
    forged = "INFO:     Uvicorn running on forged"
    before = len(target.service.output)
    for name in (b"X-Request-ID", b"User-Agent", b"Content-Type", b"Accept"):
        target.raw(
            b"POST /v1/losses/%0a"
            + forged.replace(" ", "%20").encode()
            + b" HTTP/1.1\r\n"
            + name
            + b": a\x1b[2J\tb\r\n\r\n"
        )
    log = target.service.output[before:]
    lines = [line for line in log.splitlines() if line.startswith(forged) or "\x1b" in line]
    return "no line" if not lines else f"{len(lines)} lines"
