"""Declares every figure that `/metrics` shows, once: name, kind, labels, meaning, and how those of several workers add up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

Labels = tuple[str, ...]
Value = float | list[float]
"""A number; of a histogram the counts of its buckets, the last one unbounded, and the sum of what was observed."""
Reading = dict[str, dict[Labels, Value]]
"""The figures of one worker, or of all, at a moment: by name and by values of the labels."""

PREFIX = "lossmeter_"
BOUNDS = (
    *(0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)
"""Upper bounds of the buckets of all histograms, in seconds."""
STAGES = ("decode", "compute", "encode")


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure.

    Attributes:
        name: without the prefix and without `_total`.
        help: its meaning and its unit.
        merge: how the gauges of several workers become one; counters and histograms are always summed.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: Labels = ()
    merge: Literal["sum", "max"] = "sum"

    @property
    def shown(self) -> str:
        """Returns the name in queries; that of a histogram gets `_bucket`, `_sum` or `_count` besides."""
        return PREFIX + self.name + ("_total" if self.kind == "counter" else "")


MEASURES: Mapping[str, Measure] = {
    measure.name: measure
    for measure in (
        Measure(
            "requests",
            "counter",
            "Requests that were answered; 499 is a client that hung up before its request was complete.",
            ("method", "route", "loss", "status"),
        ),
        Measure("request_bytes", "counter", "Bytes of bodies that were read, as they came.", ("route",)),
        Measure("response_bytes", "counter", "Bytes of bodies that were sent.", ("route",)),
        Measure("elements", "counter", "Elements of the tensors of requests.", ("route", "loss")),
        Measure("errors", "counter", "Answers that are errors, by their code.", ("code",)),
        Measure("warnings", "counter", "Warnings in answers, by their code.", ("code",)),
        Measure("run_batches", "counter", "Batches of runs: added, or repeated without effect.", ("outcome",)),
        Measure(
            "memory_fallbacks",
            "counter",
            "What did not fit into the memory of the device: chunked is tried again in smaller pieces, refused is 507.",
            ("outcome",),
        ),
        Measure("processor_seconds", "counter", "Processor time of the workers."),
        Measure(
            "request_duration_seconds",
            "histogram",
            "From the first byte of a request to the last of its answer, as the worker sees them.",
            ("route",),
        ),
        Measure(
            "stage_duration_seconds",
            "histogram",
            "Time spent on decoding, computing and encoding; waiting is not among them.",
            ("route", "stage"),
        ),
        Measure("workers", "gauge", "Workers that show their figures."),
        Measure("ready", "gauge", "Workers that are ready."),
        Measure("requests_in_flight", "gauge", "Requests that are not answered yet."),
        Measure(
            "bytes_in_flight", "gauge", "Bytes of bodies that are held; LOSSMETER_MAX_BYTES_IN_FLIGHT bounds them."
        ),
        Measure(
            "elements_in_flight",
            "gauge",
            "Elements of tensors that are held; LOSSMETER_MAX_ELEMENTS_IN_FLIGHT bounds them.",
        ),
        Measure(
            "queue_length",
            "gauge",
            "Requests that are not begun yet, and jobs that no thread works on yet.",
            ("queue",),
        ),
        Measure("queue_wait_seconds", "gauge", "How long the oldest of those has waited.", ("queue",), "max"),
        Measure("loop_lag_seconds", "gauge", "How late the event loop ran what was due, lately.", (), "max"),
        Measure("resident_memory_bytes", "gauge", "Memory of the workers; what they share counts for each."),
        Measure("device_allocated_bytes", "gauge", "Memory of a GPU that tensors take.", ("device",)),
        Measure("device_reserved_bytes", "gauge", "Memory of a GPU that the workers hold.", ("device",)),
        Measure("device_memory_bytes", "gauge", "Memory that the GPU has.", ("device",), "max"),
        Measure("build_info", "gauge", "Always 1.", ("version", "python", "torch", "device"), "max"),
    )
}


def merge(readings: Iterable[Reading]) -> Reading:
    """Adds the readings of several workers up to one."""
    whole: Reading = {}
    for reading in readings:
        for name, series in reading.items():
            rule = MEASURES[name].merge
            into = whole.setdefault(name, {})
            for labels, value in series.items():
                into[labels] = _add(into.get(labels), value, rule)
    return whole


def drop_gauges(reading: Reading) -> Reading:
    """Leaves the counts of a worker that has ended; its gauges are gone."""
    return {name: series for name, series in reading.items() if MEASURES[name].kind != "gauge"}


def _add(old: Value | None, new: Value, rule: str) -> Value:
    if old is None:
        return list(new) if isinstance(new, list) else new
    if isinstance(old, list):
        assert isinstance(new, list)
        return [a + b for a, b in zip(old, new, strict=True)]
    assert not isinstance(new, list)
    return max(old, new) if rule == "max" else old + new
