"""One run as files: all figures as JSON, and the page of the docs."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

from tests.benchmarks import plot, tables
from tests.benchmarks.results import Result
from tests.benchmarks.servers import ROOT

FIGURES = ROOT / "tests" / "benchmarks" / "results.json"
PAGE = ROOT / "docs" / "benchmarks.md"
PICTURE = ROOT / "docs" / "benchmarks-scaling.svg"

METHOD = """\
Everything on this page comes from one run of `make bench`, which rewrites it.

- One worker each, started as a real process: the service by `lossmeter serve`, the others by uvicorn with the same settings
  (no access log, no `Server` header, httptools, uvloop), LitServe by its own `run` with one worker and one API server.
- A server has one core, the client another; torch has one thread. A server that is not being measured is stopped (`SIGSTOP`).
  Where the system allows it, both go before whatever else the machine is doing; the figures by processor time hardly
  depend on that at all.
- The client sends prepared bytes over plain sockets and reads as many bytes as `Content-Length` says.
- Subjects take turns, round after round. Figures are medians over the rounds; comparisons are medians of the ratios of each
  round, so that noise which hits both sides cancels. *range* is the smallest and the largest round.
- The floor is what cannot be avoided: a raw ASGI echo of the same bytes, and simdjson, torch and orjson in process with nothing
  around them and nothing checked. The echo sends back what it received, which for JSON is less than the service has to send.
- *naive FastAPI* is what one writes in five minutes: pydantic lists, `torch.tensor`, `.tolist()`, a dict that goes back, with
  the return annotation that lets FastAPI write it fast."""


def write(machine: dict[str, str], results: Sequence[Result]) -> None:
    """Rewrites the figures, the page and the picture."""
    figures = {"machine": machine, "results": [dataclasses.asdict(result) for result in results]}
    FIGURES.write_text(json.dumps(figures, indent=1) + "\n")
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(machine, results))
    for result in results:
        if result.curves:
            PICTURE.write_text(plot.drawn(result.curves, result.title, "nanoseconds per element"))


def page(machine: dict[str, str], results: Sequence[Result]) -> str:
    """The page of the docs."""
    rows = [
        (result.title, ratio.what, tables.measured(ratio), tables.aim(ratio), tables.verdict(ratio))
        for result in results
        for ratio in result.ratios
        if ratio.aim is not None
    ]
    parts = [
        "# Benchmarks",
        "## Aims",
        tables.table(("case", "comparison", "measured", "aim", "met"), rows),
        "## Method",
        METHOD,
        tables.table(("", ""), machine.items()),
    ]
    parts += [section(result) for result in results]
    return "\n\n".join(parts) + "\n"


def section(result: Result, level: str = "##") -> str:
    """One case."""
    parts = [f"{level} {result.title}"]
    if result.measurements:
        parts.append(tables.figures(result))
    if result.ratios:
        parts.append(tables.ratios(result.ratios))
    if result.curves:
        parts += [f"![{result.title}]({PICTURE.name})", tables.curves(result)]
    if result.notes:
        parts.append("\n".join(f"- {note}" for note in result.notes))
    return "\n\n".join(parts)
