"""Reference vectors of every loss, for implementers in any language: `python -m tests.contracts.vectors` writes them.

Values are those of the independent references in `tests/support/references`, gradients their differences; nothing comes from
the losses. It takes minutes, and so is no part of `make sync`; `make vectors NAMES="huber mae"` writes those of a few.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lossmeter.losses import LOSSES, Loss
from tests.support.gradients import differentiated, gradient
from tests.support.inputs import edges, smooth
from tests.support.references import REFERENCES
from tests.support.references._exact import Array

FOLDER = Path(__file__).parents[2] / "service" / "lossmeter" / "losses" / "vectors"
FORMAT = 1
TOLERANCE = {
    "values": {"relative": 1e-11, "absolute": 1e-13},
    "gradients": {"relative": 1e-8, "absolute": 1e-9},
}
SMOOTH, EDGES = 2, 2
"""Cases of each kind."""
ELEMENTS = 32
"""Elements that the tensors of a case may have together, if there are so small ones."""
DATATYPES = {"f": "FP64", "i": "INT64", "b": "BOOL"}
EXACT = {"probabilities", "log-probabilities", "distributions"}
"""Meanings whose numbers are related to each other; these are not rounded, nor are those with a bound other than 0."""
OWN_MEANS = {"cross_entropy", "nll", "linear_cross_entropy"}
"""Losses that divide by the weights of the labels that are not ignored."""
Case = dict[str, Any]


def vectors(name: str) -> dict[str, Any]:
    """The vectors of one loss."""
    loss = LOSSES[name]
    chosen = [
        *_chosen([_rounded(loss, _arrays(case)) for case in smooth(name)], SMOOTH),
        *_chosen([_arrays(case) for case in edges(name)], EDGES),  # how close these are to an edge matters
    ]
    cases = [answered(loss, case, "none") for case in chosen]
    cases += [answered(loss, case, reduction, **fields) for case, reduction, fields in _reduced(loss, chosen)]
    return {"loss": name, "format": FORMAT, "tolerance": TOLERANCE, "cases": cases}


def answered(loss: Loss, case: Case, reduction: str, **fields: Array) -> dict[str, Any]:
    """One case: a request that the service takes as it stands, and what it must answer."""
    values = np.asarray(REFERENCES[loss.name](**case), dtype=np.float64)
    weight = np.ones(values.shape)
    for field in fields.values():
        weight = weight * field.reshape(-1, *(1,) * (values.ndim - 1))
    normalizer = _normalizer(loss, case, weight) if reduction == "mean" else 1.0
    answer: dict[str, Any] = {"values": _tensor(values)}
    if reduction != "none":
        total = float((weight * values).sum())
        answer = {"value": total / normalizer, "sum": total}
        if reduction == "mean":
            answer["normalizer"] = normalizer
    function, found = differentiated(loss.name, case), {}
    for role in _differentiable(loss, case) if np.isfinite(values).all() else []:
        exact = gradient(function, case, role, weight / normalizer)
        if exact is not None:
            # Differences know no more digits.
            found[role] = _tensor(np.array([float(f"{one:.12g}") for one in exact.flat]).reshape(exact.shape))
    request = {key: _tensor(one) if isinstance(one, np.ndarray) else one for key, one in {**case, **fields}.items()}
    return {
        "request": {**request, "reduction": reduction, "gradients": list(found), "precision": "float64"},
        "answer": {**answer, "gradients": found},
    }


def _chosen(cases: list[Case], number: int) -> Iterator[Case]:
    """Small cases that differ in shapes, parameters, and optional tensors as much as possible."""
    sizes = [sum(one.size for one in case.values() if isinstance(one, np.ndarray)) for case in cases]
    room = max([ELEMENTS, *sorted(size for size in sizes if size)[:number]])
    left = [
        (case, _features(case))
        for case, size in zip(cases, sizes, strict=True)
        if size <= room and all(one.size for one in case.values() if isinstance(one, np.ndarray))
    ]
    known: set[Any] = set()
    for _ in range(min(number, len(left))):
        best = max(left, key=lambda one: len(one[1] - known))
        left = [one for one in left if one is not best]
        known |= best[1]
        yield best[0]


def _features(case: Case) -> set[Any]:
    return {(name, one.ndim if isinstance(one, np.ndarray) else str(one)) for name, one in case.items()}


def _arrays(case: Case) -> Case:
    """A case in numpy."""
    made = {name: one.numpy() if isinstance(one, torch.Tensor) else one for name, one in case.items()}
    return {name: list(one) if isinstance(one, tuple) else one for name, one in made.items()}


def _rounded(loss: Loss, case: Case) -> Case:
    """The same case with numbers of few digits, where that changes nothing that they mean."""
    made = dict(case)
    for name, one in case.items():
        if isinstance(one, np.ndarray) and one.dtype.kind == "f":
            meanings = [role.meaning for role in loss.tensor[name].options]
            if not any(one.name in EXACT or one.minimum not in (None, 0) for one in meanings):
                made[name] = np.array([float(f"{number:.5g}") for number in one.flat]).reshape(one.shape)
    return made


def _reduced(loss: Loss, chosen: list[Case]) -> Iterator[tuple[Case, str, dict[str, Array]]]:
    """Sums and means, with weights and a mask where values can have them; means where labels are ignored."""
    for case in chosen:
        shape = np.shape(REFERENCES[loss.name](**case))
        if shape and shape[0] > 1:
            fields = {"sample_weight": np.linspace(0.5, 2.0, shape[0])}
            if "mask" not in loss.tensor:
                fields["mask"] = np.arange(shape[0]) != 1
            if loss.support is None:
                yield case, "mean", fields
            else:
                yield case, "sum", fields
            break
    if loss.name in OWN_MEANS:
        ignoring = [case for case in chosen if "ignore_index" in case and case["labels"].dtype.kind == "i"]
        yield from ((case, "mean", {}) for case in ignoring if (case["labels"] != case["ignore_index"]).any())


def _normalizer(loss: Loss, case: Case, weight: Array) -> float:
    if loss.name not in OWN_MEANS:
        return float(weight.sum())
    labels, ignored = case["labels"], case.get("ignore_index", -100)
    of_class = case.get("weight")
    counted = labels[labels != ignored]
    return float(len(counted) if of_class is None else of_class[counted].sum())


def _differentiable(loss: Loss, case: Case) -> list[str]:
    names = [name for name in loss.differentiable if isinstance(case.get(name), np.ndarray)]
    indices = loss.name in OWN_MEANS and case["labels"].dtype.kind == "i"
    return [name for name in names if case[name].dtype.kind == "f" and not (indices and name == "weight")]


def _tensor(array: Array) -> dict[str, Any]:
    """A tensor as in a JSON answer: null where a number is not finite, with what it is in `non_finite`."""
    data = array.ravel().tolist()
    tensor = {"datatype": DATATYPES[array.dtype.kind], "shape": list(array.shape), "data": data}
    strange = {place: one for place, one in enumerate(data) if not math.isfinite(one)}
    if strange:
        tensor["data"] = [None if place in strange else one for place, one in enumerate(data)]
        tensor["non_finite"] = [
            {"index": place, "value": "NaN" if math.isnan(one) else "Infinity" if one > 0 else "-Infinity"}
            for place, one in strange.items()
        ]
    return tensor


def written(document: dict[str, Any]) -> str:
    """The text of a file: a case a line."""
    head = "".join(f"{json.dumps(key)}: {json.dumps(one)},\n" for key, one in document.items() if key != "cases")
    cases = ",\n".join(map(json.dumps, document["cases"]))
    return f'{{{head}"cases": [\n{cases}\n]}}\n'


def main() -> None:
    """Writes the vectors of the losses that are named, or of all, and removes those of losses that are gone."""
    FOLDER.mkdir(exist_ok=True)
    for name in sys.argv[1:] or LOSSES:
        (FOLDER / f"{name}.json").write_text(written(vectors(name)))
    for path in FOLDER.glob("*.json"):
        if path.stem not in LOSSES:
            path.unlink()


if __name__ == "__main__":
    main()
