"""The command line: serve, look things up, print the OpenAPI document."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from lossmeter.settings import Settings

cli = typer.Typer(
    name="lossmeter",
    help="Losses, gradients and evaluation metrics as a service.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

database = typer.Typer(help="The database of runs.", no_args_is_help=True)
cli.add_typer(database, name="db")

LOG_LEVELS = ("critical", "error", "warning", "info", "debug")


def _default(name: str) -> str:
    return f"LOSSMETER_{name.upper()}"


@cli.command()
def serve(
    host: Annotated[str, typer.Option(envvar=_default("host"), help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(envvar=_default("port"), help="Port; 0 takes a free one.")] = 8000,
    uds: Annotated[str, typer.Option(envvar=_default("uds"), help="A Unix socket, instead of host and port.")] = "",
    workers: Annotated[int, typer.Option(envvar=_default("workers"), min=1, help="Processes that serve.")] = 1,
    device: Annotated[str, typer.Option(envvar=_default("device"), help="auto, cpu, cuda, cuda:1, …")] = "auto",
    threads: Annotated[
        int, typer.Option(envvar=_default("threads"), min=0, help="Threads of torch in one worker; 0 shares the cores.")
    ] = 0,
    log_level: Annotated[
        str, typer.Option(envvar=_default("log_level"), help=f"One of {', '.join(LOG_LEVELS)}.")
    ] = "info",
    access_log: Annotated[bool, typer.Option(help="Log a line for each request.")] = False,
) -> None:
    """Serve over HTTP. Every other setting is an environment variable: see `lossmeter settings`."""
    if log_level not in LOG_LEVELS:
        raise typer.BadParameter(f"{log_level!r} is not one of {', '.join(LOG_LEVELS)}", param_hint="--log-level")
    chosen = {
        "host": host,
        "port": port,
        "uds": uds,
        "workers": workers,
        "device": device,
        "threads": threads,
        "log_level": log_level,
    }
    # The workers are processes of their own: what is chosen here reaches them through the environment.
    os.environ.update({_default(name): str(value) for name, value in chosen.items()})
    from lossmeter.api.server import run

    run(Settings(), access_log=access_log)


@cli.command("losses")
def show_losses(name: Annotated[str | None, typer.Argument(help="A loss; all of them if left out.")] = None) -> None:
    """Print the catalogue of losses, or all about one of them."""
    from rich.console import Console

    from lossmeter.api.catalogue import loss_entry
    from lossmeter.console.terminal import loss_page, loss_table
    from lossmeter.errors import NotFound
    from lossmeter.losses import LOSSES, find

    if name is None:
        Console().print(loss_table([loss_entry(loss) for loss in LOSSES.values()]))
        return
    try:
        Console().print(loss_page(loss_entry(find(name))))
    except NotFound as error:
        typer.echo(error.detail, err=True)
        raise typer.Exit(1) from None


@cli.command("openapi")
def show_openapi() -> None:
    """Print the OpenAPI document of this version."""
    from lossmeter.api.openapi import rendered

    typer.echo(rendered(), nl=False)


@cli.command("settings")
def show_settings() -> None:
    """Print every setting: its environment variable, its value here, what it means."""
    from rich.console import Console

    from lossmeter.console.terminal import settings_table

    Console().print(settings_table(Settings()))


@database.command("upgrade")
def upgrade_database() -> None:
    """Bring the database of runs (LOSSMETER_STORE_URL) to the form that this version needs."""
    from lossmeter.errors import StoreUnavailable
    from lossmeter.runs import Database

    chosen = Database(Settings().store_url)
    try:
        chosen.upgrade()
    except StoreUnavailable as error:
        typer.echo(error.detail, err=True)
        raise typer.Exit(1) from None
    typer.echo(f"{chosen.url.render_as_string(hide_password=True)} is up to date")


def main() -> Any:
    """Entry point of the command `lossmeter`."""
    return cli()
