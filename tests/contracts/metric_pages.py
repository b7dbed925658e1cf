"""The pages about metrics and evaluations that are generated, as Markdown."""

from __future__ import annotations

import json
from collections.abc import Sequence

from lossmeter.api.models.evaluation import EvaluateRequest
from lossmeter.api.models.metrics import MetricEntry
from lossmeter.cli.catalogue_pages import metric_range
from lossmeter.evaluation.criteria import usual as usual_losses
from lossmeter.evaluation.metrics import usual
from lossmeter.metrics import TASKS
from tests.contracts.answers import Exchange
from tests.contracts.pages import (
    NOTE,
    URL,
    answer_block,
    by_family,
    default_text,
    listed,
    parameter_row,
    schema_words,
    sentence,
    table,
)

INDEX = """\
{count} metrics. Each is measured by [`POST /v1/evaluate`](../evaluation.md) and described at `GET /v1/metrics/{{name}}`. \
All take `sample_weight` and `mask`."""
INTERVALS = {
    "mean": "Its interval is Student's, from moments",
    "proportion": "Its interval is Wilson's",
    "bootstrap": "Its interval comes from the bootstrap",
    "none": "No interval is known",
}


def metric_page(entry: MetricEntry) -> str:
    """All about one metric."""
    tasks = [f"{task} ({' or '.join(ares)})" for task, ares in entry.predictions_are.items()]
    state = listed(f"`{name}`" for name in entry.state)
    grows = " That is as large as the data, unless scores are kept in a histogram (`curves`)." if entry.grows else ""
    blocks = [
        NOTE,
        f"# {entry.name}",
        entry.summary,
        *([f"Also answers to {listed(f'`{alias}`' for alias in entry.aliases)}."] if entry.aliases else []),
        entry.explanation,
        f"$$\n{entry.formula}\n$$",
        f"For the tasks {listed(tasks)}.",
        *(
            ["## Parameters", table(("name", "values", "default", "meaning"), map(parameter_row, entry.parameters))]
            if entry.parameters
            else []
        ),
        "## Result",
        f"{sentence(entry.kind.replace('_', ' '))} {sentence(entry.returns)} {metric_range(entry)}",
        f"{INTERVALS[entry.interval]}: see [confidence](../confidence.md).",
        f"It is a function of {state}: see [statistics](../statistics.md).{grows}",
        "## Use when",
        sentence(entry.use_when),
        "## Avoid when",
        sentence(entry.avoid_when),
        "## Example",
        *(block for example in entry.examples for block in _example(example.request, example.answer["value"])),
        "## Source",
        sentence(entry.source),
    ]
    return "\n\n".join(blocks) + "\n"


def _example(request: dict[str, object], value: object) -> list[str]:
    return [command(request), f"gives the value `{json.dumps(value)}`."]


def command(request: dict[str, object], path: str = "/v1/evaluate") -> str:
    """The command that posts a request."""
    lines = (f"curl {URL}{path}", "-H 'Content-Type: application/json'", f"-d '{json.dumps(request)}'")
    return "```bash\n" + " \\\n  ".join(lines) + "\n```"


def exchange(example: Exchange, path: str = "/v1/evaluate") -> str:
    """A request to an address, and its answer."""
    return f"{command(example.request, path)}\n\n{answer_block(example)}"


def metric_index(entries: Sequence[MetricEntry]) -> str:
    """All metrics, by family."""
    blocks = [NOTE, "# Metrics", INDEX.format(count=len(entries))]
    for family, members in by_family(entries).items():
        rows = ((f"[`{one.name}`]({one.name}.md)", ", ".join(one.tasks), one.summary) for one in members)
        blocks += [f"## {family.capitalize()}", table(("metric", "tasks", "what it is"), rows)]
    return "\n\n".join(blocks) + "\n"


def fields_table() -> str:
    """One line for each field of a request."""
    schema = EvaluateRequest.model_json_schema()
    rows = (
        (
            f"`{name}`",
            schema_words(field) if "$ref" not in field else "object",
            "needed" if name in schema.get("required", ()) else default_text(field.get("default")),
            field.get("description", ""),
        )
        for name, field in schema["properties"].items()
    )
    return table(("field", "values", "default", "meaning"), rows)


def usual_table() -> str:
    """What is computed where nothing is asked for."""
    rows = []
    for task in TASKS.values():
        for are in task.kinds:
            losses = [f"`{one['loss']}`" for one in usual_losses(task, are)]
            metrics = [f"`{one['metric']}`" for one in usual(task.name, task.measured_as(are))]
            rows.append((f"`{task.name}`", f"`{are}`", ", ".join(losses) or "–", ", ".join(metrics) or "–"))
    return table(("task", "predictions are", "losses", "metrics"), rows)
