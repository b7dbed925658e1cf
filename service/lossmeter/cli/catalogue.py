"""`lossmeter losses`, `metrics` and `openapi`: print what the service offers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console, RenderableType

from lossmeter.cli.failures import failures_exit

SHIPPED, OF_CHECKOUT = Path(__file__).with_name("openapi.json"), Path(__file__).parents[3] / "openapi" / "openapi.json"
"""The OpenAPI document: a wheel brings it along, a checkout has it where it is generated."""


@failures_exit(1)
def show_losses(
    name: Annotated[str | None, typer.Argument(help="A loss; all of them if left out.")] = None,
    situation: Annotated[
        str | None, typer.Option("--for", help="What is known of the data, or wanted: imbalance, outliers, …")
    ] = None,
    task: Annotated[str | None, typer.Option(help="What is predicted: binary, regression, …")] = None,
    query: Annotated[str | None, typer.Option(help="Words to look for.")] = None,
) -> None:
    """Print the catalogue of losses, those that fit, or all about one of them."""
    from lossmeter.cli.catalogue_pages import choice_table, loss_page, loss_table
    from lossmeter.cli.loss_index import read_index

    index = read_index()
    wanted = [one for one in (task, situation, query) if one is not None]
    if name is not None and wanted:
        raise typer.BadParameter(f"{name} is one loss, and is not chosen by {', '.join(wanted)}; give one or the other")
    if name is not None:
        page: RenderableType = loss_page(index.entries.find(name).entry)
    elif not wanted:
        page = loss_table(index.entries.values())
    else:
        chosen = index.choose(task, situation, query)
        page = choice_table(chosen) if chosen else f"There is no loss for {' and '.join(wanted)} together."
    Console().print(page)


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
    document = SHIPPED if SHIPPED.is_file() else OF_CHECKOUT
    typer.echo(document.read_text("utf-8"), nl=False)
