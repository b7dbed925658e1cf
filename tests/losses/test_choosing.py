"""Losses are found by the questions that people ask."""

from __future__ import annotations

import pytest

from lossmeter.catalogue.choosing import MAX_QUERY, USUAL, Choice
from lossmeter.catalogue.search import WEIGHTS, words
from lossmeter.catalogue.translations import LANGUAGES
from lossmeter.errors import Invalid
from lossmeter.losses import LOSSES, Loss
from lossmeter.losses.choosing import choose
from lossmeter.losses.situations import SITUATIONS, TASKS


def names(choices: list[Choice[Loss]]) -> list[str]:
    return [choice.entry.name for choice in choices]


@pytest.mark.parametrize(
    ("task", "situation", "first"),
    [
        ("binary", "imbalance", ["binary_focal", "binary_cross_entropy_with_logits"]),
        ("multiclass", "imbalance", ["focal", "class_balanced_cross_entropy"]),
        ("multilabel", "imbalance", ["asymmetric", "binary_focal"]),
        ("multiclass", "long_tail", ["logit_adjusted_cross_entropy", "ldam"]),
        ("regression", "outliers", ["mae", "smooth_l1", "huber"]),
        ("regression", "intervals", ["gaussian_nll", "quantile"]),
        ("regression", "counts", ["poisson_deviance", "poisson_nll", "negative_binomial_nll"]),
        ("regression", "skewed_amounts", ["tweedie", "gamma_deviance"]),
        ("multiclass", "ordered_classes", ["emd", "coral", "corn"]),
        ("multiclass", "noisy_labels", ["generalized_cross_entropy", "symmetric_cross_entropy"]),
        ("segmentation", "small_regions", ["dice", "generalized_dice", "focal_tversky"]),
        ("alignment", "preferences", ["dpo", "ipo"]),
        ("embeddings", "cross_modal", ["clip", "siglip"]),
        ("text", "distillation", ["generalized_jsd", "topk_distillation"]),
    ],
)
def test_a_loss_that_is_made_for_the_situation_comes_first(task: str, situation: str, first: list[str]) -> None:
    found = names(choose(task, situation, None))
    assert found[: len(first)] == first
    assert all(task in LOSSES[name].tasks and situation in LOSSES[name].suits for name in found)


@pytest.mark.parametrize(
    ("task", "first"),
    [
        ("regression", "mse"),
        ("binary", "binary_cross_entropy_with_logits"),
        ("multiclass", "cross_entropy"),
        ("segmentation", "cross_entropy"),
        ("detection", "giou"),
        ("ranking", "listnet"),
        ("text", "token_cross_entropy"),
        ("alignment", "dpo"),
        ("survival", "cox_ph"),
    ],
)
def test_the_usual_loss_of_a_task_comes_first(task: str, first: str) -> None:
    assert names(choose(task, None, None))[0] == first
    assert first in names(choose(task, USUAL, None))


@pytest.mark.parametrize(
    ("query", "expected", "part"),
    [
        ("CrossEntropyLoss", "cross_entropy", "alias"),
        ("torch.nn.BCEWithLogitsLoss", "binary_cross_entropy_with_logits", "alias"),
        ("tf.keras.losses.BinaryCrossentropy", "binary_cross_entropy", "name"),
        ("CategoricalCrossentropy", "cross_entropy", "name"),
        ("mean_squared_error", "mse", "alias"),
        ("crosentropy", "cross_entropy", "name"),
        ("Which loss for speech recognition?", "ctc", "use_when"),
        ("my data has outliers", "barron", "suits"),
        ("ordinal", "emd", "suits"),
        ("noisy labels", "robust_dpo", "suits"),
        ("images and texts", "clip", "suits"),
        ("GRPO", "ppo_clip", "suits"),
        ("survival", "cox_ph", "tasks"),
        ("类别不平衡", "class_balanced_cross_entropy", "summary"),
        ("有序类别", "coral", "summary"),
        ("交叉熵", "cross_entropy", "summary"),
        ("语音识别", "ctc", "use_when"),
    ],
)
def test_words_find_the_loss_that_says_most_of_them(query: str, expected: str, part: str) -> None:
    best = choose(None, None, query)[0]
    assert (best.entry.name, best.matched[0].part) == (expected, part)
    assert {match.part for match in best.matched} <= set(WEIGHTS)


def test_words_and_words_of_the_vocabulary_narrow_each_other_down() -> None:
    assert names(choose("binary", None, "rare"))[0] == "binary_focal"
    assert names(choose("regression", "outliers", "sensor")) == ["log_cosh", "student_t_nll", "huber"]
    assert choose("survival", "counts", None) == []


def test_the_reason_is_that_of_the_situation_or_else_the_use() -> None:
    (best, *_) = choose("regression", "outliers", None)
    assert best.reason == LOSSES["mae"].suits["outliers"]
    (translated, *_) = choose("regression", "outliers", None, "zh")
    assert translated.reason == "每单位误差代价相同，离群值的拉力不比其他样本大。"
    assert choose(None, None, "huber")[0].reason == LOSSES["huber"].use_when


def test_every_situation_has_several_losses_and_every_task_a_usual_one_or_few() -> None:
    assert [word for word in SITUATIONS if len(choose(None, word, None)) < 2] == []
    assert [word for word in TASKS if not choose(word, None, None)] == []


def test_every_loss_is_found_by_its_task_its_situations_and_its_name() -> None:
    for loss in LOSSES.values():
        assert all(loss.name in names(choose(task, None, None)) for task in loss.tasks)
        assert all(loss.name in names(choose(None, situation, None)) for situation in loss.suits)
        assert names(choose(None, None, loss.name))[0] == loss.name
        assert all(names(choose(None, None, alias))[0] == loss.name for alias in loss.aliases)
    assert {name for name, loss in LOSSES.items() if not loss.suits} == {
        *("poly1", "z_loss", "entropy", "value_clip", "wasserstein_1d")
    }, "each is a part of a sum or a matter of taste, and is found by its task"


def test_reasons_are_sentences() -> None:
    for loss in LOSSES.values():
        for reason in loss.suits.values():
            assert reason[0] in "`ABCDEFGHIJKLMNOPQRSTUVWXYZ", reason
            assert reason.endswith("."), reason


@pytest.mark.parametrize(
    ("task", "situation", "query", "expected"),
    [
        (
            None,
            "imbalence",
            None,
            r"^losses: situation is 'imbalence'; expected one of usual, imbalance, .* Did you mean imbalance\?$",
        ),
        (None, "ordinal", None, r"Did you mean ordered_classes\?$"),
        (None, "", None, r"situation is ''; expected one of usual, [\w, ]+\.$"),
        (
            "classification",
            None,
            None,
            r"^losses: task is 'classification'; expected one of regression, .* binary or multiclass or multilabel\?$",
        ),
        ("clustering", None, None, r"task is 'clustering'; expected one of regression, [\w, ]+\.$"),
        (None, None, " ", r"^losses: query is empty; expected words, at most 200 characters$"),
        (None, None, "x" * (MAX_QUERY + 1), r"^losses: query is of 201 characters; expected words"),
    ],
)
def test_what_is_no_word_is_refused_with_those_that_are(
    task: str | None, situation: str | None, query: str | None, expected: str
) -> None:
    with pytest.raises(Invalid, match=expected) as caught:
        choose(task, situation, query)
    (flaw,) = caught.value.flaws
    assert flaw.pointer == "/" + ("task" if task else "query" if query else "situation")


def test_nothing_is_found_where_nothing_is_said() -> None:
    assert choose(None, None, "xyzzy") == []
    assert choose(None, None, "what is the loss for my data") == []


def test_words_are_alike_in_all_their_forms() -> None:
    assert len({*words("label labels labelled Labelling")}) == 1
    assert [*words("CrossEntropyLoss")] == [*words("cross entropy")]
    assert [*words("类别不平衡")] == ["类别", "别不", "不平", "平衡"]


def test_reasons_are_there_in_every_language() -> None:
    loss = LOSSES["huber"]
    said = {choose("regression", "outliers", None, language)[2].reason for language in LANGUAGES}
    assert choose("regression", "outliers", None)[2].entry is loss
    assert len(said) == len(LANGUAGES)
