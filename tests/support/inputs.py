"""Seeded arguments for every loss: tensors in float64 and int64, and parameters, under the names of the loss.

`smooth` gives points at which the loss is differentiable with respect to all its floating roles; `edges` adds those at the
border of a domain, ties, ignored labels and empty batches; `cases` is both. A parameter or optional tensor that is left out
has its default.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

Case = dict[str, Any]
SHAPES = ((), (5,), (4, 3), (2, 3, 2))
EMPTY = ((0,), (0, 3))


class Source:
    """Random tensors from one seed."""

    def __init__(self, name: str) -> None:
        self.generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator, dtype=torch.float64)

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        return low + (high - low) * torch.rand(shape, generator=self.generator, dtype=torch.float64)

    def indices(self, *shape: int, below: int) -> Tensor:
        return torch.randint(below, shape, generator=self.generator)

    def signs(self, *shape: int) -> Tensor:
        return 2.0 * self.indices(*shape, below=2) - 1.0

    def distribution(self, *shape: int, dim: int = -1) -> Tensor:
        return (2 * self.normal(*shape)).softmax(dim)


Cases = Callable[[Source], Iterator[Case]]
SMOOTH: dict[str, Cases] = {}
EDGES: dict[str, Cases] = {}


def smooth(name: str) -> list[Case]:
    return list(SMOOTH[name](Source(name)))


def edges(name: str) -> list[Case]:
    return list(EDGES[name](Source(name + " at the edges")))


def cases(name: str) -> list[Case]:
    return smooth(name) + edges(name)


def _pairs(*variants: Case) -> Cases:
    """Predictions and labels that differ, each shape with each set of parameters."""

    def generate(source: Source) -> Iterator[Case]:
        for shape in SHAPES:
            for parameters in variants:
                yield {"predictions": source.normal(*shape), "labels": 2 * source.normal(*shape), **parameters}

    return generate


def _equal_pairs(*variants: Case) -> Cases:
    """Predictions that hit their label, or lie exactly where the formula changes; and nothing at all."""

    def generate(source: Source) -> Iterator[Case]:
        for parameters in variants:
            labels = source.normal(6)
            offsets = torch.tensor([0.0, 1.0, -1.0, 0.5, 1e6, -1e6], dtype=torch.float64)
            yield {"predictions": labels + offsets, "labels": labels, **parameters}
        for shape in EMPTY:
            yield {"predictions": source.normal(*shape), "labels": source.normal(*shape)}

    return generate


SMOOTH["mse"], EDGES["mse"] = _pairs({}), _equal_pairs({})
SMOOTH["mae"], EDGES["mae"] = _pairs({}), _equal_pairs({})
SMOOTH["smooth_l1"], EDGES["smooth_l1"] = _pairs({}, {"beta": 0.3}), _equal_pairs({}, {"beta": 0.5}, {"beta": 0.0})
SMOOTH["huber"], EDGES["huber"] = _pairs({}, {"delta": 0.3}), _equal_pairs({}, {"delta": 0.5})

# Logits (or log-probabilities) and their labels: unbatched, batched, with one and with two further dimensions.
CLASSIFIED = (((4,), ()), ((5, 4), (5,)), ((2, 4, 3), (2, 3)), ((2, 3, 2, 2), (2, 2, 2)))
UNCLASSIFIED = (((0, 4), (0,)), ((0, 3, 2), (0, 2)), ((2, 3, 0), (2, 0)))


def _classified(logits: Callable[[Tensor], Tensor], weight: str, *variants: Case) -> Cases:
    def generate(source: Source) -> Iterator[Case]:
        for shape, places in CLASSIFIED:
            classes = shape[min(1, len(shape) - 1)]
            for parameters in variants:
                labels = source.indices(*places, below=classes)
                case = {"predictions": logits(2 * source.normal(*shape)), "labels": labels, **parameters}
                yield case
                yield {**case, weight: source.uniform(classes, high=3.0)}

    return generate


def _partly_ignored(logits: Callable[[Tensor], Tensor], weight: str, *variants: Case) -> Cases:
    def generate(source: Source) -> Iterator[Case]:
        for ignored in (-100, 1, 255):
            for parameters in variants:
                labels = source.indices(6, 2, below=4)
                labels[::2, 0] = ignored
                case = {"predictions": logits(source.normal(6, 4, 2)), "labels": labels, "ignore_index": ignored}
                yield {**case, **parameters}
                yield {**case, **parameters, weight: source.uniform(4)}
                yield {**case, **parameters, "labels": torch.full_like(labels, ignored)}
        case = {"predictions": logits(source.normal(3, 2)), "labels": torch.tensor([0, 1, 1])}
        yield {**case, weight: torch.tensor([0.0, 2.0], dtype=torch.float64)}
        yield {"predictions": logits(source.normal(3, 1)), "labels": torch.zeros(3, dtype=torch.int64)}
        yield {"predictions": logits(30 * source.normal(8, 4)), "labels": source.indices(8, below=4)}
        for shape, places in UNCLASSIFIED:
            yield {"predictions": logits(source.normal(*shape)), "labels": source.indices(*places, below=2)}

    return generate


def _as_they_are(logits: Tensor) -> Tensor:
    return logits


def _normalised(logits: Tensor) -> Tensor:
    return logits.log_softmax(min(1, logits.ndim - 1))


def _described(source: Source) -> Iterator[Case]:
    """Cross entropy with probabilities as labels."""
    for shape, _ in CLASSIFIED:
        dim = min(1, len(shape) - 1)
        for parameters in ({}, {"label_smoothing": 0.2}):
            case = {"predictions": source.normal(*shape), "labels": source.distribution(*shape, dim=dim), **parameters}
            yield case
            yield {**case, "weight": source.uniform(shape[dim], high=3.0)}


def _cross_entropy(source: Source) -> Iterator[Case]:
    yield from _classified(_as_they_are, "weight", {}, {"label_smoothing": 0.2})(source)
    yield from _described(source)


def _cross_entropy_edges(source: Source) -> Iterator[Case]:
    yield from _partly_ignored(_as_they_are, "weight", {}, {"label_smoothing": 0.2}, {"label_smoothing": 1.0})(source)
    certain = torch.eye(3, dtype=torch.float64)
    yield {"predictions": source.normal(3, 3), "labels": certain}
    yield {"predictions": source.normal(0, 3), "labels": source.uniform(0, 3)}


SMOOTH["cross_entropy"], EDGES["cross_entropy"] = _cross_entropy, _cross_entropy_edges
SMOOTH["nll"] = _classified(_normalised, "weight", {})
EDGES["nll"] = _partly_ignored(_normalised, "weight", {})
FOCI = ({}, {"gamma": 0.5}, {"gamma": 0.0}, {"gamma": 3.0, "label_smoothing": 0.2})
SMOOTH["focal"] = _classified(_as_they_are, "alpha", *FOCI)
EDGES["focal"] = _partly_ignored(_as_they_are, "alpha", *FOCI, {"label_smoothing": 1.0})


def _linear(source: Source) -> Iterator[Case]:
    classifier = source.normal(4, 3)
    for shape, places in (((3,), ()), ((5, 3), (5,))):
        for labels in (source.indices(*places, below=4), source.distribution(*places, 4)):
            case = {"features": source.normal(*shape), "classifier": classifier, "labels": labels}
            yield case
            yield {**case, "bias": source.normal(4), "weight": source.uniform(4), "label_smoothing": 0.2}


def _linear_edges(source: Source) -> Iterator[Case]:
    case = {"features": source.normal(4, 3), "classifier": source.normal(5, 3), "weight": source.uniform(5)}
    yield {**case, "labels": torch.tensor([0, -100, 4, -100])}
    yield {**case, "labels": torch.tensor([0, 2, 4, 2]), "ignore_index": 2, "label_smoothing": 0.1}
    yield {**case, "labels": torch.full((4,), 2), "ignore_index": 2}
    yield {**case, "features": source.normal(0, 3), "labels": source.indices(0, below=5)}


SMOOTH["linear_cross_entropy"], EDGES["linear_cross_entropy"] = _linear, _linear_edges


def _answered(predictions: Callable[..., Tensor], *weights: str, variants: tuple[Case, ...] = ({},)) -> Cases:
    """Yes-or-no predictions; each weight in the shape of the predictions and in one that broadcasts."""

    def generate(source: Source) -> Iterator[Case]:
        for shape in SHAPES:
            for parameters in variants:
                case = {
                    "predictions": predictions(source, *shape),
                    "labels": source.uniform(*shape, low=0.05, high=0.95),
                }
                yield {**case, **parameters}
                for weight in weights:
                    yield {**case, **parameters, weight: source.uniform(*shape, high=3.0)}
                    yield {**case, **parameters, weight: source.uniform(*shape[-1:], high=3.0)}

    return generate


def _certain(predictions: tuple[float, ...], *weights: str, variants: tuple[Case, ...] = ({},)) -> Cases:
    """Labels of exactly 0 and 1, each with each prediction."""

    def generate(source: Source) -> Iterator[Case]:
        for parameters in variants:
            for label in (0.0, 1.0):
                values = torch.tensor(predictions, dtype=torch.float64)
                yield {"predictions": values, "labels": torch.full_like(values, label), **parameters}
        for shape in EMPTY:
            empty = {weight: source.uniform(*shape) for weight in weights}
            yield {"predictions": source.uniform(*shape), "labels": source.uniform(*shape), **empty}

    return generate


def _logits(source: Source, *shape: int) -> Tensor:
    return 2 * source.normal(*shape)


def _interior(source: Source, *shape: int) -> Tensor:
    return source.uniform(*shape, low=0.02, high=0.98)


BALANCES = ({}, {"gamma": 0.5, "alpha": None}, {"gamma": 0.0, "alpha": 0.7}, {"gamma": 3.5})
SMOOTH["binary_cross_entropy"] = _answered(_interior, "weight")
EDGES["binary_cross_entropy"] = _certain((0.0, 1e-12, 0.5, 1.0), "weight")
SMOOTH["binary_cross_entropy_with_logits"] = _answered(_logits, "weight", "pos_weight")
EDGES["binary_cross_entropy_with_logits"] = _certain((-30.0, -1.0, 0.0, 2.0, 30.0), "weight", "pos_weight")
SMOOTH["binary_focal"] = _answered(_logits, "pos_weight", variants=BALANCES)
EDGES["binary_focal"] = _certain((-30.0, -1.0, 0.0, 2.0, 30.0), "pos_weight", variants=BALANCES)


def _scored(source: Source) -> Iterator[Case]:
    for shape in ((4,), (5, 4)):
        for parameters in ({}, {"p": 2}, {"margin": 0.3}, {"p": 2, "margin": -0.5}):
            case = {"predictions": source.normal(*shape), "labels": source.indices(*shape[:-1], below=4), **parameters}
            yield case
            yield {**case, "weight": source.uniform(4, high=3.0)}


def _scored_edges(source: Source) -> Iterator[Case]:
    yield {"predictions": torch.tensor([[0.0, 1.0, 1.0]], dtype=torch.float64), "labels": torch.tensor([1])}
    yield {"predictions": source.normal(3, 1), "labels": torch.zeros(3, dtype=torch.int64)}
    yield {"predictions": source.normal(0, 4), "labels": source.indices(0, below=4)}


SMOOTH["multi_margin"], EDGES["multi_margin"] = _scored, _scored_edges


def _listed(source: Source) -> Iterator[Case]:
    for lists in ([2, 0, -1, 1], [[2, 0, -1, 1], [3, -1, -1, -1], [0, 1, 2, -1]]):
        labels = torch.tensor(lists)
        yield {"predictions": source.normal(*labels.shape), "labels": labels}


def _listed_edges(source: Source) -> Iterator[Case]:
    labels = torch.tensor([[-1, 0, 1], [0, 1, 2], [1, 1, -1]])
    yield {"predictions": source.normal(3, 3), "labels": labels}
    yield {"predictions": source.normal(0, 3), "labels": source.indices(0, 3, below=3)}


SMOOTH["multilabel_margin"], EDGES["multilabel_margin"] = _listed, _listed_edges


def _tagged(source: Source) -> Iterator[Case]:
    for shape in ((4,), (5, 4), (2, 3, 4)):
        case = {"predictions": 2 * source.normal(*shape), "labels": source.uniform(*shape)}
        yield case
        yield {**case, "weight": source.uniform(4, high=3.0)}


def _tagged_edges(source: Source) -> Iterator[Case]:
    yield {"predictions": 20 * source.normal(5, 4), "labels": source.indices(5, 4, below=2).double()}
    yield {"predictions": source.normal(0, 4), "labels": source.uniform(0, 4)}


SMOOTH["multilabel_soft_margin"], EDGES["multilabel_soft_margin"] = _tagged, _tagged_edges


def _signed(*variants: Case) -> Cases:
    def generate(source: Source) -> Iterator[Case]:
        for shape in SHAPES:
            for parameters in variants:
                yield {"predictions": 2 * source.normal(*shape), "labels": source.signs(*shape), **parameters}

    return generate


def _signed_edges(source: Source) -> Iterator[Case]:
    for label in (-1.0, 1.0):
        predictions = torch.tensor([-20.0, -1.0, 0.0, 1.0, 20.0], dtype=torch.float64)
        yield {"predictions": predictions, "labels": torch.full_like(predictions, label)}
    for shape in EMPTY:
        yield {"predictions": source.normal(*shape), "labels": source.signs(*shape)}


SMOOTH["soft_margin"], EDGES["soft_margin"] = _signed({}), _signed_edges
SMOOTH["hinge_embedding"], EDGES["hinge_embedding"] = _signed({}, {"margin": 0.3}, {"margin": -0.5}), _signed_edges


def _divergent(source: Source) -> Iterator[Case]:
    for shape in SHAPES:
        predictions = source.uniform(*shape, low=0.02, high=0.98).log()
        labels = source.uniform(*shape, low=0.02, high=0.98)
        yield {"predictions": predictions, "labels": labels}
        yield {"predictions": predictions, "labels": labels.log(), "log_target": True}


def _divergent_edges(source: Source) -> Iterator[Case]:
    certain = torch.tensor([[0.0, 1.0, 0.0], [0.5, 0.5, 0.0]], dtype=torch.float64)
    yield {"predictions": source.distribution(2, 3).log(), "labels": certain}
    for shape in EMPTY:
        yield {"predictions": source.normal(*shape), "labels": source.uniform(*shape)}


SMOOTH["kl_div"], EDGES["kl_div"] = _divergent, _divergent_edges


def _counted(source: Source) -> Iterator[Case]:
    for shape in SHAPES:
        # Stirling's term begins at labels above 1, with a jump.
        labels = source.uniform(*shape, low=1.5, high=9.0)
        for full in (False, True):
            yield {"predictions": source.normal(*shape), "labels": labels, "full": full}
            rates = source.uniform(*shape, low=0.1, high=9.0)
            yield {"predictions": rates, "labels": labels, "full": full, "log_input": False}
        yield {"predictions": rates, "labels": labels, "log_input": False, "eps": 0.5}


def _counted_edges(source: Source) -> Iterator[Case]:
    labels = torch.tensor([0.0, 1.0, 2.0, 1.5, 1000.0, -1.0], dtype=torch.float64)
    for full in (False, True):
        yield {"predictions": source.normal(6), "labels": labels, "full": full}
        yield {"predictions": source.uniform(6) * labels.abs(), "labels": labels, "full": full, "log_input": False}
    for shape in EMPTY:
        yield {"predictions": source.normal(*shape), "labels": source.uniform(*shape)}


SMOOTH["poisson_nll"], EDGES["poisson_nll"] = _counted, _counted_edges

# Predictions and variances: the same, one variance per sample, the last dimension of size 1, another one of size 1.
SPREAD = (
    ((), ()),
    ((5,), (5,)),
    ((2, 3, 2), (2, 3, 2)),
    ((4, 3), (4,)),
    ((3,), ()),
    ((4, 3), (4, 1)),
    ((2, 3, 2), (2, 1, 2)),
)


def _spread(source: Source) -> Iterator[Case]:
    for shape, variances in SPREAD:
        for parameters in ({}, {"full": True}, {"eps": 0.1}):
            variance = source.uniform(*variances, low=0.2, high=4.0)
            yield {
                "predictions": source.normal(*shape),
                "labels": source.normal(*shape),
                "variance": variance,
                **parameters,
            }


def _spread_edges(source: Source) -> Iterator[Case]:
    variance = torch.tensor([0.0, 1e-9, 1e-6, 0.3, 1e6], dtype=torch.float64)
    for parameters in ({}, {"eps": 0.3}):
        yield {"predictions": source.normal(5), "labels": source.normal(5), "variance": variance, **parameters}
    for shape in ((0, 3), (0, 1), (0,)):
        yield {"predictions": source.normal(0, 3), "labels": source.normal(0, 3), "variance": source.uniform(*shape)}


SMOOTH["gaussian_nll"], EDGES["gaussian_nll"] = _spread, _spread_edges


def _vector_pairs(source: Source) -> Iterator[Case]:
    for shape in ((4,), (6, 4)):
        for parameters in ({}, {"margin": 0.3}, {"margin": -0.5}):
            vectors = {"input1": source.normal(*shape), "input2": source.normal(*shape)}
            for label in (-1.0, 1.0):
                labels = torch.full(shape[:-1], label, dtype=torch.float64)
                yield {**vectors, "labels": labels, **parameters}


def _vector_pairs_edges(source: Source) -> Iterator[Case]:
    vectors = source.normal(4, 3)
    vectors[0] = 0.0
    yield {"input1": vectors, "input2": vectors.clone(), "labels": torch.tensor([1.0, 1.0, -1.0, -1.0]).double()}
    yield {"input1": source.normal(0, 3), "input2": source.normal(0, 3), "labels": source.signs(0)}


SMOOTH["cosine_embedding"], EDGES["cosine_embedding"] = _vector_pairs, _vector_pairs_edges


def _triplets(*variants: Case) -> Cases:
    def generate(source: Source) -> Iterator[Case]:
        for shape in ((3,), (5, 3), (2, 3, 4)):
            for parameters in variants:
                roles = ("anchor", "positive", "negative")
                yield {**{role: source.normal(*shape) for role in roles}, **parameters}

    return generate


def _triplets_edges(source: Source) -> Iterator[Case]:
    anchor = source.normal(4, 3)
    yield {"anchor": anchor, "positive": anchor.clone(), "negative": anchor + 1}
    yield {"anchor": anchor, "positive": source.normal(4, 3), "negative": anchor + 100, "swap": True}
    yield {role: source.normal(0, 3) for role in ("anchor", "positive", "negative")}


NORMS = ({}, {"p": 1.0}, {"p": 3.0, "margin": 2.5}, {"swap": True}, {"eps": 0.01, "swap": True})
NAMED = tuple(
    {"distance": distance, **parameters}
    for distance in ("euclidean", "squared_euclidean", "manhattan", "cosine")
    for parameters in ({}, {"swap": True}, {"margin": 2.5})
)
SMOOTH["triplet_margin"], EDGES["triplet_margin"] = _triplets(*NORMS), _triplets_edges
SMOOTH["triplet_margin_with_distance"], EDGES["triplet_margin_with_distance"] = _triplets({}, *NAMED), _triplets_edges


def _ranked(source: Source) -> Iterator[Case]:
    for shape in SHAPES:
        for parameters in ({}, {"margin": 0.7}, {"margin": -0.3}):
            scores = {"input1": source.normal(*shape), "input2": source.normal(*shape)}
            yield {**scores, "labels": source.signs(*shape), **parameters}


def _ranked_edges(source: Source) -> Iterator[Case]:
    scores = source.normal(4)
    yield {"input1": scores, "input2": scores.clone(), "labels": torch.tensor([1.0, -1.0, 1.0, -1.0]).double()}
    for shape in EMPTY:
        yield {"input1": source.normal(*shape), "input2": source.normal(*shape), "labels": source.signs(*shape)}


SMOOTH["margin_ranking"], EDGES["margin_ranking"] = _ranked, _ranked_edges


def _spoken(source: Source) -> Iterator[Case]:
    batch = {
        "predictions": source.normal(5, 3, 3).log_softmax(-1),
        "prediction_lengths": torch.tensor([5, 4, 3]),
        "label_lengths": torch.tensor([2, 1, 2]),
    }
    yield {**batch, "labels": torch.tensor([[1, 2], [2, -1], [1, 2]])}
    yield {**batch, "labels": torch.tensor([1, 1, 2, 1, 2])}
    yield {**batch, "labels": torch.tensor([[0, 1], [1, 2], [0, 0]]), "blank": 2}
    yield {
        "predictions": source.normal(4, 3).log_softmax(-1),
        "labels": torch.tensor([2, 1]),
        "prediction_lengths": torch.tensor(4),
        "label_lengths": torch.tensor(2),
    }


def _spoken_edges(source: Source) -> Iterator[Case]:
    batch = {
        "predictions": source.normal(3, 4, 3).log_softmax(-1),
        "labels": torch.tensor([[1, 1, 1], [1, 2, 7], [2, 2, 0], [5, 5, 5]]),
        "prediction_lengths": torch.tensor([3, 3, 0, 0]),
        "label_lengths": torch.tensor([3, 2, 1, 0]),
    }
    yield batch
    yield {**batch, "zero_infinity": True}
    yield {**batch, "labels": torch.zeros(4, 0, dtype=torch.int64), "label_lengths": torch.zeros(4, dtype=torch.int64)}
    yield {**batch, "labels": torch.zeros(0, dtype=torch.int64), "label_lengths": torch.zeros(4, dtype=torch.int64)}


SMOOTH["ctc"], EDGES["ctc"] = _spoken, _spoken_edges
