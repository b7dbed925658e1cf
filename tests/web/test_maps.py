"""Maps over two things and over three probabilities: what is dragged or moved by keys has the value that the service gives."""

from __future__ import annotations

import math
from typing import Any

import httpx
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.web.conftest import Browser
from tests.web.test_console import Console

OLD = -3.0
"""The log-probability under the older policy, in the drawing of policies."""


def sample(loss: str, x: float, y: float) -> dict[str, Any]:
    """The sample at a place of a map, as the page declares it."""
    if loss == "giou":
        return {"predictions": [[x, y, x + 1, y + 1]], "labels": [[0, 0, 1, 1]], "gradients": ["predictions"]}
    if loss == "ppo_clip":
        policy = {"log_probs": [[OLD + math.log(x)]], "old_log_probs": [[OLD]], "advantages": [[y]]}
        return {**policy, "gradients": ["log_probs"]}
    return {"anchor": [[0, 0]], "positive": [[x, 0]], "negative": [[0, y]], "gradients": ["positive"]}


def drag(console: Console, plot: str, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Moves the mouse over a plot with the button down, between places given as shares of its size from its middle."""
    node = console.one(plot)
    console.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", node)
    width, height = node.size["width"], node.size["height"]
    (x, y), (to_x, to_y) = ((round(a * width), round(b * height)) for a, b in (start, end))
    actions = ActionChains(console.driver, duration=20).move_to_element_with_offset(node, x, y).click_and_hold()
    actions.move_to_element_with_offset(node, to_x, to_y).release().perform()


def number(console: Console, label: str) -> float:
    """What a slider says, by the beginning of its name."""
    found = console.driver.execute_script(
        "const label = [...document.querySelectorAll('.slider > label')].find(e => e.textContent.startsWith(arguments[0]));"
        "return label.parentElement.querySelector('.number').value",
        label,
    )
    return float(found)


@pytest.mark.parametrize(
    ("loss", "axis", "setting"),
    [
        ("giou", "shift of the box", "vertical shift"),
        ("ppo_clip", "ratio", "advantage"),
        ("triplet_margin", "distance of the positive", "distance of the negative"),
    ],
)
def test_what_is_dragged_over_a_map_has_the_value_that_the_service_gives(
    browser: Browser, url: str, http: httpx.Client, loss: str, axis: str, setting: str
) -> None:
    console = Console(browser, url)
    browser.open(f"{url}/#/{loss}?at=1")
    browser.wait("document.querySelector('.explorer[data-of=ready] td') && document.querySelector('.map .dot')")
    seen = []
    for start, end in (((0.0, 0.0), (0.1, 0.15)), ((0.1, 0.15), (-0.05, -0.1))):
        drag(console, ".map .plot svg", start, end)
        browser.wait("document.querySelector('.explorer').dataset.of === 'ready'")
        x, y = number(console, f"Read at {axis}"), number(console, setting)
        # What stands in the table is the nearest of the points that are computed.
        low, high = (
            float(console.one(".reading input[type=range]").get_attribute(end) or "") for end in ("min", "max")
        )
        step = (high - low) / 240
        x = low + step * round((x - low) / step)
        answer = http.post(f"/v1/losses/{loss}", json=sample(loss, x, y)).json()
        (gradient,) = answer["gradients"].values()
        slope = gradient["data"][0] + (gradient["data"][2] if loss == "giou" else 0)
        expected = pytest.approx([answer["value"], slope], rel=2e-3, abs=1e-6)
        console.wait(lambda expected=expected: console.readings()[0] == expected)
        seen.append((x, y))
    assert seen[0][0] > seen[1][0]
    assert seen[0][1] < seen[1][1]
    assert browser.errors() == []


def test_a_place_in_the_triangle_is_moved_by_mouse_and_keys(browser: Browser, url: str, http: httpx.Client) -> None:
    console = Console(browser, url)
    browser.open(f"{url}/#/cross_entropy")
    browser.wait("document.querySelector('.explorer[data-of=ready] td')")
    console.one(".map:last-of-type summary").click()
    browser.wait("document.querySelector('.sample td')")

    def read() -> list[float]:
        cells = [cell.replace("−", "-") for cell in console.texts(".sample td")]
        return [float(cell) for cell in cells]

    def agrees(shares: list[float]) -> bool:
        body = {"predictions": [[math.log(one) for one in shares]], "labels": [0], "gradients": ["predictions"]}
        answer = http.post("/v1/losses/cross_entropy", json=body).json()
        return read() == pytest.approx([answer["value"], *answer["gradients"]["predictions"]["data"]], abs=2e-3)

    slider = console.driver.find_elements(By.CSS_SELECTOR, ".map .slider input[type=range]")[0]
    slider.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    console.wait(lambda: agrees([0.62, 0.3 / 0.4 * 0.38, 0.1 / 0.4 * 0.38]))
    before = read()
    drag(console, ".map .plot:has(.edge) svg", (0.0, 0.2), (-0.15, 0.1))
    console.wait(lambda: read() != before)
    shares = [number(console, f"Probability: {name}") for name in ("true class", "class 2", "class 3")]
    assert sum(shares) == pytest.approx(1, abs=2e-3)
    assert shares[1] > shares[2]
    console.wait(lambda: agrees(shares))
    assert browser.errors() == []
