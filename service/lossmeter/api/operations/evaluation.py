"""Evaluates a batch, or a table: many losses and metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from lossmeter.api.headers import Headers
from lossmeter.api.models.evaluation import TENSORS, TEXTS, parse_evaluation
from lossmeter.api.models.tables import parse_table_query
from lossmeter.api.negotiation import answer_format, request_format
from lossmeter.api.operation import Answer, DecodedRequest, Negotiated, ThreadOperation, tensor_answer
from lossmeter.api.report_formats import OF_EVALUATION
from lossmeter.engine import Engine
from lossmeter.errors import UnsupportedFormat
from lossmeter.evaluation import Plan, evaluate
from lossmeter.evaluation.files import evaluate_chunks, with_class_names
from lossmeter.wire import tables
from lossmeter.wire.datasets import Dataset
from lossmeter.wire.sources import Source


class Work(NamedTuple):
    """A batch, and what is wanted of it."""

    plan: Plan
    data: dict[str, Any]
    gradients: list[str]


@dataclass(frozen=True)
class Evaluate(ThreadOperation[Work, bool, dict[str, Any]]):
    """Answers `POST /v1/evaluate`.

    Args:
        engine: computes the losses.
        max_elements: how many elements the tensors of one request may have.
    """

    engine: Engine
    max_elements: int

    def negotiate(self, headers: Headers) -> Negotiated:
        return Negotiated(request_format(headers, tables.MEDIA_TYPES), answer_format(headers, OF_EVALUATION))

    def decode(self, body: bytearray, negotiated: Negotiated) -> DecodedRequest[Work, bool]:
        fields = negotiated.reader.decode(body, TENSORS, TEXTS)
        plan, data, gradients, base64, elements = parse_evaluation(fields, self.max_elements)
        return DecodedRequest(Work(plan, data, gradients), base64, elements)

    def compute(self, work: Work) -> dict[str, Any]:
        return evaluate(*work, engine=self.engine)

    def warning_codes(self, result: dict[str, Any]) -> Sequence[str]:
        return [warned["code"] for warned in result["warnings"]]

    def encode(self, form: bool, result: dict[str, Any], negotiated: Negotiated) -> Answer:
        return tensor_answer(result, negotiated, base64=form)


class Table(NamedTuple):
    """A table, and what is wanted of it."""

    plan: Plan
    columns: tables.Columns
    source: Source


@dataclass(frozen=True)
class EvaluateTable(ThreadOperation[Table, None, dict[str, Any]]):
    """Answers `POST /v1/evaluate` whose body is a file, a chunk of rows at a time.

    Args:
        engine: computes the losses.
        max_elements: how many elements the columns that are read may have together.
        form: the format of the body.
        query: names the columns and the plan.
    """

    engine: Engine
    max_elements: int
    form: str
    query: bytes

    def negotiate(self, headers: Headers) -> Negotiated:
        return Negotiated(writer=answer_format(headers, OF_EVALUATION))

    def decode(self, body: bytearray, negotiated: Negotiated) -> DecodedRequest[Table, None]:  # noqa: ARG002
        plan, columns = parse_table_query(self.query)
        source = Source("the body", self.form, body=body, max_elements=self.max_elements)
        # Of the rows that are looked at together; what lists of a body become is bounded by its reader.
        elements = min(self.max_elements, max(len(body), 1) * len(columns.names), tables.ROWS * len(columns.names))
        return DecodedRequest(Table(plan, columns, source), None, elements)

    def compute(self, work: Table) -> dict[str, Any]:
        try:
            plan = with_class_names(Dataset.of(work.source), work.columns, work.plan)
            chunks = tables.read(work.source, work.columns)
            report = evaluate_chunks(work.source.name, chunks, plan, self.engine)
        except ModuleNotFoundError as error:
            raise UnsupportedFormat(f"This server reads no files: {error}; install lossmeter[files].") from None
        return {**report, "objective": {**report["objective"], "gradients": {}}}

    def warning_codes(self, result: dict[str, Any]) -> Sequence[str]:
        return [warned["code"] for warned in result["warnings"]]

    def encode(self, form: None, result: dict[str, Any], negotiated: Negotiated) -> Answer:  # noqa: ARG002
        return tensor_answer(result, negotiated, base64=False)
