"""Imports Ray, which comes with an extra of its own, and says so where it is missing."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def imported(name: str) -> Any:
    """Imports a module of Ray.

    Raises:
        ModuleNotFoundError: the extra is not installed.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        message = f"{error}: install lossmeter[ray]"
        raise ModuleNotFoundError(message, name=error.name) from None
