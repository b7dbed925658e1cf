"""What the decorator reads from a loss, and what it refuses."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from lossmeter.catalogue import Parameter, Prose
from lossmeter.engine import Call, Engine
from lossmeter.errors import NotFound
from lossmeter.losses import LOSSES, Loss, find
from lossmeter.losses.catalogue import Example, loss
from lossmeter.losses.vocabulary import Fraction, Positive, Quantiles, Unreduced, Values, Weights
from tests.support.wire import wired

FAMILY = "differences"
TASKS = ("regression",)
DOCUMENTED = """One line that says it.

More about it.

Formula:
    x - y

Args:
    predictions: estimates.
    labels: observations,
        in the same unit.
    delta: a threshold.

Returns:
    one loss per element.

Use when:
    it fits.

Avoid when:
    it does not.

Source:
    nobody.
"""
EXAMPLE = Example(predictions=[1.0], labels=[1.0], value=0.0)


@pytest.fixture(autouse=True)
def catalogue() -> Iterator[None]:
    """The catalogue stays what it was, whatever a test registers."""
    before = set(LOSSES)
    yield
    for name in set(LOSSES) - before:
        LOSSES.discard(name)


def difference(
    predictions: Values[Tensor, "*shape"], labels: Values[Tensor, "*shape"], *, delta: Positive = 1.0
) -> Unreduced[Tensor, "*shape"]:
    return (predictions - labels) / delta


def declared(text: str = DOCUMENTED, function: Any = difference, **options: Any) -> Loss:
    function.__doc__ = text
    loss(**{"examples": [EXAMPLE], **options})(function)
    return LOSSES[function.__name__]


def test_a_loss_is_read_from_its_function() -> None:
    entry = declared(aliases=["minus"], reductions=["batchmean"])
    assert entry.name == "difference"
    assert entry.family == FAMILY
    assert entry.function is difference
    assert entry.summary == "One line that says it."
    assert entry.explanation == "More about it."
    assert entry.formula == "x - y"
    assert entry.returns == "one loss per element."
    assert entry.use_when == "it fits."
    assert entry.avoid_when == "it does not."
    assert entry.source == "nobody."
    assert entry.output == "*shape"
    assert entry.reductions == ("mean", "sum", "none", "batchmean")
    assert [(t.name, t.description, t.required, t.keyword) for t in entry.tensors] == [
        ("predictions", "estimates.", True, False),
        ("labels", "observations, in the same unit.", True, False),
    ]
    assert [(p.name, p.default, p.description) for p in entry.parameters] == [("delta", 1.0, "a threshold.")]
    assert entry.differentiable == ("predictions", "labels")


def test_parameters_keep_the_bounds_of_their_annotation() -> None:
    (delta,) = declared().parameters
    with pytest.raises(ValidationError, match="greater than 0"):
        TypeAdapter(delta.annotation).validate_python(0.0)


def test_a_loss_of_coupled_samples_is_not_computed_in_pieces() -> None:
    assert declared(separable=False).chunked is False
    LOSSES.discard("difference")
    assert declared(separable=True).chunked is True
    LOSSES.discard("difference")
    assert declared(separable=True, chunked=False).chunked is False


def test_keyword_tensors_and_optional_parameters_are_told_apart() -> None:
    def scaled(
        predictions: Values[Tensor, "N C"], *, weight: Weights[Tensor, "C"] | None = None, alpha: Fraction | None = 0.25
    ) -> Unreduced[Tensor, "N C"]:
        return predictions if weight is None else predictions * weight

    text = DOCUMENTED.replace("labels: observations,\n        in the same unit.", "weight: w.").replace(
        "delta:", "alpha:"
    )
    entry = declared(text, scaled)
    assert [(t.name, t.required, t.keyword) for t in entry.tensors] == [
        ("predictions", True, False),
        ("weight", False, True),
    ]
    assert [t.name for t in entry.roles] == ["predictions"]
    (alpha,) = entry.parameters
    assert (alpha.name, alpha.default) == ("alpha", 0.25)
    assert TypeAdapter(alpha.annotation).validate_python(None) is None
    with pytest.raises(ValidationError, match="less than or equal to 1"):
        TypeAdapter(alpha.annotation).validate_python(1.5)


@pytest.mark.parametrize("name", ["mse", "l1"])
def test_a_name_that_is_taken_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=rf"^{name}: this name is taken$"):
        declared(aliases=[name])


def test_a_loss_is_not_overwritten_by_another_of_its_name() -> None:
    declared()
    with pytest.raises(ValueError, match=r"^difference: this name is taken$"):
        declared()


@pytest.mark.parametrize("section", ["Formula", "Args", "Returns", "Use when", "Avoid when", "Source"])
def test_a_missing_section_is_refused(section: str) -> None:
    sections = r"difference: the docstring needs the sections Formula, Args, .*, in this order"
    with pytest.raises(ValueError, match=sections):
        declared(DOCUMENTED.replace(f"{section}:", "Something else:"))


def test_an_empty_section_is_refused() -> None:
    with pytest.raises(ValueError, match="needs the sections"):
        declared(DOCUMENTED.replace("    it fits.\n", ""))


def test_sections_in_another_order_are_refused() -> None:
    with pytest.raises(ValueError, match="in this order"):
        declared(
            DOCUMENTED.replace("Use when:", "Then:").replace("Avoid when:", "Use when:").replace("Then:", "Avoid when:")
        )


def test_a_docstring_without_explanation_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a summary sentence and an explanation"):
        declared(DOCUMENTED.replace("More about it.\n", ""))


def test_an_argument_that_is_not_documented_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^difference: argument delta is not documented$"):
        declared(DOCUMENTED.replace("    delta: a threshold.\n", ""))


def test_documentation_of_an_argument_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^difference: documents arguments that it does not have: epsilon$"):
        declared(DOCUMENTED.replace("    delta:", "    epsilon: a number.\n    delta:"))


def test_a_word_outside_the_vocabulary_is_refused() -> None:
    def difference(predictions: Tensor, labels: Values[Tensor, "*shape"], *, delta: Positive = 1.0) -> Tensor:
        return (predictions - labels) / delta

    with pytest.raises(
        ValueError, match=r"^difference: predictions is neither a tensor of the vocabulary nor a parameter"
    ):
        declared(function=difference)


def test_a_result_outside_the_vocabulary_is_refused() -> None:
    def difference(
        predictions: Values[Tensor, "*shape"], labels: Values[Tensor, "*shape"], *, delta: Positive = 1.0
    ) -> Tensor:
        return (predictions - labels) / delta

    with pytest.raises(ValueError, match=r"^difference: returns .*Tensor.*; expected Unreduced$"):
        declared(function=difference)


def test_a_parameter_without_default_is_refused() -> None:
    def difference(
        predictions: Values[Tensor, "*shape"], labels: Values[Tensor, "*shape"], *, delta: Positive
    ) -> Unreduced[Tensor, "*shape"]:
        return (predictions - labels) / delta

    with pytest.raises(ValueError, match=r"^difference: delta is neither a tensor .* nor a parameter with a default$"):
        declared(function=difference)


def test_a_loss_without_example_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^difference: needs an example$"):
        declared(examples=[])


def test_an_alias_finds_its_loss() -> None:
    assert find("l1") is find("mae") is LOSSES["mae"]


def test_a_name_without_end_is_compared_with_none() -> None:
    """30 kB of it held up everybody for seconds."""
    assert LOSSES.near("cross_entropy" + "_x" * 10) != []
    assert LOSSES.near("cross_entropy" + "_x" * 50) == []


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(NotFound, match=r"There is no loss 'cross_entropie'\. Did you mean cross_entropy"):
        find("cross_entropie")


def test_a_name_like_no_other_is_answered_without_a_guess() -> None:
    with pytest.raises(NotFound, match=rf"^There is no loss 'zzzzzz'\. GET /v1/losses lists all {len(LOSSES)}\.$"):
        find("zzzzzz")


def test_every_role_of_a_loss_is_required_and_every_tensor_parameter_is_not() -> None:
    for entry in LOSSES.values():
        assert all(tensor.required is not tensor.keyword for tensor in entry.tensors), entry.name


def test_every_example_names_arguments_of_its_loss() -> None:
    for entry in LOSSES.values():
        known = {t.name for t in entry.tensors} | {p.name for p in entry.parameters} | {"reduction"}
        for example in entry.examples:
            assert {t.name for t in entry.roles} <= set(example.request) <= known, entry.name
            assert example.request.get("reduction", "mean") in entry.reductions


def test_a_dimension_of_the_result_that_no_tensor_has_is_refused() -> None:
    def widened(
        predictions: Values[Tensor, "N"], labels: Values[Tensor, "N"], *, delta: Positive = 1.0
    ) -> Unreduced[Tensor, "N C"]:
        return predictions - labels

    with pytest.raises(ValueError, match=r"^widened: returns dimensions that no required tensor has: C$"):
        declared(function=widened)


def test_a_reduction_that_does_not_exist_is_refused() -> None:
    assert declared(reductions=["sequence_mean", "sequence_sum", "sequence_sum_norm"]).reductions[3:] == (
        "sequence_mean",
        "sequence_sum",
        "sequence_sum_norm",
    )
    LOSSES.discard("difference")
    with pytest.raises(ValueError, match=r"^difference: there is no reduction median$"):
        declared(reductions=["median"])


def test_prose_in_a_type_documents_an_argument_unless_the_docstring_does() -> None:
    Share = Annotated[float, Prose("a share.")]

    def shared(
        predictions: Values[Tensor, "N"], labels: Values[Tensor, "N"], *, delta: Share = 1.0
    ) -> Unreduced[Tensor, "N"]:
        return predictions - labels

    shared.__annotations__["delta"] = Share
    assert declared(function=shared).parameters[0].description == "a threshold."
    LOSSES.discard("shared")
    assert declared(DOCUMENTED.replace("    delta: a threshold.\n", ""), shared).parameters[0].description == "a share."


@pytest.mark.parametrize("name", ["FAMILY", "TASKS"])
def test_a_module_without_a_family_or_tasks_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delitem(globals(), name)
    with pytest.raises(ValueError, match=rf"^difference: its module declares no {name}$"):
        declared()


def test_a_loss_says_what_it_is_for_in_the_words_of_the_vocabulary() -> None:
    entry = declared(suits={"counts": "It adds up."})
    assert (entry.tasks, entry.suits) == (("regression",), {"counts": "It adds up."})
    for options, message in (
        ({"suits": {"chaos": "It copes."}}, "there is no situation chaos"),
        ({"tasks": ["divination"]}, "there is no task divination"),
    ):
        with pytest.raises(ValueError, match=f"^difference: {message}$"):
            declared(**options)


def test_choices_and_null_are_read_from_the_type_of_a_parameter() -> None:
    choice = Parameter(
        "absent", Annotated[Literal["skip", "zero"] | None, Prose("what an absent class has.")], None, ""
    )
    assert choice.choices == ("skip", "zero")
    assert choice.nullable
    assert TypeAdapter(Quantiles).validate_python([0.1, 0.5]) == [0.1, 0.5]
    with pytest.raises(ValidationError, match="less than 1"):
        TypeAdapter(Quantiles).validate_python([1.0])


@pytest.mark.parametrize(
    ("shape", "output", "tensor", "sizes", "expected"),
    [
        ("N C *d", "N C", (2, 3, 4), [(2, 3), (2,)], (2, 3)),
        ("N C *d", "C", (2, 3, 4), [(3,)], (3,)),
        ("Q D", "Q", (2, 3), [(2,)], (2,)),
        ("N D", "2N", (2, 3), [(4,)], (4,)),
        ("N D", "", (2, 3), [()], ()),
    ],
)
def test_weights_and_masks_fit_every_shape_of_a_loss(
    shape: str, output: str, tensor: tuple[int, ...], sizes: list[tuple[int, ...]], expected: tuple[int, ...]
) -> None:
    def spread(predictions: Any, labels: Any) -> Any:
        return (predictions - labels).sum() * torch.ones(expected, dtype=predictions.dtype)

    spread.__annotations__ = {
        "predictions": Values[Tensor, shape],
        "labels": Values[Tensor, shape],
        "return": Unreduced[Tensor, output],
    }
    entry = declared(DOCUMENTED.replace("    delta: a threshold.\n", ""), spread, separable=False)
    tensors = {"predictions": wired(torch.ones(tensor)), "labels": wired(torch.zeros(tensor))}
    total = float(torch.ones(tensor).sum())
    for size in sizes:
        weight, mask = wired(torch.full(size, 2.0)), wired(torch.ones(size, dtype=torch.bool))
        call = Call(entry, tensors, {}, "sum", ("predictions",), sample_weight=weight, mask=mask)
        outcome = Engine("cpu").compute(call)
        assert outcome.value == 2 * total * math.prod(expected)
        assert outcome.count == math.prod(expected)
        assert outcome.gradients["predictions"].shape == tensor
