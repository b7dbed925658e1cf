"""Evaluates data: a plan says what is measured, a record holds the sums so far and merges, a report says what follows.

record = measure(plan, fields)          # one batch
record = record.merge(measure(plan, more))
report(plan, record)                    # as if both had been one
compare((plan, plan), (record, other))  # two models on the same samples
"""

from lossmeter.evaluation.comparison_gates import ComparisonGate
from lossmeter.evaluation.comparisons import compare
from lossmeter.evaluation.fields import PlanFields, SlicedFields
from lossmeter.evaluation.measurement import evaluate, measure
from lossmeter.evaluation.plan import Plan
from lossmeter.evaluation.record import Record, merge_all
from lossmeter.evaluation.reports import report
from lossmeter.evaluation.statistics import Statistics

__all__ = [
    "ComparisonGate",
    "Plan",
    "PlanFields",
    "Record",
    "SlicedFields",
    "Statistics",
    "compare",
    "evaluate",
    "measure",
    "merge_all",
    "report",
]
