"""A client of the service that feels like torch, and needs neither torch nor the service's own packages.

    from lossmeter.client import Client

    with Client("http://127.0.0.1:8000") as client:
        result = client.loss("cross_entropy", predictions=logits, labels=labels, gradients=["predictions"])
        result.value, result.gradients["predictions"]

`RemoteLoss` is a `torch.nn.Module`, and `lossmeter.client.jax.remote_loss` a function for jax; each needs its library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lossmeter.client.averages import MeanLoss
from lossmeter.client.clients import AsyncClient, Client
from lossmeter.client.errors import (
    BadAnswer,
    Busy,
    Conflict,
    DoesNotFit,
    Forbidden,
    InternalError,
    InvalidRequest,
    MalformedBody,
    NoAnswer,
    NotAcceptable,
    NotFound,
    Problem,
    ServiceError,
    TimedOut,
    TooLarge,
    TooSlow,
    Unauthorized,
    UnsupportedFormat,
)
from lossmeter.client.exchanges import Retries
from lossmeter.client.figures import Difference, Figures, Interval, LossFigure, MetricFigure
from lossmeter.client.metrics import RemoteMetrics
from lossmeter.client.objectives import ObjectiveResult, TermResult
from lossmeter.client.reports import Comparison, HardSample, Report, RunInfo, RunList, SlicePart, Verdict
from lossmeter.client.results import LossResult, Timing, Warned
from lossmeter.client.runs import AsyncRun, Run
from lossmeter.client.traced import TracedLoss

if TYPE_CHECKING:
    from lossmeter.client.torch import RemoteLoss, RemoteObjective
    from lossmeter.client.tracing import trace

__all__ = [
    "AsyncClient",
    "AsyncRun",
    "BadAnswer",
    "Busy",
    "Client",
    "Comparison",
    "Conflict",
    "Difference",
    "DoesNotFit",
    "Figures",
    "Forbidden",
    "HardSample",
    "InternalError",
    "Interval",
    "InvalidRequest",
    "LossFigure",
    "LossResult",
    "MalformedBody",
    "MeanLoss",
    "MetricFigure",
    "NoAnswer",
    "NotAcceptable",
    "NotFound",
    "ObjectiveResult",
    "Problem",
    "RemoteLoss",
    "RemoteMetrics",
    "RemoteObjective",
    "Report",
    "Retries",
    "Run",
    "RunInfo",
    "RunList",
    "ServiceError",
    "SlicePart",
    "TermResult",
    "TimedOut",
    "Timing",
    "TooLarge",
    "TooSlow",
    "TracedLoss",
    "Unauthorized",
    "UnsupportedFormat",
    "Verdict",
    "Warned",
    "trace",
]


def __getattr__(name: str) -> Any:
    """Loads what needs torch, and with it torch, when it is first asked for."""
    if name in ("RemoteLoss", "RemoteObjective"):
        from lossmeter.client import torch

        return getattr(torch, name)
    if name == "trace":
        from lossmeter.client.tracing import trace

        return trace
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
