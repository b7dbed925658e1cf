"""Each page against the rules of axe-core (WCAG 2.2, A and AA, and its best practices), in both lights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from selenium.webdriver.common.keys import Keys

from tests.web.conftest import Browser
from tests.web.test_runs import GOOD, LABELS, PLAN, POOR

AXE = (Path(__file__).parent / "axe" / "axe.min.js").read_text()
READY = {
    "#/focal": "document.querySelector('.explorer[data-of=ready]') && document.querySelector('.katex')",
    "#/choose?task=binary&situation=imbalance": "document.querySelector('.choices-found')",
    "#/evaluate": "document.querySelector('#pasted')",
    "#/runs": "document.querySelector('.note, .runs')",
    "#/docs/guides/evaluation.md": "document.querySelector('[data-page] table')",
    "#/docs/api/open_run": "document.querySelector('.attempt')",
    "#/service": "document.querySelector('section[aria-label=Routes] td')",
}
PRESS = "document.querySelectorAll(arguments[0]).forEach(e => e.click())"
VIOLATIONS = """
const [rules, done] = arguments;
const limits = rules ? {runOnly: {type: "rule", values: rules}} : {};
axe.run(document, {resultTypes: ["violations"], ...limits}).then((found) => done(found.violations.map((one) =>
  `${one.id}: ${one.nodes.slice(0, 3).map((node) => node.html.slice(0, 160) + " " + node.failureSummary).join(" | ")}`)));
"""


def violations(browser: Browser, rules: list[str] | None = None) -> list[str]:
    if not browser.run("window.axe !== undefined"):
        # As the debugger of the browser does it: the content policy lets the page itself do no such thing.
        browser.driver.execute_cdp_cmd("Runtime.evaluate", {"expression": AXE})
    found: list[str] = browser.driver.execute_async_script(VIOLATIONS, rules)
    return found


def press(browser: Browser, text: str) -> None:
    found = "[...document.querySelectorAll('button')].find(b => b.textContent.trim() === arguments[0])"
    browser.wait(f"Boolean({found.replace('arguments[0]', repr(text))})")
    browser.driver.execute_script(f"{found}.click()", text)


def in_both_lights(browser: Browser) -> list[str]:
    """Violations of all rules in light, and of those of contrast in dark, on the page that is open."""
    found = violations(browser)
    browser.emulate(prefers_color_scheme="dark")
    try:
        return found + [f"dark: {one}" for one in violations(browser, ["color-contrast"])]
    finally:
        browser.emulate(prefers_color_scheme="light")


@pytest.fixture
def light(browser: Browser) -> Iterator[Browser]:
    browser.driver.set_script_timeout(60)
    browser.emulate(prefers_color_scheme="light")
    yield browser
    browser.emulate()


def test_no_page_breaks_a_rule(light: Browser, url: str) -> None:
    found = {}
    for place, ready in READY.items():
        light.open(f"{url}/{place}")
        light.wait(ready)
        found[place] = in_both_lights(light)
    assert found == {place: [] for place in found}


def test_no_answer_breaks_a_rule(light: Browser, url: str) -> None:
    """Reports with gates and advice, maps, and the answer to a request by hand."""
    found = {}
    light.open(f"{url}/#/evaluate?example=binary&gate=accuracy>=0.99&gate=recall>=0.1")
    light.wait("document.querySelector('#evaluate:not([disabled])')").click()
    light.wait("document.querySelector('.report .tensor td')")
    found["report"] = in_both_lights(light)
    light.open(f"{url}/#/cross_entropy")
    light.wait(READY["#/focal"])
    light.driver.execute_script(PRESS, "form details > summary, button.compute, .map summary")
    light.wait(
        "document.querySelector('.value') && document.querySelector('.sample') && document.querySelector('#field-precision')"
    )
    found["by hand"] = in_both_lights(light)
    assert found == {place: [] for place in found}


def test_no_page_of_runs_breaks_a_rule(light: Browser, url: str, http: httpx.Client) -> None:
    plan = {**PLAN, "gates": [{"metric": "accuracy", "minimum": 0.9}], "slices": ["place"]}
    runs = []
    for name, scores in (("new", GOOD), ("old", POOR)):
        runs.append(http.post("/v1/runs", json={**plan, "name": name, "tags": ["light", "batches=4"]}).json()["id"])
        batch = {
            "predictions": scores,
            "labels": LABELS,
            "sample_ids": list(range(40)),
            "slices": {"place": ["a", "b"] * 20},
        }
        assert http.put(f"/v1/runs/{runs[-1]}/batches/0", json=batch).status_code == 201
    pages = {
        "runs": "document.querySelectorAll('.badge').length > 1",
        f"runs/{runs[0]}": "document.querySelector('.slices')",
        "compare/" + "/".join(runs): "document.querySelector('main tbody')",
    }
    found = {}
    for place, ready in pages.items():
        light.open(f"{url}/#/{place}")
        light.wait(ready)
        found[place] = in_both_lights(light)
        if place.startswith("runs/"):
            press(light, "Edit name and tags")
            light.driver.find_element("id", "edit-name").send_keys("x" * 201 + Keys.ENTER)
            light.wait("document.querySelector('#edit-name-error')")
            found["form"] = in_both_lights(light)
    for run in runs:
        http.delete(f"/v1/runs/{run}")
    assert found == {place: [] for place in [*pages, "form"]}


def test_no_page_is_wider_than_a_phone(browser: Browser, url: str) -> None:
    screen = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    try:
        for place, ready in READY.items():
            browser.open(f"{url}/{place}")
            browser.wait(ready)
            assert browser.run("document.documentElement.scrollWidth <= innerWidth"), place
            assert browser.run("(pages => pages.scrollWidth <= pages.clientWidth)(document.querySelector('.pages'))"), (
                place
            )
        browser.open(f"{url}/#/evaluate")
        press(browser, "Example: multiclass")
        browser.wait("document.querySelector('#evaluate:not([disabled])')").click()
        browser.wait("document.querySelector('.report')")
        assert browser.run("document.documentElement.scrollWidth <= innerWidth")
    finally:
        browser.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_rule_that_is_broken_is_noticed(browser: Browser, url: str) -> None:
    browser.open(f"{url}/#/evaluate")
    browser.wait(READY["#/evaluate"])
    browser.driver.execute_script("document.querySelector('#pasted').removeAttribute('aria-label')")
    browser.driver.execute_script("document.querySelector('#pasted').removeAttribute('placeholder')")
    assert any(one.startswith("label:") for one in violations(browser))
