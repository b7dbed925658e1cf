"""The pages in Chinese: nothing is left in English but what is marked as such: exact messages, sources, guides in English."""

from __future__ import annotations

import ast
import hashlib
import json
import re
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import httpx
import pytest
from selenium.webdriver.common.by import By

from lossmeter.api.problems import CODES, TITLES
from lossmeter.engine import advice
from lossmeter.losses.situations import SITUATIONS, TASKS
from tests.catalogue.test_translations import HAN, LATIN_MARK
from tests.web.conftest import Browser, retype
from tests.web.test_runs import GOOD, POOR, opened

LEFT = r"""
(() => {
  const said = [];
  const walker = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
  const same = "code, pre, .katex, .math, [lang=en], .data, .row-text, bdi, textarea";
  while (walker.nextNode()) if (!walker.currentNode.parentElement.closest(same)) said.push(walker.currentNode.data);
  for (const name of ["aria-label", "placeholder"]) {
    for (const node of document.querySelectorAll(`[${name}]:not(#pasted)`)) said.push(node.getAttribute(name));
  }
  const single = "#families h2, .facts dt, .choices-found .chip, option[value=regression]";
  for (const node of document.querySelectorAll(single)) said.push(`a ${node.textContent}`);
  return [...new Set(said.filter((one) => /[a-z]{2,} [a-z]{2,}|^a \w+$/i.test(one) && !/\p{Script=Han}/u.test(one)))];
})()
"""
"""Texts with words in a row, and words for which there is Chinese, that have none; code is the same in every language, and what
is marked as English is English for a reason."""
SAID: dict[str, Any] = json.loads((files("lossmeter") / "web" / "source" / "chinese.json").read_text("utf-8"))
PLACEHOLDER = re.compile(r"\{(\w+)(?::%)?\}")


def evidence() -> dict[str, set[str]]:
    """The figures that every piece of advice of a code rests on, as the source has it."""
    found: dict[str, set[str]] = {}
    for name in ("looks.py", "results.py"):
        for node in ast.walk(ast.parse((files(advice) / name).read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "advice":
                code, figures = ast.literal_eval(node.args[0]), {str(keyword.arg) for keyword in node.keywords}
                found[code] = found.get(code, figures) & figures
    return found


def test_every_kind_of_problem_has_a_title_in_chinese() -> None:
    connections = (files("lossmeter") / "serving" / "connections.py").read_text("utf-8")
    refused = set(re.findall(r'_refuse\(\d+, "(\w+)"', connections))
    assert "malformed_request" in refused
    assert SAID["problems"].keys() == {*CODES, *(code for code, _ in TITLES.values()), "http"} | refused
    assert [title for title in SAID["problems"].values() if not HAN.search(title) or LATIN_MARK.search(title)] == []


def test_all_advice_is_there_in_chinese_and_says_what_the_english_says_now() -> None:
    found, told = evidence(), SAID["advice"]
    assert told.keys() == advice.CODES.keys() == found.keys()
    digests = {code: hashlib.sha256(remedy.encode()).hexdigest()[:12] for code, remedy in advice.CODES.items()}
    assert {code: one["digest"] for code, one in told.items()} == digests, (
        "translate the remedy anew, then say its digest"
    )
    for code, one in told.items():
        assert set(PLACEHOLDER.findall(one["message"])) <= found[code] | {"place"}, code
        for text in (one["message"], one["remedy"]):
            assert HAN.search(text), text
            assert not LATIN_MARK.search(text), text


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
        "docs": ("document.querySelector('.markdown h1')", ""),
        "docs/api": ("document.querySelector('.operations')", ""),
        "docs/api/evaluate": ("document.querySelector('.attempt')", ""),
        "docs/errors": ("document.querySelector('main section.card')", ""),
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


@pytest.mark.parametrize(
    ("loss", "fields", "said"),
    [
        (
            "cross_entropy",
            {"labels": "[7]"},
            "labels[0] 为 7，未被接受。应为：0 到 C - 1 的整数，或 0 到 1 之间的数。",
        ),
        ("mse", {"labels": "[1, 2, 3]"}, "labels（形状 [3]）未被接受。"),
        ("mse", {"predictions": ""}, "缺少 predictions。"),
        ("mse", {"predictions": "[1, NaN]"}, "不是有效的 JSON："),
        (
            "binary_cross_entropy",
            {"predictions": "[1.5]", "labels": "[1]"},
            "predictions[0] 为 1.5，未被接受。应为：0 到 1 之间的数。",
        ),
        ("huber", {"delta": "-1"}, "delta 为 -1，未被接受。"),
    ],
    ids=["element", "shape", "missing", "not JSON", "domain", "parameter"],
)
def test_what_is_wrong_is_told_in_chinese_above_the_exact_message(
    chinese: Browser, url: str, loss: str, fields: dict[str, str], said: str
) -> None:
    chinese.open(f"{url}/#/{loss}")
    chinese.wait("document.querySelector('button.compute')")
    for name, text in fields.items():
        retype(chinese.driver.find_element(By.ID, f"field-{name}"), text)
    chinese.driver.find_element(By.CSS_SELECTOR, "button.compute").click()
    chinese.wait("document.querySelector('.field .error:not([hidden])')")
    error = "[...document.querySelectorAll('.field .error:not([hidden])')].at(0)"
    assert chinese.run(f"{error}.innerText").startswith(said)
    assert chinese.run(LEFT) == []
    if chinese.run("document.querySelector('.refused')"):
        assert chinese.run("document.querySelector('.refused .status').innerText") == "422 请求无效"
        detail = chinese.run("document.querySelector('.refused [lang=en]').textContent")
        exact = chinese.run(f"{error}.querySelector('[lang=en]').textContent")
        assert detail == f"{loss}: {exact}"


def test_advice_and_what_is_not_finite_is_told_in_chinese(chinese: Browser, url: str) -> None:
    chinese.open(f"{url}/#/cross_entropy")
    chinese.wait("document.querySelector('button.compute')")
    for name, text in {"predictions": "[[0.7, 0.2, 0.1], [0.1, 0.8, 0.1]]", "labels": "[0, 1]"}.items():
        retype(chinese.driver.find_element(By.ID, f"field-{name}"), text)
    chinese.driver.find_element(By.CSS_SELECTOR, "button.compute").click()
    chinese.wait("document.querySelector('.warnings')")
    assert chinese.run("document.querySelector('.warnings').innerText").split("\n") == [
        "抽查的预测值都在 0.1 到 0.8 之间，像是概率；此处应为 logits，可取任意实数。",
        "处理方法：请给出 softmax 或 sigmoid 之前的数值：损失函数自己会做这一步。",
    ]
    assert chinese.run("document.querySelectorAll('.warnings [lang=en]').length") == 0
    retype(chinese.driver.find_element(By.ID, "field-labels"), "[-100, -100]")
    chinese.driver.find_element(By.CSS_SELECTOR, "button.compute").click()
    chinese.wait("document.querySelector('.value')?.innerText === 'NaN'")
    told = chinese.run("document.querySelector('.warnings li').innerText").split("\n")
    assert told == ["value 为 NaN。", "value is NaN because nothing counts: the normalizer is 0"]
    assert chinese.run(LEFT) == []


def test_what_an_evaluation_lacks_is_told_in_chinese(chinese: Browser, url: str) -> None:
    chinese.open(f"{url}/#/evaluate")
    for table, said in (
        ("a,b\n1,2\n3\n", "第 2 行有 1 个字段，而表头有 2 个"),
        ("[1]", "应为记录：具有相同字段名的对象"),
    ):
        retype(chinese.driver.find_element(By.ID, "pasted"), table)
        chinese.driver.find_element(By.CSS_SELECTOR, ".drop .compute").click()
        chinese.wait(f"document.querySelector('.drop .error')?.innerText === '{said}'")
    retype(chinese.driver.find_element(By.ID, "pasted"), "p,y\n0.5,1\n1.5,0\n")
    chinese.driver.find_element(By.CSS_SELECTOR, ".drop .compute").click()
    chinese.wait("document.querySelector('#evaluate')")
    chinese.driver.find_element(By.XPATH, "//label[text()='预测值类型']/..//option[text()='概率']").click()
    chinese.driver.find_element(By.ID, "evaluate").click()
    chinese.wait("document.querySelector('.refused')")
    refused = chinese.run("document.querySelector('.refused').innerText").split("\n")
    assert [line for line in refused if line][:3] == [
        "422 请求无效",
        "predictions[1] 为 1.5，未被接受。",
        "predictions[1] is 1.5; expected a probability, from 0 to 1",
    ]
    assert chinese.run(LEFT) == []


def test_metrics_are_read_in_chinese_and_english_guides_are_marked(chinese: Browser, url: str) -> None:
    chinese.open(f"{url}/#/docs")
    chinese.wait("document.querySelector('.folded a[href*=recall]')")
    link = "document.querySelector('.folded a[href*=recall]')"
    assert chinese.run(f"{link}.getAttribute('href')") == "#/docs/guides/chinese/metrics.md?at=recall"
    chinese.run(f"{link}.click()")
    chinese.wait("document.querySelector('#recall') && scrollY > 200")
    assert chinese.run("document.querySelector('.markdown').lang") == "zh"
    assert chinese.run(f"{link}.getAttribute('aria-current')") == "page"
    assert chinese.run(LEFT) == []
    guides = "[...document.querySelectorAll('#catalogue section li a[href*=guides]')]"
    assert chinese.run(f"{guides}.filter(e => (e.lang === 'zh') !== /\\p{{Script=Han}}/u.test(e.textContent))") == []
    chinese.run("location.hash = '#/docs/guides/advice.md'")
    chinese.wait("document.querySelector('#imbalance')")
    assert chinese.run("document.querySelector('.markdown').lang") == "en"
