"""Reports can be read in a log of 80 columns and in a wide one, in a summary and as tests; nothing of them is cut."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner, Result

from lossmeter.cli import program
from tests.cli.test_commands import ENVIRONMENT

ROWS = "".join(f"{0.05 + 0.09 * (n % 10):.2f},{n % 10 > 4 or n == 3:d},{'de' if n % 3 else 'fr'}\n" for n in range(60))
OPTIONS = ["--task", "binary", "--predictions-are", "probabilities", "--predictions", "p", "--labels", "y"]
GATES = [
    "--gate",
    "accuracy>=0.5",
    "--gate",
    "f_beta(beta=0.5, average=macro)@lower[country]>=0.999",
    "--gate",
    "binary_cross_entropy<=0.9",
]
MANY = [f"--metric={name}" for name in ("balanced_accuracy", "specificity", "npv", "cohen_kappa", "matthews", "ece")]

ROOT = Path(__file__).parents[2]


def evaluate(tmp_path: Path, *more: str, **environment: str) -> Result:
    path = tmp_path / "d.csv"
    path.write_text("p,y,country\n" + ROWS)
    return CliRunner(env=environment).invoke(program, ["evaluate", str(path), *OPTIONS, *more])


@pytest.mark.parametrize("width", [80, 200])
def test_a_report_fits_the_width_and_nothing_is_cut(tmp_path: Path, width: int) -> None:
    shown = evaluate(tmp_path, "--slice", "country", *GATES, *MANY, COLUMNS=str(width))
    assert shown.exit_code == 1, shown.output
    assert max(map(len, shown.output.splitlines())) <= width
    whole = " ".join(shown.output.split())
    for word in ("FAILED: 1 of 3 gates", "95% interval", "country = de", "balanced_accuracy", "accuracy>=0.5"):
        assert word in whole
    assert "binary_cross_entropy" in whole
    assert "…" not in re.sub(r"\S+ … \S+", "", whole)
    if width == 200:
        assert "f_beta(beta=0.5, average=macro)@lower[country]>=0.999  FAILED" in shown.output


def test_gates_are_test_cases_and_the_report_is_a_summary(tmp_path: Path) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    files = [
        "--markdown",
        str(tmp_path / "r.md"),
        "--junit",
        str(tmp_path / "r.xml"),
        "--html",
        str(tmp_path / "r.html"),
    ]
    shown = evaluate(tmp_path, "--slice", "country", *GATES, *files, GITHUB_STEP_SUMMARY=str(summary))
    assert shown.exit_code == 1
    suite = ElementTree.parse(tmp_path / "r.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures")) == ("3", "1")
    names = [case.get("name") for case in suite]
    assert names == [
        "accuracy>=0.5",
        "f_beta(beta=0.5, average=macro)@lower[country]>=0.999",
        "binary_cross_entropy<=0.9",
    ]
    (failure,) = suite.iter("failure")
    assert re.search(r"observed 0\.\d+ in country = (de|fr); the limit is 0\.999", failure.get("message", ""))
    assert {line.split(":")[0] for line in (failure.text or "").splitlines()[1:]} == {"country = de", "country = fr"}
    written = (tmp_path / "r.md").read_text()
    assert summary.read_text() == "before\n" + written
    assert "| accuracy\\>=0.5 | ✅ **passed** |" in written
    assert "❌ **FAILED: 1 of 3 gates**" in written
    page = (tmp_path / "r.html").read_text()
    (figures,) = re.findall(r'id="report-data">(.*?)</script>', page)
    assert json.loads(figures)["samples"] == 60
    assert "FAILED: 1 of 3 gates" in page.partition("<noscript>")[2].partition("</noscript>")[0]


def test_a_report_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    shown = evaluate(tmp_path, "--markdown", str(tmp_path / "no" / "r.md"))
    assert shown.exit_code == 2
    assert "The report cannot be written" in shown.stderr


@pytest.mark.parametrize(("name", "more"), [("-", []), ("/dev/stdin", []), ("-", ["--format", "csv"])])
def test_standard_input_is_a_file(name: str, more: list[str]) -> None:
    command = ["evaluate", name, *OPTIONS, "--metric", "accuracy", "--json", *more]
    result = CliRunner().invoke(program, command, input="p,y,country\n" + ROWS)
    assert result.exit_code == 0, result.output
    assert '"samples": 60' in result.output


def test_all_that_is_wrong_is_told_and_no_route_of_the_service(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text("p,y\n0.5,1\n")
    names = ["--predictions", "p", "--labels", "y"]
    shown = CliRunner().invoke(program, ["evaluate", str(path), *names, "--confidence", "2"])
    assert shown.exit_code == 2
    for part in ("task is missing", "predictions_are is missing", "confidence is 2.0; expected a number less than 1"):
        assert part in shown.stderr
    assert "more)" not in shown.stderr
    shown = CliRunner().invoke(program, ["evaluate", str(path), *OPTIONS, "--metric", "acuracy"])
    assert "`lossmeter metrics` lists" in shown.stderr
    assert "GET" not in shown.stderr


def test_metrics_alone_need_no_torch(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text("p,y,country\n" + ROWS)
    code = (
        "import sys; from typer.testing import CliRunner; from lossmeter.cli import program\n"
        f"r = CliRunner().invoke(program, ['evaluate', {str(path)!r}, *{OPTIONS!r}, '--metric', 'accuracy',"
        " '--gate', 'accuracy>=0.5'])\n"
        "assert r.exit_code == 0, r.output\n"
        "r = CliRunner().invoke(program, ['runs', 'list', '--server', 'http://127.0.0.1:9'])\n"
        "assert r.exit_code == 2, r.output\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT, check=False)
    assert done.stdout == "False\n", done.stderr


def test_classes_that_are_texts_are_shown_by_their_names() -> None:
    path = ROOT / "docs" / "examples" / "animals.csv"
    options = ["--task", "multiclass", "--predictions-are", "classes", "--predictions", "guess", "--labels", "animal"]
    wanted = ["--metric", "confusion_matrix", "--metric", "recall(average=none)"]
    shown = CliRunner(env={"COLUMNS": "80"}).invoke(program, ["evaluate", str(path), *options, *wanted])
    assert shown.exit_code == 0, shown.output
    rows = list(csv.DictReader(path.read_text().splitlines()))
    pairs = Counter((row["animal"], row["guess"]) for row in rows)
    names = sorted({row["animal"] for row in rows})
    lines = [" ".join(line.split()) for line in shown.output.splitlines()]
    assert " ".join(["label", *names]) in lines
    for name in names:
        assert " ".join([name, *(str(pairs[name, other]) for other in names)]) in lines
    found = {name: pairs[name, name] / sum(pairs[name, other] for other in names) for name in names}
    assert any(
        all(
            float(line.split()[2 * place + 1]) == pytest.approx(found[name], rel=1e-4)
            for place, name in enumerate(names)
        )
        for line in lines
        if line.split()[::2] == names
    )


def test_of_many_classes_that_are_texts_the_first_are_shown(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text("p,y\n" + "".join(f"class{n:02},class{n:02}\n" for n in range(15)))
    options = ["--task", "multiclass", "--predictions-are", "classes", "--predictions", "p", "--labels", "y"]
    shown = CliRunner(env={"COLUMNS": "400"}).invoke(
        program, ["evaluate", str(path), *options, "--metric", "recall(average=none)"]
    )
    assert "  ".join([*(f"class{n:02} 1" for n in range(12)), "…"]) in [
        line.strip() for line in shown.output.splitlines()
    ]
