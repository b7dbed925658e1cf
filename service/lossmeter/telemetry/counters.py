"""Counts requests at a microsecond or two each: plain numbers in plain dictionaries, read when somebody asks.

The counters of prometheus-client take 4 µs for each increment and 11 µs for each observation of a histogram, three times that
where several processes share them; a request needs ten of them and takes 300 µs as a whole.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, MutableMapping
from typing import Any

from lossmeter.errors import NotFound
from lossmeter.losses import find
from lossmeter.telemetry.measures import BOUNDS, STAGES, Labels, Reading
from lossmeter.telemetry.request import Stages, request_state

BATCHES = "/v1/runs/{run_id}/batches/{batch_id}"
OUTCOMES = {201: "added", 200: "repeated"}
METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
UNMATCHED, UNKNOWN = "unmatched", "unknown"
CLIENT_GONE = 499


class RouteCounters:
    """Counts of one method of one route, for one loss where it has one.

    Attributes:
        key: method, route and loss.
    """

    __slots__ = ("durations", "elements", "key", "received", "sent", "statuses")

    def __init__(self, key: Labels, durations: list[list[float]]) -> None:
        self.key = key
        self.durations = durations
        self.statuses: dict[int, int] = {}
        self.received = self.sent = self.elements = 0

    def add(self, status: int, seconds: float, received: int, sent: int, elements: int, stages: Stages | None) -> None:
        """Counts one request; its elements, where its stages are told apart."""
        statuses = self.statuses
        statuses[status] = statuses.get(status, 0) + 1
        whole, *parts = self.durations
        whole[bisect_left(BOUNDS, seconds)] += 1
        whole[-1] += seconds
        self.sent += sent
        self.received += received
        if stages is not None:
            self.elements += elements
            for buckets, milliseconds in zip(parts, stages, strict=True):
                took = milliseconds * 1e-3
                buckets[bisect_left(BOUNDS, took)] += 1
                buckets[-1] += took


class Counters:
    """Counts of one worker. Requests are counted on its event loop, and read there.

    Args:
        paths: addresses of losses that are POSTed to, which are found without asking the router.
        codes: of all errors that there are.
        warnings: codes of all advice that there is.
    """

    def __init__(self, paths: Iterable[str] = (), codes: Iterable[str] = (), warnings: Iterable[str] = ()) -> None:
        self.in_flight = 0
        # All from the start: what appears with its first count is no increase for Prometheus.
        self.codes: Counter[str] = Counter(dict.fromkeys(codes, 0))
        self.warnings: Counter[str] = Counter(dict.fromkeys(("non_finite", *warnings), 0))
        self._durations: dict[str, list[list[float]]] = {}
        self._routes: dict[Labels, RouteCounters] = {}
        self._known = {path: self._counters_of("POST", *_parts(path)) for path in paths}

    def count(self, scope: MutableMapping[str, Any], status: int, seconds: float, sent: int) -> None:
        """Counts a request that was answered, or that its client gave up."""
        counters = None
        if scope["method"] == "POST":
            counters = self._known.get(scope["path"].removeprefix(scope.get("root_path", "")))
        if counters is None:
            counters = self._look_up(scope)
        state = request_state(scope)
        _, state.route, state.loss = counters.key
        counters.add(status, seconds, state.received_bytes, sent, state.elements, state.stages)
        if state.stages is not None and state.warnings:
            self.warnings.update(state.warnings)
        if status >= 400 and state.error_code:
            self.codes[state.error_code] += 1

    def of_path(self, path: str) -> RouteCounters:
        """Returns the counts of the POST requests to an address of a loss."""
        return self._known[path]

    def read(self) -> Reading:
        """Reads all that was counted."""
        reading: Reading = {
            "requests": {},
            "elements": {},
            "request_bytes": {},
            "response_bytes": {},
            "run_batches": {(outcome,): 0 for outcome in OUTCOMES.values()},
            "errors": {(code,): count for code, count in self.codes.items()},
            "warnings": {(code,): count for code, count in self.warnings.items()},
            "request_duration_seconds": {},
            "stage_duration_seconds": {},
        }
        for (method, route, loss), counters in self._routes.items():
            for status, count in counters.statuses.items():
                reading["requests"][method, route, loss, str(status)] = count
                if route == BATCHES and method == "PUT" and status in OUTCOMES:
                    reading["run_batches"][OUTCOMES[status],] = count
            for name, labels, value in (
                ("request_bytes", (route,), counters.received),
                ("response_bytes", (route,), counters.sent),
                ("elements", (route, loss), counters.elements),
            ):
                if counters.statuses:
                    reading[name][labels] = reading[name].get(labels, 0) + value  # type: ignore[operator]
        for route, (whole, *parts) in self._durations.items():
            if any(whole):
                reading["request_duration_seconds"][route,] = list(whole)
            for stage, buckets in zip(STAGES, parts, strict=True):
                if any(buckets):
                    reading["stage_duration_seconds"][route, stage] = list(buckets)
        return reading

    def _look_up(self, scope: MutableMapping[str, Any]) -> RouteCounters:
        """Finds the counters by what the router knows, never by what a client wrote."""
        method = scope["method"] if scope["method"] in METHODS else "other"
        template: str | None = getattr(scope.get("route"), "path", None)
        if template is None:
            return self._counters_of(method, UNMATCHED, "")
        template = template.replace(":path}", "}")
        if "{loss}" not in template:
            return self._counters_of(method, *_parts(template))
        try:
            loss = find(scope["path_params"]["loss"]).name
        except NotFound:
            loss = UNKNOWN
        return self._counters_of(method, template, loss)

    def _counters_of(self, *key: str) -> RouteCounters:
        counters = self._routes.get(key)
        if counters is None:
            rows = self._durations.get(key[1])
            if rows is None:
                rows = self._durations[key[1]] = [[0.0] * (len(BOUNDS) + 2) for _ in range(1 + len(STAGES))]
            counters = self._routes[key] = RouteCounters(key, rows)
        return counters


def _parts(path: str) -> tuple[str, str]:
    """Splits an address into route and loss, such as `/v1/losses/mse` or `/v2/models/mse/versions/1/infer`."""
    parts = path.split("/")
    if len(parts) < 4 or parts[2] not in ("losses", "models") or parts[3] == "custom" or parts[3].startswith("{"):
        return path, ""
    loss = find(parts[3]).name
    parts[3] = "{loss}"
    if parts[4:5] == ["versions"]:
        parts[5] = "{version}"
    return "/".join(parts), loss
