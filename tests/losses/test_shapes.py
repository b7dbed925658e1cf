"""How symbolic shapes are matched with real ones."""

from __future__ import annotations

import pytest

from lossmeter.losses.shapes import Mismatch, Sizes, patterns, unify

CLASSIFICATION = {"predictions": "N C *d | C", "labels": "N *d | ", "weight": "C"}
VARIANCES = {"predictions": "*shape | *batch D | *shape", "variance": "*shape | *batch | ~*shape"}


def bound(texts: dict[str, str], shapes: dict[str, Sizes]) -> tuple[dict[str, Sizes], int]:
    result = unify(texts, shapes)
    assert not isinstance(result, Mismatch), result
    return result


def mismatch(texts: dict[str, str], shapes: dict[str, Sizes]) -> Mismatch:
    result = unify(texts, shapes)
    assert isinstance(result, Mismatch), result
    return result


@pytest.mark.parametrize(
    ("predictions", "labels", "further"),
    [((4, 3), (4,), ()), ((4, 3, 7), (4, 7), (7,)), ((4, 3, 7, 5), (4, 7, 5), (7, 5)), ((0, 3), (0,), ())],
)
def test_a_batch_binds_its_dimensions(predictions: Sizes, labels: Sizes, further: Sizes) -> None:
    bindings, alternative = bound(CLASSIFICATION, {"predictions": predictions, "labels": labels, "weight": (3,)})
    assert bindings == {"N": predictions[:1], "C": (3,), "*d": further}
    assert alternative == 0


def test_a_single_sample_takes_the_second_alternative() -> None:
    bindings, alternative = bound(CLASSIFICATION, {"predictions": (3,), "labels": (), "weight": (3,)})
    assert (bindings["C"], alternative) == ((3,), 1)


def test_all_roles_take_the_same_alternative() -> None:
    assert mismatch(CLASSIFICATION, {"predictions": (3,), "labels": (3,)}).name == "labels"


def test_a_mismatch_says_what_would_have_fitted() -> None:
    found = mismatch(CLASSIFICATION, {"predictions": (4, 3, 7), "labels": (4, 5)})
    assert (found.name, found.given, found.expected) == ("labels", (4, 5), (4, 7))


def test_a_mismatch_is_that_of_the_alternative_that_got_furthest() -> None:
    found = mismatch(CLASSIFICATION, {"predictions": (4, 3), "labels": (4,), "weight": (2,)})
    assert (found.name, found.expected) == ("weight", (3,))


def test_a_size_that_nothing_binds_is_not_expected() -> None:
    found = mismatch({"features": "N D"}, {"features": (3,)})
    assert (found.expected, found.pattern) == (None, "(N, D)")


def test_a_tensor_that_does_not_fit_says_nothing_of_its_other_sizes() -> None:
    found = mismatch({"features": "N D", "classifier": "C D"}, {"features": (4, 3), "classifier": (5, 2)})
    assert (found.name, found.expected, found.pattern) == ("classifier", None, "(C, D)")


def test_of_alternatives_that_got_equally_far_the_first_is_expected() -> None:
    assert mismatch({"scores": "N C | C"}, {"scores": ()}).pattern == "(N, C)"


def test_any_number_of_dimensions_includes_none() -> None:
    same = {"predictions": "*shape", "labels": "*shape"}
    assert bound(same, {"predictions": (), "labels": ()})[1] == 0
    assert mismatch(same, {"predictions": (), "labels": (1,)}).expected == ()


def test_a_dimension_keeps_the_size_it_has_first() -> None:
    assert mismatch({"classifier": "C C"}, {"classifier": (3, 2)}).name == "classifier"


def test_a_number_is_a_size() -> None:
    boxes = {"boxes": "N 4"}
    assert bound(boxes, {"boxes": (7, 4)})[0] == {"N": (7,)}
    assert mismatch(boxes, {"boxes": (7, 5)}).name == "boxes"


@pytest.mark.parametrize("weight", [(), (3,), (1,), (2, 1), (1, 3), (2, 3)])
def test_a_shape_that_broadcasts_fits(weight: Sizes) -> None:
    assert bound({"predictions": "*shape", "weight": "~*shape"}, {"predictions": (2, 3), "weight": weight})[1] == 0


@pytest.mark.parametrize("weight", [(2,), (3, 1), (1, 2, 3), (0,)])
def test_a_shape_that_does_not_broadcast_is_a_mismatch(weight: Sizes) -> None:
    found = mismatch({"predictions": "*shape", "weight": "~*shape"}, {"predictions": (2, 3), "weight": weight})
    assert (found.name, found.expected, found.pattern) == ("weight", None, "broadcastable to (…shape)")


@pytest.mark.parametrize(("variance", "alternative"), [((3, 3), 0), ((3,), 1), ((3, 1), 2), ((1, 3), 2)])
def test_alternatives_are_tried_in_order(variance: Sizes, alternative: int) -> None:
    assert bound(VARIANCES, {"predictions": (3, 3), "variance": variance})[1] == alternative


def test_an_alternative_that_fails_halfway_binds_nothing() -> None:
    texts = {"predictions": "N N | N D", "labels": "N"}
    assert bound(texts, {"predictions": (4, 3), "labels": (4,)})[1] == 1


def test_two_variadic_dimensions_are_refused() -> None:
    with pytest.raises(ValueError, match="at most one variadic dimension"):
        patterns("*a C *b")


def test_patterns_are_printed_as_people_write_them() -> None:
    assert [str(pattern) for pattern in patterns("N C *d | C | ")] == ["(N, C, …d)", "(C)", "()"]


def test_a_dimension_has_a_factor_or_an_offset() -> None:
    assert unify({"view": "N D", "output": "2N"}, {"view": (3, 4), "output": (6,)}) == ({"N": (3,), "D": (4,)}, 0)
    assert unify({"scores": "N C-1"}, {"scores": (3, 4)}) == ({"N": (3,), "C": (5,)}, 0)
    assert isinstance(unify({"view": "N", "output": "2N"}, {"view": (3,), "output": (5,)}), Mismatch)
    assert isinstance(unify({"few": "C+1"}, {"few": (0,)}), Mismatch)
    (pattern,) = patterns("2N C-1")
    assert pattern.substitute({"N": (3,), "C": (5,)}) == (6, 4)
    assert pattern.bases == {"N", "C"}
    assert str(pattern) == "(2N, C-1)"


@pytest.mark.parametrize("text", ["N-", "-1", "0N", "N C.1"])
def test_what_is_no_dimension_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no dimension"):
        patterns(text)
