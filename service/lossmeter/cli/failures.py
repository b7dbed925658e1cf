"""Ends a command that fails: with lines on standard error that say why, all of it, and an exit code."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from lossmeter.errors import Flaw, LossmeterError

if TYPE_CHECKING:
    from lossmeter.client import Client

INTERRUPTED = 130
MORE = re.compile(r" \(and \d+ more\)$")
LISTING = re.compile(r"\bGET /v1/(losses|metrics)\b")
ROUTE = re.compile(r"\b(?:GET|POST|PUT|PATCH|DELETE) /v1/\S+: ")
"""Of the service: whoever types commands knows none."""


@contextmanager
def failures_exit(code: int) -> Iterator[None]:
    """Exits with this code on errors that a user can do something about, and with 130 when interrupted."""
    try:
        yield
    except LossmeterError as error:
        raise failure(error, described(error.detail, error.flaws), code) from None
    except KeyboardInterrupt as error:
        raise failure(error, "Interrupted.", INTERRUPTED) from None


@contextmanager
def connected(server: str, code: int) -> Iterator[Client]:
    """Gives a client of a service, and exits with this code where that refuses, or cannot be reached.

    Raises:
        typer.BadParameter: the address is none.
    """
    from lossmeter.client import Client, Problem, ServiceError

    try:
        client = Client(server)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--server") from None
    try:
        with client:
            yield client
    except Problem as error:
        told = described(error.detail or error.title, error.errors)
        raise failure(error, f"{server}: {told} [{error.status}, request {error.request_id}]", code) from None
    except ServiceError as error:
        raise failure(error, f"{server}: {error}", code) from None


def described(detail: str, flaws: Sequence[Flaw]) -> str:
    """Tells all that is wrong, the first in the line of the detail, every other one in a line of its own."""
    first = MORE.sub("", detail) if len(flaws) > 1 else detail
    return "\n".join([first, *(f"  {flaw.message}" for flaw in flaws[1:])])


def failure(error: BaseException, message: str, code: int) -> typer.Exit:
    """Prints the message, and the notes that the error gathered on its way; returns the exit to raise."""
    for line in (message, *getattr(error, "__notes__", ())):
        typer.echo(ROUTE.sub("", LISTING.sub(r"`lossmeter \1`", line)), err=True)
    return typer.Exit(code)
