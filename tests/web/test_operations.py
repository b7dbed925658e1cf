"""The page of the service itself, in a real browser."""

from __future__ import annotations

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.web.conftest import Browser


def test_it_shows_what_the_metrics_say(browser: Browser, url: str, http: httpx.Client) -> None:
    def asked() -> int:
        families = text_string_to_metric_families(http.get("/metrics").text)
        samples = [one for family in families for one in family.samples if one.name == "lossmeter_requests_total"]
        return int(sum(one.value for one in samples if one.labels["route"].startswith("/v1/losses/")))

    body = {"predictions": [1.0], "labels": [2.0]}
    for _ in range(7):
        assert http.post("/v1/losses/mse", json=body).status_code == 200
    assert http.post("/v1/losses/mse", json={}).status_code == 422
    browser.open(f"{url}/#/service")
    # The second reading has rates.
    browser.wait("Number(document.querySelector('main').dataset.readings) > 1")
    rows: list[list[str]] = browser.run(
        "[...document.querySelectorAll('section[aria-label=Routes] tbody tr')]"
        ".map(row => [...row.children].map(cell => cell.textContent))"
    )
    shown = [row for row in rows if row[0].startswith("/v1/losses/")]
    assert sum(int(row[1].replace(",", "")) for row in shown) == asked()
    assert sum(int(row[3]) for row in shown) >= 1
    assert all(row[4].endswith("ms") for row in shown)
    facts = browser.run("document.querySelector('section[aria-label=Now]').innerText")
    assert "ready" in facts
    assert "MiB" in facts
    assert "cpu" in facts
    assert browser.errors() == []
