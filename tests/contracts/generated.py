"""Everything in the repository that is derived from the code: `python -m tests.contracts.generated` writes it.

With `--check` nothing is written, and the command fails if a file is not what it would write.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from lossmeter.api.app import create_app
from lossmeter.api.models.catalogue import loss_entry
from lossmeter.api.models.evaluation import EXAMPLES
from lossmeter.api.models.loss_entries import LossEntry
from lossmeter.api.models.metrics import MetricEntry, metric_entry
from lossmeter.api.openapi.document import laid_out
from lossmeter.api.routes import objectives
from lossmeter.cli import loss_index
from lossmeter.losses import LOSSES
from lossmeter.losses.situations import SITUATIONS, TASKS
from lossmeter.metrics import METRICS
from lossmeter.settings import Settings
from tests.contracts import answers, chinese_pages, choosing_pages, metric_pages, openapi_3_0, pages, tour

ROOT = Path(__file__).parents[2]
DOCUMENT = Path("openapi/openapi.json")
OLDER = Path("openapi/openapi-3.0.json")
README = Path("README.md")
INDEX = Path("docs/index.md")
REQUESTS = Path("docs/requests.md")
OPERATIONS = Path("docs/operations.md")
EVALUATION = Path("docs/evaluation.md")
CI = Path("docs/ci.md")
CLIENT = Path("docs/client.md")
OBJECTIVES = Path("docs/objectives.md")
CHOOSING = Path("docs/choosing.md")
CHINESE = Path("docs/chinese.md")
CHINESE_PAGES = Path("docs/chinese")
FIGURES = Path("tests/benchmarks/results.json")
TOUR = Path("docs/tour.md")
TOUR_SCRIPT = Path("docs/examples/tour.py")
GATES = Path("docs/examples/ci/gates.json")
RULES = Path("docker/prometheus/rules.yaml")
PROMETHEUS_RULE = Path("docker/kubernetes/components/prometheus/prometheusrule.yaml")
LOSS_INDEX = Path("service/lossmeter/cli/losses.json")
DEFAULTS = Path("service/lossmeter/reporting/defaults.json")
LOSS_PAGES = Path("docs/losses")
METRIC_PAGES = Path("docs/metrics")

MEASURED = re.compile(r"-?\d+\.\d{5,}(?:e[-+]?\d+)?|-?\d+(?:\.\d+)?e-\d+")
"""A number that was computed; another processor may give another last digit."""


def files() -> dict[Path, str]:
    """What every generated file should hold."""
    entries = [loss_entry(loss) for loss in LOSSES.values()]
    found = answers.of_examples(entries)
    document = laid_out(create_app(Settings(device="cpu")).openapi()) + "\n"
    whole = {
        DOCUMENT: document,
        OLDER: laid_out(openapi_3_0.converted(json.loads(document))) + "\n",
        Path("docs/settings.md"): pages.settings_page(),
        LOSS_PAGES / "index.md": pages.loss_index(entries),
        README: _filled(
            README,
            answer=pages.answer_block(answers.of_command((ROOT / README).read_text())),
            losses=pages.family_table(entries, "docs/losses/"),
        ),
        INDEX: _filled(INDEX, decisions=pages.decision_list(ROOT / "docs" / "decisions")),
        CLIENT: _filled(CLIENT, overhead=pages.overhead_table(json.loads((ROOT / FIGURES).read_text()))),
        CHOOSING: _filled(CHOOSING, tasks=choosing_pages.tasks_table(), situations=choosing_pages.situations()),
        TOUR: tour.page(ROOT / TOUR_SCRIPT),
        CI: _filled(CI, gates=f"```json\n{(ROOT / GATES).read_text()}```"),
        PROMETHEUS_RULE: pages.prometheus_rule((ROOT / RULES).read_text(), RULES),
        OPERATIONS: _filled(OPERATIONS, measures=pages.measure_table()),
        REQUESTS: _filled(REQUESTS, fields=pages.shared_table(), answer=pages.answer_table()),
    }
    whole |= {
        LOSS_PAGES / f"{entry.name}.md": pages.loss_page(entry, _suits(entry.name), found[entry.name])
        for entry in entries
    }
    measured = [metric_entry(metric) for metric in METRICS.values()]
    whole[DEFAULTS] = _defaults(loss=entries, metric=measured)
    whole[LOSS_INDEX] = loss_index.written(zip(LOSSES.values(), entries, strict=True), dict(TASKS), dict(SITUATIONS))
    whole |= _in_chinese()
    (example,) = answers.of_posts("/v1/evaluate", [EXAMPLES["multiclass"]])
    (objective,) = answers.of_posts("/v1/objectives", [objectives.EXAMPLE])
    return (
        whole
        | {METRIC_PAGES / f"{entry.name}.md": metric_pages.metric_page(entry) for entry in measured}
        | {
            OBJECTIVES: _filled(OBJECTIVES, example=metric_pages.exchange(objective, "/v1/objectives")),
            METRIC_PAGES / "index.md": metric_pages.metric_index(measured),
            EVALUATION: _filled(
                EVALUATION,
                fields=metric_pages.fields_table(),
                usual=metric_pages.usual_table(),
                example=metric_pages.exchange(example),
            ),
        }
    )


def _suits(name: str) -> list[str]:
    """What a loss suits, as blocks of its page; none if it suits nothing in particular."""
    return ["It suits:", choosing_pages.suits_table(LOSSES[name])] if LOSSES[name].suits else []


def _in_chinese() -> dict[Path, str]:
    """The pages in Chinese."""
    losses = [loss_entry(loss, "zh") for loss in LOSSES.values()]
    metrics = [metric_entry(metric, "zh") for metric in METRICS.values()]
    return {
        CHINESE: _filled(
            CHINESE,
            answer=pages.answer_block(answers.of_command((ROOT / CHINESE).read_text())),
            losses=chinese_pages.families(losses, "chinese/losses.md"),
            metrics=chinese_pages.families(metrics, "chinese/metrics.md"),
        ),
        CHINESE_PAGES / "losses.md": chinese_pages.losses_page(losses),
        CHINESE_PAGES / "metrics.md": chinese_pages.metrics_page(metrics),
    }


def _defaults(**catalogues: Sequence[LossEntry | MetricEntry]) -> str:
    """The defaults of all parameters, a line for each loss and metric that has some."""
    parts = []
    for kind, entries in catalogues.items():
        defaults = {entry.name: {one.name: one.default for one in entry.parameters} for entry in entries}
        lines = [f"  {json.dumps(name)}: {json.dumps(values)}" for name, values in sorted(defaults.items()) if values]
        parts.append(f"{json.dumps(kind)}: {{\n" + ",\n".join(lines) + "\n}")
    return "{" + ",\n".join(parts) + "}\n"


def _filled(path: Path, **parts: str) -> str:
    return pages.filled((ROOT / path).read_text(), parts)


def stale() -> Iterator[Path]:
    """The files that are missing, differ from what the code says, or that nothing in the code stands for any more."""
    expected = files()
    for path, text in expected.items():
        if not (ROOT / path).exists() or not same((ROOT / path).read_text(), text):
            yield path
    for path in sorted(path for folder in (LOSS_PAGES, METRIC_PAGES) for path in (ROOT / folder).glob("*.md")):
        if path.relative_to(ROOT) not in expected:
            yield path.relative_to(ROOT)


def same(old: str, new: str) -> bool:
    """Whether two texts are equal, but for the last digits of computed numbers."""
    if old == new:
        return True
    if MEASURED.split(old) != MEASURED.split(new):
        return False
    pairs = zip(MEASURED.findall(old), MEASURED.findall(new), strict=True)
    return all(math.isclose(float(a), float(b), rel_tol=1e-5, abs_tol=1e-7) for a, b in pairs)


def write() -> None:
    """Brings every file up to date."""
    expected = files()
    for path in stale():
        if path in expected:
            (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / path).write_text(expected[path])
        else:
            (ROOT / path).unlink()


def main() -> int:
    """Entry point of `python -m tests.contracts.generated`."""
    parser = argparse.ArgumentParser(prog="python -m tests.contracts.generated", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if anything is stale")
    if not parser.parse_args().check:
        write()
        return 0
    paths = list(stale())
    for path in paths:
        sys.stderr.write(f"stale: {path} (run `make sync`)\n")
    return bool(paths)


if __name__ == "__main__":
    sys.exit(main())
