"""The words by which a loss is chosen: tasks, and situations that a loss suits.

Both are closed. A loss names them at its declaration; the words themselves, with what they mean, stand in the OpenAPI document,
on the page that helps to choose, and in the message that refuses another word.
"""

from __future__ import annotations

from collections.abc import Mapping

from lossmeter.catalogue.choosing import USUAL

TASKS: Mapping[str, str] = {
    "regression": "Predict numbers.",
    "binary": "Binary classification: say yes or no.",
    "multiclass": "Classification: choose one class of several.",
    "multilabel": "Multi-label classification: choose any number of labels.",
    "segmentation": "Semantic segmentation: give each pixel a class.",
    "detection": "Object detection: find objects and their boxes.",
    "ranking": "Put candidates in order.",
    "text": "Write or transcribe texts, token by token.",
    "embeddings": "Place like things near each other.",
    "alignment": "Make language models answer as people prefer.",
    "reinforcement_learning": "Improve a policy by rewards.",
    "generation": "Generate data: autoencoders, adversarial networks, simulators.",
    "survival": "Say how long it takes until an event, of which some are not seen.",
}
"""What predictions are for; each loss is for at least one."""

SITUATIONS: Mapping[str, str] = {
    USUAL: "Nothing unusual is known of the data: the first choice of its task.",
    "imbalance": "Class imbalance: some classes are rare, or easy negatives outnumber the rest.",
    "long_tail": "Long-tailed classes: many, most of them with few samples.",
    "noisy_labels": "Label noise: a good part of the labels or comparisons is wrong.",
    "soft_labels": "Soft labels: each is a distribution over the classes.",
    "missing_labels": "Partial labels: what is not labelled may be true all the same.",
    "ordered_classes": "Ordinal classes: they have an order, which mistakes should respect.",
    "many_classes": "Very many classes, or a large vocabulary.",
    "calibration": "Calibrated probabilities: these must be right, and not only their order.",
    "maximum_margin": "Only decisions count, as in support vector machines.",
    "outliers": "Outliers or heavy tails: some labels are far off and must not dominate.",
    "large_errors": "Large errors are worse than in proportion.",
    "counts": "Counts of events.",
    "skewed_amounts": "Positive and skewed amounts, perhaps with many zeros: claims, prices, waiting times.",
    "relative_errors": "Relative errors: ratios matter rather than differences.",
    "asymmetric_costs": "Asymmetric costs: one kind of error costs more than the other.",
    "intervals": "Prediction intervals and uncertainty: quantiles, variances, distributions.",
    "small_regions": "Small regions: few pixels are foreground.",
    "overlap": "Overlap is what is judged: IoU (Jaccard index) or Dice coefficient.",
    "disjoint_boxes": "Boxes that may not meet, as early in training.",
    "unlabelled": "Self-supervised learning: views of the same thing, without labels.",
    "labelled_pairs": "Pairs labelled as alike or not.",
    "triplets": "Relative similarity: which of two is more alike.",
    "unseen_classes": "Open-set recognition by the nearest embedding, of classes that are not in training.",
    "cross_modal": "Two modalities in one space: images and texts, say.",
    "small_batches": "Small batches, with few negatives.",
    "graded_lists": "Lists of candidates with grades of relevance.",
    "implicit_feedback": "Implicit or unpaired feedback: clicks, purchases, thumbs.",
    "preferences": "Preferences: of two, it is known which one is better.",
    "no_reference": "Preferences without a reference model.",
    "distillation": "Knowledge distillation: learning from what another model says.",
    "off_policy": "Off-policy samples, of an older policy or another engine.",
    "sequence_rewards": "Rewards of whole answers.",
    "divergence_penalty": "A KL penalty: a distribution should stay near a reference.",
}
"""What is known of the data or wanted of the model; `USUAL` where nothing is."""
