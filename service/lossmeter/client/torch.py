"""`RemoteLoss` and `RemoteObjective`: losses of the service as modules of torch."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from lossmeter.client.averages import named
from lossmeter.client.calls import Entry
from lossmeter.client.clients import Client
from lossmeter.client.objectives import ObjectiveResult, Terms
from lossmeter.client.results import LossResult
from lossmeter.client.traced import TracedLoss
from lossmeter.client.transport import DEFAULT_URL

PRECISIONS = {"float32": torch.float32, "float64": torch.float64}
OURS = ("gradients", "upstream")
"""Fields that autograd gives."""


class _Remotely(nn.Module):
    """Is what modules that ask the service have in common: a client, and fields that go with every request."""

    def __init__(self, client: Client | None, url: str | None, fields: Mapping[str, Any]) -> None:
        super().__init__()
        _refuse_ours(type(self).__name__, fields)
        if client is not None and url is not None:
            raise TypeError(f"{type(self).__name__} takes a client or a url, not both")
        self.client = client or Client(url or DEFAULT_URL)
        if client is None:
            weakref.finalize(self, self.client.close)
        self.fields = {name: value for name, value in fields.items() if not isinstance(value, Tensor)}
        for name, value in fields.items():
            if isinstance(value, nn.Parameter):
                self.register_parameter(name, value)
            elif isinstance(value, Tensor):
                self.register_buffer(name, value)

    def _given(self, fields: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Returns the tensors of a call and its other fields, those that go with every request among them."""
        _refuse_ours(type(self).__name__, fields)
        kept = {name: value for name, value in (self._buffers | self._parameters).items() if value is not None}
        tensors: dict[str, Tensor] = {}
        rest: dict[str, Any] = {}
        for name, value in {**self.fields, **kept, **fields}.items():
            (tensors if isinstance(value, Tensor) else rest)[name] = value
        if not tensors:
            raise TypeError(f"{type(self).__name__}: no tensor was given")
        if torch.float64 in [value.dtype for value in tensors.values()]:
            rest.setdefault("precision", "float64")
        if not torch.is_grad_enabled():
            tensors = {name: tensor.detach() for name, tensor in tensors.items()}
        return tensors, rest


class RemoteLoss(_Remotely):
    """A loss that is computed by the service, gradient included, and trains like any other.

        criterion = RemoteLoss("focal", gamma=2.0, url="http://127.0.0.1:8000")
        criterion(network(inputs), labels).backward()

    Forward and backward together are one request: forward asks for the gradients of those inputs that require them, backward
    multiplies them with what flows in from above. Under `reduction="none"` this is possible for elementwise losses only; for
    the others backward sends a second request, with what flows in as its `upstream`.

    The arithmetic is float64 if a floating input is, else float32, whatever the inputs are; the loss has its dtype, and
    gradients have that of their input. There are no second derivatives.

    Args:
        loss: a name of the catalogue, or an alias; or a function that was traced (`lossmeter.client.trace`).
        client: that asks; by default one of its own, for `url`.
        url: of the service, as `Client` takes it.
        fields: parameters, as `Client.loss` takes them. Tensors among them become buffers, and move with the module.

    Attributes:
        result: of the last call, without its gradients: value, sum, normalizer, count, warnings.
    """

    def __init__(
        self, loss: str | TracedLoss, /, *, client: Client | None = None, url: str | None = None, **fields: Any
    ) -> None:
        if callable(loss) and not isinstance(loss, str | TracedLoss):
            raise TypeError(f"loss is {loss!r}; expected a name, or trace(function) for a loss of your own")
        super().__init__(client, url, fields)
        self.name = str(loss)
        self.loss = loss
        self.result: LossResult | None = None

    def forward(self, *roles: Tensor, **fields: Any) -> Tensor:
        """Computes the loss.

        Args:
            roles: tensors in the order of the catalogue: predictions and labels, mostly.
            fields: tensors by role (`weight`, `sample_weight`, `mask`, …), and parameters for this call.

        Raises:
            TypeError: if there are more tensors than roles, or none at all.
            ServiceError: as `Client.loss`.
        """
        tensors, rest = self._given({**(named(self.name, self._order, roles) if roles else {}), **fields})
        unreduced = rest.get("reduction") == "none"
        ask = partial(self.client.loss, self.loss, **rest)
        step = _Step(ask, tuple(tensors), unreduced and not self._elementwise)
        loss: Tensor = _Remote.apply(step, *tensors.values())  # type: ignore[no-untyped-call]
        object.__setattr__(self, "result", step.result)  # past the look of a module for parameters
        return loss

    @cached_property
    def _described(self) -> Entry:
        return self.client.describe(self.name)

    @property
    def _elementwise(self) -> bool:
        return not isinstance(self.loss, TracedLoss) and bool(self._described["elementwise"])

    @cached_property
    def _order(self) -> tuple[str, ...]:
        if isinstance(self.loss, TracedLoss):
            return self.loss.roles
        return tuple(role["name"] for role in self._described["roles"])

    def extra_repr(self) -> str:
        """Shows the arguments that it was made with."""
        return ", ".join([repr(self.name), *(f"{name}={value!r}" for name, value in self.fields.items())])


class RemoteObjective(_Remotely):
    """A weighted sum of losses that is computed by the service, gradients included, and trains like one of them.

        criterion = RemoteObjective([{"loss": "dice", "weight": 0.5}, "cross_entropy"], url="http://127.0.0.1:8000")
        criterion(predictions=network(images), labels=labels).backward()

    One request for forward and backward, as `RemoteLoss`, whose rules on precision and second derivatives are the same here.

    Args:
        losses: the terms, as `Client.objective` takes them.
        client, url: as of `RemoteLoss`.
        fields: what goes with every request. Tensors among them become buffers, and move with the module.

    Attributes:
        result: of the last call, without its gradients: the value of each term, and the norm of its gradient.
    """

    def __init__(
        self, losses: Terms, /, *, client: Client | None = None, url: str | None = None, **fields: Any
    ) -> None:
        if isinstance(losses, str | Mapping):
            raise TypeError(f"losses is {losses!r}; expected a list of terms")
        super().__init__(client, url, fields)
        self.losses = losses
        self.result: ObjectiveResult | None = None

    def forward(self, *roles: Tensor, **fields: Any) -> Tensor:
        """Computes the objective.

        Args:
            fields: tensors by name, and what all terms share.

        Raises:
            TypeError: if there is no tensor, or one without a name, as terms may have different roles.
            ServiceError: as `Client.objective`.
        """
        if roles:
            raise TypeError(
                f"{len(roles)} tensors have no name; expected predictions=…, labels=…, as terms differ in roles"
            )
        tensors, rest = self._given(fields)
        step = _Step(partial(self.client.objective, self.losses, **rest), tuple(tensors), later=False)
        loss: Tensor = _Remote.apply(step, *tensors.values())  # type: ignore[no-untyped-call]
        self.result = step.result
        return loss

    def extra_repr(self) -> str:
        """Shows the terms."""
        return repr(self.losses)


def _refuse_ours(kind: str, fields: Mapping[str, Any]) -> None:
    for name in OURS:
        if name in fields:
            raise TypeError(f"{kind} takes no {name}: it comes from autograd")


@dataclass
class _Step:
    """One use of the loss: what is asked, and the answer.

    Attributes:
        asks: sends the request.
        names: of the tensors, in the order in which they are given.
        later: true if the gradients can only be asked for once it is known what flows in.
    """

    asks: Callable[..., Any]
    names: tuple[str, ...]
    later: bool
    result: Any = None

    def ask(self, tensors: Sequence[Tensor], wanted: Sequence[str], **more: Any) -> dict[str, Tensor]:
        """Sends the request; returns the gradients, and keeps the rest of the result."""
        given = dict(zip(self.names, tensors, strict=True))
        self.result = self.asks(gradients=wanted, **given, **more)
        gradients = dict(self.result.gradients)
        self.result.gradients.clear()  # so that they are not held longer than the graph holds them
        return gradients


class _Remote(Function):
    @staticmethod
    def forward(ctx: Any, step: _Step, *tensors: Tensor) -> Tensor:
        needed = ctx.needs_input_grad
        places = [place for place in range(len(tensors)) if needed[place + 1]]
        wanted = [step.names[place] for place in places]
        later = step.later and bool(wanted)
        gradients = step.ask(tensors, () if later else wanted)
        result = step.result
        ctx.step, ctx.places, ctx.later = step, places, later
        ctx.dtypes = [tensors[place].dtype for place in places]
        ctx.save_for_backward(*(tensors if later else [gradients[name] for name in wanted]))
        given = tensors[0]
        values: Tensor | None = getattr(result, "values", None)
        if values is not None:
            return values.to(given.device)
        value = torch.scalar_tensor(result.value, dtype=PRECISIONS[result.precision])
        return value if given.is_cpu else value.to(given.device)

    @staticmethod
    def backward(ctx: Any, *inflows: Tensor) -> tuple[Tensor | None, ...]:
        (inflow,) = inflows
        if not torch.is_grad_enabled():
            return _outflows(ctx, _gradients(ctx, inflow))
        with torch.no_grad():  # as with create_graph=True
            gradients = _gradients(ctx, inflow)
        return tuple([None if one is None else _once(one) for one in _outflows(ctx, gradients)])


def _gradients(ctx: Any, inflow: Tensor) -> Sequence[Tensor]:
    """Returns the gradients of those inputs that need one."""
    saved: Sequence[Tensor] = ctx.saved_tensors
    if ctx.later:
        wanted = [ctx.step.names[place] for place in ctx.places]
        gradients = ctx.step.ask(saved, wanted, upstream=inflow)
        return [gradients[name] for name in wanted]
    if _is_one(inflow):
        # Whoever gets a gradient may change it, and a graph that is kept gives it away again.
        return [gradient.clone() for gradient in saved] if _is_kept() else saved
    return [gradient * inflow.to(gradient.device) for gradient in saved]


def _outflows(ctx: Any, gradients: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
    """Returns what backward gives: nothing for the step, and for each input its gradient, in its own dtype, if it needs one."""
    outflows: list[Tensor | None] = [None] * (len(ctx.step.names) + 1)
    for place, gradient, dtype in zip(ctx.places, gradients, ctx.dtypes, strict=True):
        outflows[place + 1] = gradient if gradient.dtype is dtype else gradient.to(dtype)
    return tuple(outflows)


def _is_one(inflow: Tensor) -> bool:
    """Tells whether the loss itself is differentiated, where no device has to be waited for to know it."""
    return inflow.is_cpu and inflow.dim() == 0 and inflow.item() == 1.0


_is_kept: Callable[[], bool] = getattr(torch._C._autograd, "_get_current_graph_task_keep_graph", lambda: True)
"""Tells whether the graph is kept for another backward pass (`retain_graph=True`), or may be: not known before torch 2.1."""


class _Once(Function):
    """A gradient that cannot be differentiated, and says so instead of passing for a constant."""

    @staticmethod
    def forward(_: Any, gradient: Tensor, __: Tensor) -> Tensor:
        return gradient.view_as(gradient)

    @staticmethod
    def backward(_: Any, *__: Tensor) -> tuple[Tensor | None, ...]:
        raise NotImplementedError(
            "RemoteLoss has no second derivatives: the service computes values and first gradients. "
            "Compute the loss in process where a gradient is to be differentiated (create_graph=True)."
        )


def _once(gradient: Tensor) -> Tensor:
    anchor = torch.zeros((), requires_grad=True)  # something to differentiate, so that autograd comes this way
    refusing: Tensor = _Once.apply(gradient, anchor)  # type: ignore[no-untyped-call]
    return refusing
