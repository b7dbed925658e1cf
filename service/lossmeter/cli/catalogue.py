"""`lossmeter losses`, `metrics` and `openapi`: print what the service offers."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from lossmeter.cli.failures import failures_exit


@failures_exit(1)
def show_losses(name: Annotated[str | None, typer.Argument(help="A loss; all of them if left out.")] = None) -> None:
    """Print the catalogue of losses, or all about one of them."""
    from lossmeter.api.models.catalogue import loss_entry
    from lossmeter.cli.catalogue_pages import loss_page, loss_table
    from lossmeter.losses import LOSSES, find

    Console().print(
        loss_table([loss_entry(loss) for loss in LOSSES.values()])
        if name is None
        else loss_page(loss_entry(find(name)))
    )


@failures_exit(1)
def show_metrics(name: Annotated[str | None, typer.Argument(help="A metric; all of them if left out.")] = None) -> None:
    """Print the catalogue of metrics, or all about one of them."""
    from lossmeter.api.models.metrics import metric_entry
    from lossmeter.cli.catalogue_pages import metric_page, metric_table
    from lossmeter.metrics import METRICS, find_metric

    Console().print(
        metric_table([metric_entry(metric) for metric in METRICS.values()])
        if name is None
        else metric_page(metric_entry(find_metric(name)))
    )


def show_openapi() -> None:
    """Print the OpenAPI document of this version."""
    from lossmeter.api.app import rendered_document

    typer.echo(rendered_document(), nl=False)
