"""`lossmeter runs` and `lossmeter compare`: what a service keeps of evaluations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from lossmeter.cli.failures import connected, failure, failures_exit
from lossmeter.cli.layout import print_json
from lossmeter.cli.report import print_page, write_page
from lossmeter.reporting import comparison_page, report_page, run_list_page

UNUSABLE = 2
Server = Annotated[str, typer.Option(envvar="LOSSMETER_SERVER", help="URL of the service.")]
Json = Annotated[bool, typer.Option("--json", help="Print it as JSON.")]
RunId = Annotated[str, typer.Argument(metavar="ID", help="As `lossmeter runs list` shows it.")]
LOCAL = "http://127.0.0.1:8000"


@failures_exit(UNUSABLE)
def list_runs(
    server: Server = LOCAL,
    name: Annotated[str, typer.Option(help="Of the runs.")] = "",
    task: Annotated[str, typer.Option(help="That they are about: binary, multiclass, …")] = "",
    tag: Annotated[list[str] | None, typer.Option(help="A tag that they have; several, all of them.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    as_json: Json = False,
) -> None:
    """List runs, newest first."""
    with connected(server, UNUSABLE) as client:
        found = client.runs(name=name, task=task, tags=tag or (), limit=limit).to_list()
    if as_json:
        print_json(found)
    else:
        print_page(run_list_page(found))


@failures_exit(UNUSABLE)
def show_run(
    run_id: RunId,
    server: Server = LOCAL,
    as_json: Json = False,
    markdown: Annotated[Path | None, typer.Option(help="A file for the report as Markdown.")] = None,
    junit: Annotated[Path | None, typer.Option(help="A file for the gates as JUnit XML.")] = None,
    html: Annotated[
        Path | None, typer.Option(help="A file for the report as one page of HTML, with its plots.")
    ] = None,
) -> None:
    """Print the report of a run. Exits with 1 if a gate fails."""
    with connected(server, UNUSABLE) as client:
        report = client.attach(run_id).report()
    _finish(report_page(report), report, markdown, junit, html, as_json=as_json)


@failures_exit(UNUSABLE)
def save_report(
    run_id: RunId,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file.")],
    server: Server = LOCAL,
) -> None:
    """Save the report of a run as one page of HTML, with its plots."""
    with connected(server, UNUSABLE) as client:
        report = client.attach(run_id).report()
    try:
        write_page(report_page(report), report, None, None, output)
    except OSError as error:
        raise failure(error, f"The report cannot be written: {error}", UNUSABLE) from None


@failures_exit(UNUSABLE)
def edit_run(
    run_id: RunId,
    name: Annotated[str | None, typer.Option(help="The new name; '' for none.")] = None,
    tag: Annotated[
        list[str] | None, typer.Option(help="A tag to add; 'key=value' takes the place of other tags of that key.")
    ] = None,
    untag: Annotated[list[str] | None, typer.Option(help="A tag to remove; 'key' removes 'key=…' too.")] = None,
    server: Server = LOCAL,
) -> None:
    """Change name and tags of a run, open or closed."""
    if name is None and not tag and not untag:
        raise typer.BadParameter("expected --name, --tag or --untag")
    added = {key: value for key, _, value in (one.partition("=") for one in tag or ())}
    tags: dict[str, str | None] = {**dict.fromkeys(untag or ()), **added}
    with connected(server, UNUSABLE) as client:
        run = client.attach(run_id).update(name=name, tags=tags or None)
    called = f"is called {run.name}" if run.name else "has no name"
    typer.echo(f"run {run.id} {called}; its tags: {', '.join(run.tags) or 'none'}")


@failures_exit(UNUSABLE)
def delete_runs(
    run_ids: Annotated[list[str], typer.Argument(metavar="ID...", help="As `lossmeter runs list` shows them.")],
    server: Server = LOCAL,
) -> None:
    """Delete runs, with their batches and statistics."""
    with connected(server, UNUSABLE) as client:
        for one in run_ids:
            client.attach(one).delete()
            typer.echo(f"run {one} is deleted")


@failures_exit(UNUSABLE)
def compare_runs(
    baseline: Annotated[str, typer.Argument(metavar="BASELINE", help="Id of the run to compare with.")],
    candidate: Annotated[str, typer.Argument(metavar="CANDIDATE", help="Id of the run in question.")],
    server: Server = LOCAL,
    gate: Annotated[
        list[str] | None,
        typer.Option(
            help="How much worse it may be, for sure: 'accuracy>=-0.005', 'f1(average=micro)[country]>=-0.02', 'mse<=0.1', …"
        ),
    ] = None,
    confidence: Annotated[float, typer.Option(help="Of the intervals.")] = 0.95,
    as_json: Json = False,
    markdown: Annotated[Path | None, typer.Option(help="A file for the comparison as Markdown.")] = None,
    junit: Annotated[Path | None, typer.Option(help="A file for the gates as JUnit XML.")] = None,
) -> None:
    """Compare two runs over the same samples. Exits with 1 if a gate fails, 2 if they cannot be compared."""
    from lossmeter.evaluation.grammar import parse_margin

    gates = [parse_margin(one) for one in gate or ()]
    with connected(server, UNUSABLE) as client:
        comparison = client.compare(baseline, candidate, gates=gates, confidence=confidence)
    _finish(comparison_page(comparison), comparison, markdown, junit, as_json=as_json)


def _finish(
    page: Any, answer: Any, markdown: Path | None, junit: Path | None, html: Path | None = None, *, as_json: bool
) -> None:
    if as_json:
        print_json(dict(answer))
    else:
        print_page(page)
    try:
        write_page(page, answer, markdown, junit, html)
    except OSError as error:
        raise failure(error, f"The report cannot be written: {error}", UNUSABLE) from None
    if not answer["passed"]:
        raise typer.Exit(1)
