"""The command line: serve, evaluate files, make keys, look things up, print the OpenAPI document."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

try:
    import typer
except ModuleNotFoundError:
    raise SystemExit('lossmeter: the command comes with the service: pip install "lossmeter[server]"') from None

from lossmeter.cli.keys import keys
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
cli.add_typer(keys, name="keys")

LOG_LEVELS = ("critical", "error", "warning", "info", "debug")
LOG_FORMATS = ("text", "json")


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
    log_format: Annotated[
        str, typer.Option(envvar=_default("log_format"), help="text, or json: one object a line.")
    ] = "text",
    access_log: Annotated[
        bool, typer.Option(envvar=_default("access_log"), help="Log a line for each request.")
    ] = False,
    tls_certificate: Annotated[
        str, typer.Option(envvar=_default("tls_certificate"), help="PEM file: speak HTTPS.")
    ] = "",
    tls_key: Annotated[str, typer.Option(envvar=_default("tls_key"), help="PEM file of its private key.")] = "",
    drain_seconds: Annotated[
        float,
        typer.Option(envvar=_default("drain_seconds"), min=0, help="After SIGTERM, to go on serving while unready."),
    ] = 0.0,
    grace_seconds: Annotated[
        int, typer.Option(envvar=_default("grace_seconds"), min=0, help="After that, for requests in flight.")
    ] = 30,
) -> None:
    """Serve over HTTP. Every other setting is an environment variable: see `lossmeter settings`."""
    if log_level not in LOG_LEVELS:
        raise typer.BadParameter(f"{log_level!r} is not one of {', '.join(LOG_LEVELS)}", param_hint="--log-level")
    if log_format not in LOG_FORMATS:
        raise typer.BadParameter(f"{log_format!r} is not one of {', '.join(LOG_FORMATS)}", param_hint="--log-format")
    _check_tls(tls_certificate, tls_key)
    chosen = {
        "tls_certificate": tls_certificate,
        "tls_key": tls_key,
        "host": host,
        "port": port,
        "uds": uds,
        "workers": workers,
        "device": device,
        "threads": threads,
        "log_level": log_level,
        "log_format": log_format,
        "access_log": access_log,
        "drain_seconds": drain_seconds,
        "grace_seconds": grace_seconds,
    }
    # The workers are processes of their own: what is chosen here reaches them through the environment.
    os.environ.update({_default(name): str(value) for name, value in chosen.items()})
    from lossmeter.scheduling import garbage

    garbage.pause_collection()
    from lossmeter.serving.server import run

    run(Settings())


def _check_tls(certificate: str, key: str) -> None:
    if key and not certificate:
        raise typer.BadParameter("a key without a certificate", param_hint="--tls-key")
    for path, option in ((certificate, "--tls-certificate"), (key, "--tls-key")):
        if path and not os.access(path, os.R_OK):
            raise typer.BadParameter(f"{path} cannot be read", param_hint=option)


@cli.command("losses")
def show_losses(name: Annotated[str | None, typer.Argument(help="A loss; all of them if left out.")] = None) -> None:
    """Print the catalogue of losses, or all about one of them."""
    from rich.console import Console

    from lossmeter.api.models.catalogue import loss_entry
    from lossmeter.cli.terminal import loss_page, loss_table
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


@cli.command("metrics")
def show_metrics(name: Annotated[str | None, typer.Argument(help="A metric; all of them if left out.")] = None) -> None:
    """Print the catalogue of metrics, or all about one of them."""
    from rich.console import Console

    from lossmeter.api.models.metrics import metric_entry
    from lossmeter.cli.terminal import metric_page, metric_table
    from lossmeter.errors import NotFound
    from lossmeter.metrics import METRICS, find_metric

    if name is None:
        Console().print(metric_table([metric_entry(metric) for metric in METRICS.values()]))
        return
    try:
        Console().print(metric_page(metric_entry(find_metric(name))))
    except NotFound as error:
        typer.echo(error.detail, err=True)
        raise typer.Exit(1) from None


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def _ended(error: BaseException, text: str, code: int) -> typer.Exit:
    """Tells why, with what was noted on the way."""
    for line in (text, *getattr(error, "__notes__", ())):
        typer.echo(line, err=True)
    return typer.Exit(code)


def _interruptible(command: Callable[..., None]) -> Callable[..., None]:
    @wraps(command)
    def run(*arguments: Any, **named: Any) -> None:
        try:
            command(*arguments, **named)
        except KeyboardInterrupt as error:
            raise _ended(error, "Interrupted.", 130) from None

    return run


@cli.command("evaluate")
@_interruptible
def evaluate_file(
    file: Annotated[Path, typer.Argument(help="CSV, Parquet, JSON Lines, Arrow or NPZ.")],
    predictions: Annotated[
        str, typer.Option(help="The column of predictions; several, by commas, one for each class.")
    ],
    labels: Annotated[str, typer.Option(help="The column of labels; several, by commas, for several labels.")],
    task: Annotated[str | None, typer.Option(help="regression, binary, multiclass, multilabel, …")] = None,
    predictions_are: Annotated[
        str | None, typer.Option(help="logits, probabilities, log_probabilities, scores, classes or values.")
    ] = None,
    weight: Annotated[str | None, typer.Option(help="A column that says how much each row counts.")] = None,
    id_: Annotated[
        str | None, typer.Option("--id", help="A column of ids; otherwise rows are numbered from 0.")
    ] = None,
    group: Annotated[str | None, typer.Option(help="A column of groups of rows that belong together.")] = None,
    slice_: Annotated[list[str] | None, typer.Option("--slice", help="A column by whose values to slice.")] = None,
    metric: Annotated[list[str] | None, typer.Option(help="A metric: accuracy, 'f1(average=micro)', …")] = None,
    loss: Annotated[list[str] | None, typer.Option(help="A loss: cross_entropy, 'focal(gamma=2)', …")] = None,
    gate: Annotated[
        list[str] | None, typer.Option(help="What must hold: 'accuracy>=0.9', 'f1@lower[country]>=0.8', …")
    ] = None,
    classes: Annotated[int | None, typer.Option(help="Number of classes, where predictions are classes.")] = None,
    confidence: Annotated[float | None, typer.Option(help="Of the intervals; 0.95 if left out.")] = None,
    replicates: Annotated[int | None, typer.Option(help="Of the bootstrap; 200 if left out.")] = None,
    hardest: Annotated[int | None, typer.Option(help="How many of the hardest rows to name.")] = None,
    bins: Annotated[
        int | None, typer.Option(help="Of the histograms behind curves; 0 is exact, and keeps all scores in memory.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="A JSON file with the fields of POST /v1/evaluate.")] = None,
    device: Annotated[str, typer.Option(envvar=_default("device"), help="auto, cpu, cuda, …")] = "auto",
    server: Annotated[
        str | None, typer.Option(help="URL of a service that evaluates, in a run; otherwise this machine does.")
    ] = None,
    name: Annotated[str, typer.Option(help="Of the run.")] = "",
    tag: Annotated[list[str] | None, typer.Option(help="A tag of the run, such as model=b7.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Evaluate the predictions in a file. Exits with 1 if a gate fails, 2 if the input is not usable, 130 if interrupted."""
    from lossmeter.cli import choices
    from lossmeter.cli.evaluation import plan_of, record_of
    from lossmeter.cli.report import report_page
    from lossmeter.client import Client, ServiceError
    from lossmeter.errors import LossmeterError
    from lossmeter.evaluation import report
    from lossmeter.files import Columns

    if server is None and (name or tag):
        raise typer.BadParameter("only a run of a service has a name and tags: give --server too")
    try:
        client = None if server is None else Client(server)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--server") from None
    try:
        options = {
            "task": task,
            "predictions_are": predictions_are,
            "classes": classes,
            "losses": [choices.choice("loss", one) for one in loss or []],
            "metrics": [choices.choice("metric", one) for one in metric or []],
            "slices": list(slice_ or []),
            "gates": [choices.gate(one) for one in gate or []],
            "confidence": confidence,
            "replicates": replicates,
            "hardest": hardest,
            "curves": None if bins is None else {"bins": bins},
        }
        plan = plan_of(config, options)
        columns = Columns(_names(predictions), _names(labels), weight, id_, group, plan.slices)
        if client is None:
            found = report(plan, record_of(file, columns, plan, device=device))
        else:
            from lossmeter.cli.submission import report_of_run

            with client:
                found = report_of_run(file, columns, plan, client, name, tag or ())
    except LossmeterError as error:
        raise _ended(error, error.detail, 2) from None
    except ServiceError as error:
        raise _ended(error, f"{server}: {error}", 2) from None
    except ModuleNotFoundError as error:
        raise _ended(error, f"{error}: install lossmeter[files].", 2) from None
    if as_json:
        import orjson

        typer.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2))
    else:
        from rich.console import Console

        Console().print(report_page(found))
    if not found["passed"]:
        raise typer.Exit(1)


@cli.command("openapi")
def show_openapi() -> None:
    """Print the OpenAPI document of this version."""
    from lossmeter.api.app import rendered_document

    typer.echo(rendered_document(), nl=False)


@cli.command("settings")
def show_settings() -> None:
    """Print every setting: its environment variable, its value here, what it means."""
    from rich.console import Console

    from lossmeter.cli.terminal import settings_table

    Console().print(settings_table(Settings()))


@database.command("upgrade")
def upgrade_database() -> None:
    """Bring the database of runs (LOSSMETER_STORE_URL) to the form that this version needs."""
    from lossmeter.database import Database
    from lossmeter.errors import StoreUnavailable

    settings = Settings()
    chosen = Database(settings.store_url, settings.store_timeout_seconds)
    try:
        chosen.upgrade()
    except StoreUnavailable as error:
        typer.echo(error.detail, err=True)
        raise typer.Exit(1) from None
    typer.echo(f"{chosen.url.render_as_string(hide_password=True)} is up to date")


def main() -> Any:
    """Entry point of the command `lossmeter`."""
    return cli()
