"""Everything public says what it is."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import lossmeter
from lossmeter.settings import Settings

PACKAGE = Path(lossmeter.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
PUBLIC = [path for path in FILES if path.stem == "__init__" or not path.stem.startswith("_")]
LIMIT = 400
"""Lines that a file of the package may have."""


def named(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def public(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Neither underscored nor a building block of metrics, which explain what they build on."""
    blocks = [ast.unparse(decorator) for decorator in node.decorator_list]
    return not node.name.startswith("_") and not any(block.startswith("statistic(") for block in blocks)


def undocumented(source: str) -> Iterator[str]:
    """The public classes and functions without a docstring, or a line in a tree that the module's docstring draws."""
    module = ast.parse(source)
    told = ast.get_docstring(module)
    if not told:
        yield "the module"
    for node in module.body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) or not public(node):
            continue
        if not ast.get_docstring(node) and f"── {node.name} " not in (told or ""):
            yield node.name


def test_public_names_have_a_docstring() -> None:
    assert len(PUBLIC) > 200
    missing = {named(path): list(undocumented(path.read_text())) for path in PUBLIC}
    assert {path: names for path, names in missing.items() if names} == {}


def test_no_file_is_too_long() -> None:
    lines = {named(path): len(path.read_text().splitlines()) for path in FILES}
    assert {path: count for path, count in lines.items() if count > LIMIT} == {}


def test_every_setting_is_documented() -> None:
    assert all((field.description or "").endswith(".") for field in Settings.model_fields.values())


def test_what_is_not_documented_is_found() -> None:
    tree = "'''A tree.\n\n├── Drawn    it is\n'''\n"
    source = "def told():\n    'Does.'\ndef bare(): ...\ndef _private(): ...\nclass Drawn: ...\nclass Bare: ...\n"
    assert list(undocumented(tree + source)) == ["bare", "Bare"]
    assert list(undocumented("x = 1")) == ["the module"]


def test_main_py_does_nothing_but_import() -> None:
    main = PACKAGE.parent / "main.py"
    assert [type(node) for node in ast.parse(main.read_text()).body] == [ast.ImportFrom, ast.Assign]
