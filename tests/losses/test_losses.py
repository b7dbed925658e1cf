"""What every loss of the catalogue keeps, on every case of its inputs."""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lossmeter.losses import LOSSES, Loss, Support
from lossmeter.losses.shapes import Mismatch, patterns, unify
from tests.support.devices import DEVICE, placed
from tests.support.inputs import Case, cases, smooth
from tests.support.references import REFERENCES


def linear_cross_entropy_of_old(
    features: Tensor,
    classifier: Tensor,
    labels: Tensor,
    *,
    linear_bias: Tensor | None = None,
    ignore_index: int | None = None,
    **rest: Any,
) -> Tensor:
    """What the documentation of torch says that its function of this name does, for the versions without one."""
    logits = F.linear(features, classifier, linear_bias)
    return F.cross_entropy(logits, labels, ignore_index=-100 if ignore_index is None else ignore_index, **rest)


def gaussian_nll(predictions: Tensor, labels: Tensor, variance: Tensor, **rest: Any) -> Tensor:
    """Torch's; where it takes no dimension of size 1 but the last, as in torch 2.9, that dimension goes there and back."""
    try:
        return F.gaussian_nll_loss(predictions, labels, variance, **rest)
    except ValueError:
        (dim,) = (d for d, size in enumerate(predictions.shape) if variance.shape[d] != size)
        values = F.gaussian_nll_loss(*(one.movedim(dim, -1) for one in (predictions, labels, variance)), **rest)
        return values.movedim(-1, dim) if values.dim() else values


# torch 2.9 and 2.11 have none.
LINEAR_CROSS_ENTROPY = getattr(F, "linear_cross_entropy", linear_cross_entropy_of_old)

# The functions of torch under the names of the catalogue, with the few parameters that torch calls otherwise.
TORCH = {
    "mse": F.mse_loss,
    "mae": F.l1_loss,
    "smooth_l1": F.smooth_l1_loss,
    "huber": F.huber_loss,
    "cross_entropy": F.cross_entropy,
    "nll": F.nll_loss,
    "linear_cross_entropy": LINEAR_CROSS_ENTROPY,
    "binary_cross_entropy": F.binary_cross_entropy,
    "binary_cross_entropy_with_logits": F.binary_cross_entropy_with_logits,
    "multi_margin": F.multi_margin_loss,
    "multilabel_margin": F.multilabel_margin_loss,
    "multilabel_soft_margin": F.multilabel_soft_margin_loss,
    "soft_margin": F.soft_margin_loss,
    "kl_div": F.kl_div,
    "poisson_nll": F.poisson_nll_loss,
    "gaussian_nll": gaussian_nll,
    "hinge_embedding": F.hinge_embedding_loss,
    "cosine_embedding": F.cosine_embedding_loss,
    "triplet_margin": F.triplet_margin_loss,
    "triplet_margin_with_distance": F.triplet_margin_with_distance_loss,
    "margin_ranking": F.margin_ranking_loss,
    "ctc": F.ctc_loss,
}
DISTANCES = {
    "euclidean": torch.nn.PairwiseDistance(p=2.0),
    "squared_euclidean": lambda x, y: ((x - y) ** 2).sum(-1),
    "manhattan": torch.nn.PairwiseDistance(p=1.0, eps=0.0),
    "cosine": lambda x, y: 1 - torch.nn.CosineSimilarity(dim=-1)(x, y),
}
FOCAL = ("binary_focal", "focal")

# The mean of an empty batch is uninitialised memory in torch 2.13; everywhere else it is NaN.
UNINITIALISED = {"multi_margin", "multilabel_margin"}

# Reasons why a loss is not finite for large finite numbers; torch's formulas overflow here, and theirs is the value.
OVERFLOWS = {"soft_margin": "log(1 + exp(x)) is not guarded", "poisson_nll": "the expected count is exp(x)"}

# Losses of which a part has no gradient by definition; tests of their own hold them to the gradient that they define.
STOPPED = {
    "beta_nll": "the variance that weighs",
    "ciou": "the weight of the aspect ratio",
    "circle": "the weights of the pairs",
    "cispo": "the clipped ratio",
    "gspo": "the ratio of the answer",
    "dppo_tv": "the ratio",
    "dppo_kl": "the ratio",
}

# The gradient of ctc takes for granted that its input comes from log_softmax, so both are differentiated together.
BEFORE = {"ctc": {"predictions": partial(torch.log_softmax, dim=-1)}}


def each(generate: Callable[[str], list[Case]], names: Iterable[str] = LOSSES) -> Callable[[Any], Any]:
    """Runs a test of a loss and a case for each loss, on all its cases: a test for each case would cost more than the cases."""

    def decorate(test: Any) -> Any:
        def run(loss: Loss, **given: Any) -> None:
            for number, case in enumerate(generate(loss.name)):
                try:
                    test(loss=loss, case=case, **given)
                except BaseException as error:
                    error.add_note(f"in case {number} of {loss.name}: {case}")
                    raise

        signature = inspect.signature(test)
        arguments = [one for one in signature.parameters.values() if one.name != "case"]
        run.__name__, run.__doc__, run.__module__ = test.__name__, test.__doc__, test.__module__
        run.__signature__ = signature.replace(parameters=arguments)  # type: ignore[attr-defined]
        run.pytestmark = getattr(test, "pytestmark", [])  # type: ignore[attr-defined]
        return pytest.mark.parametrize("loss", [pytest.param(LOSSES[name], id=name) for name in names])(run)

    return decorate


every_case = each(cases)
every_torch_case = each(cases, TORCH)
every_smooth_case = each(smooth, [name for name in LOSSES if name not in STOPPED])
every_dtype = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])


def converted(case: Case, dtype: torch.dtype) -> Case:
    return {n: v.to(dtype) if isinstance(v, Tensor) and v.is_floating_point() else v for n, v in case.items()}


def test_a_failing_case_is_named() -> None:
    @each(smooth, ["mse"])
    def fails(loss: Loss, case: Case) -> None:
        assert case["predictions"].ndim < 2

    with pytest.raises(AssertionError) as caught:
        fails(LOSSES["mse"])
    assert "in case 2 of mse" in caught.value.__notes__[0]


def differentiable(loss: Loss, case: Case) -> list[str]:
    """The names that have a gradient here; weights have none where labels are class indices."""
    names = [n for n in loss.differentiable if n in case and case[n].is_floating_point()]
    if loss.name in ("cross_entropy", "linear_cross_entropy") and not case["labels"].is_floating_point():
        names = [name for name in names if name != "weight"]
    return names


def tracked(loss: Loss, case: Case) -> tuple[Case, list[Tensor]]:
    """The case with fresh leaves that gradients are taken of."""
    leaves = {name: case[name].detach().clone().requires_grad_() for name in differentiable(loss, case)}
    return {**case, **leaves}, list(leaves.values())


def complete(loss: Loss, case: Case) -> Case:
    """All arguments by name, as hooks get them."""
    absent = {tensor.name: None for tensor in loss.tensors}
    return {**absent, **{p.name: p.default for p in loss.parameters}, "gradients": (), **case}


def torch_call(loss: Loss, case: Case, reduction: str) -> Tensor:
    names = {"bias": "linear_bias", "distance": "distance_function"}
    roles = [case[role.name] for role in loss.roles]
    rest = {names.get(n, n): v for n, v in case.items() if n not in {role.name for role in loss.roles}}
    if "distance_function" in rest:
        rest["distance_function"] = DISTANCES[rest["distance_function"]]
    with warnings.catch_warnings():
        # kl_div advises against its own mean.
        warnings.filterwarnings("ignore", message="reduction: 'mean' divides the total loss")
        return TORCH[loss.name](*roles, **rest, reduction=reduction)


def assert_same_bits(first: Tensor, second: Tensor) -> None:
    torch.testing.assert_close(first, second, rtol=0, atol=0, equal_nan=True)


def mean(loss: Loss, case: Case) -> Tensor:
    """The mean that a loss declares."""
    values = loss.function(**case)
    support = loss.support(complete(loss, case)) if loss.support else Support()
    counted = torch.ones_like(values) if support.counted is None else support.counted.to(values.dtype)
    denominator = counted if support.denominator is None else support.denominator
    scaled = values if support.scale is None else values * support.scale
    assert {t.shape for t in (counted, denominator, scaled)} == {values.shape}
    return (scaled * counted).sum() / denominator.sum()


def test_every_loss_has_a_reference() -> None:
    assert set(REFERENCES) == set(LOSSES)


def test_every_loss_that_names_torch_as_its_source_is_compared_with_it() -> None:
    assert set(TORCH) == {name for name, loss in LOSSES.items() if re.search(r"torch\.nn\.", loss.source)}


@every_case
def test_values_equal_an_independent_reference(loss: Loss, case: Case) -> None:
    arrays = {name: value.numpy() if isinstance(value, Tensor) else value for name, value in case.items()}
    expected = REFERENCES[loss.name](**arrays)
    values = loss.function(**case).numpy()
    assert values.shape == np.shape(expected)
    # Differences of numbers around 1 cannot be more exact than their rounding.
    np.testing.assert_allclose(values, expected, rtol=1e-12, atol=1e-14)


@every_dtype
@every_torch_case
def test_values_and_gradients_are_torchs_bit_for_bit(loss: Loss, case: Case, dtype: torch.dtype) -> None:
    ours, leaves = tracked(loss, placed(converted(case, dtype)))
    theirs, torch_leaves = tracked(loss, placed(converted(case, dtype)))
    values, expected = loss.function(**ours), torch_call(loss, theirs, "none")
    assert_same_bits(values, expected)
    upstream = torch.linspace(-1, 2, values.numel(), dtype=dtype, device=DEVICE).reshape(values.shape)
    gradients = torch.autograd.grad(values, leaves, upstream)
    for gradient, other in zip(gradients, torch.autograd.grad(expected, torch_leaves, upstream), strict=True):
        assert_same_bits(gradient, other)


@every_dtype
@every_torch_case
def test_declared_mean_is_torchs(loss: Loss, case: Case, dtype: torch.dtype) -> None:
    case = converted(case, dtype)
    expected = torch_call(loss, case, "mean")
    if loss.name in UNINITIALISED and loss.function(**case).numel() == 0:
        expected = torch.tensor(torch.nan, dtype=dtype)
    torch.testing.assert_close(mean(loss, case), expected, equal_nan=True)


@each(cases, FOCAL)
def test_focal_mean_divides_by_the_number_that_counts(loss: Loss, case: Case) -> None:
    labels = case["labels"]
    count = labels.numel() if labels.is_floating_point() else labels.ne(case.get("ignore_index", -100)).sum()
    torch.testing.assert_close(mean(loss, case), loss.function(**case).sum() / count, equal_nan=True)


@every_smooth_case
def test_gradients_match_finite_differences(loss: Loss, case: Case) -> None:
    case, leaves = tracked(loss, case)
    before = BEFORE.get(loss.name, {})
    names = differentiable(loss, case)

    def function(*tensors: Tensor) -> Tensor:
        changed = {n: before[n](t) if n in before else t for n, t in zip(names, tensors, strict=True)}
        return loss.function(**{**case, **changed})

    assert torch.autograd.gradcheck(function, leaves, atol=1e-7, rtol=1e-6)


@every_dtype
@every_case
def test_dtype_of_the_result_is_that_of_the_input(loss: Loss, case: Case, dtype: torch.dtype) -> None:
    assert loss.function(**converted(case, dtype)).dtype == dtype


@every_case
def test_shapes_are_the_declared_ones(loss: Loss, case: Case) -> None:
    tensors = {t.name: t for t in loss.tensors if t.name in case}
    # Of two ways to give labels, indices are declared first and probabilities second.
    chosen = {
        name: t.options[-1 if len(t.options) > 1 and case[name].is_floating_point() else 0]
        for name, t in tensors.items()
    }
    output = loss.output
    if loss.alternative is not None:
        output = output.split("|")[loss.alternative(complete(loss, case))]
    texts = {**{name: role.shape for name, role in chosen.items()}, "output": output}
    values = loss.function(**case)
    shapes = {**{name: tuple(case[name].shape) for name in tensors}, "output": tuple(values.shape)}
    assert not isinstance(unify(texts, shapes), Mismatch)


@every_case
def test_no_value_is_below_the_declared_minimum(loss: Loss, case: Case) -> None:
    assert loss.minimum is None or not (loss.function(**case) < loss.minimum).any()


@every_case
def test_valid_arguments_have_no_flaws(loss: Loss, case: Case) -> None:
    assert loss.check is None or list(loss.check(complete(loss, case))) == []


@every_case
def test_inputs_are_not_modified(loss: Loss, case: Case) -> None:
    given, leaves = tracked(loss, case)
    torch.autograd.grad(loss.function(**given).sum(), leaves)
    for name, value in case.items():
        if isinstance(value, Tensor):
            assert_same_bits(given[name].detach(), value)


def batched(name: str) -> list[Case]:
    """The smooth cases of losses that may be computed in pieces, grown to 1001 samples, and the names to split."""
    loss = LOSSES[name]
    # A number per class is shared by all pieces.
    (lead, *_) = patterns(loss.output)
    roles = [role.name for role in loss.roles if patterns(role.options[0].shape)[0].names[:1] == lead.names[:1]]
    batches = []
    for case in smooth(name) if loss.chunked else []:
        size = loss.function(**case).shape[:1]
        # Of the tensor parameters, those that broadcast may have the dimension; those with a number per class do not.
        broadcast = [t.name for t in loss.tensors if t.options[0].shape[0] == "~" and t.name in case]
        splits = roles + [name for name in broadcast if case[name].ndim == case[roles[0]].ndim]
        leading = loss.output.split()[:1]
        keywords = [t for t in loss.tensors if t.keyword and t.name in case]
        splits += [t.name for t in keywords if t.options[0].shape.split()[:1] == leading]
        if size and all(case[name].shape[:1] == size for name in splits):
            repeated = torch.arange(1001) % size[0]
            batches.append({**case, **{name: case[name][repeated] for name in splits}, "splits": splits})
    return batches


@every_dtype
@each(batched, [name for name, loss in LOSSES.items() if loss.chunked])
def test_pieces_equal_the_whole_bit_for_bit(loss: Loss, case: Case, dtype: torch.dtype) -> None:
    given = converted(case, dtype)
    splits = given.pop("splits")

    def computed(part: slice) -> list[Tensor]:
        piece, _ = tracked(loss, {**given, **{name: given[name][part] for name in splits}})
        values = loss.function(**piece)
        return [values, *torch.autograd.grad(values.sum(), [piece[n] for n in splits if piece[n].requires_grad])]

    whole = computed(slice(None))
    # A piece of a single sample could be summed in another order than the same sample among others.
    pieces = [computed(part) for part in (slice(0, 2), slice(2, 500), slice(500, None))]
    for first, *rest in zip(whole, *pieces, strict=True):
        assert_same_bits(torch.cat(rest), first)


def large(loss: Loss) -> list[Case]:
    """The smooth cases in float32 with every unbounded role scaled to some ten thousands."""
    unbounded = {"logits", "scores", "values", "log-probabilities", "embeddings", "features"}
    roles = [t.name for t in loss.tensors if t.options[-1].meaning.name in unbounded]
    scaled = []
    for case in smooth(loss.name):
        # Logarithms of probabilities become those of very small ones; labels that are probabilities stay such.
        if loss.name == "kl_div" and not case.get("log_target"):
            case["predictions"] = 1e4 * case["predictions"]
        else:
            case.update({name: 1e4 * case[name] for name in roles if name in case})
        scaled.append(converted(case, torch.float32))
    return scaled


@pytest.mark.parametrize(
    "loss", [pytest.param(loss, id=name) for name, loss in LOSSES.items() if name not in OVERFLOWS]
)
def test_large_finite_numbers_give_finite_values_and_gradients(loss: Loss) -> None:
    for case in large(loss):
        given, leaves = tracked(loss, case)
        values = loss.function(**given)
        assert values.isfinite().all()
        for gradient in torch.autograd.grad(values.sum(), leaves):
            assert gradient.isfinite().all()


@pytest.mark.parametrize("loss", [pytest.param(LOSSES[name], id=name) for name in OVERFLOWS])
def test_a_loss_that_overflows_does_so_as_torch_does(loss: Loss) -> None:
    values = [(loss.function(**case), torch_call(loss, case, "none")) for case in large(loss)]
    assert any(ours.isinf().any() for ours, _ in values)
    for ours, theirs in values:
        assert_same_bits(ours, theirs)


def example_arguments(loss: Loss, request: dict[str, Any]) -> Case:
    """The request of an example as arguments; whole numbers for a role that may be an index are indices."""
    case = {}
    for name, value in request.items():
        if name in loss.tensor:
            kinds = {role.meaning.kind for role in loss.tensor[name].options}
            given = torch.tensor(value)
            if kinds == {"boolean"}:
                given = given.bool()
            elif given.dtype is not torch.bool and ("index" not in kinds or given.is_floating_point()):
                given = torch.tensor(value, dtype=torch.float64)
            case[name] = given
        elif name != "reduction":
            case[name] = value
    return case


EXAMPLES = [pytest.param(loss, e, id=f"{n}-{i}") for n, loss in LOSSES.items() for i, e in enumerate(loss.examples)]


@pytest.mark.parametrize(("loss", "example"), EXAMPLES)
def test_examples_give_their_value(loss: Loss, example: Any) -> None:
    case = example_arguments(loss, example.request)
    values = loss.function(**case)
    reductions = {"sum": values.sum, "mean": lambda: mean(loss, case), "batchmean": lambda: values.sum() / len(values)}
    assert reductions[example.request.get("reduction", "mean")]().item() == pytest.approx(example.value, rel=1e-9)
