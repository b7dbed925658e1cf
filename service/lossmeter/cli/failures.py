"""Ends a command that fails: with a line on standard error that says why, and an exit code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from lossmeter.errors import LossmeterError

INTERRUPTED = 130


@contextmanager
def failures_exit(code: int) -> Iterator[None]:
    """Exits with this code on errors that a user can do something about, and with 130 when interrupted."""
    try:
        yield
    except LossmeterError as error:
        raise failure(error, error.detail, code) from None
    except KeyboardInterrupt as error:
        raise failure(error, "Interrupted.", INTERRUPTED) from None


def failure(error: BaseException, message: str, code: int) -> typer.Exit:
    """Prints the message, and the notes that the error gathered on its way; returns the exit to raise."""
    for line in (message, *getattr(error, "__notes__", ())):
        typer.echo(line, err=True)
    return typer.Exit(code)
