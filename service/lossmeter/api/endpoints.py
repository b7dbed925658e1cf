"""Everything that answers tensors at a fixed address, by that address."""

from __future__ import annotations

from typing import Any

from starlette.types import Receive, Scope, Send

from lossmeter.api import addresses
from lossmeter.api.exchange import respond
from lossmeter.api.negotiation import media_type_of
from lossmeter.api.operation import Operation
from lossmeter.api.operations.custom import ComputeCustom
from lossmeter.api.operations.evaluation import Evaluate, EvaluateTable
from lossmeter.api.operations.inference import Infer
from lossmeter.api.operations.losses import ComputeLoss
from lossmeter.api.operations.objectives import ComputeObjective
from lossmeter.api.shared_memory import Sharing
from lossmeter.losses import LOSSES
from lossmeter.scheduling.limits import Limits
from lossmeter.scheduling.micro_batching import MicroBatcher
from lossmeter.wire.tables import MEDIA_TYPES


class Endpoint:
    """Answers with one operation, as an ASGI application."""

    def __init__(self, operation: Operation[Any, Any, Any], limits: Limits) -> None:
        self.operation = operation
        self.limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await respond(self.operation, self.limits, scope, receive, send)


class SharingEndpoint(Endpoint):
    """Answers with shared memory, where a client may use it."""

    def __init__(self, operation: Infer, limits: Limits, sharing: Sharing) -> None:
        super().__init__(operation, limits)
        self.infer = operation
        self.sharing = sharing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        memory = self.sharing.open_to(scope)
        await respond(self.infer if memory is None else self.infer.sharing(memory), self.limits, scope, receive, send)


class EvaluateEndpoint(Endpoint):
    """Answers evaluations, of tensors or of a file."""

    def __init__(self, operation: Evaluate, limits: Limits) -> None:
        super().__init__(operation, limits)
        self.evaluate = operation

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        form = MEDIA_TYPES.get(media_type_of(scope["headers"]))
        if form is None:
            await super().__call__(scope, receive, send)
            return
        table = EvaluateTable(self.evaluate.engine, self.evaluate.max_elements, form, scope["query_string"])
        await respond(table, self.limits, scope, receive, send)


Endpoints = dict[str, Endpoint]


def tensor_endpoints(batcher: MicroBatcher, limits: Limits, max_elements: int, sharing: Sharing) -> Endpoints:
    """Returns what answers; the aliases of a loss have addresses too."""
    endpoints: Endpoints = {
        addresses.EVALUATE: EvaluateEndpoint(Evaluate(batcher.engine, max_elements), limits),
        addresses.CUSTOM: Endpoint(ComputeCustom(batcher.engine, max_elements, limits.compute_seconds), limits),
        addresses.OBJECTIVES: Endpoint(ComputeObjective(batcher.engine, max_elements), limits),
    }
    for loss in LOSSES.values():
        operation = Infer(loss, batcher, max_elements)
        infer = SharingEndpoint(operation, limits, sharing) if sharing.on else Endpoint(operation, limits)
        for name in (loss.name, *loss.aliases):
            endpoints[f"{addresses.LOSSES}/{name}"] = Endpoint(ComputeLoss(loss, batcher, max_elements, name), limits)
            for path in (addresses.MODEL, addresses.MODEL_VERSION):
                endpoints[path.format(loss=name, version=addresses.VERSION) + "/infer"] = infer
    return endpoints
