"""Requests that one turn of the event loop brings are computed together, and each gets its own answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np

from lossmeter.engine import Call, Engine, Outcome, PassResult, Work
from lossmeter.errors import Invalid
from lossmeter.losses import find
from lossmeter.scheduling.micro_batching import MicroBatcher
from lossmeter.tensors import Datatype, Tensor


def call(size: int, *, name: str = "mse", label: float = 0.0, **fields: Any) -> Call:
    predictions = np.arange(size, dtype=np.float32) / 7
    tensors = {"predictions": predictions, "labels": np.full(size, label, np.float32)}
    wired = {role: Tensor(Datatype.FP32, (size,), array) for role, array in tensors.items()}
    return Call(find(name), wired, gradients=("predictions",), **fields)


class Counting(Engine):
    """Remembers how many works were run together, and can fail on some of them."""

    def __init__(self) -> None:
        super().__init__("cpu")
        self.sizes: list[int] = []
        self.broken: set[int] = set()

    def run_together(self, works: Sequence[Work]) -> list[PassResult]:
        self.sizes.append(len(works))
        for work in works:
            self._fail(work)
        return super().run_together(works)

    def run(self, work: Work) -> PassResult:
        self._fail(work)
        return super().run(work)

    def _fail(self, work: Work) -> None:
        if work.batch in self.broken:
            raise RuntimeError(f"{work.batch} rows")


def asked(engine: Engine, *calls: Call) -> list[Outcome | BaseException]:
    batcher = MicroBatcher(engine)

    async def ask() -> list[Outcome | BaseException]:
        return await asyncio.gather(*map(batcher.compute, calls), return_exceptions=True)

    return asyncio.run(ask())


def test_calls_of_one_turn_are_one_batch_for_each_kind() -> None:
    engine = Counting()
    calls = [call(2), call(5), call(4, name="mae"), call(3, label=1.0), call(6, name="mae")]
    found = asked(engine, *calls)
    assert sorted(engine.sizes) == [2, 3]
    for one, given in zip(found, calls, strict=True):
        assert isinstance(one, Outcome)
        alone = Engine("cpu").compute(given)
        assert one.value == alone.value
        assert one.gradients["predictions"].data.tobytes() == alone.gradients["predictions"].data.tobytes()


def test_what_is_wrong_with_one_call_is_told_to_that_one_alone() -> None:
    nothing = Tensor(Datatype.BOOL, (4,), np.zeros(4, np.bool_))
    first, second, third = asked(
        Engine("cpu"),
        call(3),
        call(4, mask=nothing, empty="error"),
        Call(find("mse"), {**call(3).tensors, "labels": nothing}),
    )
    assert isinstance(first, Outcome)
    assert isinstance(second, Invalid)
    assert isinstance(third, Invalid)


def test_a_failure_of_the_batch_reaches_those_who_caused_it() -> None:
    engine = Counting()
    engine.broken = {3, 7}
    found = asked(engine, call(2), call(3), call(5), call(7))
    assert [type(one) for one in found] == [Outcome, RuntimeError, Outcome, RuntimeError]
    assert str(found[3]) == "7 rows"
    (alone,) = asked(engine, call(7))
    assert str(alone) == "7 rows"


def test_somebody_who_gave_up_holds_nobody_up() -> None:
    engine = Counting()
    batcher = MicroBatcher(engine)

    async def ask() -> Outcome:
        gone = asyncio.ensure_future(batcher.compute(call(3)))
        staying = asyncio.ensure_future(batcher.compute(call(4)))
        await asyncio.sleep(0)
        gone.cancel()
        return await staying

    assert asyncio.run(ask()).value == Engine("cpu").compute(call(4)).value
    assert engine.sizes == [2]


def test_many_clients_at_once_get_what_one_gets(url: str) -> None:
    random = np.random.default_rng(7)

    def body(number: int) -> dict[str, Any]:
        rows = 2 + number % 9
        labels = random.integers(0, 5, rows).tolist()
        if number % 11 == 10:
            labels[1] = 5
        weights = {"sample_weight": random.random(rows).tolist()} if number % 3 else {}
        return {
            "predictions": random.normal(size=(rows, 5)).tolist(),
            "labels": labels,
            "gradients": ["predictions"],
            "reduction": ("mean", "sum", "none")[number % 3],
            **weights,
        }

    bodies = [body(number) for number in range(132)]
    with httpx.Client(base_url=url, limits=httpx.Limits(max_connections=32)) as client:

        def post(fields: dict[str, Any]) -> tuple[int, Any]:
            answer = client.post("/v1/losses/cross_entropy", json=fields)
            content = answer.json()
            content.pop("request_id", None)
            return answer.status_code, content

        alone = [post(fields) for fields in bodies]
        with ThreadPoolExecutor(32) as threads:
            together = list(threads.map(post, bodies))
    assert together == alone
    assert [status for status, _ in alone].count(422) == 12
