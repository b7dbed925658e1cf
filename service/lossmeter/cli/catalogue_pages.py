"""The catalogues of losses and metrics as pages of the terminal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from lossmeter.cli.layout import section, table

if TYPE_CHECKING:
    from lossmeter.api.models.loss_entries import LossEntry, RoleModel
    from lossmeter.api.models.metrics import MetricEntry
    from lossmeter.catalogue import Description
    from lossmeter.catalogue.choosing import Choice


def loss_table(entries: Iterable[Description]) -> Table:
    """Lists losses, one a line."""
    page = table("loss", "family", "what it is")
    for entry in entries:
        name = ", ".join((entry.name, *entry.aliases))
        page.add_row(Text(name, "bold"), entry.family, entry.summary)
    return page


def choice_table(choices: Iterable[Choice[Any]]) -> Table:
    """Lists losses that were chosen, the best first, with the reason."""
    page = table("loss", "tasks", "why")
    for choice in choices:
        page.add_row(Text(choice.entry.name, "bold"), ", ".join(choice.entry.tasks), Text(choice.reason))
    return page


def loss_page(entry: LossEntry) -> RenderableType:
    """Tells all about one loss."""
    tensors = section("Tensors", _roles([*entry.roles, *entry.tensor_parameters]))
    value = f"{entry.examples[0].answer['value']:g}"
    return _page(entry, tensors, entry.returns, f"/v1/losses/{entry.name}", value)


def metric_table(entries: Sequence[MetricEntry]) -> Table:
    """Lists metrics, one a line."""
    page = table("metric", "tasks", "what it is")
    for entry in entries:
        page.add_row(Text(", ".join((entry.name, *entry.aliases)), "bold"), ", ".join(entry.tasks), entry.summary)
    return page


def metric_page(entry: MetricEntry) -> RenderableType:
    """Tells all about one metric."""
    tasks = section("Tasks", Text(", ".join(entry.tasks)))
    value = json.dumps(entry.examples[0].answer["value"])
    return _page(entry, tasks, f"{entry.returns}\n{metric_range(entry)}", "/v1/evaluate", value)


def _page(
    entry: LossEntry | MetricEntry, inputs: Sequence[RenderableType], gives: str, path: str, value: str
) -> RenderableType:
    return Group(
        Text(entry.name, "bold") + Text(f"  {entry.summary}", "default"),
        "",
        Text(entry.explanation),
        *section("Formula", Text(entry.formula)),
        *inputs,
        *(section("Parameters", _parameters(entry)) if entry.parameters else ()),
        *section("Gives", Text(gives)),
        *section("Use when", Text(entry.use_when)),
        *section("Avoid when", Text(entry.avoid_when)),
        *section("Source", Text(entry.source)),
        *section("Example", Text(f"POST {path}\n{json.dumps(entry.examples[0].request)}")),
        Padding(Text(f"gives value {value}"), (0, 0, 0, 2)),
    )


def metric_range(entry: MetricEntry) -> str:
    """Says between what bounds a metric lies, and which end is the better one."""
    bounds = {
        (False, False): "Any number",
        (True, False): f"At least {entry.minimum}",
        (False, True): f"At most {entry.maximum}",
        (True, True): f"From {entry.minimum} to {entry.maximum}",
    }[entry.minimum is not None, entry.maximum is not None]
    better = {True: "; higher is better.", False: "; lower is better.", None: "."}[entry.higher_is_better]
    return bounds + better


def _roles(roles: Sequence[RoleModel]) -> Table:
    page = table("", "", "", "")
    for role in roles:
        meanings = " or ".join(meaning.partition(":")[0] for meaning in role.meaning)
        page.add_row(Text(role.name, "bold"), " or ".join(role.shape), meanings, Text(role.description))
    return page


def _parameters(entry: LossEntry | MetricEntry) -> Table:
    page = table("", "", "")
    for parameter in entry.parameters:
        page.add_row(Text(parameter.name, "bold"), f"default {parameter.default}", Text(parameter.description))
    return page
