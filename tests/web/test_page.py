"""The pages as they are sent, without a browser."""

from __future__ import annotations

import re

import httpx
import pytest


@pytest.fixture(scope="module", params=["/", "/docs"])
def page(http: httpx.Client, request: pytest.FixtureRequest) -> httpx.Response:
    return http.get(request.param)


def test_the_policy_allows_nothing_but_the_origin(page: httpx.Response) -> None:
    assert page.status_code == 200
    policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
    assert policy.pop("default-src") == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert set(policy.values()) <= {"'self'", "'none'"}
    assert policy["frame-ancestors"] == "'none'"
    assert page.headers["x-content-type-options"] == "nosniff"


def test_nothing_is_inline(page: httpx.Response) -> None:
    assert not re.search(r"<style|\bstyle=|\bon\w+=|<script(?![^>]*\bsrc=)", page.text)


def test_everything_that_the_page_names_is_served(http: httpx.Client, page: httpx.Response) -> None:
    names = set(re.findall(r'(?:src|href)="([^"#]+)"', page.text))
    assert {"static/console/main.js", "static/console/style.css"} <= names
    for name in names:
        assert http.get(f"/{name}").status_code == 200, name


def test_assets_are_asked_after_before_they_are_used_again(http: httpx.Client) -> None:
    first = http.get("/static/console/main.js")
    assert first.headers["cache-control"] == "no-cache"
    again = http.get("/static/console/main.js", headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304


@pytest.mark.parametrize(
    "path", ["/static/console/main.js", "/static/guides/evaluation.md", "/v1/losses", "/v1/metrics"]
)
def test_what_is_large_goes_compressed_to_those_who_take_it_so(http: httpx.Client, path: str) -> None:
    plain = http.get(path, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    shorter = http.get(path, headers={"Accept-Encoding": "gzip"})
    assert shorter.headers["content-encoding"] == "gzip"
    assert shorter.headers["vary"] == plain.headers["vary"]
    assert "Accept-Encoding" in shorter.headers["vary"]
    assert int(shorter.headers["content-length"]) < len(plain.content) / 2
    assert shorter.content == plain.content
