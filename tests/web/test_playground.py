"""What the page of evaluations reads, and what it shows of a loss besides its value, in a real browser."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.web.conftest import Browser
from tests.web.keyboard import press_keys, tab_to
from tests.web.test_evaluation import TABLE, Page

DROP = """
const bytes = Uint8Array.from(atob(arguments[1]), (c) => c.charCodeAt(0));
const carried = new DataTransfer();
carried.items.add(new File([bytes], arguments[0]));
for (const kind of ["dragover", "drop"]) {
  document.querySelector(".drop").dispatchEvent(new DragEvent(kind, {dataTransfer: carried, bubbles: true, cancelable: true}));
}
"""
NOT_LOGITS = "p_a,p_b,y\n" + "\n".join(f"{0.1 + i / 100:.2f},{0.9 - i / 100:.2f},{i % 2}" for i in range(40))
"""Rows that add up to 1."""


@pytest.fixture
def page(browser: Browser, url: str) -> Page:
    return Page(browser, url)


def test_a_parquet_file_is_dropped_and_judged_by_keyboard(page: Page, tmp_path: Path) -> None:
    scores = np.linspace(0.01, 0.99, 40)
    labels = (np.arange(40) * 7 % 40 > 18).astype(np.int64)
    table = pa.table({"score": scores, "label": labels, "country": ["de", "fr"] * 20})
    pq.write_table(table, tmp_path / "batch.parquet")
    content = base64.b64encode((tmp_path / "batch.parquet").read_bytes()).decode()
    page.driver.execute_script(DROP, "batch.parquet", content)
    page.wait("document.querySelector('#evaluate:not([disabled])')")
    assert (page.chosen("Task"), page.chosen("Predictions are")) == ("binary", "probabilities")
    body = page.request()
    assert (body["predictions"], body["labels"]) == (scores.tolist(), labels.tolist())
    tab_to(page.driver, "#add-gates")
    press_keys(page.driver, "accuracy>=0.99", Keys.ENTER)
    tab_to(page.driver, "#evaluate")
    press_keys(page.driver, Keys.ENTER)
    page.wait("document.querySelector('.slices')")
    accuracy = float(((scores > 0.5) == labels).mean())
    assert float(page.rows("Figures")["accuracy"][0]) == pytest.approx(accuracy, abs=1e-4)
    (gate,) = page.texts(".gates li")
    missed = re.search(r"missed by ([\d.]+)", gate)
    assert missed is not None
    assert float(missed[1]) == pytest.approx(0.99 - accuracy, abs=1e-3)
    tab_to(page.driver, ".slices th:nth-child(3) .sort")
    press_keys(page.driver, Keys.ENTER)
    page.wait("document.querySelector('.slices th:nth-child(3)').ariaSort === 'ascending'")
    assert page.browser.errors() == []


def test_tensors_of_safetensors_are_read_as_they_are(page: Page, tmp_path: Path) -> None:
    torch.manual_seed(1)
    labels = torch.randint(0, 3, (12,))
    for name, datatype in (("logits", torch.bfloat16), ("scores", torch.float16), ("predictions", torch.float64)):
        tensors = {name: torch.randn(12, 3).mul(3).to(datatype), "labels": labels, "weight": torch.rand(12)}
        tensors[name][0] = torch.tensor([65504.0, 5.9604645e-08, -0.0], dtype=datatype)  # ends of 16 bits
        save_file(tensors, tmp_path / f"{name}.safetensors")
        page.driver.find_element(By.CSS_SELECTOR, "input[type=file]").send_keys(str(tmp_path / f"{name}.safetensors"))
        page.wait("document.querySelector('#evaluate')")
        body = page.request()
        assert body["predictions"] == tensors[name].double().tolist()
        assert body["labels"] == labels.tolist()
        assert body["sample_weight"] == tensors["weight"].double().tolist()
        page.press("Other data")
    (tmp_path / "bad.safetensors").write_bytes(b"\xff" * 20)
    page.driver.find_element(By.CSS_SELECTOR, "input[type=file]").send_keys(str(tmp_path / "bad.safetensors"))
    assert page.wait("document.querySelector('.drop .error')?.textContent") == "this is not a safetensors file"


def test_the_gradient_is_a_map_and_advice_says_what_to_do(page: Page, http: httpx.Client) -> None:
    page.paste(NOT_LOGITS)
    page.wait("document.querySelector('#evaluate')")
    page.choose("Predictions are", "logits")
    body = page.request()
    page.evaluate()
    page.wait("document.querySelector('.tensor td')")
    asked = {**body, "metrics": [], "hardest": 0, "gradients": ["predictions"]}
    gradient = http.post("/v1/evaluate", json=asked).json()["objective"]["gradients"]["predictions"]["data"]
    cells = [float(text.replace("−", "-")) for text in page.texts(".tensor td.above, .tensor td.below")]
    assert cells == pytest.approx(gradient[:40], rel=1e-3)
    losses = http.post("/v1/losses/cross_entropy", json={name: body[name] for name in ("predictions", "labels")}).json()
    (advice,) = losses["warnings"]
    page.wait("document.querySelector('.warnings[aria-label=Advice] .remedy')")
    (said,) = page.texts(".warnings[aria-label=Advice] li")
    assert advice["message"] in said
    assert advice["remedy"] in said
    assert page.browser.errors() == []


def test_the_address_holds_what_is_asked_and_no_data(page: Page) -> None:
    page.paste(TABLE)
    page.wait("document.querySelector('#evaluate')")
    page.run(
        "(s => { s.value = 'group'; s.dispatchEvent(new Event('change', {bubbles: true})) })"
        "(document.querySelector('select[aria-label=\"country is\"]'))"
    )
    page.driver.find_element(By.ID, "add-gates").send_keys("accuracy>=0.6" + Keys.ENTER)
    page.choose("Confidence", "0.9")
    page.wait("location.hash.includes('confidence=0.9')")
    address = page.run("location.hash")
    assert "0.55" not in address
    page.browser.open(f"{page.url}/{address}")
    page.wait("document.querySelector('#pasted')")
    page.paste(TABLE)
    page.wait("document.querySelector('#evaluate')")
    body = page.request()
    assert body["confidence"] == 0.9
    assert body["gates"] == [{"metric": "accuracy", "minimum": 0.6}]
    assert "slices" not in body
    assert len(body["groups"]) == 8
    # An example needs no data: all of it stands in the address.
    page.browser.open(f"{page.url}/#/evaluate?example=multiclass&gate=f1>=0.5")
    page.wait("document.querySelector('#evaluate:not([disabled])')")
    assert page.request()["gates"] == [{"metric": "f1", "minimum": 0.5}]
