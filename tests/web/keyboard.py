"""The keyboard, by which everything can be reached and done."""

from __future__ import annotations

import pytest
from selenium import webdriver
from selenium.webdriver.common.keys import Keys

MOST_STEPS = 150


def tab_to(driver: webdriver.Chrome, selector: str) -> None:
    """Presses the tab key until the first element of a kind has the focus."""
    for _ in range(MOST_STEPS):
        if driver.execute_script("return document.activeElement.matches(arguments[0])", selector):
            return
        driver.switch_to.active_element.send_keys(Keys.TAB)
    pytest.fail(f"{selector} cannot be reached with the tab key")


def press_keys(driver: webdriver.Chrome, *keys: str) -> None:
    driver.switch_to.active_element.send_keys(*keys)
