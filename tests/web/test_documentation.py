"""Guides and operations in the console, in a real browser."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import httpx
import pytest
from selenium.webdriver.common.keys import Keys

from tests.web.conftest import Browser
from tests.web.keyboard import press_keys, tab_to


class Page:
    def __init__(self, browser: Browser, url: str) -> None:
        self.browser, self.driver, self.url = browser, browser.driver, url

    def open(self, place: str, expression: str) -> None:
        self.browser.open(f"{self.url}/{place}")
        self.wait(expression)

    def wait(self, expression: str) -> Any:
        return self.browser.wait(expression)

    def run(self, expression: str) -> Any:
        return self.browser.run(expression)


@pytest.fixture
def page(browser: Browser, url: str) -> Page:
    return Page(browser, url)


def test_guides_stand_under_one_navigation_and_are_searched(page: Page) -> None:
    page.open(
        "docs", "document.querySelector('.markdown h1') && document.querySelectorAll('#catalogue .folded').length > 7"
    )
    assert page.run("location.pathname + location.hash") == "/#/docs"
    headings = page.run("[...document.querySelectorAll('#catalogue h2')].map(e => e.textContent)")
    assert headings[:2] == ["Tutorials", "Guides"]
    assert "API reference" in headings
    search = page.driver.find_element("id", "search")
    search.send_keys("mid-p")
    page.wait('document.querySelector(\'.found a[href*="mcnemar"], .found a[href*="confidence"]\')')
    search.send_keys(Keys.CONTROL + "a" + Keys.NULL + "settings" + Keys.NULL)
    page.wait("(document.querySelector('.found a') || {hash: ''}).hash.endsWith('settings.md')")
    search.send_keys(Keys.ENTER)
    page.wait("document.querySelector('[data-page=\"settings.md\"] table')")
    assert page.browser.errors() == []


def test_links_of_a_guide_lead_on_and_its_code_is_text(page: Page) -> None:
    page.open("#/docs/guides/objectives.md", "document.querySelector('[data-page=\"objectives.md\"] pre')")
    links = page.run("[...document.querySelectorAll('.markdown a')].map(e => e.getAttribute('href'))")
    assert any(link.startswith("#/docs/guides/") for link in links)
    assert not any(link.endswith(".md") and not link.startswith("#/") for link in links)
    page.run("location.hash = '#/docs/guides/metrics/auroc.md'")
    page.wait("document.querySelector('[data-page=\"metrics/auroc.md\"] .katex')")
    page.run("location.hash = '#/docs/guides/evaluation.md?at=gates'")
    page.wait("document.getElementById('gates') && scrollY > 200")
    page.run("location.hash = '#/docs/guides/nothing.md'")
    page.wait("document.querySelector('main .error')")


def test_an_operation_is_sent_from_its_page(page: Page, http: httpx.Client) -> None:
    # The address that Swagger UI had.
    page.open("docs#/losses/focal", "document.querySelector('.attempt') && document.querySelector('.katex')")
    assert page.run("location.hash") == "#/docs/api/focal"
    body = page.run("document.querySelector('.attempt textarea').value")
    page.driver.find_element("css selector", ".attempt .compute").click()
    page.wait("document.querySelector('.attempt .status-fine')")
    shown = json.loads(page.run("document.querySelector('.attempt [role=status] pre').textContent"))
    assert shown["value"] == http.post("/v1/losses/focal", content=body).json()["value"]
    page.run("document.querySelector('.nested > summary').click()")
    page.wait("[...document.querySelectorAll('.fields dt code')].some(e => e.textContent === 'gamma')")
    languages = page.run("[...document.querySelectorAll('.attempt .segments button')].map(e => e.textContent)")
    assert languages == ["curl", "Python", "JavaScript", "Java", "Go"]
    assert page.browser.errors() == []


def test_parameters_go_into_the_request_and_its_programs(page: Page, http: httpx.Client) -> None:
    page.open("#/docs/api/list_runs", "document.querySelector('.attempt')")
    fields = {one.get_attribute("id"): one for one in page.driver.find_elements("css selector", ".attempt input")}
    next(one for name, one in fields.items() if name and name.endswith("-limit")).send_keys("1")
    page.wait("document.querySelector('.attempt pre').textContent.includes('limit=1')")
    commands = {"curl": ["sh", "-c"], "Python": [sys.executable, "-c"]}
    for language, command in commands.items():
        page.run(
            f"[...document.querySelectorAll('.segments button')].find(b => b.textContent === '{language}').click()"
        )
        page.wait(f"document.querySelector('.segments [aria-pressed=true]')?.textContent === '{language}'")
        program = page.run("document.querySelector('.attempt pre').textContent")
        done = subprocess.run([*command, program], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert "runs" in done.stdout
    page.run("location.hash = '#/docs/api/delete_run'")
    page.wait("document.querySelector('.attempt .check')")
    # What cannot be brought back is sent after a second thought only.
    assert page.run("document.querySelector('.attempt .compute').disabled")


def test_errors_are_described_once(page: Page) -> None:
    page.open("#/docs/api/open_run", "document.querySelector('section[aria-label=Answers] a')")
    link = page.run("document.querySelector('section[aria-label=Answers] a:nth-of-type(2)').getAttribute('href')")
    assert link == "#/docs/errors?at=Refused"
    page.run(f"location.hash = '{link}'")
    page.wait("document.getElementById('Refused') && scrollY > 200")


def test_an_operation_is_found_opened_and_sent_by_keyboard(page: Page) -> None:
    page.open(
        "#/docs", "document.querySelector('#search') && document.querySelectorAll('#catalogue .folded').length > 7"
    )
    tab_to(page.driver, "#search")
    press_keys(page.driver, "list_runs")
    page.wait("document.querySelector('.found a')?.hash === '#/docs/api/list_runs'")
    press_keys(page.driver, Keys.ENTER)
    page.wait("location.hash.includes('/docs/api/list_runs') && document.querySelector('.attempt')")
    tab_to(page.driver, ".attempt .segments button:nth-child(2)")
    press_keys(page.driver, Keys.SPACE)
    page.wait("document.querySelector('.attempt .segments [aria-pressed=true]')?.textContent === 'Python'")
    page.run("document.activeElement.blur()")
    tab_to(page.driver, ".attempt .compute")
    press_keys(page.driver, Keys.ENTER)
    page.wait("document.querySelector('.attempt .status-fine')")
    assert page.browser.errors() == []
