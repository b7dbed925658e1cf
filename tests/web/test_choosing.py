"""The page that helps to choose a loss, in a real browser."""

from __future__ import annotations

import httpx
import pytest
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

from tests.web.conftest import Browser
from tests.web.keyboard import press_keys, tab_to
from tests.web.test_accessibility import violations
from tests.web.test_documentation import Page


def test_answers_narrow_the_losses_down_and_each_has_its_reason(browser: Browser, url: str, http: httpx.Client) -> None:
    chosen = http.get("/v1/losses", params={"task": "binary", "situation": "imbalance"}).json()["losses"]
    if "choice" not in chosen[0]:
        pytest.skip("this service does not choose losses")
    page = Page(browser, url)
    page.open("#/focal", "document.querySelector('a.choose')")
    page.run("document.querySelector('a.choose').click()")
    page.wait(
        "document.querySelectorAll('main select').length === 2 && document.querySelector('main select').length > 5"
    )
    task, _ = page.driver.find_elements("css selector", "main select")
    Select(task).select_by_value("binary")
    page.wait("document.querySelector('.choices-found li')")
    every = page.run("document.querySelectorAll('.choices-found li').length")
    page.wait("[...document.querySelectorAll('main select')][1].length < 20")
    Select(page.driver.find_elements("css selector", "main select")[1]).select_by_value("imbalance")
    page.wait("location.hash === '#/choose?task=binary&situation=imbalance'")
    page.wait(f"document.querySelectorAll('.choices-found li').length === {len(chosen)}")
    assert len(chosen) < every
    shown = page.run("[...document.querySelectorAll('.choices-found h2')].map(e => e.textContent)")
    assert shown == [one["name"] for one in chosen]
    reasons = page.run("[...document.querySelectorAll('.choices-found p:nth-of-type(2)')].map(e => e.textContent)")
    wanted = chosen[0]["choice"]["reason"].replace("`", "").rstrip(".")
    assert wanted.lower() in reasons[0].lower()
    assert violations(browser) == []
    assert browser.errors() == []


def test_a_loss_is_chosen_by_keyboard(browser: Browser, url: str) -> None:
    page = Page(browser, url)
    page.open("#/choose", "(document.querySelector('main select') || []).length > 5")
    tab_to(page.driver, "main select")
    press_keys(page.driver, Keys.ARROW_DOWN)
    page.wait("document.querySelector('.choices-found h2 a') && location.hash.includes('task=')")
    first = page.run("document.querySelector('.choices-found h2').textContent")
    tab_to(page.driver, ".choices-found h2 a")
    press_keys(page.driver, Keys.ENTER)
    page.wait(f"document.querySelector('h1')?.textContent === {first!r}")
    assert browser.errors() == []
