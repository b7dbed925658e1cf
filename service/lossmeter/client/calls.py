"""Builds the requests: a function for each call, from arguments to a request that knows how to read its answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import numpy as np

from lossmeter.client import results
from lossmeter.client.arrays import array_of, is_torch, tensors_of
from lossmeter.client.codecs import BY_MEDIA_TYPE, JSON_TYPE, Codec
from lossmeter.client.errors import BadAnswer
from lossmeter.client.exchanges import Reply, Request
from lossmeter.client.reports import Comparison, Report, RunInfo, RunList
from lossmeter.client.results import LossResult
from lossmeter.client.traced import TracedLoss

T = TypeVar("T")

LOSSES = "/v1/losses"
METRICS = "/v1/metrics"
EVALUATE = "/v1/evaluate"
RUNS = "/v1/runs"
COMPARISONS = "/v1/comparisons"
MERGE_PATCH = "application/merge-patch+json"

TEXTS = "OSTU"
"""Kinds of arrays of numpy that hold texts, or may."""

Entry = dict[str, Any]
"""An entry of the catalogue, as `GET /v1/losses/{loss}` gives it."""


def loss(
    codec: Codec, name: str | TracedLoss, gradients: str | Sequence[str], fields: Mapping[str, Any]
) -> Request[LossResult]:
    """Asks for one loss.

    Args:
        codec: the format of request and answer.
        name: of the loss, or one that was traced.
        gradients: roles to differentiate with respect to.
        fields: of the request: tensors by role, parameters by name. Arrays of any library are tensors; lists and numbers are
            sent as they are, and take the datatype of their role.

    Raises:
        TypeError: if something cannot be sent.
        ValueError: if a number outside of an array is not finite.
    """
    wanted = [gradients] if isinstance(gradients, str) else list(gradients)
    if isinstance(name, TracedLoss):
        fields = {**name.constants, **fields, "graph": name.graph}
        name = "custom"
    tensors = tensors_of(fields)
    like = {key: fields[key] for key in tensors}
    body = codec.encode({**fields, **tensors, **({"gradients": wanted} if wanted else {}), **codec.asked})

    def read(reply: Reply) -> LossResult:
        try:
            return results.loss_result(answer_fields(reply), reply.headers, like)
        except (KeyError, TypeError, AttributeError) as error:
            raise BadAnswer(f"The answer is not that of a loss: {error!r}") from None

    headers = {"Content-Type": codec.media_type, "Accept": codec.media_type}
    return Request("POST", f"{LOSSES}/{quote(name, safe='')}", read, headers, body)


def answer_fields(reply: Reply) -> dict[str, Any]:
    """Returns the fields of an answer that may hold tensors, in the format that it says it has."""
    given = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
    codec = BY_MEDIA_TYPE.get(given)
    if codec is None:
        raise BadAnswer(f"The answer is {given or 'of no stated type'}; expected {' or '.join(BY_MEDIA_TYPE)}")
    return codec.decode(reply.body)


def evaluate(codec: Codec, fields: Mapping[str, Any]) -> Request[Report]:
    """Asks for the report on one batch.

    Args:
        codec: the format of the request, and of the answer where gradients are asked for.
        fields: of the request. Predictions, labels, weights and mask may be arrays of any library.

    Raises:
        TypeError: if something cannot be sent.
        ValueError: if a number outside of an array is not finite.
    """
    rest, lists = batch_fields(fields)
    tensors = tensors_of(rest)
    wanted = bool(fields.get("gradients"))
    asked = codec.asked if wanted else {}
    like = fields.get("predictions")

    def read(reply: Reply) -> Report:
        try:
            answer = answer_fields(reply)
            found = answer["objective"].pop("gradients", {})
            gradients = {role: array_of(tensor, like if is_torch(like) else None) for role, tensor in found.items()}
            return Report(answer, gradients)
        except (KeyError, TypeError, AttributeError) as error:
            raise BadAnswer(f"The answer is not a report: {error!r}") from None

    headers = {"Content-Type": codec.media_type, "Accept": codec.media_type if wanted else JSON_TYPE}
    return Request("POST", EVALUATE, read, headers, codec.encode({**rest, **tensors, **lists, **asked}))


def batch_fields(fields: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tells what may be tensors of a batch from what are lists: ids, groups, slices, and texts."""
    lists: dict[str, Any] = {
        key: _listed(fields[key]) for key in ("sample_ids", "groups") if fields.get(key) is not None
    }
    if fields.get("slices"):
        lists["slices"] = {column: _listed(values) for column, values in fields["slices"].items()}
    for key in ("predictions", "labels"):
        value = fields.get(key)
        if hasattr(value, "__array__") and not is_torch(value) and np.asarray(value).dtype.kind in TEXTS:
            lists[key] = np.asarray(value).tolist()
    return {key: value for key, value in fields.items() if key not in lists}, lists


def open_run(fields: Mapping[str, Any]) -> Request[str]:
    """Opens a run; the result is its id.

    Each time it is sent opens another, so it is not sent again where nobody knows whether it has arrived.

    Args:
        fields: of the run. Losses, metrics and gates may hold arrays.
    """

    def read(reply: Reply) -> str:
        return str(_member(_object(reply), "id"))

    body = json.dumps(fields, separators=(",", ":"), allow_nan=False, default=_listed).encode()
    headers = {"Content-Type": JSON_TYPE, "Accept": JSON_TYPE}
    return Request("POST", RUNS, read, headers, [body], repeatable="if refused")


def add_batch(codec: Codec, run_id: str, batch_id: str, fields: Mapping[str, Any]) -> Request[bool]:
    """Adds a batch to a run; the result is true unless the run had it already.

    Args:
        codec: the format of the request.
        run_id, batch_id: the same batch under the same id has no further effect.
        fields: tensors by role; ids and slices, which may be arrays too.

    Raises:
        TypeError: if something cannot be sent.
        ValueError: if a number outside of an array is not finite.
    """
    rest, lists = batch_fields(fields)

    def read(reply: Reply) -> bool:
        return bool(_member(_object(reply), "added"))

    headers = {"Content-Type": codec.media_type, "Accept": JSON_TYPE}
    path = f"{_run(run_id)}/batches/{quote(batch_id, safe='')}"
    return Request("PUT", path, read, headers, codec.encode({**rest, **tensors_of(rest), **lists}), kept=True)


def report_run(run_id: str) -> Request[Report]:
    """Asks for the report of a run over everything that it has."""

    return Request("GET", _run(run_id), _reader("a report", Report), {"Accept": JSON_TYPE})


def runs(filters: Mapping[str, Any]) -> Request[RunList]:
    """Asks for a page of runs.

    Args:
        filters: `tag` (a list), `name`, `task`, `limit` and `cursor`; those that are none are left out.
    """
    query = urlencode({name: value for name, value in filters.items() if value}, doseq=True)

    read = _reader("a list of runs", lambda members: RunList(members["runs"], members["next"]))
    return Request("GET", f"{RUNS}?{query}" if query else RUNS, read, {"Accept": JSON_TYPE})


def delete_run(run_id: str) -> Request[None]:
    """Forgets a run."""
    return Request("DELETE", _run(run_id), lambda _: None, {"Accept": JSON_TYPE}, repeatable="if refused")


def compare(fields: Mapping[str, Any]) -> Request[Comparison]:
    """Asks for the comparison of two runs."""
    headers = {"Content-Type": JSON_TYPE, "Accept": JSON_TYPE}
    read = _reader("a comparison", Comparison)
    return Request("POST", COMPARISONS, read, headers, [json.dumps(fields, allow_nan=False).encode()])


def close_run(run_id: str) -> Request[Entry]:
    """Closes a run to new batches; once more has no effect."""
    return Request("POST", f"{_run(run_id)}/close", _object, {"Accept": JSON_TYPE}, kept=True)


def edit_run(run_id: str, patch: Mapping[str, Any]) -> Request[RunInfo]:
    """Changes name and tags of a run; the result is the run. Once more has no further effect."""
    headers = {"Content-Type": MERGE_PATCH, "Accept": JSON_TYPE}
    read = _reader("a run", RunInfo.of)
    return Request("PATCH", _run(run_id), read, headers, [json.dumps(patch).encode()])


def _run(run_id: str) -> str:
    return f"{RUNS}/{quote(run_id, safe='')}"


def _listed(values: Any) -> Any:
    """Makes a list of an array of any library."""
    return values.tolist() if hasattr(values, "tolist") else list(values)


def losses(task: str | None, situation: str | None, query: str | None) -> Request[list[Entry]]:
    """Asks for the catalogue, or for what in it fits all that is given."""
    given = {"task": task, "situation": situation, "query": query}
    asked = urlencode({name: value for name, value in given.items() if value is not None})

    def read(reply: Reply) -> list[Entry]:
        entries: list[Entry] = _object(reply)["losses"]
        return entries

    return Request("GET", f"{LOSSES}?{asked}" if asked else LOSSES, read, {"Accept": JSON_TYPE})


def metrics() -> Request[list[Entry]]:
    """Asks for the catalogue of metrics."""

    def read(reply: Reply) -> list[Entry]:
        entries: list[Entry] = _member(_object(reply), "metrics")
        return entries

    return Request("GET", METRICS, read, {"Accept": JSON_TYPE})


def describe_metric(name: str) -> Request[Entry]:
    """Asks for one entry of the catalogue of metrics."""
    return Request("GET", f"{METRICS}/{quote(name, safe='')}", _object, {"Accept": JSON_TYPE})


def describe(name: str) -> Request[Entry]:
    """Asks for one entry of the catalogue."""
    return Request("GET", f"{LOSSES}/{quote(name, safe='')}", _object, {"Accept": JSON_TYPE})


def health() -> Request[dict[str, Any]]:
    """Asks once whether the service is ready for work."""
    return Request("GET", "/readyz", _object, {"Accept": JSON_TYPE}, repeatable=False)


def _member(members: Mapping[str, Any], name: str) -> Any:
    if name not in members:
        raise BadAnswer(f"The answer has no {name!r}")
    return members[name]


def _reader(what: str, make: Callable[[dict[str, Any]], T]) -> Callable[[Reply], T]:
    """Returns a function that makes something of the members of an answer, or says that the answer is not that."""

    def read(reply: Reply) -> T:
        members = _object(reply)
        try:
            return make(members)
        except (KeyError, TypeError, ValueError) as error:
            raise BadAnswer(f"The answer is not {what}: {error!r}") from None

    return read


def _object(reply: Reply) -> dict[str, Any]:
    try:
        members = json.loads(str(reply.body, "utf-8"))
    except ValueError as error:
        raise BadAnswer(f"The answer is not JSON: {error}") from None
    if not isinstance(members, dict):
        raise BadAnswer(f"The answer is a {type(members).__name__}; expected an object")
    return members
