"""Writes the generated pages in Chinese: each catalogue on one page."""

from __future__ import annotations

import json
from collections.abc import Sequence

from lossmeter.api.models.entries import ParameterModel
from lossmeter.api.models.loss_entries import LossEntry
from lossmeter.api.models.metrics import MetricEntry
from tests.contracts.pages import NOTE, by_family, table

FAMILIES = {
    "accuracy": "准确率",
    "agreement": "一致程度",
    "binary": "是非标签",
    "boxes": "边界框",
    "classification": "分类",
    "clustering": "聚类",
    "correlation": "相关与解释比例",
    "curves": "曲线",
    "decisions": "判定",
    "deviances": "偏差",
    "distributions": "分布",
    "embeddings": "嵌入与度量学习",
    "margins": "间隔",
    "other": "其他",
    "policy": "强化学习策略",
    "preference": "偏好对齐",
    "probabilities": "概率与校准",
    "ranking": "排序",
    "ranks": "名次与中位数",
    "regression": "回归",
    "segmentation": "分割",
    "sequences": "序列与语言模型",
}
LOSSES = """\
共 {count} 个损失函数。名称链接到英文页面，那里有张量、参数、示例请求及其答案；`GET /v1/losses/{{name}}` 给出同样的内容，\
加上 `Accept-Language: zh` 则为中文。"""
METRICS = """\
共 {count} 个评估指标。名称链接到英文页面，那里有置信区间和示例；`GET /v1/metrics/{{name}}` 给出同样的内容，\
加上 `Accept-Language: zh` 则为中文。"""


def losses_page(entries: Sequence[LossEntry]) -> str:
    """All losses with their texts in Chinese."""
    return _page("损失函数", LOSSES, "../losses/", entries)


def metrics_page(entries: Sequence[MetricEntry]) -> str:
    """All metrics with their texts in Chinese."""
    return _page("评估指标", METRICS, "../metrics/", entries)


def families(entries: Sequence[LossEntry] | Sequence[MetricEntry], page: str) -> str:
    """A line for each family, whose members lead to their places on a page."""
    rows = (
        (FAMILIES[family], "、".join(f"[`{entry.name}`]({page}#{entry.name})" for entry in members))
        for family, members in by_family(entries).items()
    )
    return table(("类别", "名称"), rows)


def _page(title: str, about: str, folder: str, entries: Sequence[LossEntry] | Sequence[MetricEntry]) -> str:
    blocks = [NOTE, f"# {title}", about.format(count=len(entries)), families(entries, "")]
    for family, members in by_family(entries).items():
        blocks.append(f"## {FAMILIES[family]}")
        for entry in members:
            blocks += [f"### [{entry.name}]({folder}{entry.name}.md)", f"**{entry.summary}**"]
            blocks += [entry.explanation, f"$$\n{entry.formula}\n$$"]
            if isinstance(entry, MetricEntry):
                blocks += [*map(_parameter, entry.parameters), f"**结果**：{entry.returns}"]
            blocks += [f"**适用场景**：{entry.use_when}", f"**不宜使用**：{entry.avoid_when}"]
    return "\n\n".join(blocks) + "\n"


def _parameter(one: ParameterModel) -> str:
    words = "、".join(f"`{json.dumps(word)}`" for word in one.json_schema.get("enum", ()))
    about = [*([f"可取 {words}"] if words else []), f"默认 `{json.dumps(one.default)}`"]
    return f"**参数 `{one.name}`**（{'；'.join(about)}）：{one.description}"
