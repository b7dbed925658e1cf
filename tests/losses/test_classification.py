"""Losses for classes: identities, other libraries, and logits that saturate."""

from __future__ import annotations

import itertools
from typing import Any

import kornia.losses
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.spatial import distance
from sklearn import metrics
from torch import Tensor

from lossmeter.losses import LOSSES
from tests.support.inputs import Source

F64 = torch.float64
CLASSES = 5


def value(name: str, *roles: Any, **parameters: Any) -> Tensor:
    tensors = [torch.as_tensor(role, dtype=F64) if isinstance(role, list) else role for role in roles]
    return LOSSES[name].function(*tensors, **parameters)


def batch(*further: int) -> tuple[Tensor, Tensor]:
    source = Source("classes")
    return 3 * source.normal(32, CLASSES, *further), source.indices(32, *further, below=CLASSES)


def close(actual: Any, expected: Any, rtol: float = 1e-12, atol: float = 1e-13) -> None:
    np.testing.assert_allclose(np.asarray(actual), np.asarray(expected), rtol=rtol, atol=atol)


@pytest.mark.parametrize(
    "parameters", [{}, {"label_smoothing": 0.1}, {"ignore_index": 2}, {"weight": [1.0, 2.0, 0.5, 0.0, 3.0]}]
)
def test_poly1_without_epsilon_is_cross_entropy(parameters: dict[str, Any]) -> None:
    given = {n: torch.tensor(v, dtype=F64) if isinstance(v, list) else v for n, v in parameters.items()}
    for further in ((), (3,)):
        logits, labels = batch(*further)
        close(value("poly1", logits, labels, epsilon=0.0, **given), value("cross_entropy", logits, labels, **given))
    soft = Source("soft").distribution(32, CLASSES)
    given.pop("ignore_index", None)
    logits, _ = batch()
    close(value("poly1", logits, soft, epsilon=0.0, **given), value("cross_entropy", logits, soft, **given))


def test_poly1_adds_the_probability_of_the_wrong_classes() -> None:
    logits, labels = batch()
    wrong = 1 - logits.softmax(1).gather(1, labels[:, None]).squeeze(1)
    close(value("poly1", logits, labels, epsilon=2.0), value("cross_entropy", logits, labels) + 2 * wrong)


def test_generalized_cross_entropy_lies_between_cross_entropy_and_the_probability_of_the_wrong_classes() -> None:
    logits, labels = batch()
    close(value("generalized_cross_entropy", logits, labels, q=1e-300), value("cross_entropy", logits, labels))
    right = logits.softmax(1).gather(1, labels[:, None]).squeeze(1)
    close(value("generalized_cross_entropy", logits, labels, q=1.0), 1 - right)


def test_symmetric_cross_entropy_without_its_reverse_is_cross_entropy() -> None:
    logits, labels = batch()
    close(
        value("symmetric_cross_entropy", logits, labels, alpha=2.0, beta=0.0),
        2 * value("cross_entropy", logits, labels),
    )


def test_class_balanced_weights_are_those_of_the_authors() -> None:
    """https://github.com/vandit15/Class-balanced-loss-pytorch: the weights sum to the number of classes."""
    logits, labels = batch()
    counts = np.array([500.0, 3.0, 20.0, 1.0, 8000.0])
    for beta in (0.9, 0.99, 0.9999):
        weights = (1 - beta) / (1 - np.power(beta, counts))
        weights = torch.as_tensor(weights / weights.sum() * CLASSES)
        expected = F.cross_entropy(logits, labels, weight=weights, reduction="none")
        close(
            value("class_balanced_cross_entropy", logits, labels, torch.as_tensor(counts), beta=beta),
            expected,
            rtol=1e-10,
        )


def test_the_mean_of_class_balanced_cross_entropy_divides_by_the_weights_of_the_labels() -> None:
    loss = LOSSES["class_balanced_cross_entropy"]
    logits, labels = batch()
    labels[::4] = -100
    counts = torch.tensor([500.0, 3.0, 20.0, 1.0, 8000.0], dtype=F64)
    assert loss.support is not None
    support = loss.support(
        {"predictions": logits, "labels": labels, "counts": counts, "beta": 0.99, "ignore_index": -100}
    )
    weights = torch.ones(CLASSES, dtype=F64) / (1 - 0.99**counts)
    expected = F.cross_entropy(logits, labels, weight=weights)
    assert support.denominator is not None
    close(value(loss.name, logits, labels, counts, beta=0.99).sum() / support.denominator.sum(), expected, rtol=1e-10)


def test_a_uniform_prior_and_no_overlap_change_nothing() -> None:
    logits, labels = batch()
    even = torch.full((CLASSES,), 0.2, dtype=F64)
    expected = value("cross_entropy", logits, labels)
    close(value("logit_adjusted_cross_entropy", logits, labels, even), expected)
    close(
        value("logit_adjusted_cross_entropy", logits, labels, Source("prior").distribution(CLASSES), tau=0.0), expected
    )
    close(value("class_balanced_cross_entropy", logits, labels, 100 * even, beta=0.0), expected)
    close(value("ldam", logits, labels, 100 * even, max_margin=0.0, scale=1.0), expected)


def test_the_rarest_class_has_the_largest_margin() -> None:
    logits, labels = batch()
    counts = torch.tensor([16.0, 1.0, 81.0, 256.0, 625.0], dtype=F64)
    margins = torch.tensor([0.25, 0.5, 0.5 / 3, 0.125, 0.1], dtype=F64)
    lowered = logits - F.one_hot(labels, CLASSES) * margins
    close(value("ldam", logits, labels, counts), F.cross_entropy(30 * lowered, labels, reduction="none"))


def test_asymmetric_without_focus_and_clip_is_binary_cross_entropy() -> None:
    logits = batch()[0]
    labels = Source("flags").indices(32, CLASSES, below=2).double()
    expected = value("binary_cross_entropy_with_logits", logits, labels)
    close(value("asymmetric", logits, labels, gamma_negative=0.0, gamma_positive=0.0, clip=0.0), expected)
    focal = value("binary_focal", logits, labels, alpha=None, gamma=3.0)
    close(value("asymmetric", logits, labels, gamma_negative=3.0, gamma_positive=3.0, clip=0.0), focal)


def test_asymmetric_is_timms() -> None:
    """The formula of timm.loss.AsymmetricLossMultiLabel 1.0, before its sum."""
    logits = batch()[0]
    labels = Source("flags").indices(32, CLASSES, below=2).double()
    yes = logits.sigmoid()
    no = (1 - yes + 0.05).clamp(max=1)
    plain = labels * yes.clamp(min=1e-8).log() + (1 - labels) * no.clamp(min=1e-8).log()
    chance = yes * labels + no * (1 - labels)
    expected = -plain * (1 - chance) ** (1.0 * labels + 4.0 * (1 - labels))
    close(value("asymmetric", logits, labels), expected)


def test_the_brier_score_is_scikit_learns() -> None:
    logits, labels = batch()
    probabilities = logits.softmax(1)
    expected = metrics.brier_score_loss(labels, probabilities, labels=list(range(CLASSES)))
    close(value("brier", probabilities, labels).mean(), expected)


def test_the_brier_score_of_two_classes_is_twice_that_of_one() -> None:
    chance = torch.tensor([0.1, 0.6, 0.9], dtype=F64)
    labels = torch.tensor([0, 1, 1])
    both = torch.stack([1 - chance, chance], dim=1)
    close(value("brier", both, labels).mean(), 2 * metrics.brier_score_loss(labels, chance))


def test_js_div_is_the_square_of_scipys_distance_and_symmetric() -> None:
    source = Source("js")
    p, q = source.distribution(20, CLASSES), source.distribution(20, CLASSES)
    close(value("js_div", p.log(), q), distance.jensenshannon(p, q, axis=1) ** 2)
    close(value("js_div", p.log(), q), value("js_div", q.log(), p))
    flat = kornia.losses.js_div_loss_2d(p.reshape(20, 1, 1, CLASSES), q.reshape(20, 1, 1, CLASSES), reduction="none")
    close(value("js_div", p.log(), q), flat.squeeze(1))


def test_js_div_of_equal_distributions_is_zero_and_of_disjoint_ones_log_2() -> None:
    close(value("js_div", [[0.0, -1e4]], [[0.0, 1.0]]), [np.log(2)])
    p = Source("equal").distribution(20, CLASSES)
    values = value("js_div", p.log(), p)
    assert ((values >= 0) & (values < 1e-15)).all()


@pytest.mark.parametrize("beta", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_generalized_jsd_is_trls(beta: float) -> None:
    """The formula of trl.experimental.gkd.GKDTrainer.generalized_jsd_loss, before its mean."""
    source = Source("jsd")
    student, teacher = source.distribution(20, CLASSES).log(), source.distribution(20, CLASSES).log()

    def kl(model: Tensor, true: Tensor) -> Tensor:
        return F.kl_div(model, true, reduction="none", log_target=True).sum(-1)

    if beta in (0.0, 1.0):
        expected = kl(student, teacher) if beta == 0 else kl(teacher, student)
    else:
        share = torch.tensor(beta, dtype=F64)
        mixture = torch.logsumexp(torch.stack([student + torch.log1p(-share), teacher + share.log()]), dim=0)
        expected = share * kl(mixture, teacher) + (1 - share) * kl(mixture, student)
    close(value("generalized_jsd", student, teacher, beta=beta), expected)


def test_generalized_jsd_of_one_half_is_js_div() -> None:
    source = Source("jsd")
    student, teacher = source.distribution(20, CLASSES).log(), source.distribution(20, CLASSES)
    close(value("generalized_jsd", student, teacher.log()), value("js_div", student, teacher))


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_distillation_is_the_divergence_of_softened_answers(temperature: float) -> None:
    student, teacher = batch()[0], batch()[0].flip(0)
    terms = F.kl_div((student / temperature).log_softmax(1), (teacher / temperature).softmax(1), reduction="none")
    close(value("distillation", student, teacher, temperature=temperature), temperature**2 * terms.sum(1))


def test_distillation_at_a_high_temperature_is_half_the_variance_of_the_differences_of_logits() -> None:
    student, teacher = batch()[0], batch()[0].flip(0)
    expected = (student - teacher).var(1, correction=0) / 2
    close(value("distillation", student, teacher, temperature=1e6), expected, rtol=1e-5)
    single = value("distillation", student.float(), teacher.float(), temperature=1e3)
    close(single, expected, rtol=5e-3)


def test_divergences_of_what_is_not_normalised_are_their_formula_and_its_gradient() -> None:
    source = Source("unnormalised")
    for beta, model in ((0.0, 0), (1.0, 1)):
        logarithms = [source.distribution(6, 3).log() - 0.7, source.distribution(6, 3).log() + 0.2]
        ours, theirs = ([one.clone().requires_grad_() for one in logarithms] for _ in range(2))
        values = value("generalized_jsd", *ours, beta=beta)
        expected = F.kl_div(theirs[model], theirs[1 - model], log_target=True, reduction="none").sum(1)
        close(values.detach(), expected.detach())
        gradients = zip(
            torch.autograd.grad(values.sum(), ours), torch.autograd.grad(expected.sum(), theirs), strict=True
        )
        for gradient, other in gradients:
            close(gradient, other)


def test_a_student_equal_to_its_teacher_costs_nothing() -> None:
    logits = batch()[0]
    assert (value("distillation", logits, logits) == 0).all()
    assert (value("generalized_jsd", logits.log_softmax(1), logits.log_softmax(1), beta=0.0) == 0).all()


def test_emd_counts_the_steps_between_classes() -> None:
    certain = torch.eye(CLASSES, dtype=F64)
    values = [[float(value("emd", certain[[a]], torch.tensor([b]))) for b in range(CLASSES)] for a in range(CLASSES)]
    close(values, np.abs(np.subtract.outer(range(CLASSES), range(CLASSES))))


def test_emd_takes_the_root_of_mean_square_as_nima_does() -> None:
    source = Source("nima")
    p, q = source.distribution(20, CLASSES), source.distribution(20, CLASSES)
    nima = ((p.cumsum(1) - q.cumsum(1)) ** 2).mean(1).sqrt()
    close((value("emd", p, q) / CLASSES).sqrt(), nima)


def levels() -> tuple[Tensor, Tensor]:
    return batch()[0], Source("levels").indices(32, below=CLASSES + 1)


def test_coral_is_the_sum_of_binary_cross_entropies() -> None:
    """The formula of coral_pytorch.losses.coral_loss 1.4."""
    logits, labels = levels()
    reached = (labels[:, None] > torch.arange(CLASSES)).double()
    expected = -(F.logsigmoid(logits) * reached + (F.logsigmoid(logits) - logits) * (1 - reached)).sum(1)
    close(value("coral", logits, labels), expected)


def test_the_mean_of_corn_is_that_of_coral_pytorch() -> None:
    """The algorithm of coral_pytorch.losses.corn_loss 1.4: subset by subset, divided by the sum of their sizes."""
    logits, labels = levels()
    total, asked = 0.0, 0
    for step in range(CLASSES):
        subset = labels > step - 1
        answers = (labels[subset] > step).double()
        terms = F.logsigmoid(logits[subset, step]) * answers
        terms = terms + (F.logsigmoid(logits[subset, step]) - logits[subset, step]) * (1 - answers)
        total, asked = total - float(terms.sum()), asked + len(answers)
    loss = LOSSES["corn"]
    assert loss.support is not None
    support = loss.support({"predictions": logits, "labels": labels})
    assert support.denominator is not None
    assert float(support.denominator.sum()) == asked
    close(value("corn", logits, labels).sum() / asked, total / asked)


@pytest.mark.parametrize("unasked", [torch.inf, -torch.inf, torch.nan])
def test_what_corn_does_not_ask_takes_no_part(unasked: float) -> None:
    logits = torch.tensor([[0.5, 2.0, 1.0], [0.5, -1.0, 1.0]], dtype=F64)
    labels = torch.tensor([0, 1])
    expected = value("corn", logits, labels)
    logits[0, 1:] = logits[1, 2] = unasked
    logits.requires_grad_()
    found = value("corn", logits, labels)
    close(found.detach(), expected)
    found.sum().backward()
    assert logits.grad is not None
    assert (logits.grad != 0).tolist() == [[True, False, False], [True, True, False]]
    assert logits.grad.isfinite().all()


def test_two_ordered_classes_are_a_yes_or_no() -> None:
    logits, labels = batch()[0][:, :1], Source("two").indices(32, below=2)
    expected = F.binary_cross_entropy_with_logits(logits.squeeze(1), labels.double(), reduction="none")
    close(value("coral", logits, labels), expected)
    close(value("corn", logits, labels), expected)


def test_hinge_is_scikit_learns_and_its_square_the_squared_one() -> None:
    scores, labels = batch()[0].flatten(), Source("signs").signs(32 * CLASSES)
    close(value("hinge", scores, labels).mean(), metrics.hinge_loss(labels, scores))
    close(value("squared_hinge", scores, labels), value("hinge", scores, labels) ** 2)


SATURATED = (-3e4, -120.0, 0.0, 30.0, 3e4)
LABELLED = {
    "poly1": [{}, {"label_smoothing": 0.1}],
    "generalized_cross_entropy": [{}, {"q": 1e-300}, {"q": 0.01}, {"q": 1.0}],
    "symmetric_cross_entropy": [{}],
    "class_balanced_cross_entropy": [{}, {"beta": 0.0}, {"beta": 1 - 1e-16}],
    "logit_adjusted_cross_entropy": [{}, {"tau": 100.0}],
    "ldam": [{}, {"scale": 1e4}],
    "coral": [{}],
    "corn": [{}],
}
every_dtype = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])


@every_dtype
@pytest.mark.parametrize(("name", "parameters"), [(name, one) for name, sets in LABELLED.items() for one in sets])
def test_saturated_logits_give_finite_values_and_gradients(
    name: str, parameters: dict[str, Any], dtype: torch.dtype
) -> None:
    rows = torch.tensor(list(itertools.product(SATURATED, repeat=3)), dtype=dtype)
    further = {"counts": [0.0, 1.0, 1e6], "prior": [0.0, 1e-30, 1.0]}
    given = {n: torch.tensor(v, dtype=dtype) for n, v in further.items() if n in LOSSES[name].tensor}
    for label in range(4 if name in ("coral", "corn") else 3):
        logits = rows.clone().requires_grad_()
        losses = LOSSES[name].function(logits, torch.full((len(rows),), label), **given, **parameters)
        for result in (losses, *torch.autograd.grad(losses.sum(), logits)):
            assert result.isfinite().all()


@every_dtype
@pytest.mark.parametrize("clip", [0.0, 1e-300, 1e-9, 0.05, 0.99])
@pytest.mark.parametrize("gamma", [0.0, 0.01, 0.5, 1.0, 4.0])
def test_saturated_labels_of_many_give_finite_values_and_gradients(
    gamma: float, clip: float, dtype: torch.dtype
) -> None:
    logits = torch.tensor([*SATURATED, -1e-3, 1e-3, -20.0, -90.0, 90.0, -2.944438979166440], dtype=dtype)
    for label in (0.0, 1.0):
        leaf = logits.clone().requires_grad_()
        losses = value(
            "asymmetric", leaf, torch.full_like(logits, label), gamma_negative=gamma, gamma_positive=gamma, clip=clip
        )
        for result in (losses, *torch.autograd.grad(losses.sum(), leaf)):
            assert result.isfinite().all()
        assert (losses >= 0).all()


@every_dtype
@pytest.mark.parametrize("temperature", [1e-30, 0.1, 4.0, 1e15])
def test_saturated_teachers_give_finite_values_and_gradients(temperature: float, dtype: torch.dtype) -> None:
    rows = torch.tensor(list(itertools.product(SATURATED, repeat=4)), dtype=dtype)
    student, teacher = (half.clone().requires_grad_() for half in rows.split(2, dim=1))
    losses = value("distillation", student, teacher, temperature=temperature)
    for result in (losses, *torch.autograd.grad(losses.sum(), (student, teacher))):
        assert result.isfinite().all()
    for beta in (0.0, 1e-30, 0.5, 1.0):
        losses = value("generalized_jsd", student.log_softmax(1), teacher.log_softmax(1), beta=beta)
        for result in (losses, *torch.autograd.grad(losses.sum(), (student, teacher))):
            assert result.isfinite().all()
    losses = value("js_div", student.log_softmax(1), teacher.softmax(1))
    for result in (losses, *torch.autograd.grad(losses.sum(), (student, teacher))):
        assert result.isfinite().all()


def test_binary_cross_entropy_is_cut_off_in_its_value_and_not_in_its_gradients() -> None:
    predictions = torch.tensor([0.0, 0.0, 1.0, 1.0], dtype=F64, requires_grad=True)
    labels = torch.tensor([0.0, 1.0, 0.0, 1.0], dtype=F64, requires_grad=True)
    values = value("binary_cross_entropy", predictions, labels)
    close(values.detach(), [0.0, 100.0, 100.0, 0.0])
    of_predictions, of_labels = torch.autograd.grad(values.sum(), [predictions, labels])
    close(of_predictions, [0.0, -1e12, 1e12, 0.0], rtol=1e-4)
    assert of_labels.tolist() == [np.inf, np.inf, -np.inf, -np.inf]
