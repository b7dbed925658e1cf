"""What is kept of a batch is read as it was written, bit for bit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from lossmeter.evaluation import Statistics, measure
from lossmeter.metrics.states import Quotient
from lossmeter.runs import plan_of
from lossmeter.runs.serialization import deserialize, serialize
from tests.support.runs import ENGINE, PLAN, data, ledger, opened, tensors


def test_a_record_survives_bit_for_bit(tmp_path: Path) -> None:
    with ledger(f"sqlite:///{tmp_path}/runs.sqlite") as books:
        plan = plan_of(opened(books, PLAN).plan)
    record = measure(plan, tensors(data(30)), engine=ENGINE)
    odd = np.array([[np.nan, np.inf, -np.inf], [0.1, -0.0, 5e-324]])
    states = {**record.whole.states, "odd": Quotient(odd, odd[:0]), "one": Quotient(np.array(0.1), np.array(np.nan))}
    whole = Statistics(record.whole.samples, True, states, record.whole.replicates)
    written = replace(record, whole=whole)
    again = deserialize(serialize(written))
    assert json.dumps(again.to_json()) == json.dumps(written.to_json())
    for name, state in states.items():
        for array in state.arrays():
            mine, theirs = getattr(again.whole.states[name], array), np.asarray(getattr(state, array))
            assert (mine.shape, mine.tobytes()) == (theirs.shape, theirs.tobytes())
