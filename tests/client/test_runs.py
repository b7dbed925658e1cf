"""Runs through the client: the report is that of one pass, and each batch counts once, whatever happens on the way."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch

from lossmeter.client import AsyncClient, Busy, Client, Conflict, InvalidRequest, NoAnswer, NotFound, Retries, Run
from tests.client.conftest import QUICK
from tests.support import faults
from tests.support.evaluations import digits, figure
from tests.support.faults import Fault, faulty, says

WHAT: dict[str, Any] = {
    "task": "multiclass",
    "predictions_are": "logits",
    "losses": ["cross_entropy"],
    "metrics": ["accuracy", {"metric": "f1", "average": "macro"}],
    "slices": ["country"],
    "gates": [{"metric": "accuracy", "minimum": 0.1}],
    "replicates": 20,
}
SIZE = 400
ROLES = ("sample_weight", "mask", "sample_ids")


def batches() -> list[dict[str, Any]]:
    """The digits in three parts, of arrays throughout."""
    data = digits()
    parts = [slice(start, start + SIZE) for start in range(0, len(data["labels"]), SIZE)]
    return [
        {name: data[name][part] for name in ("predictions", "labels", *ROLES)}
        | {"slices": {"country": data["slices"]["country"][part]}}
        for part in parts
    ]


def check(report: dict[str, Any]) -> None:
    """The report is that of the data, and each batch is in it once."""
    data = digits()
    weight = data["sample_weight"] * data["mask"]
    right = data["predictions"].argmax(1) == data["labels"]
    assert report["run"]["batches"] == len(batches())
    assert report["run"]["samples"] == report["samples"] == int((weight > 0).sum())
    np.testing.assert_allclose(figure(report, "accuracy")["value"], np.average(right, weights=weight), rtol=1e-12)
    logits, labels = torch.tensor(data["predictions"]), torch.tensor(data["labels"])
    losses = torch.nn.functional.cross_entropy(logits, labels, reduction="none").numpy()
    np.testing.assert_allclose(figure(report, "cross_entropy")["value"], np.average(losses, weights=weight), rtol=1e-9)
    assert {one["value"] for one in report["slices"]} == {"de", "fr", "it"}
    assert report["passed"]


@pytest.mark.parametrize("wire", ["safetensors", "json"])
def test_the_report_is_that_of_one_pass(url: str, wire: Any) -> None:
    with Client(url, wire=wire) as client:
        with client.run("nightly", tags=["model=b7"], **WHAT) as run:
            ids = [run.add(**batch) for batch in batches()]
            check(run.report())
        report = run.report()
    check(report)
    assert len(set(ids)) == len(ids)
    assert (report["run"]["name"], report["run"]["tags"]) == ("nightly", ["model=b7"])
    assert report["run"]["closed"]


FAULTS = [faults.drop, faults.reset, faults.cut, says(503), says(502)]


@pytest.mark.parametrize("fault", FAULTS, ids=["drop", "reset", "cut", "busy", "gateway"])
def test_each_batch_counts_once_over_a_bad_connection(url: str, fault: Fault) -> None:
    script = [faults.well, fault, faults.well, fault, fault, faults.well, fault, faults.well, fault]
    with faulty(url, *script) as proxy, Client(proxy.url, retries=QUICK) as client:
        with client.run(**WHAT) as run:
            for batch in batches():
                run.add(**batch)
        check(run.report())
        assert not proxy.script

    async def again() -> None:
        async with AsyncClient(proxy.url, retries=QUICK) as client:
            async with client.run(**WHAT) as run:
                for batch in batches():
                    await run.add(**batch)
            check(await run.report())

    with faulty(url, *script) as proxy:
        asyncio.run(again())


def test_a_run_is_opened_again_only_where_none_was(url: str) -> None:
    with faulty(url, says(503), says(429)) as proxy, Client(proxy.url, retries=QUICK) as client:
        assert client.run(**WHAT).open().report()["run"]["batches"] == 0
        assert len(proxy.requests) == 4


@pytest.mark.parametrize("fault", [faults.drop, faults.cut, says(502), says(504)], ids=["drop", "cut", "502", "504"])
def test_a_run_of_which_nobody_knows_is_not_opened_again(url: str, fault: Fault) -> None:
    with faulty(url, fault) as proxy, Client(proxy.url, retries=QUICK) as client:
        with pytest.raises((NoAnswer, Busy)):
            client.run(**WHAT).open()
        assert len(proxy.requests) == 1


def test_a_batch_that_got_no_answer_can_be_added_again(client: Client, url: str) -> None:
    first, *rest = batches()
    run = client.run(**WHAT).open()
    with faulty(url, faults.cut) as proxy, Client(proxy.url, retries=Retries(attempts=1)) as other:
        with pytest.raises(NoAnswer) as caught:
            other.attach(run.id).add(**first, batch_id="morning α")
        assert "morning α" in caught.value.__notes__[0]
    assert run.report()["run"]["batches"] == 1
    assert run.add(**first, batch_id="morning α") == "morning α"
    for batch in rest:
        run.add(**batch)
    check(run.report())


def test_a_run_is_continued_from_elsewhere(client: Client, url: str) -> None:
    opened = client.run(**WHAT).open()

    def add(batch: dict[str, Any]) -> None:
        with Client(url) as other:
            other.attach(opened.id).add(**batch)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(add, batches()))
    with client.attach(opened.id) as run:
        check(run.report())
    assert opened.report()["run"]["closed"]
    assert repr(run) == f"Run({opened.id!r})"


def test_the_asynchronous_client_adds_at_once(url: str) -> None:
    async def ask() -> None:
        async with AsyncClient(url) as client, client.run(**WHAT) as run:
            ids = await asyncio.gather(*[run.add(**batch) for batch in batches()])
            assert len(set(ids)) == len(ids)
            check(await client.attach(run.id).report())

    asyncio.run(ask())


def test_tensors_of_torch_and_lists_are_taken(client: Client) -> None:
    what: dict[str, Any] = {"task": "regression", "predictions_are": "values", "losses": ["mse"], "metrics": []}
    with client.run(**what) as run:
        run.add(torch.tensor([1.0, 2.0]), torch.zeros(2), sample_ids=torch.arange(2))
        run.add([3.0], [0.0], sample_ids=["c"])
        assert figure(run.report(), "mse")["value"] == pytest.approx(14 / 3)


def test_a_run_that_is_broken_off_stays_open(client: Client) -> None:
    def broken(run: Run) -> None:
        with run:
            run.add(**batches()[0])
            raise KeyError("of the caller")

    run = client.run(**WHAT)
    with pytest.raises(KeyError, match="of the caller"):
        broken(run)
    with run:
        for batch in batches()[1:]:
            run.add(**batch)
    check(run.report())


def test_what_contradicts_is_a_conflict(client: Client) -> None:
    first, second, _ = batches()
    with client.run(**WHAT) as run:
        run.add(**first, batch_id="a")
        with pytest.raises(Conflict, match="409"):
            run.add(**second, batch_id="a")
    run.add(**first, batch_id="a")
    run.close()
    with pytest.raises(Conflict):
        run.add(**second)


def test_a_run_is_called_otherwise_open_and_closed(client: Client) -> None:
    with client.run("nightly", tags=["model=b7", "night"], **WHAT) as run:
        found = run.update(tags={"model": "b8", "night": None, "new": ""})
        assert (found.id, found.name, found.tags, found.closed) == (run.id, "nightly", ("model=b8", "new"), None)
        with pytest.raises(InvalidRequest, match="name"):
            run.update(name="a\nb")
    found = run.update(name="weekly", tags=["a", "b"])
    assert (found.name, found.tags) == ("weekly", ("a", "b"))
    assert found.closed is not None
    assert run.update() == found
    assert (run.report().run or found).name == "weekly"
    with pytest.raises(TypeError, match="tags is 'abc'"):
        run.update(tags="abc")
    with pytest.raises(RuntimeError, match="not open"):
        client.run(**WHAT).update(name="a")
    run.delete()
    with pytest.raises(NotFound):
        run.update(name="a")


def test_an_edit_arrives_over_a_bad_connection(url: str) -> None:
    async def ask() -> None:
        with faulty(url, faults.well, faults.cut, says(503), faults.drop) as proxy:
            async with AsyncClient(proxy.url, retries=QUICK) as client:
                run = await client.run(**WHAT).open()
                assert (await run.update(name="new", tags=["a"])).tags == ("a",)
                assert not proxy.script

    asyncio.run(ask())


def test_errors_say_what_is_wrong(client: Client) -> None:
    with pytest.raises(InvalidRequest, match="Did you mean accuracy"):
        client.run(**{**WHAT, "metrics": ["acuracy"]}).open()
    with pytest.raises(InvalidRequest, match="task"):
        client.run().open()
    with pytest.raises(RuntimeError, match="not open"):
        client.run(**WHAT).add([], [])
    with pytest.raises(NotFound):
        client.attach("../healthz").report()
    with client.run(**WHAT) as run, pytest.raises(InvalidRequest, match=r"labels\[0\] is 12"):
        run.add(np.zeros((1, 10)), np.array([12]), slices={"country": ["de"]})
