"""Everything that answers tensors at a fixed address, by that address."""

from __future__ import annotations

from functools import partial

from starlette.types import ASGIApp, Receive, Scope, Send

from lossmeter.api import addresses
from lossmeter.api.exchange import respond
from lossmeter.api.operations.evaluation import Evaluate
from lossmeter.api.operations.inference import Infer
from lossmeter.api.operations.losses import ComputeLoss
from lossmeter.api.shared_memory import Sharing
from lossmeter.losses import LOSSES
from lossmeter.scheduling.limits import Limits
from lossmeter.scheduling.micro_batching import MicroBatcher

Endpoints = dict[str, ASGIApp]


def tensor_endpoints(batcher: MicroBatcher, limits: Limits, max_elements: int, sharing: Sharing) -> Endpoints:
    """Returns what answers; the aliases of a loss have addresses too."""
    endpoints: Endpoints = {addresses.EVALUATE: partial(respond, Evaluate(batcher.engine, max_elements), limits)}
    for loss in LOSSES.values():
        compute = partial(respond, ComputeLoss(loss, batcher, max_elements), limits)
        infer = _infer(Infer(loss, batcher, max_elements), limits, sharing)
        for name in (loss.name, *loss.aliases):
            endpoints[f"{addresses.LOSSES}/{name}"] = compute
            for path in (addresses.MODEL, addresses.MODEL_VERSION):
                endpoints[path.format(loss=name, version=addresses.VERSION) + "/infer"] = infer
    return endpoints


def _infer(operation: Infer, limits: Limits, sharing: Sharing) -> ASGIApp:
    """Returns what answers; with shared memory, where there is some and a client may use it."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        memory = sharing.open_to(scope)
        await respond(operation if memory is None else operation.sharing(memory), limits, scope, receive, send)

    return answer if sharing.on else partial(respond, operation, limits)
