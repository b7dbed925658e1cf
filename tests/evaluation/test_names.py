"""Losses and metrics answer to the names that their users know, as texts too, and say under which name they were asked for."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
import sklearn.metrics
import torch

from lossmeter.errors import Invalid, NotFound
from lossmeter.evaluation import evaluate
from lossmeter.losses import LOSSES
from lossmeter.metrics import METRICS
from tests.support.evaluations import fields, plan

NOT_A_LOSS_HERE = {"AdaptiveLogSoftmaxWithLoss"}
"""Of torch: it has weights of its own."""

TORCH = {
    "BCELoss": "binary_cross_entropy",
    "BCEWithLogitsLoss": "binary_cross_entropy_with_logits",
    "CTCLoss": "ctc",
    "CosineEmbeddingLoss": "cosine_embedding",
    "CrossEntropyLoss": "cross_entropy",
    "GaussianNLLLoss": "gaussian_nll",
    "HingeEmbeddingLoss": "hinge_embedding",
    "HuberLoss": "huber",
    "KLDivLoss": "kl_div",
    "L1Loss": "mae",
    "LinearCrossEntropyLoss": "linear_cross_entropy",
    "MSELoss": "mse",
    "MarginRankingLoss": "margin_ranking",
    "MultiLabelMarginLoss": "multilabel_margin",
    "MultiLabelSoftMarginLoss": "multilabel_soft_margin",
    "MultiMarginLoss": "multi_margin",
    "NLLLoss": "nll",
    "PoissonNLLLoss": "poisson_nll",
    "SmoothL1Loss": "smooth_l1",
    "SoftMarginLoss": "soft_margin",
    "TripletMarginLoss": "triplet_margin",
    "TripletMarginWithDistanceLoss": "triplet_margin_with_distance",
}
OLD_IN_TORCH = {"NLLLoss2d"}
SCIKIT_LEARN = {
    "accuracy_score": "accuracy",
    "adjusted_rand_score": "adjusted_rand",
    "auc": "auroc",
    "average_precision_score": "average_precision",
    "balanced_accuracy_score": "balanced_accuracy",
    "brier_score_loss": "brier",
    "cohen_kappa_score": "cohen_kappa",
    "confusion_matrix": "confusion_matrix",
    "d2_absolute_error_score": "d2_absolute_error",
    "d2_pinball_score": "d2_pinball",
    "d2_tweedie_score": "d2_tweedie",
    "explained_variance_score": "explained_variance",
    "f1_score": "f1",
    "fbeta_score": "f_beta",
    "hamming_loss": "hamming",
    "jaccard_score": "jaccard",
    "log_loss": "log_loss",
    "matthews_corrcoef": "matthews",
    "max_error": "max_error",
    "mean_absolute_error": "mae",
    "mean_absolute_percentage_error": "mape",
    "mean_pinball_loss": "pinball",
    "mean_poisson_deviance": "poisson_deviance",
    "mean_squared_error": "mse",
    "mean_squared_log_error": "msle",
    "mean_tweedie_deviance": "tweedie_deviance",
    "median_absolute_error": "median_absolute_error",
    "ndcg_score": "ndcg",
    "normalized_mutual_info_score": "nmi",
    "precision_recall_curve": "pr_curve",
    "precision_score": "precision",
    "r2_score": "r2",
    "recall_score": "recall",
    "roc_auc_score": "auroc",
    "roc_curve": "roc_curve",
    "root_mean_squared_error": "rmse",
    "top_k_accuracy_score": "top_k_accuracy",
    "v_measure_score": "v_measure",
}
NOT_HERE = {
    # losses of ours, which are no metrics
    "hinge_loss",
    "mean_gamma_deviance",
    # not offered
    "adjusted_mutual_info_score",
    "calinski_harabasz_score",
    "class_likelihood_ratios",
    "classification_report",
    "completeness_score",
    "consensus_score",
    "coverage_error",
    "d2_brier_score",
    "d2_log_loss_score",
    "davies_bouldin_score",
    "dcg_score",
    "det_curve",
    "fowlkes_mallows_score",
    "homogeneity_completeness_v_measure",
    "homogeneity_score",
    "label_ranking_average_precision_score",
    "label_ranking_loss",
    "metric_at_thresholds",
    "multilabel_confusion_matrix",
    "mutual_info_score",
    "pair_confusion_matrix",
    "precision_recall_fscore_support",
    "rand_score",
    "root_mean_squared_log_error",
    "silhouette_samples",
    "silhouette_score",
    "zero_one_loss",
    # machinery
    "check_scoring",
    "cluster",
    "confusion_matrix_at_thresholds",
    "euclidean_distances",
    "get_scorer",
    "get_scorer_names",
    "make_scorer",
    "nan_euclidean_distances",
}
TORCHMETRICS = {
    "AUROC": "auroc",
    "Accuracy": "accuracy",
    "AdjustedRandScore": "adjusted_rand",
    "AveragePrecision": "average_precision",
    "CalibrationError": "ece",
    "CohenKappa": "cohen_kappa",
    "ConcordanceCorrCoef": "concordance",
    "ConfusionMatrix": "confusion_matrix",
    "Dice": "f1",
    "ExactMatch": "exact_match",
    "ExplainedVariance": "explained_variance",
    "F1Score": "f1",
    "FBetaScore": "f_beta",
    "HammingDistance": "hamming",
    "JaccardIndex": "jaccard",
    "KendallRankCorrCoef": "kendall",
    "MatthewsCorrCoef": "matthews",
    "MeanAbsoluteError": "mae",
    "MeanAbsolutePercentageError": "mape",
    "MeanSquaredError": "mse",
    "MeanSquaredLogError": "msle",
    "NegativePredictiveValue": "npv",
    "NormalizedMutualInfoScore": "nmi",
    "PearsonCorrCoef": "pearson",
    "Perplexity": "perplexity",
    "Precision": "precision",
    "PrecisionRecallCurve": "pr_curve",
    "R2Score": "r2",
    "ROC": "roc_curve",
    "Recall": "recall",
    "RetrievalMAP": "mean_average_precision",
    "RetrievalMRR": "mrr",
    "RetrievalNormalizedDCG": "ndcg",
    "RetrievalPrecision": "precision_at_k",
    "RetrievalRecall": "recall_at_k",
    "SpearmanCorrCoef": "spearman",
    "Specificity": "specificity",
    "SymmetricMeanAbsolutePercentageError": "smape",
    "TweedieDevianceScore": "tweedie_deviance",
    "VMeasureScore": "v_measure",
    "WeightedMeanAbsolutePercentageError": "wape",
}
OTHER_METRICS = {
    "acc": "accuracy",
    "ap": "average_precision",
    "auprc": "average_precision",
    "SparseCategoricalCrossentropy": "log_loss",
    "iou": "jaccard",
    "matthews_correlation": "matthews",
    "mcc": "matthews",
    "miou": "jaccard",
    "pearsonr": "pearson",
    "r_squared": "r2",
    "roc_auc": "auroc",
    "SparseCategoricalAccuracy": "accuracy",
    "spearmanr": "spearman",
}
OTHER_LOSSES = {
    "bce": "binary_cross_entropy",
    "bce_with_logits": "binary_cross_entropy_with_logits",
    "BinaryCrossentropy": "binary_cross_entropy",
    "ce": "cross_entropy",
    "CategoricalHinge": None,
    "KLDivergence": "kl_div",
    "l1": "mae",
    "LogCosh": "log_cosh",
    "low_var_kl": "kl_k3",
    "mean_squared_error": "mse",
    "MeanAbsolutePercentageError": "mape",
    "sigmoid_focal_loss": "binary_focal",
    "vanilla": "ppo_clip",
}


def test_every_loss_of_torch_is_found_under_the_names_of_its_class_and_its_function() -> None:
    classes = {name for name in dir(torch.nn) if name.endswith("Loss") or name.startswith("NLLLoss")}
    assert classes - NOT_A_LOSS_HERE - OLD_IN_TORCH == set(TORCH)
    assert {name: LOSSES.find(name).name for name in TORCH} == TORCH
    functions = [
        name for name, of in vars(torch.nn.functional).items() if name.endswith("_loss") and inspect.isfunction(of)
    ]
    assert len(functions) > 15
    by_function = {LOSSES.find(name).name for name in functions}
    assert by_function <= set(TORCH.values())


def test_every_metric_of_scikit_learn_is_found_or_known_to_be_missing() -> None:
    names = {name for name in sklearn.metrics.__all__ if name.islower() and not name.startswith("pairwise")}
    assert names - NOT_HERE == set(SCIKIT_LEARN)
    assert {name: METRICS.find(name).name for name in SCIKIT_LEARN} == SCIKIT_LEARN
    assert not [name for name in NOT_HERE if METRICS.knows(name)]


@pytest.mark.parametrize(
    ("catalogue", "names"),
    [(METRICS, TORCHMETRICS | OTHER_METRICS), (LOSSES, OTHER_LOSSES)],
    ids=["metrics", "losses"],
)
def test_names_of_other_libraries_and_usual_abbreviations_are_found(catalogue: Any, names: dict[str, str]) -> None:
    found = {name: None if (entry := catalogue.get_known(name)) is None else entry.name for name in names}
    assert found == names


@pytest.mark.parametrize(
    ("catalogue", "name", "meanings"),
    [
        (METRICS, "map", ["average_precision", "mean_average_precision"]),
        (METRICS, "mAP", ["average_precision", "mean_average_precision"]),
        (METRICS, "mean_iou", ["jaccard", "iou_per_image"]),
        (LOSSES, "SparseCategoricalCrossentropy", ["cross_entropy", "nll"]),
    ],
)
def test_a_name_that_means_several_things_is_refused_with_them(catalogue: Any, name: str, meanings: list[str]) -> None:
    with pytest.raises(NotFound) as error:
        catalogue.find(name)
    assert "means different things" in error.value.detail
    assert all(f"{one} (" in error.value.detail for one in meanings)


@pytest.mark.parametrize(
    ("catalogue", "name", "near"),
    [
        (METRICS, "acuracy", ["accuracy"]),
        (METRICS, "cer", []),
        (METRICS, "bleu", []),
        (LOSSES, "poisson", ["poisson_nll", "poisson_deviance"]),
        (LOSSES, "crossentropy_los", ["cross_entropy"]),
    ],
)
def test_near_names_are_near(catalogue: Any, name: str, near: list[str]) -> None:
    found = catalogue.near(name)
    assert found[: len(near)] == near
    assert near or not found


DATA = {"predictions": [[2.0, 0.1], [0.3, 1.0], [0.2, 0.9]], "labels": [0, 1, 0]}
FORM = {"task": "multiclass", "predictions_are": "logits", "replicates": 0}


def test_texts_mean_what_their_objects_mean() -> None:
    texts = plan(
        **FORM,
        losses=["focal(gamma=1.5)"],
        metrics=["accuracy", "f1(average=micro)"],
        gates=["accuracy>=0.5", "CrossEntropyLoss<=3"],
    )
    objects = plan(
        **FORM,
        losses=[{"loss": "focal", "gamma": 1.5}],
        metrics=[{"metric": "accuracy"}, {"metric": "f1", "average": "micro"}],
        gates=[{"metric": "accuracy", "minimum": 0.5}, {"loss": "CrossEntropyLoss", "maximum": 3.0}],
    )
    assert texts.to_json() == objects.to_json()


def test_a_figure_has_its_proper_name_and_the_one_asked_for() -> None:
    chosen = plan(**FORM, losses=["ce"], metrics=["dice", "f1", "F1Score"], gates=["dice>=0.1", "f1_score>=0.2"])
    answer = evaluate(chosen, fields({name: np.array(value) for name, value in DATA.items()}))
    assert [(one["loss"], one["requested"]) for one in answer["losses"]] == [("cross_entropy", "ce")]
    assert [(one["metric"], one["requested"]) for one in answer["metrics"]] == [
        ("f1", "dice"),
        ("f1", "f1"),
        ("f1", "F1Score"),
    ]
    assert len({one["value"] for one in answer["metrics"]}) == 1
    assert [one["gate"]["metric"] for one in answer["gates"]] == ["dice", "f1_score"]
    assert type(chosen).from_json(chosen.to_json()).to_json() == chosen.to_json()


@pytest.mark.parametrize(
    ("wrong", "place", "message"),
    [
        ({"metrics": ["acuracy"]}, "/metrics/0", "Did you mean accuracy?"),
        ({"metrics": [{"metric": "acuracy"}]}, "/metrics/0/metric", "Did you mean accuracy?"),
        ({"metrics": ["map"]}, "/metrics/0", "means different things"),
        ({"metrics": ["f1(average)"]}, "/metrics/0", "expected name=value"),
        ({"metrics": ["f1(avrage=micro)"]}, "/metrics/0", "avrage is not a parameter"),
        ({"metrics": ["f1 score!"]}, "/metrics/0", "is not of the form name or"),
        ({"metrics": [3]}, "/metrics/0", "expected an object, or text such as f1(average=macro)"),
        ({"metrics": ["focal"]}, "/metrics/0", "is no metric, but a loss, focal"),
        ({"losses": ["roc_auc_score"]}, "/losses/0", "is no loss, but a metric, auroc"),
        ({"losses": ["ce", "cross_entropy"]}, "/losses/1", "stands twice"),
        ({"gates": ["accuracy"]}, "/gates/0", "is not of the form name>=number"),
        ({"gates": ["acuracy>=0.5"]}, "/gates/0", "Did you mean accuracy?"),
        ({"gates": [{"loss": "nothing", "maximum": 1.0}]}, "/gates/0/loss", "There is no loss 'nothing'"),
    ],
)
def test_wrong_names_and_texts_are_pointed_at(wrong: dict[str, Any], place: str, message: str) -> None:
    with pytest.raises(Invalid) as error:
        plan(**FORM, **wrong)
    (flaw,) = error.value.flaws
    assert flaw.pointer == place
    assert message in flaw.message
