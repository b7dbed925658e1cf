"""Each page against the rules of axe-core (WCAG 2.2, A and AA, and its best practices), in both lights."""

from __future__ import annotations

from pathlib import Path

import pytest

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
    if not browser.run("window.axe !== undefined"):
        # As the debugger of the browser does it: the content policy lets the page itself do no such thing.
        browser.driver.execute_cdp_cmd("Runtime.evaluate", {"expression": AXE})
    found: list[str] = browser.driver.execute_async_script(VIOLATIONS, rules)
    return found


def press(browser: Browser, text: str) -> None:
    found = "[...document.querySelectorAll('button')].find(b => b.textContent.trim() === arguments[0])"
    browser.wait(f"Boolean({found.replace('arguments[0]', repr(text))})")
    browser.driver.execute_script(f"{found}.click()", text)


@pytest.mark.parametrize(("scheme", "rules"), [("light", None), ("dark", ["color-contrast"])])
def test_no_page_breaks_a_rule(browser: Browser, url: str, scheme: str, rules: list[str] | None) -> None:
    browser.driver.set_script_timeout(60)
    browser.emulate(prefers_color_scheme=scheme)
    try:
        found = {}
        for place, ready in READY.items():
            browser.open(f"{url}/{place}")
            browser.wait(ready)
            found[place] = violations(browser, rules)
        browser.open(f"{url}/#/evaluate")
        press(browser, "Example: binary")
        browser.wait("document.querySelector('#evaluate:not([disabled])')").click()
        browser.wait("document.querySelector('.report')")
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
            browser.wait(ready)
            assert browser.run("document.documentElement.scrollWidth <= innerWidth"), place
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
