"""The command `lossmeter` and its subcommands. Nothing here imports torch: what computes is imported when its command runs."""

from __future__ import annotations

from typing import Annotated

import typer

from lossmeter import __version__
from lossmeter.cli.catalogue import show_losses, show_metrics, show_openapi
from lossmeter.cli.database import upgrade_database
from lossmeter.cli.evaluate import evaluate_file
from lossmeter.cli.keys import create_key, list_keys, revoke_key
from lossmeter.cli.runs import compare_runs, delete_runs, edit_run, list_runs, save_report, show_run
from lossmeter.cli.serve import serve
from lossmeter.cli.settings import show_settings

program = typer.Typer(
    name="lossmeter",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
program.command("serve")(serve)
program.command("losses")(show_losses)
program.command("metrics")(show_metrics)
program.command("evaluate")(evaluate_file)
program.command("compare")(compare_runs)
program.command("report")(save_report)
program.command("openapi")(show_openapi)
program.command("settings")(show_settings)

runs = typer.Typer(help="The runs that a service keeps.", no_args_is_help=True)
runs.command("list")(list_runs)
runs.command("show")(show_run)
runs.command("edit")(edit_run)
runs.command("delete")(delete_runs)
program.add_typer(runs, name="runs")

database = typer.Typer(help="The database of runs and keys.", no_args_is_help=True)
database.command("upgrade")(upgrade_database)
program.add_typer(database, name="db")

keys = typer.Typer(help="The keys that open a server (LOSSMETER_AUTH).", no_args_is_help=True)
keys.command("create")(create_key)
keys.command("list")(list_keys)
keys.command("revoke")(revoke_key)
program.add_typer(keys, name="keys")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@program.callback()
def describe(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Losses, gradients and evaluation metrics as a service."""
