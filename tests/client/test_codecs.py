"""Answers in safetensors are read as JSON and numpy read them, the first time and the next."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from lossmeter.client import codecs
from lossmeter.client.codecs import CODECS
from lossmeter.client.errors import BadAnswer

LOSS = {"loss": "huber", "reduction": "mean", "value": 0.5, "sum": 1.0, "count": 2, "gradients": {}, "warnings": []}
WARNING = {"code": "advice", "message": "m", "pointer": "/labels", "evidence": {"value": 1.5, "sum": 2.5}}
ANSWERS: dict[str, list[dict[str, Any]]] = {
    "plain": [LOSS | {"value": value, "sum": total} for value, total in [(0.5, 1.0), (-2.5e-07, 1e300), (0.1, -0.0)]],
    "whole numbers": [LOSS | {"value": 1, "sum": 2}, LOSS | {"value": 3, "sum": 4}],
    "no value": [LOSS | {"value": None, "sum": None}, LOSS | {"value": None, "sum": 1.5}],
    "with a warning": [LOSS | {"warnings": [WARNING]}, LOSS | {"value": 2.5, "warnings": [WARNING]}],
    "numbers in a warning only": [
        {name: x for name, x in LOSS.items() if name not in ("value", "sum")} | {"warnings": [WARNING | {"index": [n]}]}
        for n in (1, 2)
    ],
    "with metrics": [LOSS | {"metrics": {"norm": norm}} for norm in (0.25, 0.75)],
    "an objective": [{"value": 0.5, "losses": [{"loss": "dice", "value": x, "sum": 1.5}]} for x in (0.25, 0.75)],
    "another order": [{"sum": 1.5, "value": x, "gradients": {}, "warnings": []} for x in (0.25, 0.75)],
    "a mark": [LOSS | {"value": codecs.VALUE, "sum": codecs.SUM}, LOSS | {"value": codecs.SUM, "sum": codecs.VALUE}],
}


def written(fields: dict[str, Any], gradient: np.ndarray[Any, Any]) -> bytearray:
    """A file with these fields and one gradient."""
    entry = {"dtype": "F32", "shape": gradient.shape, "data_offsets": [0, gradient.nbytes]}
    metadata = {"response": json.dumps(fields, separators=(",", ":"))}
    header = json.dumps({"__metadata__": metadata, "gradients.predictions": entry}, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return bytearray(len(header).to_bytes(8, "little") + header + gradient.tobytes())


@pytest.mark.parametrize("name", ANSWERS)
def test_answers_that_differ_in_numbers_are_read_as_if_each_were_the_first(name: str) -> None:
    decode = CODECS["safetensors"].decode
    for place, fields in enumerate(ANSWERS[name] * 2):
        gradient = np.full((2, 3), place, np.float32)
        found = decode(written(fields, gradient))
        tensor = found["gradients"].pop("predictions")
        assert json.dumps(found, sort_keys=True) == json.dumps({"gradients": {}} | fields, sort_keys=True)
        assert np.array_equal(tensor.data.reshape(tensor.shape), gradient)
        found["warnings"] = found.setdefault("warnings", [])
        found["warnings"].append("of this answer alone")


@pytest.mark.parametrize("length", [0, 7, 8, 100])
def test_a_file_that_is_cut_is_no_answer(length: int) -> None:
    whole = written(LOSS, np.zeros((2, 3), np.float32))
    CODECS["safetensors"].decode(whole)
    with pytest.raises(BadAnswer):
        CODECS["safetensors"].decode(whole[:length])
    with pytest.raises(BadAnswer):
        CODECS["safetensors"].decode(whole[:-1])
