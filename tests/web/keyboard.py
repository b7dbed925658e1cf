"""The keyboard, by which everything can be reached and done."""

from __future__ import annotations

import pytest
from selenium import webdriver
from selenium.webdriver.common.keys import Keys

MOST_STEPS = 150
STRIDE = 10
"""Presses in one command: a command takes longer than a press."""
ARRIVED = """
const [selector] = arguments;
removeEventListener("keydown", window.stay, true);
const arrived = () => document.activeElement.matches(selector);
window.stay = (event) => {
  if (event.key !== "Tab" || !arrived()) return;
  event.preventDefault();
  event.stopImmediatePropagation();
};
if (!arrived()) addEventListener("keydown", window.stay, true);
return arrived();
"""
"""Tells whether an element of a kind has the focus; if none has, the first that gets it by the tab key keeps it."""


def tab_to(driver: webdriver.Chrome, selector: str, most_steps: int = MOST_STEPS) -> None:
    """Presses the tab key until the first element of a kind has the focus."""
    for _ in range(most_steps // STRIDE):
        if driver.execute_script(ARRIVED, selector):
            return
        driver.switch_to.active_element.send_keys(Keys.TAB * STRIDE)
    if not driver.execute_script(ARRIVED, selector):
        pytest.fail(f"{selector} cannot be reached with the tab key")


def press_keys(driver: webdriver.Chrome, *keys: str) -> None:
    driver.switch_to.active_element.send_keys(*keys)
