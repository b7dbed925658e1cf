"""Everything public says what it is."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import lossmeter
from lossmeter.console.terminal import setting_meanings
from lossmeter.settings import Settings

MODULES = ["lossmeter", *(module.name for module in pkgutil.walk_packages(lossmeter.__path__, "lossmeter."))]
NEEDED = {"lossmeter.client.jax": "jax"}
"""Modules that need a library which only their own tests install."""
LIMIT = 400
"""Lines that a file of the package may have."""


def loaded(name: str) -> ModuleType:
    """A module; where its library is not installed, the test is skipped."""
    if name in NEEDED:
        pytest.importorskip(NEEDED[name])
    return importlib.import_module(name)


def documented(module: ModuleType, name: str, value: object) -> bool:
    """Whether it has a docstring, or a line in a tree that the module's docstring draws."""
    return bool((value.__doc__ or "").strip()) or f"── {name} " in (module.__doc__ or "")


def public(module: ModuleType) -> Iterator[tuple[str, object]]:
    """Classes and functions that a module defines and that have no leading underscore."""
    for name, value in vars(module).items():
        mine = getattr(value, "__module__", None) == module.__name__
        if not name.startswith("_") and mine and (inspect.isclass(value) or inspect.isfunction(value)):
            yield name, value


@pytest.mark.parametrize("name", [name for name in MODULES if "._" not in name])
def test_public_names_have_a_docstring(name: str) -> None:
    module = loaded(name)
    assert (module.__doc__ or "").strip(), f"{name} has no docstring"
    assert [attribute for attribute, value in public(module) if not documented(module, attribute, value)] == []


@pytest.mark.parametrize("name", MODULES)
def test_no_file_is_too_long(name: str) -> None:
    source = inspect.getsource(loaded(name))
    assert len(source.splitlines()) <= LIMIT


def test_every_setting_is_documented() -> None:
    meanings = setting_meanings()
    assert set(meanings) == set(Settings.model_fields)
    assert all(meaning.endswith(".") for meaning in meanings.values())


def test_an_undocumented_function_is_found() -> None:
    module = ModuleType("module")
    exec("def told():\n    'Does.'\ndef bare(): ...\ndef _private(): ...", vars(module))
    assert [name for name, value in public(module) if not documented(module, name, value)] == ["bare"]


def test_main_py_does_nothing_but_import() -> None:
    main = Path(lossmeter.__file__).parents[1] / "main.py"
    assert [type(node) for node in ast.parse(main.read_text()).body] == [ast.ImportFrom, ast.Assign]
