"""Losses for embeddings."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from tests.support.inputs.declared._inputs import Inputs
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


DECLARED = {
    "cosine_embedding": Inputs(edges=_vector_pairs_edges),
    "triplet_margin": Inputs(parameters={"p": (1.0, 3.0), "eps": (0.01,)}, edges=_triplets_edges),
    "triplet_margin_with_distance": Inputs(edges=_triplets_edges),
}
