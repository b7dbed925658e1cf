"""A program is used only after it gave the same bits as autograd, on batches of every size that it is for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch

from lossmeter.engine.backward import differentiate
from lossmeter.engine.programs.merging import merge, same_bits
from lossmeter.engine.programs.program import Program, compile_program, exact, quick
from lossmeter.engine.programs.recording import Recording, Unrecordable, record
from lossmeter.engine.programs.samples import LIMITS, Form
from lossmeter.errors import Invalid
from lossmeter.tensors import Tensor

ROWS = (5, 7, 11, 13)
"""Sizes of batches to record, the first two that are no other kind of call; what changes between them is a size."""
SAMPLES = 8

Tensors = dict[str, torch.Tensor]
Pass = tuple[torch.Tensor, tuple[torch.Tensor | None, ...]]


@dataclass(frozen=True, slots=True)
class Subject:
    """A kind of call for which a program is sought.

    Attributes:
        function, parameters, gradients: the loss, and what is asked of it.
        form: what its tensors look like.
        most_rows: the largest batch that the program is for; None if it is for these shapes alone.
        check: puts the tensors of a call through every check, and on the device; raises Invalid.
    """

    function: Callable[..., torch.Tensor]
    parameters: Mapping[str, Any]
    gradients: Sequence[str]
    form: Form
    most_rows: int | None
    check: Callable[[dict[str, Tensor]], Tensors]


def derive(subject: Subject, pause: Callable[[], None] = lambda: None) -> Program:
    """Records, compiles and verifies a program.

    Args:
        subject: what the program is for.
        pause: called between steps that take some milliseconds.

    Raises:
        Unrecordable: if there is none that gives the bits of autograd.
    """
    recordings: list[tuple[Recording, int]] = []
    for seed, rows in enumerate(ROWS):
        tensors = _checked(subject, seed, None if subject.most_rows is None else rows, edges=False)
        if tensors is None:
            continue
        inflow = _inflow(subject, tensors, 1) if subject.gradients else None
        recording = record(subject.function, tensors, subject.parameters, subject.gradients, inflow)
        recordings.append((recording, rows))
        pause()
        if len(recordings) == 2:
            break
    else:
        raise Unrecordable("no sample is what the loss accepts")
    recording = merge(*recordings[0], *recordings[1])
    batched = None
    if subject.most_rows is not None:
        batched = next(i for i, name in enumerate(subject.form.roles) if name in subject.form.batched)
    for bind in (quick, exact):
        program = compile_program(recording, batched, bind)
        if verify(program, subject, pause):
            return program
    raise Unrecordable("it gives other bits than autograd")


def verify(program: Program, subject: Subject, pause: Callable[[], None] = lambda: None) -> bool:
    """Tells whether a program gives the bits of autograd on every sample, and holds for at least half of them."""
    tried = held = 0
    for tensors in _samples(subject):
        inflow = _inflow(subject, tensors, tried)
        expected = _by_autograd(subject, tensors, inflow)
        tried += 1
        # The second time gradients take the place of what they are gradients of: the sample is not needed any more.
        for rooms in ((), [tensors[name] for name in subject.gradients]):
            try:
                result = program(*tensors.values(), *([inflow] if subject.gradients else []), *rooms)
            except (TypeError, RuntimeError, ValueError, IndexError):
                return False
            if result is not None:
                held += not rooms
                if not _equal(result, expected):
                    return False
            del result
        pause()
    return held >= max(3, tried / 2)


def _by_autograd(subject: Subject, tensors: Tensors, inflow: torch.Tensor) -> Pass:
    return differentiate(subject.function, tensors, subject.parameters, subject.gradients, lambda _: inflow)


def _samples(subject: Subject) -> Iterator[Tensors]:
    most = subject.most_rows
    sizes = [None] * SAMPLES if most is None else [2, 3, 5, 16, 31, 64, 257, most]
    for seed, rows in enumerate(sizes):
        tensors = _checked(subject, 100 + seed, None if rows is None else min(rows, most or rows), edges=seed % 3 > 0)
        if tensors is not None:
            yield tensors


def _checked(subject: Subject, seed: int, rows: int | None, *, edges: bool) -> Tensors | None:
    """Returns a sample that the loss accepts, if one is found."""
    for limits in LIMITS:
        with suppress(Invalid):
            return subject.check(subject.form.sample(seed, rows, edges=edges, limits=limits))
    return None


def _inflow(subject: Subject, tensors: Tensors, number: int) -> torch.Tensor:
    """Returns a gradient of the unreduced values: a constant, as of a mean, or any numbers with some that are 0."""
    values = subject.function(**tensors, **subject.parameters)
    if number % 2:
        return torch.full_like(values, 1 / max(values.numel(), 1), memory_format=torch.contiguous_format)
    random = torch.randn(values.shape, generator=torch.Generator().manual_seed(number), dtype=values.dtype)
    random[random.abs() < 0.2] = 0
    return random.to(values.device)


def _equal(one: Pass, other: Pass) -> bool:
    pairs = zip((one[0], *one[1]), (other[0], *other[1]), strict=True)
    return all((a is None and b is None) or (a is not None and b is not None and same_bits(a, b)) for a, b in pairs)
