"""What the checks of single losses find, which their declared types cannot say."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from lossmeter.losses import LOSSES

Found = list[tuple[str, str, tuple[int, ...] | None]]


def flaws(name: str, **given: Any) -> Found:
    """The flaws of a call; lists become tensors, and what is left out has its default."""
    loss = LOSSES[name]
    arguments: dict[str, Any] = {tensor.name: None for tensor in loss.tensors}
    arguments |= {parameter.name: parameter.default for parameter in loss.parameters}
    arguments |= {"gradients": ()} | given
    for tensor in loss.tensors:
        if isinstance(arguments[tensor.name], list | int | float):
            arguments[tensor.name] = torch.tensor(arguments[tensor.name])
    assert loss.check is not None
    return [(flaw.pointer, flaw.message, flaw.index) for flaw in loss.check(arguments)]


SCORES = [[0.5, 1.5], [0.2, 0.1]]


@pytest.mark.parametrize("name", ["cross_entropy", "nll", "focal", "multi_margin", "multilabel_margin"])
def test_predictions_without_classes_are_a_flaw(name: str) -> None:
    message = "predictions has shape [2, 0]; expected at least one class."
    assert flaws(name, predictions=torch.zeros(2, 0), labels=[0, 0]) == [("/predictions", message, None)]


def test_a_classifier_without_classes_is_a_flaw() -> None:
    message = "classifier has shape [0, 3]; expected at least one class."
    found = flaws("linear_cross_entropy", features=torch.zeros(2, 3), classifier=torch.zeros(0, 3), labels=[0, 0])
    assert found == [("/classifier", message, None)]


LINEAR = {"features": SCORES, "classifier": SCORES}


@pytest.mark.parametrize(
    ("name", "roles"), [("cross_entropy", {"predictions": SCORES}), ("linear_cross_entropy", LINEAR)]
)
class TestLabelsOfTwoForms:
    def test_probabilities_cannot_be_ignored(self, name: str, roles: dict[str, Any]) -> None:
        message = "ignore_index is 1; it applies to class indices, and these labels are probabilities."
        assert flaws(name, **roles, labels=SCORES, ignore_index=1) == [("/ignore_index", message, None)]

    def test_a_negative_ignored_index_leaves_probabilities_alone(self, name: str, roles: dict[str, Any]) -> None:
        assert flaws(name, **roles, labels=SCORES, ignore_index=-1) == []

    def test_weights_have_no_gradient_where_labels_are_indices(self, name: str, roles: dict[str, Any]) -> None:
        message = "weight has a gradient only where labels are probabilities; these are class indices."
        given = {**roles, "weight": [1.0, 2.0], "gradients": ("labels", "weight")}
        assert flaws(name, **given, labels=[0, 1]) == [("/gradients/1", message, None)]
        assert flaws(name, **given, labels=SCORES) == []


def test_a_divergence_from_something_that_is_no_probability_is_a_flaw() -> None:
    given = {"predictions": [[-1.0, -0.5]] * 2, "labels": [[0.25, 0.75], [1.5, -0.5]]}
    message = "labels[1, 0] is 1.5; expected a probability between 0 and 1, since log_target is false."
    assert flaws("kl_div", **given) == [("/labels", message, (1, 0))]
    assert flaws("kl_div", **given, log_target=True) == []


def test_a_single_number_has_no_index_in_its_message() -> None:
    message = "labels is -2.0; expected a probability between 0 and 1, since log_target is false."
    assert flaws("kl_div", predictions=-1.0, labels=-2.0) == [("/labels", message, ())]


def test_a_number_is_shown_with_all_its_digits() -> None:
    message = "labels[1] is 1.0000001; expected a probability between 0 and 1, since log_target is false."
    assert flaws("kl_div", predictions=[-1.0, -1.0], labels=[1.0, 1.0000001]) == [("/labels", message, (1,))]


def test_numbers_that_are_not_finite_are_left_to_those_who_allow_them() -> None:
    assert flaws("kl_div", predictions=[-1.0], labels=[torch.nan]) == []


def test_a_negative_rate_is_a_flaw() -> None:
    given = {"predictions": [2.0, -0.5], "labels": [1.0, 1.0]}
    message = "predictions[1] is -0.5; expected a rate of at least 0, since log_input is false."
    assert flaws("poisson_nll", **given, log_input=False) == [("/predictions", message, (1,))]
    assert flaws("poisson_nll", **given) == []


@pytest.mark.parametrize(
    ("shape", "variance"),
    [
        ((4, 3), (1, 1)),
        ((4, 3), (2, 3)),
        ((4, 3), ()),
        ((4, 3), (1,)),
        ((4, 3), (3,)),
        ((2, 3, 2), (2, 1, 1)),
        ((2, 3, 2), (3, 2)),
        ((3,), (1, 3)),
    ],
)
def test_variances_that_torch_refuses_are_a_flaw(shape: tuple[int, ...], variance: tuple[int, ...]) -> None:
    given = {"predictions": torch.zeros(shape), "labels": torch.zeros(shape), "variance": torch.ones(variance)}
    ((place, message, index),) = flaws("gaussian_nll", **given)
    assert (place, index) == ("/variance", None)
    assert message.startswith(
        f"variance has shape {list(variance)}; expected {list(shape)}, the same with one size 1, or "
    )
    with pytest.raises(ValueError, match="var is of incorrect size"):
        F.gaussian_nll_loss(given["predictions"], given["labels"], given["variance"])


PREDICTIONS = torch.zeros(5, 2, 4)
SPOKEN = {"predictions": PREDICTIONS, "labels": [[1, 2], [3, 9]], "prediction_lengths": [5, 4], "label_lengths": [2, 1]}

# What is changed, and the flaw; of the first list torch raises, of the second it reads beyond its tensors or counts nonsense.
UNSPEAKABLE: list[tuple[str, dict[str, Any], tuple[str, str, tuple[int, ...] | None]]] = [
    (
        "more frames than there are",
        {"prediction_lengths": [5, 6]},
        ("/prediction_lengths", "prediction_lengths[1] is 6; expected at most 5, the number of frames.", (1,)),
    ),
    (
        "more symbols than a row holds",
        {"label_lengths": [3, 1]},
        ("/label_lengths", "label_lengths[0] is 3; expected at most 2, the size of a row of labels.", (0,)),
    ),
    (
        "joined labels that are too few",
        {"labels": [1, 2]},
        ("/labels", "labels has 2 elements; expected 3, the sum of label_lengths.", None),
    ),
    (
        "joined labels that are too many",
        {"labels": [1, 2, 3, 3]},
        ("/labels", "labels has 4 elements; expected 3, the sum of label_lengths.", None),
    ),
    (
        "labels of a single sequence that are too many",
        {"predictions": torch.zeros(5, 4), "labels": [1, 2, 3], "prediction_lengths": 5, "label_lengths": 2},
        ("/labels", "labels has 3 elements; expected 2, the sum of label_lengths.", None),
    ),
    ("a blank that is no class", {"blank": 4}, ("/blank", "blank is 4; expected a class from 0 to 3.", None)),
    (
        "no frames",
        {"predictions": torch.zeros(0, 2, 4)},
        ("/predictions", "predictions has shape [0, 2, 4]; expected at least one frame, sequence and class.", None),
    ),
    (
        "no sequences",
        {
            "predictions": torch.zeros(5, 0, 4),
            "labels": torch.zeros(0, 2).long(),
            "label_lengths": torch.zeros(0).long(),
        }
        | {"prediction_lengths": torch.zeros(0).long()},
        ("/predictions", "predictions has shape [5, 0, 4]; expected at least one frame, sequence and class.", None),
    ),
]
UNREADABLE: list[tuple[str, dict[str, Any], tuple[str, str, tuple[int, ...] | None]]] = [
    (
        "a symbol beyond the classes",
        {"labels": [[1, 4], [3, 9]]},
        ("/labels", "labels[0, 1] is 4; expected a class from 0 to 3 other than the blank, 0.", (0, 1)),
    ),
    (
        "a negative symbol among those that count",
        {"labels": [[1, 2], [-1, 9]]},
        ("/labels", "labels[1, 0] is -1; expected a class from 0 to 3 other than the blank, 0.", (1, 0)),
    ),
    (
        "the blank as a symbol",
        {"labels": [1, 3, 2], "blank": 3},
        ("/labels", "labels[1] is 3; expected a class from 0 to 3 other than the blank, 3.", (1,)),
    ),
]


@pytest.mark.parametrize(
    ("change", "expected"), [pytest.param(*rest, id=what) for what, *rest in UNSPEAKABLE + UNREADABLE]
)
def test_what_ctc_cannot_align_is_a_flaw(change: dict[str, Any], expected: Any) -> None:
    assert flaws("ctc", **{**SPOKEN, **change}) == [expected]


@pytest.mark.parametrize("change", [pytest.param(change, id=what) for what, change, _ in UNSPEAKABLE])
def test_torch_raises_on_what_ctc_cannot_align(change: dict[str, Any]) -> None:
    given = {**SPOKEN, **change}
    roles = [torch.as_tensor(given[name]) for name in ("predictions", "labels", "prediction_lengths", "label_lengths")]
    with pytest.raises(RuntimeError):
        F.ctc_loss(*roles, blank=given.get("blank", 0))


def test_padding_of_any_kind_is_no_flaw() -> None:
    for padding in (-100, 0, 4, 2**40):
        assert flaws("ctc", **{**SPOKEN, "labels": [[1, 2], [3, padding]]}) == []


def test_a_text_that_does_not_fit_is_infinitely_unlikely_and_no_flaw() -> None:
    given = {"predictions": torch.zeros(2, 1, 4), "labels": [[1, 1]], "prediction_lengths": [2], "label_lengths": [2]}
    assert flaws("ctc", **given) == []
