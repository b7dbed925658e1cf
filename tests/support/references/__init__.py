"""One independent reference per loss: the unreduced values in float64, from numpy, scipy or mpmath, never from torch.

A reference is a public function of a module here, a module for each family; it has the name of its loss and takes its arguments
as numpy arrays and plain parameters, under the same names.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from types import FunctionType
from typing import Any

from tests.support.references._exact import Array

REFERENCES: dict[str, Callable[..., Array]] = {}


def collect(module: Any) -> None:
    """Adds the public functions that a module defines.

    Raises:
        ValueError: another module has a reference of that name.
    """
    for name, function in vars(module).items():
        if isinstance(function, FunctionType) and function.__module__ == module.__name__ and name[0] != "_":
            if name in REFERENCES:
                raise ValueError(f"{name}: there are two references of this name")
            REFERENCES[name] = function


for item in pkgutil.iter_modules(__path__):
    if item.name[0] != "_":
        collect(importlib.import_module(f"{__name__}.{item.name}"))
