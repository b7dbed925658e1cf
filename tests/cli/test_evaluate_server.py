"""`lossmeter evaluate --server` prints what `lossmeter evaluate` prints, and leaves a run behind."""

from __future__ import annotations

import json
import re
from pathlib import Path

import httpx
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from lossmeter.cli import program, submission
from lossmeter.client import Client
from lossmeter.wire import tables
from tests.cli.test_evaluate import OPTIONS, run, written
from tests.support import faults
from tests.support.faults import faulty, says
from tests.support.runs import alike, figures

MORE = ["--weight", "w", "--id", "id", "--slice", "country", "--hardest", "4", "--metric", "f1(average=micro)"]
GATES = ["--gate", "accuracy>=0.5", "--gate", "cross_entropy[country]<=1.9"]


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are read in many pieces, and each is sent in several batches."""
    monkeypatch.setattr(tables, "ROWS", 500)
    monkeypatch.setattr(submission, "ELEMENTS", 2000)


def test_the_report_is_that_of_this_machine(tmp_path: Path, url: str) -> None:
    path = written(tmp_path / "d.csv")
    here = json.loads(run(path, *OPTIONS, *MORE, *GATES, "--json").output)
    result = run(path, *OPTIONS, *MORE, *GATES, "--json", "--server", url, "--name", "nightly", "--tag", "model=b7")
    assert result.exit_code == 0, result.output
    there = json.loads(result.output)
    kept = there.pop("run")
    assert (kept["name"], kept["tags"], kept["batches"]) == ("nightly", ["model=b7"], 7)
    assert kept["closed"]
    assert there.keys() == here.keys()
    for report in (here, there):
        for one in report["hardest"]:
            del one["batch_id"], one["position"]
    assert alike(figures(there), figures(here), 1e-9)
    assert [one["passed"] for one in there["gates"]] == [True, True]
    with Client(url) as client:
        assert client.attach(kept["id"]).report()["samples"] == there["samples"]


def test_the_page_and_the_exit_code_are_the_same(tmp_path: Path, url: str) -> None:
    path = written(tmp_path / "d.parquet")
    options = [*OPTIONS, *MORE, "--gate", "accuracy>=0.999"]
    here, there = run(path, *options), run(path, *options, "--server", url)
    assert (here.exit_code, there.exit_code) == (1, 1)
    page, _, where = there.output.rpartition("\nRun ")
    assert page == here.output
    address = where.strip().partition(": ")[2]
    assert httpx.get(address).json()["run"]["id"] == where.partition(":")[0]


def test_runs_are_listed_shown_compared_edited_and_deleted(tmp_path: Path, url: str) -> None:
    runs = []
    for name, wrong in (("first", 20), ("second", 2)):
        path = tmp_path / f"{name}.csv"
        path.write_text("p,y\n" + "".join(f"{int(n >= wrong)},{n % 2}\n" for n in range(40)))
        options = ["--task", "binary", "--predictions-are", "classes", "--metric", "accuracy"]
        kept = run(path, *options, "--server", url, "--name", f"cli {name}", "--tag", "cli", "--json", predictions="p")
        assert kept.exit_code == 0, kept.output
        runs.append(json.loads(kept.output)["run"]["id"])

    def invoke(*arguments: str) -> Result:
        return CliRunner(env={"LOSSMETER_SERVER": url, "COLUMNS": "80"}).invoke(program, arguments)

    listed = invoke("runs", "list", "--tag", "cli", "--task", "binary")
    assert listed.output.startswith("2 runs\n")
    assert listed.output.index(runs[1]) < listed.output.index(runs[0])
    assert "cli first · binary" in " ".join(listed.output.split())
    assert max(map(len, listed.output.splitlines())) <= 80
    assert [one["id"] for one in json.loads(invoke("runs", "list", "--name", "cli first", "--json").output)] == runs[:1]
    assert "40 samples" in invoke("runs", "show", runs[0]).output
    compared = invoke("compare", *runs, "--gate", "accuracy>=-0.5", "--junit", str(tmp_path / "c.xml"))
    assert compared.exit_code == 0, compared.output
    assert "cli second against cli first" in compared.output
    assert 'failures="0"' in (tmp_path / "c.xml").read_text()
    failed = invoke("compare", *runs, "--gate", "accuracy>=0")
    assert (failed.exit_code, "accuracy worse by at most 0" in " ".join(failed.output.split())) == (1, True)
    assert "is not of the form" in invoke("compare", *runs, "--gate", "accuracy=1").stderr
    edited = invoke("runs", "edit", runs[0], "--name", "cli, 1st", "--tag", "model=b8", "--untag", "cli")
    assert (edited.exit_code, edited.output) == (0, f"run {runs[0]} is called cli, 1st; its tags: model=b8\n")
    assert invoke("runs", "edit", runs[0], "--tag", "model=b9", "--tag", "x").output.endswith("its tags: model=b9, x\n")
    assert (
        "has no name; its tags: none" in invoke("runs", "edit", runs[0], "--name=", "--untag=x", "--untag=model").output
    )
    assert "expected --name, --tag or --untag" in " ".join(invoke("runs", "edit", runs[0]).stderr.split())
    refused = invoke("runs", "edit", runs[0], "--tag", "x" * 201)
    assert (refused.exit_code, "expected 1 to 200 characters" in refused.stderr) == (2, True)
    assert invoke("runs", "delete", *runs).exit_code == 0
    gone = invoke("runs", "show", runs[0])
    assert gone.exit_code == 2
    assert "is not a run" in gone.stderr


def test_each_batch_counts_once_over_a_bad_connection(tmp_path: Path, url: str) -> None:
    path = written(tmp_path / "d.npz")
    with faulty(url, faults.well, faults.cut, faults.drop, faults.well, says(503)) as proxy:
        result = run(path, *OPTIONS, "--json", "--server", proxy.url)
    assert result.exit_code == 0, result.output
    found = json.loads(result.output)
    assert (found["run"]["batches"], found["samples"]) == (7, 1197)


def test_what_is_wrong_is_said(tmp_path: Path, url: str) -> None:
    path = tmp_path / "d.csv"
    path.write_text("p,y\n" + "0.5,1\n" * 2230 + "1.5,1\n")
    options = ["--task", "binary", "--predictions-are", "probabilities"]
    result = run(path, *options, "--server", url, predictions="p")
    assert result.exit_code == 2
    assert "d.csv, row 2230: " in result.output
    kept = re.search(
        r"Run (\S+) holds the first ([\d,]+) rows, and is not closed.* delete it: lossmeter (runs delete .*)",
        result.output,
    )
    assert kept is not None, result.output
    with Client(url) as client:
        assert f"{client.attach(kept[1]).report()['samples']:,}" == kept[2] == "2,000"
    assert kept[3] == f"runs delete {kept[1]} --server {url}"
    assert CliRunner().invoke(program, kept[3].split()).output == f"run {kept[1]} is deleted\n"
    assert httpx.get(f"{url}/v1/runs/{kept[1]}").status_code == 404
    result = run(path, *options, "--server", "http://127.0.0.1:9", predictions="p")
    assert result.exit_code == 2
    assert "http://127.0.0.1:9: ConnectError" in result.output
    assert run(path, *options, "--server", "nowhere", predictions="p").exit_code == 2
    assert run(path, *options, "--tag", "a", predictions="p").exit_code == 2
    path.write_text("p,y\n")
    assert "there are no rows" in run(path, *options, "--server", url, predictions="p").output


def test_a_file_of_bad_slices_is_refused(tmp_path: Path, url: str) -> None:
    path = tmp_path / "d.npz"
    np.savez(path, p=np.array([1.0, 2.0]), y=np.array([1.0, 2.0]), s=np.array([1.0, np.nan]))
    options = ["--task", "regression", "--slice", "s", "--server", url]
    result = run(path, *options, predictions="p")
    assert result.exit_code == 2, result.output
    assert "rows 0 to 1" in result.output
