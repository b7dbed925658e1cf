"""The pages in Chinese: of what the page and the catalogue say, nothing is left in English."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from lossmeter.losses.situations import SITUATIONS, TASKS
from tests.web.conftest import Browser
from tests.web.test_runs import GOOD, POOR, opened

LEFT = r"""
(() => {
  const said = [];
  const walker = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
  const same = "code, pre, .katex, .math, .source, .data, .row-text, bdi, textarea";
  while (walker.nextNode()) if (!walker.currentNode.parentElement.closest(same)) said.push(walker.currentNode.data);
  for (const name of ["aria-label", "placeholder"]) {
    for (const node of document.querySelectorAll(`[${name}]:not(#pasted)`)) said.push(node.getAttribute(name));
  }
  const single = "#families h2, .facts dt, .choices-found .chip, option[value=regression]";
  for (const node of document.querySelectorAll(single)) said.push(`a ${node.textContent}`);
  return [...new Set(said.filter((one) => /[a-z]{2,} [a-z]{2,}|^a \w+$/i.test(one) && !/\p{Script=Han}/u.test(one)))];
})()
"""
"""Texts with words in a row, and words for which there is Chinese, that have none; code is the same in every language."""


@pytest.fixture
def chinese(browser: Browser, url: str) -> Iterator[Browser]:
    browser.open(url)
    browser.driver.execute_script("localStorage.setItem('lossmeter.language', 'zh')")
    yield browser
    browser.driver.execute_script("localStorage.clear()")


def test_no_page_is_left_in_english(chinese: Browser, url: str, http: httpx.Client) -> None:
    runs = [opened(http, name, scores, []) for name, scores in (("旧", POOR), ("新", GOOD))]
    pages = {
        "ppo_clip": (
            "document.querySelector('.explorer[data-of=ready]')",
            "form details > summary, button.compute",
        ),
        "cross_entropy": ("document.querySelector('.explorer[data-of=ready]')", ".map summary, button.compute"),
        "choose?query=imbalance": ("document.querySelector('.choices-found')", ""),
        "evaluate": ("document.querySelector('#pasted')", ""),
        "evaluate?example=binary": ("document.querySelector('#evaluate:not([disabled])')", "#evaluate"),
        "runs": ("document.querySelector('.naming')", ""),
        f"runs/{runs[0]}": ("document.querySelector('.report')", ""),
        "compare/" + "/".join(runs): ("document.querySelector('main tbody')", ""),
        "service": ("document.querySelector('section[aria-label=路由] td')", ""),
    }
    shown = {
        "ppo_clip": "document.querySelector('#field-precision') && document.querySelector('.value + .hint')",
        "cross_entropy": "document.querySelector('.value') && document.querySelector('.sample')",
        "evaluate?example=binary": "document.querySelector('.report .tensor')",
    }
    left = {}
    for place, (ready, pressed) in pages.items():
        chinese.open(f"{url}/#/{place}")
        chinese.wait(ready)
        if pressed:
            chinese.driver.execute_script("document.querySelectorAll(arguments[0]).forEach(e => e.click())", pressed)
            chinese.wait(shown[place], 20)
        left[place] = chinese.run(LEFT)
        if place.startswith("choose"):
            options = chinese.run("[...document.querySelectorAll('main select option')].map(e => e.textContent)")
            assert len(options) == len(TASKS) + len(SITUATIONS) + 2
        assert chinese.errors() == []
    for run in runs:
        http.delete(f"/v1/runs/{run}")
    assert left == {place: [] for place in pages}
