"""The catalogue of losses: files by family, each loss one decorated pure function."""

from lossmeter.losses import (
    binary,
    classification,
    distributions,
    embeddings,
    margins,
    policy,
    policy_divergences,
    policy_sequences,
    preference,
    preference_anchors,
    preference_rewards,
    ranking,
    regression,
    sequences,
    tokens,
)
from lossmeter.losses.catalogue import LOSSES, Arguments, Loss, Support, TensorArgument, find

__all__ = [
    "LOSSES",
    "Arguments",
    "Loss",
    "Support",
    "TensorArgument",
    "binary",
    "classification",
    "distributions",
    "embeddings",
    "find",
    "margins",
    "policy",
    "policy_divergences",
    "policy_sequences",
    "preference",
    "preference_anchors",
    "preference_rewards",
    "ranking",
    "regression",
    "sequences",
    "tokens",
]
