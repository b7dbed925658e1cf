"""`lossmeter evaluate` gives the report of the whole file, whatever its format, and its exit code says whether gates hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from pyarrow import csv, parquet
from typer.testing import CliRunner, Result

from lossmeter.cli import program
from lossmeter.errors import Invalid
from lossmeter.evaluation import evaluate
from lossmeter.evaluation.grammar import parse_criterion, parse_gate
from lossmeter.wire import tables
from tests.support.evaluations import digits, fields, figure, plan, tumours

PREDICTIONS = ",".join(f"p{number}" for number in range(10))
OPTIONS = ["--task", "multiclass", "--predictions-are", "logits", "--replicates", "20"]
FORMATS = ["d.csv", "d.csv.gz", "d.tsv", "d.parquet", "d.jsonl", "d.arrow", "stream.arrow", "d.npz"]


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are read in many pieces, and most of them end within a line."""
    monkeypatch.setattr(tables, "ROWS", 100)
    monkeypatch.setattr(tables, "BLOCK_BYTES", 20_000)


def written(path: Path) -> Path:
    """The digits as a file."""
    data = digits()
    columns: dict[str, Any] = {f"p{number}": data["predictions"][:, number] for number in range(10)}
    columns |= {"y": data["labels"], "w": data["sample_weight"], "id": data["sample_ids"], **data["slices"]}
    table = pyarrow.table(columns)
    if ".csv" in path.suffixes:
        with pyarrow.CompressedOutputStream(path, "gzip") if path.suffix == ".gz" else path.open("wb") as sink:
            csv.write_csv(table, sink)
    elif path.suffix == ".tsv":
        csv.write_csv(table, path, csv.WriteOptions(delimiter="\t"))
    elif path.suffix == ".parquet":
        parquet.write_table(table, path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
    elif path.suffix == ".arrow":
        new = pyarrow.ipc.new_stream if path.stem == "stream" else pyarrow.ipc.new_file
        with new(path, table.schema) as writer:
            writer.write_table(table, max_chunksize=333)
    else:
        np.savez(path, **{name: np.asarray(value) for name, value in columns.items()})
    return path


def run(path: Path, *options: str, predictions: str = PREDICTIONS) -> Result:
    return CliRunner().invoke(program, ["evaluate", str(path), "--predictions", predictions, "--labels", "y", *options])


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_report_of_one_pass(tmp_path: Path, name: str) -> None:
    more = ["--weight", "w", "--id", "id", "--slice", "country", "--slice", "fold", "--hardest", "4", "--json"]
    result = run(written(tmp_path / name), *OPTIONS, *more)
    assert result.exit_code == 0, result.output
    found = json.loads(result.output)
    data = {name: value for name, value in digits().items() if name != "mask"}
    chosen = plan(task="multiclass", predictions_are="logits", slices=["country", "fold"], hardest=4)
    expected = evaluate(chosen, fields(data))
    assert [one["sample_id"] for one in found["hardest"]] == [one["sample_id"] for one in expected["hardest"]]
    for one, other in zip([found, *found["slices"]], [expected, *expected["slices"]], strict=True):
        assert one["samples"] == other["samples"]
        for name in ("cross_entropy", "accuracy", "f1", "log_loss"):
            np.testing.assert_allclose(figure(one, name)["value"], figure(other, name)["value"], rtol=1e-12)


@pytest.mark.parametrize("form", ["parquet", "npz"])
def test_predictions_may_be_one_column_of_lists(tmp_path: Path, form: str) -> None:
    data, path = digits(), tmp_path / f"d.{form}"
    if form == "npz":
        np.savez(path, p=data["predictions"], y=data["labels"])
    else:
        parquet.write_table(pyarrow.table({"p": data["predictions"].tolist(), "y": data["labels"]}), path)
    result = run(path, *OPTIONS, "--json", predictions="p")
    assert result.exit_code == 0, result.output
    expected = (data["predictions"].argmax(1) == data["labels"]).mean()
    np.testing.assert_allclose(figure(json.loads(result.output), "accuracy")["value"], expected, rtol=1e-12)


def test_the_report_is_readable(tmp_path: Path) -> None:
    gates = ["--gate", "accuracy>=0.5", "--gate", "f1(average=micro)@lower[country]>=0.99"]
    more = ["--slice", "country", "--hardest", "2", "--metric", "confusion_matrix", "--loss", "focal(gamma=1.5)"]
    result = run(written(tmp_path / "d.csv"), *OPTIONS, *gates, *more)
    assert result.exit_code == 1, result.output
    words = "1,197 samples,focal(gamma=1.5),95% interval,confusion_matrix,country = de,Hardest samples,passed,FAILED"
    for word in (*words.split(",")[2:], "1,197 samples", "f1(average=micro)@lower[country]>=0.99"):
        assert word in result.output


def test_the_exit_code_says_whether_the_gates_hold(tmp_path: Path) -> None:
    path = written(tmp_path / "d.csv")
    assert run(path, *OPTIONS, "--gate", "accuracy>=0.5", "--gate", "cross_entropy<=1.9").exit_code == 0
    assert run(path, *OPTIONS, "--gate", "accuracy>=0.5", "--gate", "cross_entropy<=0.1").exit_code == 1
    assert run(path, *OPTIONS, "--gate", "accuracy[fold=1]>=0.5").exit_code == 2
    assert run(path, *OPTIONS, "--slice", "fold", "--gate", "accuracy[fold=1]>=0.5").exit_code == 0
    assert run(path, *OPTIONS, "--slice", "fold", "--gate", "accuracy[fold=7]>=0.5").exit_code == 1


def test_options_add_to_a_plan_in_a_file(tmp_path: Path) -> None:
    config = tmp_path / "plan.json"
    written_plan = {
        "task": "multiclass",
        "predictions_are": "logits",
        "replicates": 5,
        "metrics": [{"metric": "accuracy"}],
    }
    config.write_text(json.dumps(written_plan))
    result = run(written(tmp_path / "d.parquet"), "--config", str(config), "--metric", "cohen_kappa", "--json")
    assert [one["metric"] for one in json.loads(result.output)["metrics"]] == ["accuracy", "cohen_kappa"]


def test_curves_come_from_histograms_unless_wanted_exactly(tmp_path: Path) -> None:
    data, path = tumours(), tmp_path / "d.npz"
    np.savez(path, p=data["predictions"], y=data["labels"])
    options = ["--task", "binary", "--predictions-are", "logits", "--metric", "auroc", "--json", "--replicates", "5"]
    near, exact = (
        figure(json.loads(run(path, *options, *more, predictions="p").output), "auroc")
        for more in ([], ["--bins", "0"])
    )
    assert exact["error_bound"] == 0
    assert 0 <= abs(near["value"] - exact["value"]) <= near["error_bound"] < 0.01


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--labels", "z"], "there is no column 'z'"),
        (["--labels", "id"], "labels hold 1197 different texts"),
        (["--predictions", "p0"], "expected (N, C"),
        (["--task", "nothing"], "expected 'regression'"),
        (["--metric", "nothing"], "There is no metric 'nothing'"),
        (["--loss", "mse"], "not for the task multiclass"),
        (["--gate", "accuracy=0.9"], "is not of the form"),
        (["--gate", "accuracy>=high"], "is not of the form"),
        (["--weight", "p0"], "expected 0 or more"),
        (["--config", "nowhere.json"], "is no JSON file"),
    ],
)
def test_bad_input_exits_with_2_and_says_why(tmp_path: Path, options: list[str], message: str) -> None:
    result = run(written(tmp_path / "d.csv"), *OPTIONS, *options)
    assert result.exit_code == 2, result.output
    assert message in result.output


def test_a_bad_row_is_named(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text("p,y\n" + "1.5,2\n" * 230 + "1.5,\n" + "1.5,2\n" * 10)
    options = ["--task", "regression", "--json"]
    result = run(path, *options, predictions="p")
    assert result.exit_code == 2
    assert "column 'y' has no value in row 230" in result.output
    path.write_text("p,y\n" + "0.5,1\n" * 230 + "1.5,1\n")
    result = run(path, "--task", "binary", "--predictions-are", "probabilities", predictions="p")
    assert result.exit_code == 2
    assert "row 230: binary: predictions[30] is 1.5" in result.output


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    assert "There is no file" in run(tmp_path / "none.csv", *OPTIONS).output
    assert "that can be read; expected one of .csv" in " ".join(run(tmp_path, *OPTIONS).output.split())
    (tmp_path / "semicolons.csv").write_text("p0;p1;p2;y\n1;2;3;0\n")
    assert "expected commas between columns, not ';'" in run(tmp_path / "semicolons.csv", *OPTIONS).output
    (tmp_path / "d.xls").write_text("")
    assert "ends in .xls; expected one of .csv" in run(tmp_path / "d.xls", *OPTIONS).output
    for name in ("d.csv", "d.parquet", "d.arrow", "d.jsonl", "d.npz"):
        (tmp_path / name).write_text("")
        result = run(tmp_path / name, *OPTIONS)
        assert result.exit_code == 2, (name, result.output, result.exception)
        assert name in result.output


def test_choices_are_written_as_they_are_called() -> None:
    assert parse_criterion("loss", "cross_entropy(weight=[1, 2.5], label_smoothing=0.1)") == {
        "loss": "cross_entropy",
        "weight": [1, 2.5],
        "label_smoothing": 0.1,
    }
    assert parse_gate("loss:mse <= 3e-1") == {"loss": "mse", "maximum": 0.3}
    assert parse_gate("f1(average=micro)@upper[c=de]>=0.5") == {
        "metric": "f1",
        "average": "micro",
        "minimum": 0.5,
        "at": "upper",
        "slice": {"column": "c", "value": "de"},
    }
    with pytest.raises(Invalid, match="are no parameters"):
        parse_criterion("metric", "f1(average)")


def test_the_catalogue_of_metrics_is_printed() -> None:
    runner = CliRunner()
    assert "accuracy" in runner.invoke(program, ["metrics"]).output
    page = runner.invoke(program, ["metrics", "f1"]).output
    assert "From 0.0 to 1.0; higher is better." in page
    assert "POST /v1/evaluate" in page
    wrong = runner.invoke(program, ["metrics", "acuracy"])
    assert wrong.exit_code == 1
    assert "Did you mean" in wrong.output
