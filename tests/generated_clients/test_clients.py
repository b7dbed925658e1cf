"""In each language: the client is generated, compiled as strictly as its compiler can, and gets the answers of the service."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from lossmeter.database import Database
from lossmeter.keys import SqlKeys, issue
from tests.generated_clients.tools import BIN, DOCUMENT, NODE, OLDER, PROGRAMS, empty, jar, run, sources
from tests.support.service import serving

LOGITS = [[2.0, -1.0, 0.3], [0.1, 1.5, -0.4], [-0.5, 0.2, 1.1], [1.2, 0.9, -1.0]]
LABELS = [0, 1, 2, 1]
VALIDATOR = Path("/usr/share/gocode/src/gopkg.in/validator.v2")
"""Of the Debian package golang-gopkg-validator.v2-dev: the one module that the client in Go needs."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The URL of a server that asks for keys, and a key that it takes."""
    store_url = f"sqlite:///{tmp_path_factory.mktemp('keys')}/keys.sqlite"
    database = Database(store_url)
    store = SqlKeys(database)
    key, token = issue("of generated clients", ["evaluate"])
    store.add(key)
    with serving(auth="required", store_url=store_url) as url:
        yield url, token
    database.close()


@pytest.fixture(scope="module")
def expected(served: tuple[str, str]) -> dict[str, Any]:
    """What the same calls give without any generated code."""
    url, key = served
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60) as http:
        return answers(http)


def answers(http: httpx.Client) -> dict[str, Any]:
    """What the programs print."""
    body: dict[str, Any] = {"predictions": LOGITS, "labels": LABELS}
    loss = http.post("/v1/losses/cross_entropy", json={**body, "label_smoothing": 0.1, "gradients": ["predictions"]})
    problem = http.post("/v1/losses/cross_entropy", json={**body, "labels": [0, 1, 2, 7]}).json()
    plan = {
        "task": "multiclass",
        "predictions_are": "logits",
        "losses": [{"loss": "cross_entropy"}, {"loss": "focal", "gamma": 2.0, "weight_in_objective": 0.5}],
        "metrics": [{"metric": "accuracy"}, {"metric": "f1", "average": "none"}],
        "gates": [{"metric": "accuracy", "minimum": 0.7}],
    }
    report = http.post("/v1/evaluate", json={**body, **plan}).json()
    gradient = loss.json()["gradients"]["predictions"]
    assert problem["errors"][0]["pointer"] == "/labels"
    return {
        "value": loss.json()["value"],
        "shape": gradient["shape"],
        "gradient": gradient["data"],
        "problem": {
            "status": problem["status"],
            "code": problem["code"],
            "pointer": problem["errors"][0]["pointer"],
            "index": problem["errors"][0]["index"],
        },
        "evaluation": {
            "losses": [one["value"] for one in report["losses"]],
            "accuracy": report["metrics"][0]["value"],
            "f1": report["metrics"][1]["value"],
            "passed": report["passed"],
        },
    }


def test_python(served: tuple[str, str], expected: dict[str, Any]) -> None:
    folder, program = empty("python"), PROGRAMS / "python"
    package = folder / "lossmeter_client"
    generator = ("openapi-python-client", "generate", "--path", DOCUMENT, "--config", program / "config.yaml")
    templates = ("--custom-template-path", program / "templates")
    run(*generator, *templates, "--meta", "none", "--output-path", package)
    assert sum(len(path.read_text().splitlines()) for path in package.rglob("*.py")) < 16_000
    shutil.copy(program / "example.py", folder)
    run("mypy", "--config-file", program / "mypy.ini", "lossmeter_client", "example.py", folder=folder)
    assert json.loads(run(BIN / "python", "-W", "error", "example.py", *served, folder=folder)) == expected


def test_typescript(served: tuple[str, str], expected: dict[str, Any]) -> None:
    folder = empty("typescript")
    for path in (PROGRAMS / "typescript").iterdir():
        shutil.copy(path, folder)
    (folder / "package.json").write_text('{"type": "module"}\n')
    (folder / "node_modules").symlink_to(NODE)
    run("openapi-typescript", DOCUMENT, "--default-non-nullable", "false", "--output", folder / "lossmeter.ts")
    run("tsc", "--project", folder)
    assert json.loads(run("node", "example.js", *served, folder=folder)) == expected


def test_java(served: tuple[str, str], expected: dict[str, Any]) -> None:
    folder, program = empty("java"), PROGRAMS / "java"
    generator = ("openapi-generator-cli", "generate", "--input-spec", OLDER, "--config", program / "config.yaml")
    run(*generator, "--output", folder)
    (folder / "classes").mkdir()
    classes = ("-cp", f"{jar()}:{folder / 'classes'}", "-d", folder / "classes")
    generated = sources(folder / "src" / "main", program / "javax")
    # No processor of annotations runs; classes that are never serialised lack numbers; Jackson has newer names for two calls.
    run("javac", "-Werror", "-Xlint:all,-processing,-serial,-deprecation", *classes, *generated)
    run("javac", "-Werror", "-Xlint:all,-processing", *classes, program / "Example.java")
    assert json.loads(run("java", "-cp", classes[1], "Example", *served)) == expected


def test_go(served: tuple[str, str], expected: dict[str, Any]) -> None:
    folder, program = empty("go"), PROGRAMS / "go"
    generator = ("openapi-generator-cli", "generate", "--input-spec", OLDER, "--config", program / "config.yaml")
    run(*generator, "--output", folder / "lossmeter")
    for name in ("example.go", "go.mod"):
        shutil.copy(program / name, folder)
    if VALIDATOR.is_dir():
        vendored = folder / "vendor" / "gopkg.in"
        shutil.copytree(VALIDATOR, vendored / "validator.v2", ignore=shutil.ignore_patterns("*_test.go"))
        module = "gopkg.in/validator.v2"
        (folder / "vendor" / "modules.txt").write_text(f"# {module} v2.0.1\n## explicit\n{module}\n")
    else:
        run("go", "mod", "tidy", folder=folder)
    offline = {"GOTOOLCHAIN": "local", "GOFLAGS": "-mod=vendor"} if VALIDATOR.is_dir() else {}
    run("go", "vet", "./...", folder=folder, **offline)
    run("go", "build", "-o", "example", ".", folder=folder, **offline)
    assert json.loads(run(folder / "example", *served)) == expected
