"""Each page against the rules of axe-core (WCAG 2.2, A and AA, and its best practices), in both lights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.support.wait import WebDriverWait

from tests.web.conftest import Browser

AXE = (Path(__file__).parent / "axe" / "axe.min.js").read_text()
READY = {
    "#/focal": "document.querySelector('.explorer[data-of=ready]') && document.querySelector('.katex')",
    "#/evaluate": "document.querySelector('#pasted')",
    "#/runs": "document.querySelector('.note, .runs')",
    "#/docs/guides/evaluation.md": "document.querySelector('[data-page] table')",
    "#/docs/api/open_run": "document.querySelector('.attempt')",
    "#/service": "document.querySelector('section[aria-label=Routes] td')",
}
VIOLATIONS = """
const [rules, done] = arguments;
const limits = rules ? {runOnly: {type: "rule", values: rules}} : {};
axe.run(document, {resultTypes: ["violations"], ...limits}).then((found) => done(found.violations.map((one) =>
  `${one.id}: ${one.nodes.slice(0, 3).map((node) => node.html.slice(0, 160) + " " + node.failureSummary).join(" | ")}`)));
"""


def violations(browser: Browser, rules: list[str] | None = None) -> list[str]:
    if not browser.driver.execute_script("return window.axe !== undefined"):
        # As the debugger of the browser does it: the content policy lets the page itself do no such thing.
        browser.driver.execute_cdp_cmd("Runtime.evaluate", {"expression": AXE})
    found: list[str] = browser.driver.execute_async_script(VIOLATIONS, rules)
    return found


def wait(browser: Browser, expression: str) -> Any:
    return WebDriverWait(browser.driver, 30).until(lambda _: browser.driver.execute_script(f"return {expression}"))


def press(browser: Browser, text: str) -> None:
    found = "[...document.querySelectorAll('button')].find(b => b.textContent.trim() === arguments[0])"
    wait(browser, f"Boolean({found.replace('arguments[0]', repr(text))})")
    browser.driver.execute_script(f"{found}.click()", text)


@pytest.mark.parametrize(("scheme", "rules"), [("light", None), ("dark", ["color-contrast"])])
def test_no_page_breaks_a_rule(browser: Browser, url: str, scheme: str, rules: list[str] | None) -> None:
    browser.driver.set_script_timeout(60)
    browser.emulate(prefers_color_scheme=scheme)
    try:
        found = {}
        for place, ready in READY.items():
            browser.open(f"{url}/{place}")
            wait(browser, ready)
            found[place] = violations(browser, rules)
        browser.open(f"{url}/#/evaluate")
        press(browser, "Example: binary")
        wait(browser, "document.querySelector('#evaluate:not([disabled])')").click()
        wait(browser, "document.querySelector('.report')")
        found["report"] = violations(browser, rules)
        assert found == {place: [] for place in found}
    finally:
        browser.emulate()


def test_no_page_is_wider_than_a_phone(browser: Browser, url: str) -> None:
    screen = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    try:
        for place, ready in READY.items():
            browser.open(f"{url}/{place}")
            wait(browser, ready)
            assert browser.driver.execute_script("return document.documentElement.scrollWidth <= innerWidth"), place
        browser.open(f"{url}/#/evaluate")
        press(browser, "Example: multiclass")
        wait(browser, "document.querySelector('#evaluate:not([disabled])')").click()
        wait(browser, "document.querySelector('.report')")
        assert browser.driver.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    finally:
        browser.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_rule_that_is_broken_is_noticed(browser: Browser, url: str) -> None:
    browser.open(f"{url}/#/evaluate")
    wait(browser, READY["#/evaluate"])
    browser.driver.execute_script("document.querySelector('#pasted').removeAttribute('aria-label')")
    browser.driver.execute_script("document.querySelector('#pasted').removeAttribute('placeholder')")
    assert any(one.startswith("label:") for one in violations(browser))
