"""A real browser, if there is one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1440,1000",
)


class Browser:
    """A browser together with what it logged."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, address: str) -> None:
        """Loads a page from the beginning, and forgets what was logged before."""
        self.driver.get("about:blank")
        self.errors()
        self.requests()
        self.driver.get(address)

    def run(self, expression: str, *arguments: Any) -> Any:
        """The value of an expression in the page."""
        return self.driver.execute_script(f"return {expression.strip()}", *arguments)

    def wait(self, condition: str | Callable[[], Any], seconds: float = 60) -> Any:
        """Waits until an expression in the page, or a function here, is true; returns its value."""
        holds = (lambda: self.run(condition)) if isinstance(condition, str) else condition
        return WebDriverWait(self.driver, seconds, poll_frequency=0.02).until(lambda _: holds())

    def errors(self) -> list[str]:
        """What the console said since it was last asked; a violated content policy is among it."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """Addresses asked for since last time."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        return [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]

    def emulate(self, **features: str) -> None:
        """Sets media features, such as `prefers_color_scheme`, and lets nothing move: colours change at once."""
        features = {"prefers_reduced_motion": "reduce", **features}
        listed = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": listed})


def retype(field: WebElement, text: str) -> None:
    """Types over all that a field holds; `clear()` would empty it without an event, and the page may fill it again."""
    field.send_keys(Keys.CONTROL + "a" + Keys.NULL + Keys.BACKSPACE + text)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Chromium, with a profile of its own."""
    if not (CHROMIUM and DRIVER):
        pytest.skip("chromium and chromedriver are not installed (apt-get install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (*ARGUMENTS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, Service(DRIVER, log_output=str(Path(tmp_path_factory.mktemp("log")) / "driver")))
    driver.implicitly_wait(10)
    try:
        yield Browser(driver)
    finally:
        driver.quit()
