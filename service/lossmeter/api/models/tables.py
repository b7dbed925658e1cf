"""The query of an evaluation whose body is a file: the options of the command line, under the same names."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl

from lossmeter.errors import Flaw, Invalid
from lossmeter.evaluation import Plan
from lossmeter.evaluation.files import column_names, table_fields
from lossmeter.wire.tables import Columns

ONE = {
    "predictions": "The column of predictions: of numbers or lists; several, by commas, one for each class.",
    "labels": "The column of labels; several, by commas, for several labels.",
    "weight": "A column that says how much each row counts.",
    "id": "A column of ids; otherwise rows are numbered from 0.",
    "group": "A column of groups of rows that belong together.",
    "task": "What kind of question the predictions answer.",
    "predictions_are": "What the predictions are; may be left out where the task leaves no choice.",
    "precision": "Arithmetic of the losses.",
    "class_names": "What the classes are called, by commas, in the order of their indices, where labels are texts.",
}
NUMBERS = {
    "classes": "Number of classes, where predictions are classes.",
    "confidence": "Of the intervals; 0.95 if left out.",
    "replicates": "Of the bootstrap; 200 if left out.",
    "hardest": "How many of the hardest rows to name.",
    "ignore_index": "A label that does not count.",
    "bins": "Of the histograms behind curves; 0 is exact, and keeps all scores.",
}
MANY = {
    "slice": "A column by whose values to slice.",
    "metric": "A metric: `accuracy`, `f1(average=micro)`, …",
    "loss": "A loss: `cross_entropy`, `focal(gamma=2)`, …",
    "gate": "What must hold: `accuracy>=0.9`, `f1@lower[country]>=0.8`, …",
}
PARAMETERS: list[dict[str, Any]] = [
    {"name": name, "in": "query", "description": f"Of a file: {text[0].lower()}{text[1:]}", "schema": schema}
    for names, schema in (
        (ONE, {"type": "string"}),
        (NUMBERS, {"type": "number"}),
        (MANY, {"type": "array", "items": {"type": "string"}}),
    )
    for name, text in names.items()
]
"""As the OpenAPI document declares them."""


def parse_table_query(query: bytes) -> tuple[Plan, Columns]:
    """Returns plan and columns that a query names.

    Raises:
        Invalid: with all that is wrong with its parameters.
        NotFound: it names a loss or metric that does not exist.
    """
    given: dict[str, list[str]] = {}
    for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=1000):
        given.setdefault(name, []).append(value)
    flaws = list(_flaws(given))
    if flaws:
        raise Invalid.of("query", flaws)
    one = {name: values[0] for name, values in given.items() if name not in MANY}
    numbers = {name: json.loads(one[name]) for name in NUMBERS if name in one}
    bins = numbers.pop("bins", None)
    fields: dict[str, Any] = {
        **{name: one[name] for name in ("task", "predictions_are", "precision") if name in one},
        **({"class_names": list(column_names(one["class_names"]))} if "class_names" in one else {}),
        **numbers,
        **({} if bins is None else {"curves": {"bins": bins}}),
        "slices": given.get("slice", []),
        "gates": given.get("gate", []),
    }
    for kind, plural in (("metric", "metrics"), ("loss", "losses")):
        if kind in given:
            fields[plural] = given[kind]
    plan = Plan.of(table_fields("query", fields))
    labels = column_names(one["labels"])
    columns = Columns(
        column_names(one["predictions"]), labels, one.get("weight"), one.get("id"), one.get("group"), plan.slices
    )
    return plan, columns


def _flaws(given: dict[str, list[str]]) -> list[Flaw]:
    flaws = [
        Flaw("", f"{name} is missing") for name in ("task", "predictions", "labels") if not any(given.get(name, ()))
    ]
    known = (*ONE, *NUMBERS, *MANY)
    for name, values in given.items():
        if name not in known:
            flaws.append(Flaw("", f"{name} is not a parameter; expected one of {', '.join(known)}"))
        elif len(values) > 1 and name not in MANY:
            flaws.append(Flaw("", f"{name} is given {len(values)} times; expected once"))
        elif name in NUMBERS and not _is_number(values[0]):
            flaws.append(Flaw("", f"{name} is {values[0]!r}; expected a number"))
    return flaws


def _is_number(text: str) -> bool:
    try:
        return type(json.loads(text)) in (int, float)
    except (ValueError, RecursionError):
        return False
