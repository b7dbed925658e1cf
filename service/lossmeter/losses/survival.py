"""Losses for the time until an event, where some were only watched until before it."""

from __future__ import annotations

from math import exp, log

import torch
from torch import Tensor

from lossmeter.losses.catalogue import Arguments, Example, Support, loss
from lossmeter.losses.vocabulary import Flags, Scores, Times, Unreduced

FAMILY = "other"
TASKS = ("survival",)


def _events(arguments: Arguments) -> Support:
    return Support(arguments["events"] > 0)


@loss(
    suits={"usual": "Not all have had the event yet, and risks are compared among those who could."},
    copies=10,
    sweeps=25,
    separable=False,
    support=_events,
    aliases=["cox_partial_likelihood"],
    examples=[
        Example(predictions=[0.0, 0.0, 0.0], times=[1.0, 2.0, 3.0], events=[1.0, 0.0, 1.0], value=log(3) / 2),
        Example(predictions=[1.0, 0.0], times=[2.0, 2.0], events=[1.0, 1.0], value=log(1 + exp(1.0)) - 0.5),
    ],
)
def cox_ph(
    predictions: Scores[Tensor, "N"], times: Times[Tensor, "N"], events: Flags[Tensor, "N"]
) -> Unreduced[Tensor, "N"]:
    r"""Cox's proportional hazards: whoever had the event should have had the highest risk of all who still could.

    Each sample is a person or a machine with a predicted risk, a time, and whether the event (death, failure, cancellation)
    happened then or watching merely ended (censoring). At each event the risks of all who were still under watch go through
    softmax, and the loss is the `cross_entropy` of the one it happened to. No assumption is made about how risk changes with
    time, only that predictions multiply it. Those who were censored teach by having been there: they stand in the sets of
    the others, add nothing themselves and do not count in `mean`.

    Predictions are logarithms of hazards: any real number, of which only differences matter. Events at the same time share one
    set, as Breslow proposed. The whole batch is one set of people, so a value depends on the others: a mask removes a sample's
    own value and keeps it in the sets, and weights do not enter the sets. Compare batches of the same size, since larger sets
    cost more.

    Formula:
        \ell_n = -x_n + \log \sum_{j : \, t_j \ge t_n} e^{x_j} \quad \text{where } e_n = 1, \qquad
        0 \; \text{and not counted otherwise}

    Args:
        predictions: log-hazards $x$, larger for a sooner event.
        times: when the event happened or watching ended $t$, not negative.
        events: 1 (or true) where the event happened, 0 (or false) where watching ended first $e$.

    Returns:
        one loss per sample, in nats; 0 for those without the event.

    Use when:
        it matters how long something takes and not all have got there: survival of patients, failure of machines, churn of
        customers, default of loans, time to a purchase.

    Avoid when:
        every time is known and should itself be predicted (take `mse` of logarithms, or `gamma_deviance`), or batches are so
        small that hardly anyone stands beside an event.

    Source:
        Cox, Regression Models and Life-Tables, 1972. https://doi.org/10.1111/j.2517-6161.1972.tb00899.x; ties: Breslow,
        Covariance Analysis of Censored Survival Data, 1974. https://doi.org/10.2307/2529620.
    """
    ordered, order = times.sort(descending=True)
    # Only differences matter: those from the highest risk leave the sums their digits, and a set of low risks needs more.
    risk = predictions - predictions.detach().amax() if len(times) else predictions
    exact = risk if risk.device.type == "mps" else risk.double()
    sums = exact[order].logcumsumexp(0)
    # The set of a time ends with the last of all who share it.
    last = torch.searchsorted(-ordered, -times, right=True) - 1
    return torch.where(events > 0, sums[last] - exact, 0.0).to(risk.dtype)
