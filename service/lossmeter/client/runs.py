"""Runs: evaluations in many batches, over a client that blocks and one that does not."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any, Protocol, Self, TypeVar

from lossmeter.client import calls
from lossmeter.client.codecs import Codec
from lossmeter.client.errors import ServiceError
from lossmeter.client.exchanges import Request
from lossmeter.client.reports import Report, RunInfo

T = TypeVar("T")

Choices = Sequence[str | Mapping[str, Any]]
"""Losses or metrics: by name, or as objects with their parameters."""


class Sender(Protocol):
    """Sends requests, and waits for the answers."""

    def send(self, request: Request[T]) -> T:
        """Returns the result of a request."""


class AsyncSender(Protocol):
    """Sends requests, for asyncio."""

    async def send(self, request: Request[T]) -> T:
        """Returns the result of a request."""


def run_fields(
    name: str, losses: Choices | None, metrics: Choices | None, tags: Sequence[str], fields: Mapping[str, Any]
) -> dict[str, Any]:
    """Builds the request that opens a run; what is left out has its default."""
    chosen = {"losses": _chosen("loss", losses), "metrics": _chosen("metric", metrics)}
    return {"name": name, "tags": list(tags), **chosen, **fields}


def patch_fields(name: str | None, tags: Sequence[str] | Mapping[str, str | None] | None) -> dict[str, Any]:
    """Builds the request that edits a run; what is None stays.

    Raises:
        TypeError: the tags are one text, whose letters are not meant.
    """
    if isinstance(tags, str):
        raise TypeError(f"tags is {tags!r}; expected a list of tags, or their values by key")
    given = None if tags is None else dict(tags) if isinstance(tags, Mapping) else list(tags)
    return {field: value for field, value in (("name", name), ("tags", given)) if value is not None}


def _chosen(kind: str, choices: Choices | None) -> list[Mapping[str, Any]] | None:
    if choices is None:
        return None
    return [{kind: one} if isinstance(one, str) and one.isidentifier() else one for one in choices]  # type: ignore[misc]


def evaluation_fields(losses: Choices | None, metrics: Choices | None, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Builds the request of an evaluation; what is left out has its default."""
    chosen = {"losses": _chosen("loss", losses), "metrics": _chosen("metric", metrics)}
    return {name: value for name, value in {**chosen, **fields}.items() if value is not None}


class _Batches:
    """Holds what both kinds of run have: the id, once there is one, and ids for batches."""

    def __init__(self, codec: Codec, fields: Mapping[str, Any], run_id: str | None) -> None:
        self._codec = codec
        self._fields = fields
        self._id = run_id
        # Others may add to the same run: a counter alone would give their batches the same ids.
        self._prefix = secrets.token_hex(8)
        self._numbers = count()

    @property
    def id(self) -> str:
        """Returns the id by which the service knows the run.

        Raises:
            RuntimeError: if it has not been opened.
        """
        if self._id is None:
            raise RuntimeError("The run is not open: enter it by `with`, or call open()")
        return self._id

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._id!r})"

    def _batch(self, batch_id: str | None, fields: Mapping[str, Any]) -> tuple[str, Request[bool]]:
        run_id = self.id
        batch_id = f"{self._prefix}-{next(self._numbers)}" if batch_id is None else batch_id
        return batch_id, calls.add_batch(self._codec, run_id, batch_id, fields)


@contextmanager
def _naming(batch_id: str) -> Iterator[None]:
    """Notes in errors which batch it was: under its id it may be sent again, arrived or not."""
    try:
        yield
    except ServiceError as error:
        error.add_note(f"It was the batch {batch_id!r}")
        raise


class Run(_Batches):
    """An evaluation in many batches. Made by `Client.run` and `Client.attach`; may be used from many threads.

    Leaving the block closes the run, unless by an exception: it can then be continued.
    """

    def __init__(self, client: Sender, codec: Codec, fields: Mapping[str, Any], run_id: str | None = None) -> None:
        super().__init__(codec, fields, run_id)
        self._client = client

    def open(self) -> Self:
        """Opens the run, unless it is open already.

        Raises:
            InvalidRequest, NotFound: if what is to be measured does not fit together.
            NoAnswer, Busy: if it could not be opened, or nobody knows whether it was.
        """
        if self._id is None:
            self._id = self._client.send(calls.open_run(self._fields))
        return self

    def add(self, predictions: Any, labels: Any, batch_id: str | None = None, **fields: Any) -> str:
        """Adds a batch, which is durable on return, and counts once however often it had to be sent.

        Args:
            predictions, labels: arrays of numpy, tensors of torch, or nested lists.
            batch_id: of the caller's own, under which the same batch can be added again without effect; one that nobody else
                uses if left out.
            fields: `sample_weight` and `mask`; `sample_ids`, `groups` and `slices` (by column), as lists or arrays.

        Returns:
            The id of the batch.

        Raises:
            Conflict: if the run is closed, or has other content under this id.
            InvalidRequest: if the batch does not suit the run; says where.
            NoAnswer, Busy: if nobody knows whether it was added; adding it under the same id settles it.
        """
        batch_id, request = self._batch(batch_id, {"predictions": predictions, "labels": labels, **fields})
        with _naming(batch_id):
            self._client.send(request)
        return batch_id

    def report(self) -> Report:
        """Returns the report over all batches so far, of all who add to the run."""
        return self._client.send(calls.report_run(self.id))

    def update(
        self, *, name: str | None = None, tags: Sequence[str] | Mapping[str, str | None] | None = None
    ) -> RunInfo:
        """Changes name and tags of the run, open or closed, and returns it as it is then.

            run.update(name="nightly, corrected", tags={"model": "b8", "night": None})

        Args:
            name: the new one; it stays where it is left out.
            tags: all of them, as a list; or some by key, each in the place of the tags `key` and `key=…`: with a value the tag
                is `key=value`, with an empty one `key`, with None there is none. Others who change other keys lose nothing.

        Raises:
            InvalidRequest: if the run cannot be called so.
            NotFound: if there is no such run.
        """
        return self._client.send(calls.edit_run(self.id, patch_fields(name, tags)))

    def close(self) -> None:
        """Closes the run to new batches."""
        self._client.send(calls.close_run(self.id))

    def delete(self) -> None:
        """Deletes the run, with its batches and its statistics."""
        self._client.send(calls.delete_run(self.id))

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()


class AsyncRun(_Batches):
    """The run for asyncio: `async with client.run(…) as run: await run.add(…)`."""

    def __init__(self, client: AsyncSender, codec: Codec, fields: Mapping[str, Any], run_id: str | None = None) -> None:
        super().__init__(codec, fields, run_id)
        self._client = client

    async def open(self) -> Self:
        """As `Run.open`."""
        if self._id is None:
            self._id = await self._client.send(calls.open_run(self._fields))
        return self

    async def add(self, predictions: Any, labels: Any, batch_id: str | None = None, **fields: Any) -> str:
        """As `Run.add`."""
        batch_id, request = self._batch(batch_id, {"predictions": predictions, "labels": labels, **fields})
        with _naming(batch_id):
            await self._client.send(request)
        return batch_id

    async def report(self) -> Report:
        """As `Run.report`."""
        return await self._client.send(calls.report_run(self.id))

    async def update(
        self, *, name: str | None = None, tags: Sequence[str] | Mapping[str, str | None] | None = None
    ) -> RunInfo:
        """As `Run.update`."""
        return await self._client.send(calls.edit_run(self.id, patch_fields(name, tags)))

    async def close(self) -> None:
        """As `Run.close`."""
        await self._client.send(calls.close_run(self.id))

    async def delete(self) -> None:
        """As `Run.delete`."""
        await self._client.send(calls.delete_run(self.id))

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            await self.close()
