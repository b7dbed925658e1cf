"""Labels that are texts: which classes there are, and the index of each."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lossmeter.errors import Invalid, pointer
from lossmeter.evaluation.plan import Plan
from lossmeter.tensors import Datatype, Tensor, Texts, brackets, coordinates
from lossmeter.validation import shown

ROLES = ("labels", "predictions")
SHOWN = 8
"""Names that a message lists."""


def texts_of(fields: Mapping[str, Any]) -> set[str]:
    """Returns the different texts of a batch."""
    return {text for role in ROLES if isinstance(one := fields.get(role), Texts) for text in one.data}


def name_classes(plan: Plan, fields: Mapping[str, Any]) -> Plan:
    """Returns the plan with the names of the classes of a batch that is all there is, if they are texts and it has none.

    Raises:
        Invalid: there are fewer texts than classes, so that nobody knows which one is missing.
    """
    names = texts_of(fields)
    if not names or plan.class_names is not None:
        return plan
    predictions = fields.get("predictions")
    classes = None if isinstance(predictions, Texts) else plan.classes
    if isinstance(predictions, Tensor) and plan.task.name != "binary" and len(predictions.shape) > 1:
        classes = predictions.shape[1]
    return with_names(plan, names, classes)


def with_names(plan: Plan, names: Collection[str], classes: int | None = None) -> Plan:
    """Returns the plan with these names, sorted.

    Args:
        classes: how many there have to be, if that is known.

    Raises:
        Invalid: there are not so many.
    """
    wanted = 2 if plan.task.name == "binary" else classes or plan.classes
    if wanted is not None and len(names) != wanted:
        message = (
            f"labels hold {len(names)} different texts ({_listed(sorted(names))}); expected {wanted}, or class_names"
        )
        raise Invalid.at(plan.task.name, pointer("labels"), message)
    return replace(plan, class_names=tuple(sorted(names)), classes=_count(plan, len(names)))


def _count(plan: Plan, names: int) -> int | None:
    return plan.classes if plan.task.name == "binary" else names


def indices(plan: Plan, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields of a batch with class indices in the place of texts.

    Raises:
        Invalid: the task has no classes, their names are not known, or a text is none of them.
    """
    return {name: _indices(plan, name, value) if isinstance(value, Texts) else value for name, value in fields.items()}


def _no_number(plan: Plan, role: str, texts: Texts, expected: str) -> Invalid:
    """Makes the error of texts where numbers belong: one word makes texts of a whole column, so it is looked for."""
    place = next((place for place, text in enumerate(texts.data) if not _is_number(text)), 0)
    index = coordinates(place, texts.shape)
    message = f"{role}{brackets(index)} is {shown(texts.data[place])}; expected {expected}"
    return Invalid.at(plan.task.name, pointer(role), message, index)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _indices(plan: Plan, role: str, texts: Texts) -> Tensor:
    if not plan.task.named:
        raise _no_number(plan, role, texts, "a number")
    if role == "predictions" and plan.predictions_are != "classes":
        raise _no_number(plan, role, texts, f"a number, as predictions_are is {plan.predictions_are}")
    if plan.class_names is None:
        message = f"{role} are texts; the order of the classes is not known without class_names"
        raise Invalid.at(plan.task.name, pointer(role), message)
    numbers = {name: number for number, name in enumerate(plan.class_names)}
    data = np.fromiter((numbers.get(text, -1) for text in texts.data), np.int64, len(texts.data))
    if len(data) and data.min() < 0:
        first = int(data.argmin())
        index = coordinates(first, texts.shape)
        message = f"{role}{brackets(index)} is {texts.data[first]!r}; expected one of {_listed(plan.class_names)}"
        raise Invalid.at(plan.task.name, pointer(role), message, index)
    return Tensor(Datatype.INT64, texts.shape, data)


def _listed(names: Sequence[str]) -> str:
    more = f", … {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
