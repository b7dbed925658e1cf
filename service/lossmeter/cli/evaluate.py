"""`lossmeter evaluate`: evaluates the predictions in a file, on this machine or in a run of a service."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lossmeter.cli.failures import connected, failure, failures_exit
from lossmeter.cli.layout import print_json
from lossmeter.settings import variable

if TYPE_CHECKING:
    from lossmeter.evaluation.runners import Runner, Watch

UNUSABLE = 2
"""Exit code where the input, or the service, is of no use; 1 says that a gate fails."""


class Engine(StrEnum):
    """Names what computes."""

    LOCAL = "local"
    RAY = "ray"


@failures_exit(UNUSABLE)
def evaluate_file(
    file: Annotated[
        str,
        typer.Argument(
            help="CSV, Parquet, JSON Lines, Arrow or NPZ; a folder, a quoted pattern or a URL for many; - for standard input."
        ),
    ],
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
    class_names: Annotated[
        str | None, typer.Option(help="What the classes are called, by commas, in the order of their indices.")
    ] = None,
    confidence: Annotated[float | None, typer.Option(help="Of the intervals; 0.95 if left out.")] = None,
    replicates: Annotated[int | None, typer.Option(help="Of the bootstrap; 200 if left out.")] = None,
    hardest: Annotated[int | None, typer.Option(help="How many of the hardest rows to name.")] = None,
    bins: Annotated[
        int | None, typer.Option(help="Of the histograms behind curves; 0 is exact, and keeps all scores in memory.")
    ] = None,
    form: Annotated[
        str | None,
        typer.Option("--format", help="csv, tsv, parquet, jsonl, arrow or npz; otherwise as the file's ending says."),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="A JSON file with the fields of an evaluation.")] = None,
    device: Annotated[str, typer.Option(envvar=variable("device"), help="auto, cpu, cuda, …")] = "auto",
    server: Annotated[
        str | None, typer.Option(help="URL of a service that evaluates, in a run; otherwise this machine does.")
    ] = None,
    engine: Annotated[
        Engine, typer.Option(help="What computes: this process, or the Ray cluster that RAY_ADDRESS names.")
    ] = Engine.LOCAL,
    name: Annotated[str, typer.Option(help="Of the run.")] = "",
    tag: Annotated[list[str] | None, typer.Option(help="A tag of the run, such as model=b7.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    markdown: Annotated[Path | None, typer.Option(help="A file for the report as Markdown.")] = None,
    junit: Annotated[Path | None, typer.Option(help="A file for the gates as JUnit XML.")] = None,
    html: Annotated[
        Path | None, typer.Option(help="A file for the report as one page of HTML, with its plots.")
    ] = None,
) -> None:
    """Evaluate the predictions in a file. Exits with 1 if a gate fails, 2 if the input is not usable, 130 if interrupted.

    Under GitHub Actions the report also becomes part of the job's summary.
    """
    from lossmeter.cli.measurement import opened, progress
    from lossmeter.cli.plans import read_plan
    from lossmeter.cli.report import print_page, write_page
    from lossmeter.evaluation.files import column_names
    from lossmeter.reporting import report_page
    from lossmeter.wire.tables import Columns

    if server is None and (name or tag):
        raise typer.BadParameter("only a run of a service has a name and tags: give --server too")
    if server is not None and engine is not Engine.LOCAL:
        raise typer.BadParameter("a service computes by itself: give --server or --engine", param_hint="--engine")
    options = {
        "task": task,
        "predictions_are": predictions_are,
        "classes": classes,
        "class_names": None if class_names is None else list(column_names(class_names)),
        "losses": list(loss or []),
        "metrics": list(metric or []),
        "slices": list(slice_ or []),
        "gates": list(gate or []),
        "confidence": confidence,
        "replicates": replicates,
        "hardest": hardest,
        "curves": None if bins is None else {"bins": bins},
    }
    plan = read_plan(config, options)
    columns = Columns(column_names(predictions), column_names(labels), weight, id_, group, tuple(plan.slices))
    try:
        with (
            opened(file, form) as dataset,
            progress() as watch,
            _runner(engine, device, server, name, tag or (), watch) as runner,
        ):
            report = runner.report(dataset, columns, plan)
    except ModuleNotFoundError as error:
        extra = "" if "lossmeter[ray]" in str(error) else ": install lossmeter[files]"
        raise failure(error, f"{error}{extra}.", UNUSABLE) from None
    page = report_page(report)
    if as_json:
        print_json(dict(report))
    else:
        print_page(page)
        if server is not None:
            typer.echo(f"\nRun {report['run']['id']}: {server.rstrip('/')}/v1/runs/{report['run']['id']}")
    try:
        write_page(page, report, markdown, junit, html)
    except OSError as error:
        raise failure(error, f"The report cannot be written: {error}", UNUSABLE) from None
    if not report["passed"]:
        raise typer.Exit(1)


@contextmanager
def _runner(
    engine: Engine, device: str, server: str | None, name: str, tags: Sequence[str], watch: Watch
) -> Iterator[Runner]:
    if server is not None:
        from lossmeter.cli.submission import ServiceRunner

        with connected(server, UNUSABLE) as client:
            yield ServiceRunner(client, name, tags, watch)
    elif engine is Engine.RAY:
        from lossmeter.cluster import RayRunner

        yield RayRunner(device, watch)
    else:
        from lossmeter.cli.measurement import LocalRunner

        yield LocalRunner(device, watch)
