"""`/v1/metrics`: the catalogue of metrics."""

from __future__ import annotations

from functools import cache

from fastapi import APIRouter, Request, Response

from lossmeter.api.languages import Language, in_languages
from lossmeter.api.lasting import lasting_answer
from lossmeter.api.models.metrics import MetricEntry, MetricList, metric_entry
from lossmeter.api.resources import Resources
from lossmeter.metrics import METRICS, find_metric

PATH = "/v1/metrics"


def router(_: Resources) -> APIRouter:
    """Returns the routes."""
    routes = APIRouter(tags=["metrics"])

    @routes.get(PATH, operation_id="list_metrics", summary="All metrics", response_model=MetricList, **in_languages())
    async def list_metrics(request: Request, language: Language) -> Response:
        """Every metric with its formula, parameters, tasks, application scenarios, source and a request that works."""
        return lasting_answer(request, _listed(language), language)

    @routes.get(
        PATH + "/{metric}",
        operation_id="describe_metric",
        summary="One metric: formula, parameters, when to use it",
        **in_languages(404),
    )
    async def describe_metric(metric: str, language: Language) -> MetricEntry:
        """Returns all that there is to know of a metric, with a request to `POST /v1/evaluate` that works as it stands."""
        return metric_entry(find_metric(metric), language)

    return routes


@cache
def _listed(language: str) -> bytes:
    return (
        MetricList(metrics=[metric_entry(metric, language) for metric in METRICS.values()]).model_dump_json().encode()
    )
