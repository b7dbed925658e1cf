"""What is kept of a batch is read as it was written, bit for bit."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from lossmeter.evaluation import Statistics, measure
from lossmeter.evaluation.serialization import deserialize, serialize
from lossmeter.metrics.states import Quotient
from lossmeter.runs import plan_of
from tests.support.runs import ENGINE, PLAN, data, ledger, opened, tensors


def test_a_record_survives_bit_for_bit(tmp_path: Path) -> None:
    with ledger(f"sqlite:///{tmp_path}/runs.sqlite") as books:
        plan = plan_of(opened(books, PLAN).plan)
    record = measure(plan, tensors(data(30)), engine=ENGINE)
    odd = np.array([[np.nan, np.inf, -np.inf], [0.1, -0.0, 5e-324]])
    many = [np.arange(200.0), 300.0 * np.arange(200), 2.0**20 * np.arange(200), 1.0 / np.arange(1, 201), -np.zeros(200)]
    many[0][7], many[3][5] = 0.5, np.nan
    states = {
        **record.whole.states,
        "odd": Quotient(odd, odd[:0]),
        "one": Quotient(np.array(0.1), np.array(np.nan)),
        **{f"many {i}": Quotient(array, np.full((2, 100), 255.0)) for i, array in enumerate(many)},
    }
    whole = Statistics(record.whole.samples, True, states, record.whole.replicates)
    written = replace(record, whole=whole)
    again = deserialize(serialize(written))
    assert json.dumps(again.to_json()) == json.dumps(written.to_json())
    for name, state in states.items():
        for array in state.arrays():
            mine, theirs = getattr(again.whole.states[name], array), np.asarray(getattr(state, array))
            assert (mine.shape, mine.tobytes()) == (theirs.shape, theirs.tobytes())


def test_what_an_earlier_version_wrote_is_read(tmp_path: Path) -> None:
    with ledger(f"sqlite:///{tmp_path}/runs.sqlite") as books:
        record = measure(plan_of(opened(books, PLAN).plan), tensors(data(30)), engine=ENGINE)
    arrays: list[np.ndarray] = []

    def write(array: np.ndarray) -> dict[str, Any]:
        arrays.append(array)
        return {"shape": array.shape, "at": sum(one.size for one in arrays[:-1])}

    text = orjson.dumps(record.to_json(write))
    doubles = b"".join(array.astype("<f8").tobytes() for array in arrays)
    again = deserialize(zlib.compress(len(text).to_bytes(4, "little") + text + doubles))
    assert json.dumps(again.to_json()) == json.dumps(record.to_json())


def test_counts_take_little(tmp_path: Path) -> None:
    with ledger(f"sqlite:///{tmp_path}/runs.sqlite") as books:
        plan = plan_of(opened(books, {**PLAN, "metrics": ["auroc"], "losses": []}).plan)
    fields = {name: value for name, value in data(30).items() if name != "sample_weight"}
    record = measure(plan, tensors(fields), engine=ENGINE)
    assert len(zlib.decompress(serialize(record))) < 2 * record.numbers
