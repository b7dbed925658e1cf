"""Dashboard and alerts ask for figures, and by labels, that there are."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from lossmeter.api.problems import STATUS
from lossmeter.telemetry.measures import MEASURES, STAGES

DOCKER = Path(__file__).parents[2] / "docker"
PROMETHEUS = DOCKER / "prometheus"
RULES = PROMETHEUS / "rules.yaml"
DASHBOARD = DOCKER / "grafana" / "dashboards" / "lossmeter.json"
SELECTOR = re.compile(r"\b(lossmeter_\w+)(?:\{([^}]*(?:\{\w+\}[^}]*)*)\})?")
MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"([^\"]*)\"")
GROUPED = re.compile(r"\bby \(([^)]*)\)")
LEGEND = re.compile(r"\{\{(\w+)\}\}")
OF_PROMETHEUS = {"instance", "job", "le"}


def expressions() -> Iterator[tuple[str, str]]:
    """Each with where it stands."""
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]
    dashboard = json.loads(DASHBOARD.read_text())
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
            legend = ", ".join(LEGEND.findall(target["legendFormat"]))
            yield panel["title"], f"by ({legend}) {target['expr']}"
    for variable in dashboard["templating"]["list"]:
        yield variable["name"], variable["definition"]


EXPRESSIONS = list(expressions())


def labels_of(name: str) -> set[str]:
    for measure in MEASURES.values():
        if re.fullmatch(measure.shown + ("_(?:bucket|sum|count)" if measure.kind == "histogram" else ""), name):
            return set(measure.labels) | OF_PROMETHEUS
    raise AssertionError(f"there is no {name}")


@pytest.fixture(scope="module")
def names(http: httpx.Client) -> set[str]:
    """The samples of a real server that was asked for something, and those of a GPU, which this machine lacks."""
    http.post("/v1/losses/mse", json={"predictions": [1.0], "labels": [0.0]})
    families = list(text_string_to_metric_families(http.get("/metrics").text))
    shown = {sample.name for family in families for sample in family.samples}
    return shown | {family.name for family in families if family.name.startswith("lossmeter_device_")}


@pytest.mark.parametrize(("place", "expression"), EXPRESSIONS, ids=[place for place, _ in EXPRESSIONS])
def test_every_expression_asks_for_what_there_is(place: str, expression: str, names: set[str]) -> None:
    found = SELECTOR.findall(expression)
    assert found or expression.startswith("up{"), expression
    known = set(OF_PROMETHEUS)
    for name, matchers in found:
        assert name in names, f"{place}: {name}"
        given = {label for label, _ in MATCHER.findall(matchers)}
        assert given <= labels_of(name), f"{place}: {expression}"
        known |= labels_of(name)
    for group in GROUPED.findall(expression):
        assert {label.strip() for label in group.split(",") if label.strip()} <= known, f"{place}: {expression}"


def test_every_code_that_an_alert_names_is_one() -> None:
    codes = {error.code for error in STATUS} | {"internal"}
    named = {value for _, text in EXPRESSIONS for label, value in MATCHER.findall(text) if label == "code"}
    assert named
    assert named <= codes
    assert set(STAGES) == {"decode", "compute", "encode"}


def test_codes_are_shown_before_they_happen(http: httpx.Client) -> None:
    """Otherwise the first of its kind would not be an increase."""
    text = http.get("/metrics").text
    for code in [error.code for error in STATUS] + ["internal"]:
        assert f'lossmeter_errors_total{{code="{code}"}}' in text


def test_what_does_not_exist_is_found() -> None:
    with pytest.raises(AssertionError):
        labels_of("lossmeter_request_total")


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool: apt-get install prometheus")
@pytest.mark.parametrize(
    "command", ["check rules rules.yaml", "test rules rules.test.yaml", "check config prometheus.yaml"]
)
def test_promtool_finds_nothing_wrong(command: str) -> None:
    done = subprocess.run(["promtool", *command.split()], cwd=PROMETHEUS, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_accepts_what_the_server_says(http: httpx.Client) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("needs promtool: apt-get install prometheus")
    text = http.get("/metrics").content
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
