"""Catalogue and settings as they are printed in a terminal."""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from lossmeter.api.models.catalogue import LossEntry, RoleModel
from lossmeter.api.models.metrics import MetricEntry
from lossmeter.settings import Settings

PASSWORD = re.compile(r"(://[^:/@]*:)[^@]*@")
"""Of a URL."""


def loss_table(entries: Sequence[LossEntry]) -> Table:
    """All losses, one a line."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in ("loss", "family", "what it is"):
        table.add_column(title)
    for entry in entries:
        name = ", ".join((entry.name, *entry.aliases))
        table.add_row(Text(name, "bold"), entry.family, entry.summary)
    return table


def loss_page(entry: LossEntry) -> RenderableType:
    """All about one loss."""
    example = entry.examples[0]
    return Group(
        Text(entry.name, "bold") + Text(f"  {entry.summary}", "default"),
        "",
        Text(entry.explanation),
        *_section("Formula", Text(entry.formula)),
        *_section("Tensors", _roles([*entry.roles, *entry.tensor_parameters])),
        *(_section("Parameters", _parameters(entry)) if entry.parameters else ()),
        *_section("Gives", Text(entry.returns)),
        *_section("Use when", Text(entry.use_when)),
        *_section("Avoid when", Text(entry.avoid_when)),
        *_section("Source", Text(entry.source)),
        *_section("Example", Text(f"POST /v1/losses/{entry.name}\n{json.dumps(example.request)}")),
        Padding(Text(f"gives value {example.answer['value']:g}"), (0, 0, 0, 2)),
    )


def metric_table(entries: Sequence[MetricEntry]) -> Table:
    """All metrics, one a line."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in ("metric", "tasks", "what it is"):
        table.add_column(title)
    for entry in entries:
        table.add_row(Text(", ".join((entry.name, *entry.aliases)), "bold"), ", ".join(entry.tasks), entry.summary)
    return table


def metric_page(entry: MetricEntry) -> RenderableType:
    """All about one metric."""
    example = entry.examples[0]
    return Group(
        Text(entry.name, "bold") + Text(f"  {entry.summary}", "default"),
        "",
        Text(entry.explanation),
        *_section("Formula", Text(entry.formula)),
        *_section("Tasks", Text(", ".join(entry.tasks))),
        *(_section("Parameters", _parameters(entry)) if entry.parameters else ()),
        *_section("Gives", Text(f"{entry.returns}\n{metric_range(entry)}")),
        *_section("Use when", Text(entry.use_when)),
        *_section("Avoid when", Text(entry.avoid_when)),
        *_section("Source", Text(entry.source)),
        *_section("Example", Text(f"POST /v1/evaluate\n{json.dumps(example.request)}")),
        Padding(Text(f"gives value {json.dumps(example.answer['value'])}"), (0, 0, 0, 2)),
    )


def metric_range(entry: MetricEntry) -> str:
    """Between what bounds it lies, and which end is the better one."""
    bounds = {
        (False, False): "Any number",
        (True, False): f"At least {entry.minimum}",
        (False, True): f"At most {entry.maximum}",
        (True, True): f"From {entry.minimum} to {entry.maximum}",
    }[entry.minimum is not None, entry.maximum is not None]
    better = {True: "; higher is better.", False: "; lower is better.", None: "."}[entry.higher_is_better]
    return bounds + better


def settings_table(settings: Settings) -> Table:
    """All settings: variable, value, meaning."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in ("variable", "value", "meaning"):
        table.add_column(title)
    meanings = setting_meanings()
    for name in type(settings).model_fields:
        shown = PASSWORD.sub(r"\1…@", str(getattr(settings, name)))
        table.add_row(Text(f"LOSSMETER_{name.upper()}", "bold"), shown, meanings[name])
    return table


def keys_table(keys: list[dict[str, Any]]) -> Table:
    """All keys, without what nobody may see."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in ("id", "name", "state", "scopes", "created", "expires", "limits"):
        table.add_column(title, overflow="fold")
    for key in keys:
        often = f"{key['requests_per_second']:g}/s, {key['burst']} at once" if key["requests_per_second"] else ""
        large = f"{key['max_body_bytes']} bytes" if key["max_body_bytes"] else ""
        table.add_row(
            Text(key["id"], "bold"),
            Text(key["name"]),
            key["state"],
            " ".join(key["scopes"]),
            key["created"][:10],
            (key["expires"] or "")[:10],
            ", ".join(filter(None, (often, large))),
        )
    return table


def setting_meanings() -> dict[str, str]:
    """The sentence that stands under each setting in its class."""
    (body,) = ast.parse(inspect.getsource(Settings)).body
    assert isinstance(body, ast.ClassDef)
    meanings: dict[str, str] = {}
    for field, note in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(note, ast.Expr):
            assert isinstance(note.value, ast.Constant)
            meanings[field.target.id] = " ".join(str(note.value.value).split())
    return meanings


def _section(title: str, content: RenderableType) -> tuple[RenderableType, ...]:
    return "", Text(title, "bold"), Padding(content, (0, 0, 0, 2))


def _roles(roles: Sequence[RoleModel]) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for role in roles:
        meanings = " or ".join(meaning.partition(":")[0] for meaning in role.meaning)
        table.add_row(Text(role.name, "bold"), " or ".join(role.shape), meanings, Text(role.description))
    return table


def _parameters(entry: LossEntry | MetricEntry) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for parameter in entry.parameters:
        table.add_row(Text(parameter.name, "bold"), f"default {parameter.default}", Text(parameter.description))
    return table
