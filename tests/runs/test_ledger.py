"""A run equals one pass over its data, however these arrive."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lossmeter.budget import Budget
from lossmeter.database import Database, connections
from lossmeter.database.tables import RUNS, STATES
from lossmeter.errors import Conflict, Invalid, NotFound, StoreUnavailable, TooLarge
from lossmeter.evaluation import measure, merge_all, report
from lossmeter.runs import Ledger, SqlStore, plan_of, store
from lossmeter.runs import ledger as ledger_module
from lossmeter.runs.ledger import FOLDED_STATES, READ_STATES
from lossmeter.runs.run import new_id
from tests.support.postgres import Postgres
from tests.support.runs import ENGINE, PLAN, SMALL, alike, data, figures, ledger, numbers, opened, part, put, tensors

WHOLE = data(60)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.sets(st.integers(1, 59), max_size=12), seed=st.integers(0, 1000))
def test_any_partition_order_and_duplication_equals_one_pass(tmp_path: Path, cuts: set[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    with ledger(f"sqlite:///{tmp_path}/runs.sqlite") as books:
        run = opened(books)
        rows = rng.permutation(60)
        pieces = dict(enumerate(np.split(rows, sorted(cuts))))
        order = rng.permutation([*pieces, *rng.choice(list(pieces), 3)])
        for number in order:
            put(books, run.id, str(number), part(WHOLE, pieces[number]))
        _, found = books.report(run.id)
    whole = report(plan_of(run.plan), measure(plan_of(run.plan), tensors(WHOLE), engine=ENGINE))
    assert alike(figures(found), figures(whole))


def test_two_reports_that_differ_are_told_apart() -> None:
    assert alike({"a": [1.0, float("nan"), 3]}, {"a": [1.0 + 1e-14, float("nan"), 3]})
    for other in ({"a": [1.0 + 1e-9, float("nan"), 3]}, {"a": [1.0, 2.0, 3]}, {"a": [1.0, float("nan"), 4]}, {"b": []}):
        assert not alike({"a": [1.0, float("nan"), 3]}, other)


def test_a_batch_counts_once(books: Ledger) -> None:
    run = opened(books, SMALL)
    assert [put(books, run.id, "a", numbers(1, 2)) for _ in range(3)] == [True, False, False]
    assert books.report(run.id)[1]["samples"] == 2


def test_other_content_under_the_same_id_is_a_conflict(books: Ledger) -> None:
    run = opened(books, SMALL)
    put(books, run.id, "a", numbers(1, 2))
    with pytest.raises(Conflict, match="batch 'a' was added before, with other content"):
        put(books, run.id, "a", numbers(1, 3))
    assert put(books, run.id, "b", numbers(1, 3))


def test_a_closed_run_takes_no_new_batch(books: Ledger) -> None:
    run = opened(books, SMALL)
    put(books, run.id, "a", numbers(1))
    first = books.close(run.id)
    assert first.closed is not None
    assert books.close(run.id).closed == first.closed
    assert not put(books, run.id, "a", numbers(1))
    with pytest.raises(Conflict, match="it is closed"):
        put(books, run.id, "b", numbers(1))


def test_a_deleted_run_is_not_found(books: Ledger) -> None:
    run = opened(books, SMALL)
    put(books, run.id, "a", numbers(1))
    books.store.delete(run.id)
    for call in (books.report, books.close, books.store.delete, lambda one: put(books, one, "b", numbers(1))):
        with pytest.raises(NotFound, match="is not a run"):
            call(run.id)


def test_the_first_batch_says_how_many_classes_there_are(books: Ledger) -> None:
    run = opened(books)
    put(books, run.id, "a", data(5, classes=4))
    with pytest.raises(Invalid, match="5 classes; expected 4"):
        put(books, run.id, "b", data(5, classes=5))
    assert books.report(run.id)[0].classes == 4


def test_of_many_first_batches_one_says_how_many_classes_there_are(books: Ledger) -> None:
    run = opened(books)

    def add(number: int) -> int | None:
        try:
            put(books, run.id, str(number), data(5, classes=3 + number % 2, seed=number))
        except Invalid:
            return None
        return 3 + number % 2

    with ThreadPoolExecutor(6) as threads:
        found = {one for one in threads.map(add, range(12)) if one is not None}
    assert found == {books.report(run.id)[0].classes}


def test_folding_loses_nothing_and_counts_nothing_twice(books: Ledger) -> None:
    run = opened(books, SMALL)
    stop = threading.Event()

    def fold() -> None:
        while not stop.is_set():
            books.fold(run.id)
            _, told = books.report(run.id)
            assert told["losses"][0]["sum"] == told["samples"]

    def write(writer: int) -> None:
        for number in range(40):
            put(books, run.id, f"{(number + writer * 7) % 80}", numbers(1, -1))

    with ThreadPoolExecutor(6) as threads:
        folding = [threads.submit(fold) for _ in range(2)]
        for done in [threads.submit(write, writer) for writer in range(4)]:
            done.result()
        stop.set()
        for done in folding:
            done.result()
    known = len({(number + writer * 7) % 80 for writer in range(4) for number in range(40)})
    found, told = books.report(run.id)
    assert (found.batches, found.samples, told["samples"]) == (known, 2 * known, 2 * known)
    assert told["losses"][0]["sum"] == 2 * known


@pytest.mark.parametrize("changed", [{"curves": {"bins": 0}}, {"task": "regression", "predictions_are": "values"}])
def test_a_run_that_keeps_every_sample_says_when_it_is_full(
    books: Ledger, monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any]
) -> None:
    exact = {
        "task": "binary",
        "predictions_are": "logits",
        "metrics": [{"metric": "auroc"}],
        "replicates": 0,
        **changed,
    }
    if exact["task"] == "regression":
        exact["metrics"] = [{"metric": "spearman"}]
    run, other = (opened(books, {**exact, **more}) for more in ({}, {"curves": {"bins": 10}, "metrics": []}))
    monkeypatch.setattr(ledger_module, "MAX_KEPT_NUMBERS", 6 * 25)
    rows = {"predictions": np.linspace(0, 1, 10).tolist(), "labels": [0, 1] * 5}
    batches = [{**rows, "sample_ids": list(range(10 * number, 10 * number + 10))} for number in range(4)]
    for number in range(2):
        assert put(books, run.id, str(number), batches[number])
    with pytest.raises(TooLarge, match=r"keeps every sample, 20 so far; .* 180 numbers, and at most 150"):
        put(books, run.id, "2", batches[2])
    assert not put(books, run.id, "1", batches[1])
    assert books.report(run.id)[0].samples == 20
    assert all(put(books, other.id, str(number), batches[number]) for number in range(4))


def test_what_a_run_keeps_is_bounded_while_it_is_read(books: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Report and state alike, and before all of it is in memory."""
    exact = {"task": "regression", "predictions_are": "values", "metrics": [{"metric": "spearman"}], "replicates": 0}
    run, merged, held = opened(books, exact), [], None
    rows = np.linspace(0, 1, 20).tolist()
    monkeypatch.setattr(store, "PIECE", 2)
    for number in range(12):
        ids = list(range(20 * number, 20 * number + 20))
        put(books, run.id, str(number), {"predictions": rows, "labels": rows, "sample_ids": ids})
        held = books.record(run.id)[1] if not number else held
    assert held is not None
    monkeypatch.setattr(ledger_module, "merge_all", lambda records: merged.append(0) or merge_all(records))
    monkeypatch.setattr(books.engine, "budget", Budget(request_memory=5 * held.numbers * 24))
    for read in (books.report, lambda run_id: books.reading(run_id).__enter__()):
        with pytest.raises(TooLarge, match="most of them for what its batches keep"):
            read(run.id)
    assert len(merged) == 2 * 3  # of six pieces each


def test_states_stay_few(tmp_path: Path) -> None:
    with ledger(f"sqlite:///{tmp_path}/runs.sqlite") as books:
        run = opened(books, SMALL)
        for number in range(3 * FOLDED_STATES):
            put(books, run.id, str(number), numbers(number))
            books.fold(run.id)
            assert len(books.store.sizes(run.id)) <= FOLDED_STATES + 3
        assert sorted(batches for _, batches in books.store.sizes(run.id)) == [FOLDED_STATES] * 3
        for number in range(READ_STATES):
            books.gather(run.id)
            put(books, run.id, f"more {number}", numbers(number))
        sizes = [batches for _, batches in books.store.sizes(run.id)]
        assert len(sizes) <= READ_STATES
        assert sum(sizes) == 3 * FOLDED_STATES + READ_STATES
        books.join(run.id)
        assert [batches for _, batches in books.store.sizes(run.id)] == [sum(sizes)]


def test_runs_are_listed_by_tag_newest_first(books: Ledger) -> None:
    mark = new_id()
    ids = [opened(books, SMALL, mark, f"odd={number % 2}").id for number in range(5)]
    assert [run.id for run in books.store.find([mark], "", 10)[0]] == ids[::-1]
    assert [run.id for run in books.store.find([mark, "odd=1"], "", 10)[0]] == [ids[3], ids[1]]
    assert [run.id for run in books.store.find([mark], ids[3], 2)[0]] == [ids[2], ids[1]]
    assert books.store.find([mark], "", 1)[0][0].tags == tuple(sorted([mark, "odd=0"]))


def test_ids_sort_by_time() -> None:
    ids = [new_id(lambda at=at: 1_700_000_000_000_000_000 + 300 * at) for at in range(50)]
    assert ids == sorted(ids)
    assert len({len(one) for one in ids}) == 1


def test_what_has_not_been_touched_for_long_goes_away(books: Ledger) -> None:
    old, used, done = (opened(books, SMALL) for _ in range(3))
    day = 86_400_000_000
    with _database(books).writing() as connection:
        connection.execute(sa.update(RUNS).values(created=RUNS.c.created - 10 * day))
    put(books, used.id, "a", numbers(1))
    books.close(done.id)
    books.store.expire(5 * day)
    with pytest.raises(NotFound):
        books.store.run(old.id)
    assert [books.store.run(one.id).id for one in (used, done)] == [used.id, done.id]


def _database(books: Ledger) -> Database:
    assert isinstance(books.store, SqlStore)
    return books.store.database


def test_time_is_that_of_the_database(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: real + 10**18)  # this replica's clock is thirty years ahead
    monkeypatch.setattr(connections, "time_ns", time.time_ns)
    with ledger(postgres.url, retention_days=1) as books:
        run = opened(books, SMALL)
        put(books, run.id, "a", numbers(1))
        assert abs(run.created * 1000 - real) < 600e9
        assert abs((books.close(run.id).closed or 0) * 1000 - real) < 600e9
        opened(books, SMALL)
        assert books.store.run(run.id).created == run.created


def test_a_page_of_runs_ends_early_where_plans_are_large(books: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = new_id()
    ids = [opened(books, SMALL, mark).id for _ in range(5)][::-1]
    size = len(books.store.run(ids[0]).plan)
    monkeypatch.setattr(store, "PAGE_BYTES", 2 * size)
    found = [([run.id for run in page], more) for page, more in (books.store.find([mark], "", n) for n in (1, 2, 5))]
    assert found == [(ids[:1], True), (ids[:2], True), (ids[:2], True)]
    monkeypatch.setattr(store, "PAGE_BYTES", 1)
    assert [run.id for run in books.store.find([mark], ids[2], 5)[0]] == [ids[3]]
    assert books.store.find([mark], ids[3], 5)[1] is False


def test_a_large_plan_is_not_kept(books: Ledger) -> None:
    plan = {**PLAN, "losses": [{"loss": "cross_entropy", "weight": [0.12345678901234567] * 20_000}]}
    with pytest.raises(TooLarge, match="262144"):
        opened(books, plan)


def test_a_damaged_state_ends_one_report_with_a_message(books: Ledger) -> None:
    run, other = (opened(books, SMALL).id for _ in range(2))
    for number in range(3):
        put(books, run, str(number), numbers(number))
    put(books, other, "0", numbers(1))
    with _database(books).writing() as connection:
        connection.execute(sa.update(STATES).where(STATES.c.run == run).values(state=b"no state at all"))
    for read in (books.report, books.record):
        with pytest.raises(StoreUnavailable, match="damaged"):
            read(run)
    books.gather(run)
    assert books.report(other)[0].batches == 1
