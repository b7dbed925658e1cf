"""The pages of runs, in a real browser."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from selenium.webdriver.common.keys import Keys
from typer.testing import CliRunner

from lossmeter.api.routes import runs as routes
from lossmeter.cli import program
from tests.web.conftest import Browser, retype
from tests.web.keyboard import press_keys, tab_to

HOSTILE = "<b onclick=alert(1)>new</b>"
PLAN = {"task": "binary", "predictions_are": "probabilities", "metrics": [{"metric": "accuracy"}, {"metric": "auroc"}]}
LABELS = [1, 0] * 20
GOOD = [0.9 if label else 0.2 for label in LABELS]
POOR = [0.9 if i % 3 else 0.1 for i in range(40)]


def opened(http: httpx.Client, name: str, predictions: list[float], tags: list[str]) -> str:
    run: str = http.post("/v1/runs", json={**PLAN, "name": name, "tags": tags}).json()["id"]
    batch = {"predictions": predictions, "labels": LABELS, "sample_ids": list(range(40))}
    assert http.put(f"/v1/runs/{run}/batches/0", json=batch).status_code == 201
    return run


@pytest.fixture(scope="module")
def runs(http: httpx.Client) -> Iterator[tuple[str, str]]:
    first, second = opened(http, "old", POOR, ["web"]), opened(http, HOSTILE, GOOD, ["web", "<i>tag</i>"])
    yield first, second
    for run in (first, second):
        http.delete(f"/v1/runs/{run}")


class Page:
    def __init__(self, browser: Browser, url: str) -> None:
        self.browser, self.driver, self.url = browser, browser.driver, url

    def open(self, place: str, expression: str) -> None:
        self.browser.open(f"{self.url}/#/{place}")
        self.wait(expression)

    def wait(self, expression: str) -> Any:
        return self.browser.wait(expression)

    def run(self, expression: str, *arguments: Any) -> Any:
        return self.browser.run(expression, *arguments)

    def texts(self, selector: str) -> list[str]:
        found: list[str] = self.run(
            "[...document.querySelectorAll(arguments[0])].map(e => e.textContent.trim())", selector
        )
        return found


@pytest.fixture
def page(browser: Browser, url: str) -> Page:
    return Page(browser, url)


def test_runs_are_listed_found_and_compared(page: Page, runs: tuple[str, str], http: httpx.Client) -> None:
    page.open("runs?tag=web", "document.querySelectorAll('.runs tbody tr').length === 2")
    assert page.texts(".runs .naming > a:first-child") == [HOSTILE, "old"]
    search = page.driver.find_element("id", "search-runs")
    search.send_keys("old")
    page.wait("document.querySelectorAll('.runs tbody tr').length === 1")
    retype(search, " ")
    page.wait("document.querySelectorAll('.runs tbody tr').length === 2")
    for box in page.driver.find_elements("css selector", ".runs input[type=checkbox]"):
        box.click()
    page.wait("document.querySelector('a.compute')").click()
    page.wait("document.querySelector('section[aria-label=\"All samples\"] tbody tr')")
    expected = http.post("/v1/comparisons", json={"baseline": runs[0], "candidate": runs[1]}).json()
    rows: list[list[str]] = page.run(
        "[...document.querySelectorAll('section[aria-label=\"All samples\"] tbody tr')]"
        ".map(r => [...r.children].map(c => c.textContent.trim()))"
    )
    shown = {row[0].split(" ")[0]: row for row in rows}
    for one in expected["metrics"]:
        assert float(shown[one["metric"]][3].replace("−", "-")) == pytest.approx(one["difference"], rel=1e-3)
    assert shown["accuracy"][-1] == "better"
    assert page.run("document.querySelectorAll('main b, main i').length") == 0
    assert page.browser.errors() == []


def test_an_open_run_is_kept_up_with_closed_and_deleted(page: Page, http: httpx.Client) -> None:
    run = opened(http, HOSTILE, GOOD, [])
    page.open(f"runs/{run}", "document.querySelector('[data-batches=\"1\"]')")
    assert page.texts("h1") == [HOSTILE]
    batch = {"predictions": POOR, "labels": LABELS, "sample_ids": list(range(40, 80))}
    assert http.put(f"/v1/runs/{run}/batches/1", json=batch).status_code == 201
    page.wait("document.querySelector('[data-batches=\"2\"]')")
    press = "[...document.querySelectorAll('button')].find(b => b.textContent.trim() === arguments[0]).click()"
    page.run(press, "Close the run")
    page.wait("document.querySelector('[role=status]').textContent.startsWith('closed')")
    assert http.get(f"/v1/runs/{run}").json()["run"]["closed"]
    page.run(press, "Delete")
    assert HOSTILE in page.texts("#delete-question")[0]
    page.run(press, "Keep it")
    assert http.get(f"/v1/runs/{run}").status_code == 200
    page.run(press, "Delete")
    page.driver.find_element("id", "delete-yes").click()
    page.wait("location.hash === '#/runs'")
    assert http.get(f"/v1/runs/{run}").status_code == 404


def test_name_and_tags_are_edited_by_keyboard_and_errors_stand_beside_the_field(page: Page, http: httpx.Client) -> None:
    run = opened(http, "old", GOOD, ["a", "with, comma"])
    http.post(f"/v1/runs/{run}/close")
    page.open(f"runs/{run}", "document.querySelector('.report')")
    page.driver.execute_script("document.activeElement.blur()")
    tab_to(page.driver, "main .row > button:not([id]):has(+ dialog #edit-name)")
    press_keys(page.driver, Keys.ENTER)
    name, tags = (page.driver.find_element("id", f"edit-{one}") for one in ("name", "tags"))
    assert page.run("document.activeElement.id") == "edit-name"
    assert (name.get_attribute("value"), tags.get_attribute("value")) == ("old", "a\nwith, comma")
    # What somebody else has changed meanwhile, and this form has not, stays.
    http.patch(f"/v1/runs/{run}", json={"name": HOSTILE})
    retype(tags, "x" * 201)
    page.driver.find_element("css selector", "#edit-name").send_keys(Keys.ENTER)
    page.wait("document.querySelector('#edit-tags-error')")
    assert "200 characters" in page.texts("#edit-tags-error")[0]
    assert page.run("document.querySelector('#edit-tags').getAttribute('aria-describedby')") == "edit-tags-error"
    assert page.run("document.querySelector('#edit-name').ariaInvalid") == "false"
    retype(tags, "b" + Keys.ENTER + "<i>c</i>")
    page.driver.find_element("css selector", "#edit-name").send_keys(Keys.ENTER)
    page.wait("!document.querySelector('dialog[open]') && document.querySelector('h1').textContent !== 'old'")
    assert page.texts("h1") == [HOSTILE]
    assert page.texts(".title .chip") == ["<i>c</i>", "b"]
    assert page.run("document.title").startswith(HOSTILE)
    found = http.get(f"/v1/runs/{run}").json()["run"]
    assert (found["name"], found["tags"]) == (HOSTILE, ["<i>c</i>", "b"])
    page.run("document.querySelector('#edit-name').closest('dialog').previousElementSibling.click()")
    retype(name, "never")
    press_keys(page.driver, Keys.ESCAPE)
    page.wait("!document.querySelector('dialog[open]')")
    assert http.get(f"/v1/runs/{run}").json()["run"]["name"] == HOSTILE
    http.delete(f"/v1/runs/{run}")
    assert [error for error in page.browser.errors() if "422" not in error] == []


def test_a_run_is_saved_as_it_is_reported(
    page: Page, runs: tuple[str, str], http: httpx.Client, tmp_path: Path
) -> None:
    page.open(f"runs/{runs[1]}", "document.querySelector('.report')")
    page.run("(window.saved = {}, URL.createObjectURL = b => (b.text().then(t => window.saved[b.type] = t), '#'), 1)")
    press = "[...document.querySelectorAll('button')].find(b => b.textContent.trim() === arguments[0]).click()"
    page.run(press, "Save as JSON")
    page.run(press, "Save as CSV")
    page.run(press, "Save as HTML")
    page.wait("window.saved['text/csv'] && window.saved['application/json'] && window.saved['text/html']")
    saved = json.loads(page.run("window.saved['application/json']"))
    report = http.get(f"/v1/runs/{runs[1]}").json()
    assert saved == report
    lines = page.run("window.saved['text/csv']").splitlines()
    assert lines[0].startswith("column,slice,samples,kind,name")
    value = next(line for line in lines if ",accuracy," in line)
    assert ",1," in value
    file = tmp_path / "report.html"
    file.write_text(page.run("window.saved['text/html']"))
    assert file.stat().st_size < 500_000
    printed = tmp_path / "printed.html"
    saved_by = CliRunner().invoke(program, ["report", runs[1], "-o", str(printed), "--server", page.url])
    assert saved_by.exit_code == 0, saved_by.output
    # The file that the console saves, the one of the command line, and the address of the run itself.
    for place in (f"file://{file}", f"file://{printed}", f"{page.url}/v1/runs/{runs[1]}"):
        page.browser.open(place)
        page.wait("document.querySelector('.report')")
        assert page.texts("h1") == [HOSTILE]
        assert "accuracy" in " ".join(page.texts("section[aria-label=Figures] tbody th"))
        assert page.run("document.querySelectorAll('main b, main i').length") == 0
        asked = [request for request in page.browser.requests() if not request.startswith(("about:", "data:"))]
        assert [request for request in asked if not request.endswith("/favicon.ico")] == [place]
        assert [error for error in page.browser.errors() if "favicon.ico" not in error] == []


def test_a_run_that_is_not_there_is_said_to_be(page: Page) -> None:
    page.open("runs/00000000-0000-0000-0000-000000000000", "document.querySelector('.error')")
    assert "not" in page.texts(".error")[0]


def test_a_run_is_shown_while_its_report_is_computed(
    page: Page, http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, done = opened(http, "large", GOOD, ["batches=4"]), threading.Event()
    encode = routes._encode_report
    with monkeypatch.context() as patch:
        patch.setattr(routes, "_encode_report", lambda *given: done.wait(60) and encode(*given))
        page.open(f"runs/{run}", "document.querySelector('h1')")
        assert page.texts("h1") == ["large"]
        assert page.run("document.querySelector('[data-batches]').dataset.batches") == "1"
        assert page.run("document.querySelector('progress').position") == 0.25
        assert page.texts(".progress .hint") == ["1 of 4 batches, 25 %"]
        assert page.run("document.querySelector('main').ariaBusy") == "true"
        assert page.texts(".report") == []
        done.set()
        page.wait("document.querySelector('.report')")
    http.delete(f"/v1/runs/{run}")
    assert page.browser.errors() == []


def test_the_list_draws_how_a_metric_went_over_the_runs_of_a_name(page: Page, http: httpx.Client) -> None:
    runs = [opened(http, "nightly course", predictions, ["course"]) for predictions in (POOR, GOOD, GOOD)]
    page.open("runs?tag=course", "document.querySelectorAll('.runs [role=img]').length === 2")
    worst = http.get(f"/v1/runs/{runs[0]}").json()["metrics"][0]["value"]
    labels = page.run("[...document.querySelectorAll('.runs [role=img]')].map(e => e.getAttribute('aria-label'))")
    assert labels == [f"accuracy over 3 runs: {worst:.3g}, 1, 1", f"accuracy over 2 runs: {worst:.3g}, 1"]
    for run in runs:
        http.delete(f"/v1/runs/{run}")
