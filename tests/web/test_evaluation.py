"""The page that judges a model, in a real browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.web.conftest import Browser
from tests.web.keyboard import press_keys, tab_to

SCORES = [0.9, 0.8, 0.7, 0.6, 0.55, 0.4, 0.3, 0.2]
LABELS = [1, 1, 0, 1, 0, 1, 0, 0]
HOSTILE = "<img src=x onerror=alert(1)>"
COUNTRIES = [HOSTILE, "de", HOSTILE, "de", "de", HOSTILE, "de", HOSTILE]
TABLE = "id,score,label,country\n" + "\n".join(
    f'{i},{score},{"yes" if label else "no"},"{country}"'
    for i, (score, label, country) in enumerate(zip(SCORES, LABELS, COUNTRIES, strict=True))
)

MATRIX = """
[...document.querySelectorAll('.matrix tbody tr')].map(row => [...row.querySelectorAll('td')].map(cell => +cell.textContent))
"""


class Page:
    """The page of evaluations."""

    def __init__(self, browser: Browser, url: str) -> None:
        self.browser, self.driver, self.url = browser, browser.driver, url
        browser.open(f"{url}/#/evaluate")
        self.wait("document.querySelector('#pasted')")

    def wait(self, expression: str) -> Any:
        return self.browser.wait(expression)

    def run(self, expression: str, *arguments: Any) -> Any:
        return self.browser.run(expression, *arguments)

    def texts(self, selector: str) -> list[str]:
        found: list[str] = self.run("[...document.querySelectorAll(arguments[0])].map(e => e.textContent)", selector)
        return found

    def press(self, text: str) -> None:
        found = "[...document.querySelectorAll('button')].find(b => b.textContent.trim() === arguments[0])"
        self.run(f"{found}.click()", text)

    def paste(self, table: str) -> None:
        self.run(
            "(f => { f.value = arguments[0]; f.dispatchEvent(new Event('input', {bubbles: true})) })"
            "(document.querySelector('#pasted'))",
            table,
        )
        self.wait("!document.querySelector('.drop .compute').disabled")
        self.press("Read")

    def choose(self, label: str, value: str) -> None:
        self.run(
            "(s => { s.value = arguments[1]; s.dispatchEvent(new Event('change', {bubbles: true})) })"
            "([...document.querySelectorAll('label')].find(l => l.textContent === arguments[0]).parentNode"
            ".querySelector('select'))",
            label,
            value,
        )

    def chosen(self, label: str) -> str:
        value: str = self.run(
            "[...document.querySelectorAll('label')].find(l => l.textContent === arguments[0]).parentNode"
            ".querySelector('select').value",
            label,
        )
        return value

    def evaluate(self) -> None:
        self.wait("document.querySelector('#evaluate:not([disabled])')").click()
        self.wait("document.querySelector('.report') || document.querySelector('.refused')")

    def program(self, language: str) -> str:
        self.run("document.querySelector('.listing').open = true")
        self.wait("document.querySelector('.listing .segments')")
        self.press(language)
        self.wait(f"document.querySelector('.listing .segments [aria-pressed=true]')?.textContent === '{language}'")
        return self.texts(".program pre")[0]

    def request(self) -> dict[str, Any]:
        """The body that the page posts."""
        found = re.search(r"-d '(.*)'$", self.program("curl"), re.DOTALL)
        assert found is not None, "the body is too long to stand in the command"
        body: dict[str, Any] = json.loads(found[1].replace("'\\''", "'"))
        return body

    def rows(self, section: str) -> dict[str, list[str]]:
        """The cells of a table by the head of each row."""
        rows: list[list[str]] = self.run(
            "[...document.querySelectorAll(`section[aria-label='${arguments[0]}'] tbody tr`)]"
            ".map(r => [...r.children].map(c => c.textContent.trim()))",
            section,
        )
        return {row[0].split(" ")[0] if section == "Figures" else row[0]: row[1:] for row in rows}


@pytest.fixture
def page(browser: Browser, url: str) -> Page:
    return Page(browser, url)


def test_a_pasted_table_is_judged_as_the_service_does(page: Page, http: httpx.Client) -> None:
    page.paste(TABLE)
    page.wait("document.querySelector('#evaluate')")
    assert (page.chosen("Task"), page.chosen("Predictions are")) == ("binary", "probabilities")
    gate = page.driver.find_element(By.ID, "add-gates")
    gate.send_keys("accuracy>=0.6" + Keys.ENTER + "recall[country]>=0.9" + Keys.ENTER)
    body = page.request()
    assert body["predictions"] == SCORES
    assert body["labels"] == LABELS
    assert body["slices"] == {"country": COUNTRIES}
    assert body["gates"][1] == {"metric": "recall", "minimum": 0.9, "slice": "country"}
    page.evaluate()
    answer = http.post("/v1/evaluate", json=body).json()
    figures = page.rows("Figures")
    for one in answer["metrics"]:
        if one["kind"] == "scalar":
            assert float(figures[one["metric"]][0].replace("−", "-")) == pytest.approx(one["value"], rel=1e-3)
    assert [text.strip() for text in page.texts(".gates .badge")] == ["holds", "fails"]
    assert {f"country = {HOSTILE}", "country = de"} == set(page.rows("Slices"))
    assert body["hardest"] == len(SCORES)
    hardest = list(page.rows("Hardest samples"))
    assert hardest == [str(one["sample_id"]) for one in answer["hardest"]]
    assert page.run("document.querySelectorAll('img[src=x]').length") == 0
    assert page.browser.errors() == []


def test_the_threshold_moves_the_matrix(page: Page) -> None:
    page.paste(TABLE)
    page.evaluate()
    for threshold in (0.5, 0.65, 0.25):
        page.run(
            "(s => { s.value = arguments[0]; s.dispatchEvent(new Event('input', {bubbles: true})) })"
            "(document.querySelector('.threshold input[type=range]'))",
            threshold,
        )
        said = [int(score >= threshold) for score in SCORES]
        expected = [
            [sum(1 for s, y in zip(said, LABELS, strict=True) if (y, s) == (t, p)) for p in (0, 1)] for t in (0, 1)
        ]
        page.browser.wait(lambda expected=expected: page.run(MATRIX) == expected)
    page.press("shares")
    assert page.texts(".matrix .heat")[-1].endswith("%")


def test_classes_by_name_follow_the_columns(page: Page) -> None:
    page.paste("p_dog,p_cat,truth\n0.7,0.3,dog\n0.2,0.8,cat\n0.6,0.4,cat\n")
    page.wait("document.querySelector('#evaluate')")
    assert page.chosen("Task") == "multiclass"
    body = page.request()
    assert body["labels"] == [0, 1, 1]
    page.evaluate()
    assert page.texts(".matrix thead tr:last-child th")[1:] == ["dog", "cat"]


def test_files_of_numpy_are_read(page: Page, tmp_path: Path) -> None:
    generator = np.random.default_rng(5)
    logits, labels = generator.normal(size=(30, 3)), generator.integers(0, 3, 30)
    np.savez_compressed(tmp_path / "batch.npz", logits=logits, labels=labels)
    page.driver.find_element(By.CSS_SELECTOR, "input[type=file]").send_keys(str(tmp_path / "batch.npz"))
    page.wait("document.querySelector('#evaluate')")
    assert (page.chosen("Task"), page.chosen("Predictions are")) == ("multiclass", "logits")
    page.evaluate()
    accuracy = float((logits.argmax(1) == labels).mean())
    assert float(page.rows("Figures")["accuracy"][0]) == pytest.approx(accuracy, abs=1e-3)


def test_a_cell_can_be_edited_and_a_regression_has_residuals(page: Page) -> None:
    page.paste("predicted,target\n1,1\n2,2\n3,3\n4,6\n")
    page.wait("document.querySelector('#evaluate')")
    cell = page.driver.find_element(By.CSS_SELECTOR, "input[aria-label='target, row 4']")
    cell.send_keys(Keys.BACKSPACE + "8" + Keys.TAB)
    assert page.request()["labels"] == [1, 2, 3, 8]
    page.evaluate()
    assert float(page.rows("Figures")["mse"][0]) == 4
    assert page.run("document.querySelectorAll('section[aria-label=Residuals] circle').length") == 8


def test_the_data_stay_while_other_pages_are_looked_at(page: Page) -> None:
    page.paste(TABLE)
    page.wait("document.querySelector('#evaluate')")
    page.run("(location.hash = '#/runs')")
    page.wait("document.querySelector('#search-runs')")
    page.run("(location.hash = '#/evaluate')")
    page.wait("document.querySelector('#evaluate:not([disabled])')")
    assert page.request()["predictions"] == SCORES


def test_what_is_wrong_is_said(page: Page) -> None:
    page.paste("a,b\n1,2\n3\n")
    assert page.wait("document.querySelector('.drop .error')?.textContent") == "row 2 has 1 fields; the head has 2"
    page.paste("p,y\n0.5,1\n1.5,0\n")
    page.wait("document.querySelector('#evaluate')")
    page.choose("Predictions are", "probabilities")
    page.evaluate()
    assert "1.5" in page.texts(".refused")[0]
    page.driver.find_element(By.ID, "add-gates").send_keys("accuracy is good" + Keys.ENTER)
    assert page.wait("document.querySelector('.error')?.textContent").startswith("accuracy is good: expected")


def test_the_keyboard_suffices(page: Page) -> None:
    tab_to(page.driver, "#pasted", 80)
    press_keys(page.driver, "p,y\n0.9,1\n0.2,0\n0.6,0\n")
    tab_to(page.driver, ".drop .compute", 80)
    press_keys(page.driver, Keys.ENTER)
    page.wait("document.querySelector('#evaluate')")
    tab_to(page.driver, "#evaluate", 80)
    press_keys(page.driver, Keys.ENTER)
    page.wait("document.querySelector('.report')")
    tab_to(page.driver, ".threshold input[type=range]", 80)
    before = page.texts(".matrix .heat")
    press_keys(page.driver, Keys.END)
    page.wait("document.querySelector('.threshold input[type=range]').value === '1'")
    page.browser.wait(lambda: page.texts(".matrix .heat") != before)


def test_the_same_request_as_a_program_gives_the_same(page: Page, http: httpx.Client, tmp_path: Path) -> None:
    page.paste(TABLE)
    page.wait("document.querySelector('#evaluate')")
    expected = http.post("/v1/evaluate", json=page.request()).json()["metrics"][0]["value"]
    commands = {
        "Python": [sys.executable, "-c"],
        "curl": ["sh", "-c"],
        "JavaScript": [shutil.which("node") or "", "--input-type=module", "-e"],
    }
    for language, command in commands.items():
        if not command[0]:
            continue
        done = subprocess.run(
            [*command, page.program(language)], capture_output=True, text=True, timeout=60, cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
        value = re.search(r"[\"']?value[\"']?: ?([\d.]+)", done.stdout.partition("metric")[2])
        assert language == "JavaScript" or (value is not None and float(value[1]) == expected)
    assert "HttpRequest" in page.program("Java")
    assert "http.NewRequest" in page.program("Go")


def test_an_evaluation_can_be_kept_as_a_run(page: Page, http: httpx.Client) -> None:
    page.paste(TABLE)
    page.evaluate()
    page.driver.find_element(By.ID, "run-name").send_keys("kept by hand")
    page.driver.find_element(By.ID, "run-tags").send_keys("model=a, nightly" + Keys.ENTER)
    page.wait("document.querySelector('a[href^=\"#/runs/\"]')")
    link: str = page.run("document.querySelector('a[href^=\"#/runs/\"]').getAttribute('href')")
    report = http.get(f"/v1/runs/{link.rpartition('/')[2]}").json()
    assert (report["run"]["name"], report["run"]["tags"]) == ("kept by hand", ["model=a", "nightly"])
    assert report["run"]["closed"]
    assert report["samples"] == len(SCORES)
