"""Losses for embeddings."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from tests.support.inputs.declared._inputs import Cases, Inputs
from tests.support.inputs.source import Case, Source


def _vector_pairs_edges(source: Source) -> Iterator[Case]:
    vectors = source.normal(4, 3)
    vectors[0] = 0.0
    yield {"input1": vectors, "input2": vectors.clone(), "labels": torch.tensor([1.0, 1.0, -1.0, -1.0]).double()}
    yield {"input1": source.normal(0, 3), "input2": source.normal(0, 3), "labels": source.signs(0)}


def _triplets_edges(source: Source) -> Iterator[Case]:
    anchor = source.normal(4, 3)
    yield {"anchor": anchor, "positive": anchor.clone(), "negative": anchor + 1}
    yield {"anchor": anchor, "positive": source.normal(4, 3), "negative": anchor + 100, "swap": True}
    yield {role: source.normal(0, 3) for role in ("anchor", "positive", "negative")}


def _collapsed(source: Source) -> list[Tensor]:
    """Vectors of which some are 0, equal, opposite, very long or very short."""
    vectors = source.normal(6, 3)
    vectors[1] = 0.0
    vectors[2] = vectors[0]
    vectors[3] = -2 * vectors[0]
    return [vectors, 1e30 * vectors, 1e-9 * vectors, torch.zeros(4, 3, dtype=torch.float64), vectors[:1], vectors[:0]]


def _paired_edges(*roles: str, **others: float) -> Cases:
    def edges(source: Source) -> Iterator[Case]:
        given = {name: torch.tensor(value, dtype=torch.float64) for name, value in others.items()}
        for vectors in _collapsed(source):
            yield {**dict.fromkeys(roles, vectors), **given}
            yield {roles[0]: vectors, roles[1]: -vectors.flip(0), **given}

    return edges


def _queried_edges(source: Source) -> Iterator[Case]:
    yield from _paired_edges("query", "positive")(source)
    for vectors in _collapsed(source):
        yield {"query": vectors, "positive": vectors.flip(0), "negatives": vectors}
        yield {"query": vectors, "positive": vectors, "negatives": vectors[:0]}


def _contrasted_edges(source: Source) -> Iterator[Case]:
    for vectors in (source.normal(4, 3), 1e-9 * source.normal(4, 3), source.normal(1, 3), source.normal(0, 3)):
        for other in (vectors, vectors + 1e6, vectors + 0.5):
            for sign in (1.0, -1.0):
                yield {"input1": vectors, "input2": other, "labels": torch.full((len(vectors),), sign).double()}


def _grouped_edges(source: Source) -> Iterator[Case]:
    """No positives, no negatives, both, and labels of any size."""
    for vectors in _collapsed(source):
        size = len(vectors)
        for labels in (
            torch.zeros(size),
            torch.arange(size),
            torch.arange(size) // 2,
            torch.arange(size) % 2 * -(2**40),
        ):
            yield {"embeddings": vectors, "labels": labels.long()}


def _classified_edges(source: Source) -> Iterator[Case]:
    for vectors in _collapsed(source)[:-1]:
        labels = torch.arange(len(vectors))
        yield {"embeddings": vectors, "prototypes": vectors, "labels": labels}
        yield {"embeddings": vectors, "prototypes": -vectors, "labels": labels}
        yield {"embeddings": vectors, "prototypes": vectors, "labels": labels.flip(0), "margin": 0.0}
        yield {"embeddings": vectors[:0], "prototypes": vectors, "labels": labels[:0]}


def _redundant_edges(source: Source) -> Iterator[Case]:
    views = source.normal(5, 3)
    constant = views.clone()
    constant[:, 1] = 0.1
    for first, second in ((views, views), (constant, views), (constant, constant), (views[:1], -views[:1])):
        yield {"view1": first, "view2": second}
    yield {"view1": views[:0], "view2": views[:0]}
    yield {"view1": views[:, :1], "view2": constant[:, 1:2]}


TAUS = {"temperature": (0.1, 2.5)}
DECLARED = {
    "contrastive": Inputs(edges=_contrasted_edges),
    "info_nce": Inputs(parameters=TAUS, edges=_queried_edges),
    "nt_xent": Inputs(parameters=TAUS, edges=_paired_edges("view1", "view2")),
    "clip": Inputs(edges=_paired_edges("image", "text", logit_scale=14.3)),
    "siglip": Inputs(edges=_paired_edges("image", "text", logit_scale=10.0, logit_bias=-10.0)),
    "supervised_contrastive": Inputs(parameters={"temperature": (0.5, 2.5)}, edges=_grouped_edges),
    "circle": Inputs(edges=_grouped_edges),
    "multi_similarity": Inputs(edges=_grouped_edges),
    "arcface": Inputs(parameters={"margin": (0.2, 2.2), "scale": (1.0, 30.0)}, edges=_classified_edges),
    "cosface": Inputs(parameters={"margin": (0.2, -0.3), "scale": (1.0, 30.0)}, edges=_classified_edges),
    "vicreg": Inputs(edges=_redundant_edges),
    "barlow_twins": Inputs(edges=_redundant_edges),
    "cosine_embedding": Inputs(edges=_vector_pairs_edges),
    "triplet_margin": Inputs(parameters={"p": (1.0, 3.0), "eps": (0.01,)}, edges=_triplets_edges),
    "triplet_margin_with_distance": Inputs(edges=_triplets_edges),
}
