"""The inputs of the tests vary and reach the edges of what the losses declare."""

from __future__ import annotations

import typing

import pytest
import torch
from torch import Tensor

from lossmeter.engine.threads import Threads
from lossmeter.losses import LOSSES, Loss, vocabulary
from lossmeter.losses.shapes import patterns, unify
from lossmeter.losses.vocabulary import Meaning
from tests.support.inputs import Case, Source, cases, edges, make_edges, make_smooth, smooth
from tests.support.loops import for_each

MEANINGS = list(
    {word.meaning: None for word in vars(vocabulary).values() if isinstance(getattr(word, "meaning", None), Meaning)}
)
every_loss = for_each("loss", LOSSES)


def given(loss: Loss, name: str) -> list[object]:
    return [case[name] for case in cases(loss.name) if name in case]


def test_every_loss_has_inputs() -> None:
    assert all(smooth(name) and edges(name) for name in LOSSES)


@every_loss
def test_inputs_are_the_same_every_time(loss: Loss) -> None:
    with Threads(2):  # as a server in this process may have set them
        again = make_smooth(loss.name) + make_edges(loss.name)
    for first, second in zip(cases(loss.name), again, strict=True):
        assert first.keys() == second.keys()
        assert all(torch.equal(v, second[n]) if isinstance(v, Tensor) else v == second[n] for n, v in first.items())


@every_loss
def test_inputs_name_arguments_of_the_loss(loss: Loss) -> None:
    known = {t.name for t in loss.tensors} | {p.name for p in loss.parameters}
    for case in cases(loss.name):
        assert {role.name for role in loss.roles} <= set(case) <= known
        assert all(isinstance(case[t.name], Tensor) for t in loss.tensors if t.name in case)


@every_loss
def test_inputs_take_every_alternative_of_the_shapes(loss: Loss) -> None:
    roles = {role.name: role.options[0].shape for role in loss.roles}
    count = max(len(patterns(shape)) for shape in roles.values())

    def alternative(case: Case) -> int:
        result = unify(texts(case), {name: tuple(case[name].shape) for name in roles})
        assert isinstance(result, tuple)
        return result[1]

    def texts(case: Case) -> dict[str, str]:
        return {role.name: role.options[-1 if case[role.name].is_floating_point() else 0].shape for role in loss.roles}

    assert {alternative(case) for case in cases(loss.name)} == set(range(count))


@every_loss
def test_inputs_have_single_samples_batches_and_empty_batches(loss: Loss) -> None:
    outputs = [loss.function(**case).shape for case in cases(loss.name)]
    alternatives = [pattern.names for pattern in patterns(loss.output)]
    single = any(not names or (len(names) == 1 and names[0][0] == "*") for names in alternatives)
    assert not single or any(shape == () for shape in outputs)
    if not any(alternatives):
        return  # one number for the whole batch
    assert any(len(shape) > 0 and shape[0] > 1 for shape in outputs)
    # ctc has no empty batch: torch refuses it.
    assert any(shape[:1] == (0,) for shape in outputs) or loss.name == "ctc"


@every_loss
def test_inputs_have_further_dimensions_where_the_shapes_do(loss: Loss) -> None:
    if "*" in loss.output:
        assert {1, 2, 3} & {loss.function(**case).ndim for case in cases(loss.name)} >= {1, 2}


@every_loss
def test_every_parameter_is_left_out_and_given_another_value_than_its_default(loss: Loss) -> None:
    for parameter in loss.parameters:
        values = given(loss, parameter.name)
        assert len(values) < len(cases(loss.name)), parameter.name
        assert any(value != parameter.default for value in values), parameter.name
        if typing.get_origin(parameter.annotation) is typing.Literal:
            assert {parameter.default, *values} >= set(typing.get_args(parameter.annotation))


@every_loss
def test_every_optional_tensor_is_given_and_left_out(loss: Loss) -> None:
    for tensor in loss.tensors:
        present = [tensor.name in case for case in cases(loss.name)]
        assert any(present), tensor.name
        assert tensor.required or not all(present), tensor.name


@every_loss
def test_tensors_vary_and_stay_in_their_domain(loss: Loss) -> None:
    for tensor in loss.tensors:
        values = torch.cat([value.flatten() for value in given(loss, tensor.name)])  # type: ignore[attr-defined]
        assert len(values.unique()) > 1, tensor.name
        for role in tensor.options:
            meaning = role.meaning
            if meaning.kind == "floating" and meaning.counts is None and len(tensor.options) == 1:
                assert meaning.minimum is None or values.min() >= meaning.minimum
                assert meaning.maximum is None or values.max() <= meaning.maximum
                assert not meaning.choices or set(values.tolist()) == set(meaning.choices)


@every_loss
def test_bounded_numbers_reach_their_bounds(loss: Loss) -> None:
    for tensor in loss.roles:
        meaning = tensor.options[-1].meaning
        values = torch.cat([value.flatten() for value in given(loss, tensor.name)])  # type: ignore[attr-defined]
        for bound in (meaning.minimum, meaning.maximum):
            assert bound is None or bound in values.tolist(), tensor.name


@every_loss
def test_losses_of_the_inputs_vary(loss: Loss) -> None:
    values = torch.cat([loss.function(**case).flatten() for case in smooth(loss.name)])
    assert len(values.unique()) > 3
    assert (values != 0).double().mean() > 0.4


@pytest.mark.parametrize("name", ["cross_entropy", "nll", "focal", "linear_cross_entropy"])
def test_labels_are_ignored_in_part_and_altogether(name: str) -> None:
    loss = LOSSES[name]
    shares = set()
    for case in cases(name):
        labels = case["labels"]
        if not labels.is_floating_point() and labels.numel():
            shares.add(float((labels == case.get("ignore_index", -100)).double().mean()))
    assert {0.0, 1.0} < shares
    assert any(case.get("ignore_index", -100) >= 0 for case in cases(name)), loss.name


@pytest.mark.parametrize("name", ["cross_entropy", "linear_cross_entropy"])
def test_labels_are_indices_and_probabilities(name: str) -> None:
    assert {case["labels"].is_floating_point() for case in cases(name)} == {False, True}


@pytest.mark.parametrize("meaning", MEANINGS, ids=lambda meaning: meaning.name)
def test_numbers_of_every_meaning_vary_inside_of_their_domain(meaning: Meaning) -> None:
    values = Source(meaning.name).meant(meaning, (50, 4), class_dim=1, below=4)
    assert len(values.unique()) > 1
    assert meaning.minimum is None or values.min() >= meaning.minimum
    assert meaning.maximum is None or values.max() <= meaning.maximum
    assert not meaning.choices or set(values.tolist()[0] + values.tolist()[1]) <= set(meaning.choices)
    if meaning.name == "distributions":
        torch.testing.assert_close(values.sum(dim=1), torch.ones(50, dtype=torch.float64))
