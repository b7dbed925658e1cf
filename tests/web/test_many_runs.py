"""Thousands of runs in one list, with names that try to be something else."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
import sqlalchemy as sa
from selenium.webdriver.common.keys import Keys

from lossmeter.database import Database
from lossmeter.database.tables import RUNS
from lossmeter.runs.run import new_id
from tests.support.service import serving
from tests.web.conftest import Browser
from tests.web.keyboard import press_keys, tab_to
from tests.web.test_accessibility import violations
from tests.web.test_documentation import Page

MANY = 3_000
HOSTILE = ["<script>alert(1)</script>", "x" * 200, "\u202egnp.exe", "مرحبا 🦊", " "]
PLAN = {"task": "binary", "predictions_are": "probabilities", "metrics": [{"metric": "accuracy"}], "slices": ["place"]}
BATCH = {"predictions": [0.9, 0.2, 0.8, 0.4], "labels": [1, 0, 0, 1], "slices": {"place": [*HOSTILE[:3], "b"]}}
SECONDS_OF_2023 = 1_700_000_000


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("many")
    with serving(store_url=f"sqlite:///{folder}/runs.sqlite") as url, httpx.Client(base_url=url, timeout=60) as http:
        for name in HOSTILE:
            run = http.post("/v1/runs", json={**PLAN, "name": name, "tags": [name.strip() or "t", "hostile"]}).json()
            ids = [f"{name[:20]}{i}" for i in range(4)]
            batch = {**BATCH, "sample_ids": ids}
            assert http.put(f"/v1/runs/{run['id']}/batches/0", json=batch).status_code == 201
        database = Database(f"sqlite:///{folder}/runs.sqlite")
        rows = [(new_id(lambda at=at: at * 10**9), at) for at in range(SECONDS_OF_2023, SECONDS_OF_2023 + MANY)]
        with database.writing() as connection:
            plan = connection.execute(sa.select(RUNS.c.plan).limit(1)).scalar()
            values = [
                {"id": run, "name": f"run {at - SECONDS_OF_2023}", "plan": plan, "created": at * 10**6}
                for run, at in rows
            ]
            connection.execute(sa.insert(RUNS), values)
        database.close()
        yield url


@pytest.fixture
def page(browser: Browser, store: str) -> Page:
    browser.driver.set_script_timeout(60)
    return Page(browser, store)


def test_only_the_rows_in_view_are_in_the_page(page: Page) -> None:
    whole = MANY + len(HOSTILE)
    page.open("#/runs", f"document.querySelector('[data-busy=false][data-runs=\"{whole}\"]')")
    assert page.run("document.querySelectorAll('.runs tbody tr').length") < 60
    page.run("document.querySelector('.rows').scrollTo(0, 1e9)")
    page.wait(f"document.querySelector('[aria-rowindex=\"{whole + 1}\"] .naming a')?.textContent === 'run 0'")
    assert page.run("document.querySelectorAll('.runs tbody tr').length") < 60
    page.driver.find_element("id", "search-runs").send_keys("run 2345")
    # Parts of ids are found too.
    page.wait("[...document.querySelectorAll('.naming a')].some(e => e.textContent === 'run 2345')")
    page.wait("document.querySelectorAll('.runs tbody tr').length < 20")
    assert page.browser.errors() == []


def test_names_of_strangers_are_text_and_break_no_page(page: Page) -> None:
    screen = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    try:
        page.open("#/runs?tag=hostile", "document.querySelectorAll('.first').length === 5")
        shown = page.run("[...document.querySelectorAll('.naming > a:first-child')].map(e => e.textContent)")
        assert shown[1:] == HOSTILE[-2::-1]
        pages = {"list": violations(page.browser)}
        runs = page.run("[...document.querySelectorAll('.naming > a:first-child')].map(e => e.hash)")
        page.open(runs[-1], "document.querySelector('.slices')")
        assert page.run("document.querySelector('h1').textContent") == HOSTILE[0]
        assert page.run("document.querySelector('[data-batches]').textContent").endswith("1 batch, 4 samples")
        page.wait("document.documentElement.scrollWidth <= innerWidth")
        pages["run"] = violations(page.browser)
        ids = [run.rpartition("/")[2] for run in runs[:3]]
        page.open("#/compare/" + "/".join(ids), "document.querySelectorAll('main tbody').length")
        page.wait("document.documentElement.scrollWidth <= innerWidth")
        # The figures of two candidates stand under each other.
        assert page.run("document.querySelector('main tbody').rows.length") == 2
        pages["comparison"] = violations(page.browser)
        assert pages == {name: [] for name in pages}
        assert page.run("document.querySelectorAll('main script').length") == 0
        assert page.browser.errors() == []
    finally:
        page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_report_is_saved_as_a_picture(page: Page) -> None:
    page.open("#/runs?tag=hostile", "document.querySelector('.naming a')")
    page.run("document.querySelector('.naming a').click()")
    page.wait("document.querySelector('.report')")
    page.run("(window.saved = {}, URL.createObjectURL = b => (window.saved[b.type] = b, '#'), 1)")
    for form in ("PNG", "SVG"):
        page.run(f"[...document.querySelectorAll('button')].find(b => b.textContent === 'Save as {form}').click()")
    page.wait("window.saved['image/png'] && window.saved['image/svg+xml']")
    size, text = page.driver.execute_async_script(
        "const done = arguments[0];"
        "Promise.all([createImageBitmap(window.saved['image/png']), window.saved['image/svg+xml'].text()])"
        ".then(([image, text]) => done([[image.width, image.height], text]))"
    )
    assert size[0] == 2000
    assert size[1] > 200
    assert "accuracy" in text
    assert page.browser.errors() == []


def test_thousands_of_runs_are_gone_through_and_compared_by_keyboard(page: Page) -> None:
    page.open("#/runs", f"document.querySelector('[data-busy=false][data-runs=\"{MANY + len(HOSTILE)}\"]')")
    tab_to(page.driver, ".rows")
    press_keys(page.driver, Keys.END)
    page.wait(f"document.querySelector('[aria-rowindex=\"{MANY + len(HOSTILE) + 1}\"]')")
    page.open("#/runs?tag=hostile", "document.querySelectorAll('.first').length === 5")
    for row in (2, 3, 4):
        tab_to(page.driver, f'[aria-rowindex="{row}"] input[type=checkbox]')
        press_keys(page.driver, Keys.SPACE)
    page.wait("document.querySelector('a.compute')")
    page.run("document.activeElement.blur()")
    tab_to(page.driver, "a.compute")
    press_keys(page.driver, Keys.ENTER)
    page.wait("document.querySelector('main tbody')")
    before = page.run("location.hash")
    assert page.run("document.querySelector('main tbody').rows.length") == 2
    tab_to(page.driver, "main .row a.quiet")
    press_keys(page.driver, Keys.ENTER)
    page.wait(f"location.hash !== {before!r} && document.querySelector('main tbody')")
    # A table that is wider than its place is scrolled from the keyboard too.
    tab_to(page.driver, "main .scroll")
    assert page.browser.errors() == []
