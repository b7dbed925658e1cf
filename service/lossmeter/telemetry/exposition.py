"""Renders readings in the formats of Prometheus."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import accumulate

from prometheus_client import exposition
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from lossmeter.telemetry.measures import BOUNDS, MEASURES, PREFIX, Labels, Measure, Reading, Value

EDGES = (*map(str, BOUNDS), "+Inf")


def render(reading: Reading, accept: str) -> tuple[bytes, str]:
    """Returns a reading in the format that the scraper prefers, text or OpenMetrics, and its content type."""
    encode, content_type = exposition.choose_encoder(accept)
    return encode(_ReadingCollector(reading)), content_type


class _ReadingCollector(Collector):
    """Presents a reading as families of metrics."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading

    def collect(self) -> Iterator[Metric]:
        """Yields everything that is declared, with or without samples, in the order of its declaration."""
        for name, measure in MEASURES.items():
            yield _family(measure, self.reading.get(name, {}))


def _family(measure: Measure, series: Mapping[Labels, Value]) -> Metric:
    name = PREFIX + measure.name
    if measure.kind == "histogram":
        histogram = HistogramMetricFamily(name, measure.help, labels=measure.labels)
        for labels, value in sorted(series.items()):
            assert isinstance(value, list)
            *counts, total = value
            histogram.add_metric(labels, list(zip(EDGES, accumulate(counts), strict=True)), total)
        return histogram
    family = (CounterMetricFamily if measure.kind == "counter" else GaugeMetricFamily)(
        name, measure.help, labels=measure.labels
    )
    for labels, value in sorted(series.items()):
        assert not isinstance(value, list)
        family.add_metric(labels, value)
    return family
