"""`Client` and `AsyncClient`: the calls, over a transport that blocks and one that does not."""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal, Self, TypedDict, TypeVar, Unpack

from lossmeter.client import calls, objectives
from lossmeter.client.calls import Entry
from lossmeter.client.codecs import CODECS
from lossmeter.client.compression import COMPRESSORS, compressed
from lossmeter.client.errors import ServiceError
from lossmeter.client.evaluations import AsyncEvaluations, Evaluations
from lossmeter.client.exchanges import Conversation, Pause, Reply, Request, Retries, conversation
from lossmeter.client.objectives import ObjectiveResult, Terms
from lossmeter.client.results import LossResult
from lossmeter.client.sharing import Sharing
from lossmeter.client.traced import TracedLoss
from lossmeter.client.transport import DEFAULT_URL, AsyncTransport, Endpoint, Progress, Transport

T = TypeVar("T")

API_KEY = "LOSSMETER_API_KEY"
"""The environment variable that holds a key, for all clients that are given none."""


class Options(TypedDict, total=False):
    """Options of a client, beside the address of the service.

    `api_key` is sent as a bearer token, that of `LOSSMETER_API_KEY` if it is left out; `wire` is the format of tensors,
    `safetensors` unless told otherwise; `compression` makes large bodies smaller on their way, by `zstd` or `gzip`;
    `timeout_seconds` (60) bounds one attempt, `retries` says how many there are; `headers` go with every request; `verify` is
    whose certificates are trusted, as httpx takes it; `progress` is told how many bytes of a body have been sent, and of how
    many. Over a Unix socket, large tensors of a loss go through shared memory where the service allows it, unless
    `shared_memory` is false.
    """

    api_key: str | None
    wire: Literal["safetensors", "json"]
    compression: Literal["zstd", "gzip"] | None
    timeout_seconds: float
    retries: Retries
    headers: Mapping[str, str]
    verify: ssl.SSLContext | bool
    progress: Progress | None
    shared_memory: bool


class _Configured:
    """Holds what both clients are configured with.

    Raises:
        ValueError: if the URL, the format or the compression is none that is spoken here.
        ImportError: if the compression needs a package that is not there.
    """

    def __init__(self, base_url: str = DEFAULT_URL, **options: Unpack[Options]) -> None:
        wire = options.get("wire", "safetensors")
        if wire not in CODECS:
            raise ValueError(f"wire is {wire!r}; expected one of {', '.join(CODECS)}")
        self._compression = options.get("compression")
        if self._compression is not None:
            if self._compression not in COMPRESSORS:
                raise ValueError(f"compression is {self._compression!r}; expected one of {', '.join(COMPRESSORS)}")
            COMPRESSORS[self._compression]()  # so that what is missing is known now
        self.base_url = base_url
        self._options = options
        self.retries = options.get("retries", Retries())
        self._codec = CODECS[wire]
        key = options.get("api_key")
        if key is None:
            key = os.environ.get(API_KEY, "")
        self._endpoint = Endpoint(
            base_url,
            options.get("timeout_seconds", 60.0),
            {**options.get("headers", {}), **({"Authorization": f"Bearer {key}"} if key else {})},
            options.get("verify", True),
            options.get("progress"),
        )

        plain = self._codec is CODECS["safetensors"] and self._compression is None and options.get("progress") is None
        possible = plain and options.get("shared_memory", True) and self._endpoint.socket is not None
        self._sharing = Sharing() if possible else None

    def _shared(
        self, loss: str | TracedLoss, gradients: str | Sequence[str], fields: Mapping[str, Any]
    ) -> Conversation[LossResult] | None:
        """Returns the conversation about a loss through shared memory, if that is the way to go."""
        wanted = [gradients] if isinstance(gradients, str) else list(gradients)
        if self._sharing is None or isinstance(loss, TracedLoss) or not self._sharing.takes(wanted, fields):
            return None
        ordinary = partial(calls.loss, self._codec, loss, wanted, fields)
        return self._sharing.loss(loss, wanted, fields, ordinary, self.retries)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_url!r})"

    def __reduce__(self) -> Any:
        """Makes copies, in this process or another, open connections of their own."""
        return _again, (type(self), self.base_url, self._options)


def _again(kind: type[_Configured], base_url: str, options: Options) -> _Configured:
    return kind(base_url, **options)


class Client(_Configured, Evaluations):
    """The service as an object. Keeps its connections open, and may be used from many threads.

        with Client("http://127.0.0.1:8000") as client:
            result = client.loss("cross_entropy", predictions=logits, labels=labels, gradients=["predictions"])

    A request that finds the service busy, or its connection broken, is sent again as `retries` says.
    """

    def __init__(self, base_url: str = DEFAULT_URL, **options: Unpack[Options]) -> None:
        super().__init__(base_url, **options)
        self._transport = Transport(self._endpoint)

    def loss(self, loss: str | TracedLoss, /, *, gradients: str | Sequence[str] = (), **fields: Any) -> LossResult:
        """Computes a loss and its gradients.

        Args:
            loss: a name of the catalogue, or an alias; or a function that was traced (`lossmeter.client.trace`).
            gradients: roles to differentiate with respect to.
            fields: tensors by role (`predictions`, `labels`, …) and parameters by name (`label_smoothing=0.1`), and what
                every loss takes: `reduction`, `upstream`, `sample_weight`, `mask`, `normalizer`, `empty`, `precision`,
                `non_finite`. Tensors are arrays of numpy, tensors of torch, whatever numpy can read, or nested lists.

        Raises:
            InvalidRequest: if the arguments are not what the loss takes; says where.
            Problem: if the service refuses for another reason.
            NoAnswer: if it could not be reached, or did not answer in time.
            TypeError, ValueError: if something cannot be sent at all.
        """
        shared = self._shared(loss, gradients, fields)
        if shared is None:
            return self.send(calls.loss(self._codec, loss, gradients, fields))
        return self._hold(shared)

    def objective(self, losses: Terms, /, *, gradients: str | Sequence[str] = (), **fields: Any) -> ObjectiveResult:
        """Computes a weighted sum of losses and its gradients.

        Args:
            losses: the terms: names, or objects with `loss`, `weight` (1), parameters, and `parameters` where names clash.
            gradients: names of tensors to differentiate the sum with respect to.
            fields: tensors by name, which every term takes whose loss has a role of it; `reduction`, `upstream`,
                `sample_weight`, `mask`, `empty`, `precision`, `non_finite`.

        Raises:
            InvalidRequest, Problem, NoAnswer, TypeError, ValueError: as `loss`.
        """
        return self.send(objectives.objective(self._codec, losses, gradients, fields))

    def losses(self, *, task: str | None = None, situation: str | None = None, query: str | None = None) -> list[Entry]:
        """Returns the catalogue, an entry for each loss; or the losses that fit, the best first, with the reason in `choice`.

        Args:
            task: what is predicted: `binary`, `regression`, …
            situation: what is known of the data, or wanted of the model: `imbalance`, `outliers`, …
            query: words of names, summaries and uses.

        Raises:
            InvalidRequest: if a word is none that the service knows; says which it knows.
        """
        return self.send(calls.losses(task, situation, query))

    def describe(self, loss: str) -> Entry:
        """Returns the entry of one loss: roles, parameters, formula, when to use it.

        Raises:
            NotFound: if there is none of that name.
        """
        return self.send(calls.describe(loss))

    def health(self) -> dict[str, Any]:
        """Returns `status` and `version` of the service, asked once and at once.

        Raises:
            Busy: if it is not ready for work.
            NoAnswer: if it could not be reached.
        """
        return self.send(calls.health())

    def send(self, request: Request[T]) -> T:
        """Sends any request, and again as `retries` says; returns its result."""
        if self._compression is not None:
            request = compressed(request, self._compression)
        return self._hold(conversation(request, self.retries))

    def _hold(self, steps: Conversation[T]) -> T:
        outcome: Reply | ServiceError | None = None
        try:
            while True:
                step = steps.send(outcome)
                if isinstance(step, Pause):
                    time.sleep(step.seconds)
                    outcome = None
                else:
                    outcome = self._transport.send(step)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            steps.close()

    def close(self) -> None:
        """Closes its connections, and removes its shared memory."""
        if self._sharing is not None:
            self._sharing.segments.close()
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncClient(_Configured, AsyncEvaluations):
    """The client for asyncio: `async with AsyncClient(url) as client: await client.loss(…)`."""

    def __init__(self, base_url: str = DEFAULT_URL, **options: Unpack[Options]) -> None:
        super().__init__(base_url, **options)
        self._transport = AsyncTransport(self._endpoint)

    async def loss(self, loss: str, /, *, gradients: str | Sequence[str] = (), **fields: Any) -> LossResult:
        """As `Client.loss`."""
        shared = self._shared(loss, gradients, fields)
        if shared is None:
            return await self.send(calls.loss(self._codec, loss, gradients, fields))
        return await self._hold(shared)

    async def objective(
        self, losses: Terms, /, *, gradients: str | Sequence[str] = (), **fields: Any
    ) -> ObjectiveResult:
        """As `Client.objective`."""
        return await self.send(objectives.objective(self._codec, losses, gradients, fields))

    async def losses(
        self, *, task: str | None = None, situation: str | None = None, query: str | None = None
    ) -> list[Entry]:
        """As `Client.losses`."""
        return await self.send(calls.losses(task, situation, query))

    async def describe(self, loss: str) -> Entry:
        """As `Client.describe`."""
        return await self.send(calls.describe(loss))

    async def health(self) -> dict[str, Any]:
        """As `Client.health`."""
        return await self.send(calls.health())

    async def send(self, request: Request[T]) -> T:
        """Sends any request, and again as `retries` says; returns its result."""
        if self._compression is not None:
            request = await asyncio.to_thread(compressed, request, self._compression)
        return await self._hold(conversation(request, self.retries))

    async def _hold(self, steps: Conversation[T]) -> T:
        outcome: Reply | ServiceError | None = None
        try:
            while True:
                step = steps.send(outcome)
                if isinstance(step, Pause):
                    await asyncio.sleep(step.seconds)
                    outcome = None
                else:
                    outcome = await self._transport.send(step)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            steps.close()

    async def close(self) -> None:
        """Closes its connections, and removes its shared memory."""
        if self._sharing is not None:
            self._sharing.segments.close()
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
