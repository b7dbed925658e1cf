"""Programs give what autograd gives, bit for bit, or are not used."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lossmeter.engine import Call, Engine, Work, outcome
from lossmeter.engine.programs import Kind, Unrecordable, cache, verification
from lossmeter.engine.programs.merging import merge, same_bits
from lossmeter.engine.programs.recording import record
from lossmeter.errors import Invalid
from lossmeter.losses import LOSSES, Loss, find
from lossmeter.tensors import Datatype
from lossmeter.tensors import Tensor as Wire
from tests.engine.test_together import PRECISIONS, bits, calls, fusable, mse
from tests.losses.test_losses import converted, differentiable
from tests.support.devices import DEVICE, NAME
from tests.support.inputs import Case, smooth
from tests.support.wire import split, wired

NEVER = 0
KINDS = 4
"""Kinds of each loss that are tried: one for each set of roles, and then whatever comes first."""

PAIRS = ("info_nce", "clip", "siglip", "supervised_contrastive", "circle", "multi_similarity")
BOXES = ("iou", "giou", "diou", "ciou")
WITHOUT_PROGRAM = {
    **dict.fromkeys(BOXES, "boxes drawn at random are mostly refused, or a constant depends on the size"),
    "ldam": "without a batch another way is taken",
    "poly1": "without a batch another way is taken",
    **dict.fromkeys(PAIRS, "which pairs are of one sample with itself is a constant that depends on the size"),
    "ctc": "lengths drawn at random fit few of its shapes",
    "focal": "one factor is picked by one label, which is read to do so, where there is no batch",
}
"""Losses some kinds of which have no program, with the reason."""

WATCHED = DEVICE.type == "cpu" and torch.__version__ >= "2.13"
"""Where it is known which kinds have a program; older versions and GPUs may record fewer, and then autograd answers."""

DIVIDED = [loss for loss in LOSSES.values() if loss.chunked and fusable(loss, "float32")]


def engine(record_after: int = NEVER) -> Engine:
    made = Engine(NAME)
    made.programs.record_after = record_after
    return made


PLAIN = engine()


def kinds(loss: Loss, precision: Any) -> list[Case]:
    """Cases of different kinds, those whose tensors mean something else first."""
    by_roles: dict[Any, Case] = {}
    by_kind: dict[Any, Case] = {}
    for case in smooth(loss.name):
        case = converted(case, PRECISIONS[precision])
        tensors, parameters = split(loss, case)
        shapes = PLAIN.check(Call(loss, tensors, parameters, precision=precision)).shapes
        roles = tuple((name, role.meaning.name) for name, role in shapes.roles.items())
        by_roles.setdefault((roles, bool(shapes.batched)), case)
        by_kind.setdefault((roles, bool(shapes.batched), repr(parameters)), case)
    return [*by_roles.values(), *by_kind.values()][:KINDS]


def variants(loss: Loss, case: Case, precision: Any) -> Iterator[Call]:
    """One case in batches of none, one and several rows, reduced in several ways, with gradients and without."""
    wanted = tuple(differentiable(loss, case))
    tensors, parameters = split(loss, case)
    whole = Call(loss, tensors, parameters, "mean", wanted, precision=precision)
    shapes = PLAIN.check(whole).shapes
    yield whole
    yield replace(whole, gradients=(), reduction="none")
    if not shapes.batched or any(tensors[name].shape[:1] != shapes.output[:1] for name in shapes.batched):
        return
    for rows, reduction in ((0, "sum"), (1, "mean"), (2, "none"), (23, "sum")):
        picked = torch.arange(rows) % shapes.output[0]
        some, _ = split(loss, {name: case[name][picked] if name in shapes.batched else case[name] for name in tensors})
        upstream = wired(
            torch.linspace(-1, 2, rows * int(np.prod(shapes.output[1:]))).reshape(rows, *shapes.output[1:])
        )
        call = Call(loss, some, parameters, reduction, wanted, precision=precision)
        yield call if reduction != "none" else replace(call, upstream=upstream)
        yield replace(call, sample_weight=Wire(Datatype.FP64, (rows,), np.linspace(0, 1, rows)))


def recorded(engine: Engine, call: Call) -> tuple[Work, Kind | None]:
    work = engine.check(call)
    if work.plan.program is not None:
        engine.programs.record(work.plan.program)
    return work, work.plan.program


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("loss", LOSSES.values(), ids=lambda loss: loss.name)
def test_recorded_or_by_autograd_gives_the_same_bits(loss: Loss, precision: Any) -> None:
    replaying, used = engine(), 0
    for case in kinds(loss, precision):
        for call in variants(loss, case, precision):
            try:
                expected = PLAIN.check(call)
            except Invalid:
                continue  # the case has no meaning for so few rows
            work, kind = recorded(replaying, call)
            used += kind is not None and kind.program is not None
            assert bits(outcome(work, replaying.run(work))) == bits(outcome(expected, PLAIN.run(expected)))
            assert kind is None or not kind.refusal or loss.name in WITHOUT_PROGRAM or not WATCHED, kind.refusal
    assert used or not WATCHED


def compare_chunks(loss: Loss, threads: int = 1) -> None:
    """By a program, in place of its inputs or not, and by autograd."""
    used = 0
    for case in fusable(loss, "float32")[:2]:
        replaying, plain = Engine(NAME, chunk_elements=1 << 10), Engine(NAME, chunk_elements=1 << 10)
        plain.programs.record_after = replaying.programs.record_after = NEVER
        plain.threads = replaying.threads = threads
        tensors, parameters = split(loss, case)
        call = Call(loss, tensors, parameters, gradients=tuple(differentiable(loss, case)))
        shapes = PLAIN.check(call).shapes
        if not all(tensors[name].shape[:1] == shapes.output[:1] for name in shapes.batched):
            continue
        picked = torch.randint(shapes.output[0], (3001,), generator=torch.Generator().manual_seed(0))
        some = {name: case[name][picked] if name in shapes.batched else case[name] for name in tensors}
        for reduction in ("mean", "none"):
            copies = [split(loss, {name: one.clone() for name, one in some.items()})[0] for _ in range(3)]
            again, kept, spent = (replace(call, tensors=copy, reduction=reduction) for copy in copies)
            expected = bits(plain.compute(again))
            for given in (kept, replace(spent, expendable=True)):
                work, kind = recorded(replaying, given)
                if work.plan.chunk_rows < work.plan.rows:
                    assert kind is not None
                    assert kind.program is not None or not WATCHED
                    used += 1
                assert bits(outcome(work, replaying.run(work))) == expected
    assert used


@pytest.mark.parametrize("loss", DIVIDED, ids=lambda loss: loss.name)
def test_chunks_by_a_program_have_the_same_bits_as_by_autograd(loss: Loss) -> None:
    compare_chunks(loss)


def test_chunks_have_the_same_bits_with_several_threads() -> None:
    compare_chunks(find("cross_entropy"), threads=2)


@pytest.mark.parametrize("loss", DIVIDED, ids=lambda loss: loss.name)
def test_gathered_and_recorded_gives_the_same_bits_as_alone_by_autograd(loss: Loss) -> None:
    for case in fusable(loss, "float32")[:2]:
        replaying = engine()
        works = [recorded(replaying, call)[0] for call in calls(loss, case, "float32")]
        assert all(work.plan.program is not None and work.plan.program.program is not None for work in works)
        for work, result in zip(works, replaying.run_together(works), strict=True):
            assert bits(outcome(work, result)) == bits(PLAIN.compute(work.call))


def test_a_program_is_what_answers() -> None:
    replaying = engine()
    work, kind = recorded(replaying, mse(4))
    assert kind is not None
    marked = torch.full((4, 3), 7.0)
    kind.program = lambda *_: (marked, (marked,))
    assert outcome(work, replaying.run(work)).value == 7.0


def test_the_size_of_a_batch_shares_a_program_and_one_row_does_not() -> None:
    replaying = engine()
    kind = {rows: replaying.check(mse(rows)).plan.program for rows in (1, 2, 4, 900)}
    assert kind[2] is kind[4] is kind[900] is not kind[1]
    assert replaying.check(mse(4, columns=2)).plan.program is not kind[4]


@pytest.mark.parametrize(
    "other",
    [
        replace(mse(4), gradients=()),
        replace(mse(4), gradients=("labels",)),
        replace(mse(4), precision="float64"),
        replace(mse(4), loss=find("huber"), parameters={"delta": 1.0}),
        replace(mse(4), loss=find("huber"), parameters={"delta": 2.0}),
    ],
)
def test_programs_are_never_used_for_another_kind(other: Call) -> None:
    replaying = engine()
    _, kind = recorded(replaying, mse(4))
    huber = recorded(replaying, replace(mse(4), loss=find("huber"), parameters={"delta": 0.5}))[1]
    work, another = recorded(replaying, other)
    assert another not in (kind, huber)
    assert bits(outcome(work, replaying.run(work))) == bits(PLAIN.compute(other))


def test_parameters_that_are_equal_but_not_the_same_have_programs_of_their_own() -> None:
    replaying = engine()
    parameters = {"log_input": True, "full": False}
    one, other = (
        replaying.check(replace(mse(4), loss=find("poisson_nll"), parameters={**parameters, "eps": eps}))
        for eps in (0.0, -0.0)
    )
    assert one.plan is not other.plan
    assert one.plan.program is not other.plan.program


def test_a_program_that_gives_other_bits_is_never_used(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = verification.compile_program

    def off_by_one_bit(*arguments: Any) -> Any:
        program = compiled(*arguments)

        def wrong(*given: Tensor) -> Any:
            values, (gradient,) = program(*given)
            gradient.view(torch.int32).view(-1)[-1] ^= 1
            return values, (gradient,)

        return wrong

    monkeypatch.setattr(verification, "compile_program", off_by_one_bit)
    replaying = engine()
    work, kind = recorded(replaying, mse(4))
    assert kind is not None
    assert kind.program is None
    assert kind.refusal == "it gives other bits than autograd"
    assert bits(outcome(work, replaying.run(work))) == bits(PLAIN.compute(mse(4)))


def squared(predictions: Tensor, labels: Tensor) -> Tensor:
    return (predictions - labels).square()


def reads_numbers(predictions: Tensor, labels: Tensor) -> Tensor:
    return squared(predictions, labels) * float(labels.sum())


def writes_inputs(predictions: Tensor, labels: Tensor) -> Tensor:
    labels.add_(1)
    return squared(predictions, labels)


def draws(predictions: Tensor, labels: Tensor) -> Tensor:
    return squared(predictions, labels) + torch.rand(())


def shrinks_with_the_size(predictions: Tensor, labels: Tensor) -> Tensor:
    return squared(predictions, labels) * (1 / len(predictions))


def large_batches_differ(predictions: Tensor, labels: Tensor) -> Tensor:
    return squared(predictions, labels) if len(predictions) < 100 else squared(predictions, labels) * 2


@pytest.mark.parametrize("function", [reads_numbers, writes_inputs, draws, shrinks_with_the_size, large_batches_differ])
def test_what_no_straight_list_of_kernels_can_be_has_no_program(function: Any) -> None:
    replaying = engine()
    call = replace(mse(4), loss=replace(find("mse"), function=function))
    _, kind = recorded(replaying, call)
    assert kind is not None
    assert kind.program is None
    assert kind.refusal


def test_a_program_that_reads_a_number_holds_only_where_it_reads_the_same() -> None:
    def guarded(predictions: Tensor, labels: Tensor) -> Tensor:
        return squared(predictions, labels) * (3 if bool((labels > 1e30).all()) else 1)

    replaying = engine()
    call = replace(mse(4), loss=replace(find("mse"), function=guarded))
    work, kind = recorded(replaying, call)
    assert kind is not None
    assert kind.program is not None
    other = replace(call, tensors={**call.tensors, "labels": wired(torch.full((4, 3), 1e31))}, non_finite="allow")
    for each in (call, other):
        work = replaying.check(each)
        assert bits(outcome(work, replaying.run(work))) == bits(PLAIN.compute(each))


def test_recordings_that_differ_in_more_than_sizes_do_not_merge() -> None:
    def recording(rows: int, factor: float) -> Any:
        x, y, inflow = torch.ones(rows, 3), torch.zeros(rows, 3), torch.ones(rows, 3)
        return record(
            lambda x, y: squared(x, y).mul(factor).reshape(rows * 3), {"x": x, "y": y}, {}, (), None if rows else inflow
        )

    merged = merge(recording(5, 2.0), 5, recording(7, 2.0), 7)
    assert len(merged.steps) == 4
    with pytest.raises(Unrecordable, match="becomes"):
        merge(recording(5, 2.0), 5, recording(7, 3.0), 7)


def test_bits_tell_zeros_apart_and_not_numbers_alike() -> None:
    assert not same_bits(torch.tensor([0.0]), torch.tensor([-0.0]))
    assert same_bits(torch.tensor([float("nan")]), torch.tensor([float("nan")]))
    assert not same_bits(torch.zeros(2), torch.zeros(2, dtype=torch.float64))


def test_a_kind_that_comes_often_is_recorded_in_the_background_by_many_threads_at_once() -> None:
    replaying = engine(record_after=3)
    some = [mse(4), mse(7, 1.0), replace(mse(4), loss=find("mae")), replace(mse(5), loss=find("soft_margin"))]
    some[-1] = replace(some[-1], tensors={**some[-1].tensors, "labels": wired(torch.ones(5, 3))})
    expected = [bits(PLAIN.compute(call)) for call in some]
    failures: list[int] = []

    def work() -> None:
        for _ in range(30):
            for number, call in enumerate(some):
                if bits(replaying.compute(call)) != expected[number]:
                    failures.append(number)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    replaying.programs.join()
    assert not failures
    programs = [replaying.check(call).plan.program for call in some]
    assert all(kind is not None and kind.program is not None for kind in programs)
    assert not any(thread.name == "lossmeter-programs" for thread in threading.enumerate())


def test_programs_and_plans_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "KINDS", 5)
    monkeypatch.setattr("lossmeter.engine.plans.PLANS", 7)
    replaying = engine()
    for columns in range(2, 22):
        replaying.compute(mse(4, columns=columns))
    assert len(replaying.programs) == 5
    assert len(replaying.plans) == 7


def test_what_waits_to_be_recorded_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "WAITING", 0)
    replaying = engine(record_after=2)
    for _ in range(5):
        replaying.compute(mse(4))
    kind = replaying.check(mse(4)).plan.program
    assert kind is not None
    assert (kind.program, kind.refusal, kind.uses) == (None, None, 1)
