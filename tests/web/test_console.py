"""The console in a real browser."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from lossmeter.database import Database
from lossmeter.keys import SqlKeys, issue
from lossmeter.losses import LOSSES
from tests.support.service import serving
from tests.web.conftest import Browser, retype
from tests.web.keyboard import tab_to

FOCAL = {"predictions": [[2.0, -1.0, 0.3], [0.5, 0.1, 0.0]], "labels": [0, 2], "gradients": ["predictions"]}

LOGITS, DEGREES = (1.8, 2.0, 2.2), (39.0, 42.0, 45.0)
"""Points at which curves are computed, so that what is read there is no neighbour."""
EVERY_LOSS = """
const [names, done] = arguments;
const until = async (condition) => {
  for (let i = 0; i < 2000 && !condition(); i += 1) await new Promise((wake) => setTimeout(wake, 5));
  return condition();
};
const all = (selector) => [...document.querySelectorAll(selector)];
(async () => {
  const seen = [];
  for (const name of names) {
    location.hash = `#/${name}`;
    await until(() => document.querySelector("h1")?.textContent === name);
    await until(() => all(".formula .katex").length);
    const explorer = document.querySelector(".explorer");
    if (explorer) await until(() => explorer.dataset.of === "ready");
    const curves = explorer ? all(".explorer .line").filter((line) => line.getAttribute("d").length > 500).length : 0;
    const values = [];
    for (const button of all(".examples button")) {
      const before = document.querySelector(".answer").dataset.number;
      button.click();
      await new Promise((wake) => setTimeout(wake));
      document.querySelector("button.compute").click();
      await until(() => document.querySelector(".answer").dataset.number !== before);
      values.push(Number(document.querySelector(".value")?.dataset.value));
    }
    const flaws = all(".error:not([hidden]), .refused, .katex-error").map((node) => node.textContent);
    if (!curves) flaws.push("no curve");
    seen.push({ name, values, flaws });
  }
  done(seen);
})();
"""


class Console:
    """The page as somebody sees it."""

    def __init__(self, browser: Browser, url: str) -> None:
        self.browser = browser
        self.driver = browser.driver
        self.url = url

    def open(self, loss: str) -> None:
        self.browser.open(f"{self.url}/#/{loss}")
        self.wait(lambda: self.heading() == loss)

    def heading(self) -> str:
        return "".join(self.texts("h1"))

    def one(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        found: list[str] = self.driver.execute_script(
            "return [...document.querySelectorAll(arguments[0])].filter(e => e.checkVisibility()).map(e => e.innerText)",
            selector,
        )
        return found

    def fill(self, field: str, text: str) -> WebElement:
        control = self.one(f"#field-{field}")
        retype(control, text)
        return control

    def compute(self) -> None:
        """Presses the button, and waits for the answer to this request."""
        number = "return document.querySelector('.answer').dataset.number"
        before = self.driver.execute_script(number)
        self.one("button.compute").click()
        self.wait(lambda: self.driver.execute_script(number) != before)

    def readings(self) -> list[list[float]]:
        """Value and gradient of each curve, where they are read."""
        rows: list[list[str]] = self.driver.execute_script(
            "return [...document.querySelectorAll('.reading tbody tr')]"
            ".map(row => [...row.querySelectorAll('td')].map(cell => cell.innerText))"
        )
        return [[float(cell.replace("−", "-").replace("–", "nan")) for cell in row] for row in rows]

    def wait(self, condition: Any) -> None:
        self.browser.wait(condition)

    def value(self) -> float:
        return float(self.one(".value").get_attribute("data-value") or "nan")

    def command(self) -> dict[str, Any]:
        """The body that the curl command posts."""
        text = self.driver.execute_script("return document.querySelector('.bench > div > .listing pre').textContent")
        match = re.search(r"-d '(.*)'$", text, re.DOTALL)
        assert match is not None
        body: dict[str, Any] = json.loads(match[1])
        return body


@pytest.fixture
def console(browser: Browser, url: str) -> Console:
    return Console(browser, url)


def test_focal_is_what_the_api_says(console: Console, http: httpx.Client) -> None:
    expected = http.post("/v1/losses/focal", json=FOCAL).json()
    console.open("focal")
    console.fill("predictions", json.dumps(FOCAL["predictions"]))
    console.fill("labels", "[0, 2]")
    console.compute()
    assert console.value() == expected["value"]
    assert console.texts(".value") == [f"{expected['value']:.9g}"]
    cells = console.driver.find_elements(By.CSS_SELECTOR, ".tensor td")
    assert [float(cell.get_attribute("title") or "") for cell in cells] == expected["gradients"]["predictions"]["data"]
    assert console.command() == FOCAL
    assert console.browser.errors() == []


def test_an_error_stands_beside_the_field_that_it_names(console: Console) -> None:
    console.open("focal")
    console.fill("labels", "[7]")
    console.compute()
    field = console.one("#field-labels")
    assert field.get_attribute("aria-invalid") == "true"
    assert console.driver.switch_to.active_element == field
    assert console.texts(".error") == ["labels[0] is 7; expected class indices in [0, 2] or ignore_index, -100"]
    assert console.one("#error-labels").text in console.texts(".error")
    console.fill("labels", "[1]")
    console.compute()
    assert console.texts(".error") == []
    assert field.get_attribute("aria-invalid") == "false"


def test_the_focus_is_on_a_field_as_soon_as_its_error_is_shown(console: Console) -> None:
    """Not a frame later: what somebody types meanwhile would be lost, and what is read aloud would be another field."""
    console.open("focal")
    console.fill("labels", "[7]")
    console.driver.execute_script(
        "new MutationObserver(() => { window.focused ??= document.activeElement.id })"
        ".observe(document.getElementById('field-labels'), {attributeFilter: ['aria-invalid']})"
    )
    console.compute()
    assert console.driver.execute_script("return window.focused") == "field-labels"


def test_several_errors_stand_beside_several_fields(console: Console) -> None:
    console.open("focal")
    console.fill("gamma", "-1")
    console.fill("label_smoothing", "2")
    console.compute()
    assert console.one("#error-gamma").text == "gamma is -1; expected a number of at least 0.0"
    assert console.one("#error-label_smoothing").text == "label_smoothing is 2; expected a number of at most 1.0"


def test_an_error_in_what_is_folded_unfolds_it(console: Console) -> None:
    console.open("mse")
    assert not any("openapi.json" in request for request in console.browser.requests())
    console.one("form details > summary").click()
    assert {name: console.one(f"#field-{name}").tag_name for name in ("mask", "empty")} == {
        "mask": "textarea",
        "empty": "select",
    }
    console.fill("sample_weight", "[1, -2, 1, 1]")
    console.one("form details > summary").click()
    console.compute()
    assert console.one("#error-sample_weight").is_displayed()
    assert "-2" in console.one("#error-sample_weight").text


def test_what_is_not_json_is_said_without_asking(console: Console) -> None:
    console.open("mse")
    console.fill("predictions", "[1, 2")
    console.browser.requests()
    console.one("button.compute").click()
    console.wait(lambda: console.texts(".error"))
    assert console.one("#error-predictions").text.startswith("not JSON")
    assert not any("/v1/losses" in request for request in console.browser.requests())


def test_the_command_says_what_was_posted(console: Console, http: httpx.Client) -> None:
    console.open("binary_focal")
    console.fill("alpha", "null")
    console.fill("gamma", "1.5")
    console.one("input[name=reduction][value=sum]").click()
    console.one("input[name=gradients][value=labels]").click()
    console.compute()
    body = console.command()
    assert body["alpha"] is None
    assert body["gamma"] == 1.5
    assert body["reduction"] == "sum"
    assert body["gradients"] == ["predictions", "labels"]
    assert http.post("/v1/losses/binary_focal", json=body).json()["value"] == console.value()
    for language, word in (
        ("Python", "httpx.request("),
        ("JavaScript", "fetch("),
        ("Java", "HttpRequest"),
        ("Go", "http.NewRequest"),
    ):
        console.driver.execute_script(
            "[...document.querySelectorAll('.bench .segments button')].find(b => b.textContent === arguments[0]).click()",
            language,
        )
        console.wait(lambda word=word: word in console.texts(".bench .program pre")[0])


def test_every_loss_can_be_read_drawn_and_computed(console: Console) -> None:
    console.open("focal")
    console.driver.set_script_timeout(180)
    names = list(LOSSES)
    seen: list[dict[str, Any]] = []
    for start in range(0, len(names), 10):  # a command to the browser may take two minutes, however busy the machine is
        seen += console.driver.execute_async_script(EVERY_LOSS, names[start : start + 10])
    assert [one["name"] for one in seen] == list(LOSSES)
    assert [one for one in seen if one["flaws"]] == []
    for one in seen:
        for value, example in zip(one["values"], LOSSES[one["name"]].examples, strict=True):
            assert value == pytest.approx(example.value, rel=1e-5, abs=1e-6)
    asked = [request for request in console.browser.requests() if not request.startswith(("data:", "about:", "blob:"))]
    assert all(request.startswith(console.url) for request in asked)
    assert console.browser.errors() == []


def test_a_slider_moves_the_curve_that_the_service_computes(console: Console, http: httpx.Client) -> None:
    console.browser.open(f"{console.url}/#/focal?with=cross_entropy")
    console.wait(lambda: console.driver.execute_script("return document.querySelector('.explorer[data-of=ready] td')"))
    for gamma in ("0.00", "3.5"):
        console.driver.execute_script(
            "const slider = document.querySelector('.knobs input[type=range]'); slider.value = arguments[0];"
            "slider.dispatchEvent(new Event('input', {bubbles: true}))",
            gamma,
        )
        logits = [[2.4, 0.0, 0.0]]
        body = {"predictions": logits, "labels": [0], "gamma": float(gamma), "gradients": ["predictions"]}
        answer = http.post("/v1/losses/focal", json=body).json()
        expected = [answer["value"], answer["gradients"]["predictions"]["data"][0]]
        console.wait(lambda expected=expected: console.readings()[0] == pytest.approx(expected, rel=1e-3))
    assert console.readings()[1] == pytest.approx([math.log(1 + 2 * math.exp(-2.4)), -0.1536], rel=1e-3)
    # The view stands in the address, and is there again when the address is opened.
    console.wait(lambda: "gamma=3.5" in console.driver.current_url)
    address = console.driver.current_url
    console.browser.open(address)
    console.wait(lambda: len(console.readings()) == 2)
    assert console.readings()[0] == pytest.approx(expected, rel=1e-3)
    assert console.browser.errors() == []


def test_the_gradient_is_the_slope_of_the_curve(console: Console) -> None:
    """Where the axis is what the gradient is taken by; angles are read in degrees and differentiated in radians."""
    for name, places in (
        ("huber", LOGITS),
        ("cross_entropy", LOGITS),
        ("dice", LOGITS),
        ("ctc", LOGITS),
        ("clip", DEGREES),
    ):
        console.open(name)
        console.wait(lambda: console.readings() and not math.isnan(console.readings()[0][0]))
        read = []
        for at in places:
            console.driver.execute_script(
                "const read = document.querySelector('.reading input[type=number]'); read.value = arguments[0];"
                "read.dispatchEvent(new Event('change', {bubbles: true}))",
                at,
            )
            console.wait(lambda at=at: float(console.one(".reading input[type=range]").get_attribute("value")) == at)
            read.append(console.readings()[0])
        slope = (read[2][0] - read[0][0]) / (places[2] - places[0]) * (180 / math.pi if places is DEGREES else 1)
        assert read[1][1] == pytest.approx(slope, rel=0.03, abs=2e-3), name


def test_what_a_slider_cannot_be_is_said(console: Console) -> None:
    console.browser.open(f"{console.url}/#/huber?delta=-1")
    console.wait(lambda: console.texts(".explorer .error"))
    assert console.texts(".explorer .error")[0].endswith("delta is -1; expected a number greater than 0.0")


def test_a_map_is_drawn_over_two_things(console: Console) -> None:
    for place, label in (
        ("giou", "vertical shift"),
        ("ppo_clip", "advantage"),
        ("triplet_margin", "distance of the negative"),
    ):
        console.open(place)
        console.wait(lambda: len(console.driver.find_elements(By.CSS_SELECTOR, ".contours path")) > 5)
        assert label in " ".join(console.texts(".map summary"))
    assert console.browser.errors() == []


def test_any_name_of_any_library_finds_a_loss(console: Console) -> None:
    console.open("mse")
    search = console.one("#search")
    for words, name in (
        ("HuberLoss", "huber"),
        ("huber_loss", "huber"),
        ("torch.nn.functional.cross_entropy", "cross_entropy"),
    ):
        retype(search, words)
        console.wait(lambda name=name: console.texts("#families a")[:1] == [name])


def test_a_name_that_no_loss_has_is_said(console: Console) -> None:
    console.browser.open(f"{console.url}/#/hubre")
    console.wait(lambda: console.texts(".missing") == ["No loss is called hubre; this is focal."])
    console.open("huber")
    assert console.texts(".missing") == []


def test_the_page_speaks_chinese(console: Console) -> None:
    console.open("mse")
    console.one(".links button").click()
    console.wait(lambda: console.texts(".compute") == ["计算"])
    assert console.driver.execute_script("return document.documentElement.lang") == "zh"
    console.one(".links button").click()
    console.wait(lambda: console.texts(".compute") == ["Compute"])
    console.driver.execute_script("localStorage.clear()")


def test_unreduced_values_and_what_is_not_finite_are_shown(console: Console) -> None:
    console.open("cross_entropy")
    console.fill("labels", "[-100]")
    console.compute()
    assert console.texts(".value") == ["NaN"]
    assert console.texts(".warnings li") == ["value is NaN because nothing counts: the normalizer is 0"]
    console.one("input[name=reduction][value=none]").click()
    console.compute()
    assert console.texts(".value") == []
    assert [caption.split(" ")[0] for caption in console.texts("figcaption")] == ["values", "gradient"]


def test_a_large_tensor_is_shown_in_part(console: Console) -> None:
    console.open("mae")
    rows = json.dumps([[0.5] * 40] * 30)
    for field in ("predictions", "labels"):
        console.driver.execute_script(
            "const f = document.getElementById(arguments[0]); f.value = arguments[1];"
            "f.dispatchEvent(new Event('input', {bubbles: true}))",
            f"field-{field}",
            rows,
        )
    console.compute()
    assert "FP32 [30, 40], the first 8 × 12 of 30 × 40" in console.texts("figcaption")[0]
    assert len(console.texts(".tensor tr")) == 8
    width = console.driver.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    assert width[0] <= width[1]


def test_the_search_narrows_the_list_and_opens_the_first(console: Console) -> None:
    console.open("mse")
    console.one("body").send_keys("/")
    console.wait(lambda: console.driver.switch_to.active_element.get_attribute("id") == "search")
    search = console.one("#search")
    search.send_keys("regression outliers")
    names = console.texts("#families a")
    assert names
    assert set(names) < set(LOSSES)
    search.send_keys(Keys.ENTER)
    console.wait(lambda: console.heading() == names[0])
    retype(console.one("#search"), "no such thing")
    assert console.texts("#families") == ["No loss is like that."]


def test_the_first_paint_takes_little(console: Console) -> None:
    console.driver.execute_cdp_cmd("Network.setCacheDisabled", {"cacheDisabled": True})
    try:
        console.open("mse")
        sizes: dict[str, int] = console.driver.execute_script(
            "return Object.fromEntries(performance.getEntriesByType('resource')"
            ".filter(one => one.encodedBodySize && !/katex|favicon/.test(one.name))"
            ".map(one => [one.name, one.encodedBodySize]))"
        )
    finally:
        console.driver.execute_cdp_cmd("Network.setCacheDisabled", {"cacheDisabled": False})
    assert {name.rpartition("/")[2] for name in sizes} >= {"main.js", "style.css", "losses"}
    assert sum(sizes.values()) < 200_000, sizes


def test_every_loss_is_in_the_list(console: Console) -> None:
    console.open("mse")
    assert set(console.texts("#families a")) == set(LOSSES)
    assert console.texts("#families a[aria-current=page]") == ["mse"]


def test_the_keyboard_suffices(console: Console) -> None:
    console.open("mse")
    field = console.one("#field-predictions")
    field.send_keys(Keys.CONTROL, Keys.ENTER)
    console.wait(lambda: console.texts(".value"))
    assert console.value() == 0.375
    tab_to(console.driver, "button.compute", 20)


def test_a_phone_shows_all_of_it(console: Console) -> None:
    console.driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    )
    try:
        console.open("binary_cross_entropy_with_logits")
        assert console.driver.execute_script("return document.documentElement.scrollWidth <= innerWidth")
        assert not console.one("#search").is_displayed()
        console.one(".menu").click()
        assert console.one("#search").is_displayed()
        console.one("#families a[href='#/mae']").click()
        console.wait(lambda: console.heading() == "mae")
        assert not console.one("#search").is_displayed()
    finally:
        console.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_there_is_a_light_and_a_dark_form(console: Console) -> None:
    seen = {}
    for scheme in ("light", "dark"):
        console.browser.emulate(prefers_color_scheme=scheme)
        console.open("mse")
        colour = console.one("body").value_of_css_property("background-color")
        seen[scheme] = [int(part) for part in re.findall(r"\d+", colour)[:3]]
    console.browser.emulate()
    assert min(seen["light"]) > 200
    assert max(seen["dark"]) < 60


def test_the_documentation_needs_no_other_network(console: Console) -> None:
    console.browser.open(f"{console.url}/docs")
    console.wait(lambda: console.texts(".markdown h1"))
    asked = [request for request in console.browser.requests() if not request.startswith(("data:", "about:", "blob:"))]
    assert f"{console.url}/openapi.json" in asked
    assert all(request.startswith(console.url) for request in asked)
    assert console.browser.errors() == []


def test_a_violation_of_the_policy_is_noticed(console: Console) -> None:
    for page in ("/", "/docs"):
        console.browser.open(console.url + page)
        assert console.browser.errors() == []
        console.driver.execute_script(
            "const script = document.createElement('script'); script.textContent = 'window.ran = true';"
            "document.body.append(script)"
        )
        assert console.driver.execute_script("return window.ran") is None
        assert any("Content Security Policy" in error for error in console.browser.errors())


def test_a_server_that_asks_for_keys_is_given_one(browser: Browser, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/keys.sqlite"
    database = Database(store)
    key, token = issue("console", ["evaluate"])
    SqlKeys(database).add(key)
    database.close()
    with serving(auth="required", store_url=store) as url:
        console = Console(browser, url)
        browser.open(url + "/#/mse")
        console.one("#key").send_keys("lm_wrong" + Keys.ENTER)
        console.wait(lambda: "not a key" in "".join(console.texts("form .hint")))
        console.one("#key").send_keys(token + Keys.ENTER)
        console.wait(lambda: console.heading() == "mse")
        console.compute()
        assert console.value() >= 0
        shown = console.driver.execute_script("return document.body.innerText")
        assert "$LOSSMETER_API_KEY" in shown
        assert token not in shown
        # The browser itself complains of each 401, and of nothing else.
        assert all("401" in error for error in browser.errors())
