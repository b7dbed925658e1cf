"""Exceptions to the generated inputs, in a module for each family, by the name of the loss."""

from __future__ import annotations

import importlib
import pkgutil

from tests.support.inputs.declared._inputs import Cases, Inputs

__all__ = ["DECLARED", "Cases", "Inputs"]

DECLARED: dict[str, Inputs] = {}
for item in pkgutil.iter_modules(__path__):
    if item.name[0] != "_":
        module = importlib.import_module(f"{__name__}.{item.name}")
        assert not DECLARED.keys() & module.DECLARED, "two modules declare inputs of the same loss"
        DECLARED |= module.DECLARED
