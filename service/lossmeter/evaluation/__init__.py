"""An evaluation: a plan says what is measured, a record holds what is known so far and merges, a report says what follows.

record = measure(plan, fields)          # one batch
record = record.merge(measure(plan, more))
report(plan, record)                    # as if both had been one
"""

from lossmeter.evaluation.fields import PlanFields, SlicedFields
from lossmeter.evaluation.measurement import evaluate, measure
from lossmeter.evaluation.plan import Plan
from lossmeter.evaluation.record import Record, merge_all
from lossmeter.evaluation.reports import report

__all__ = ["Plan", "PlanFields", "Record", "SlicedFields", "evaluate", "measure", "merge_all", "report"]
