"""Keys on the page of the service, in a real browser: for whoever gives one with the scope `admin`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

import httpx
import pytest
from selenium.webdriver.common.keys import Keys

from lossmeter.database import Database
from lossmeter.errors import StoreUnavailable
from lossmeter.keys import Key, SqlKeys, issue
from lossmeter.keys.key import TOKEN
from tests.support.service import serving
from tests.web.conftest import Browser, retype
from tests.web.keyboard import press_keys, tab_to
from tests.web.test_accessibility import in_both_lights, press
from tests.web.test_chinese import LEFT

HOSTILE = "<b onclick=alert(1)>ci</b>"
ROWS = "[...document.querySelectorAll('tr[data-key]')].map(row => [...row.children].map(cell => cell.textContent))"
READY = "document.querySelector('section[aria-label=Routes] td')"


class Guarded(NamedTuple):
    """A server that lets this machine in without a key, and keys for it."""

    url: str
    admin: str
    reader: str


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    store_url = f"sqlite:///{tmp_path_factory.mktemp('keys')}/runs.sqlite"
    database = Database(store_url)
    tokens = []
    for scope in ("admin", "runs:read"):
        key, token = issue(f"a {scope}", [scope])
        SqlKeys(database).add(key)
        tokens.append(token)
    database.close()
    with serving(store_url=store_url) as url:
        yield Guarded(url, *tokens)


def entered(browser: Browser, guarded: Guarded, token: str, ready: str = READY) -> None:
    """Opens the page with a key."""
    browser.open(guarded.url)
    browser.driver.execute_script("sessionStorage.setItem('lossmeter.key', arguments[0])", token)
    browser.open(f"{guarded.url}/#/service")
    browser.wait(ready)


def complaints(browser: Browser) -> list[str]:
    """What went wrong on the page, but for refusals, which the browser tells too."""
    return [error for error in browser.errors() if "401" not in error and "403" not in error and "422" not in error]


def test_a_key_is_made_shown_once_and_revoked(browser: Browser, guarded: Guarded) -> None:
    browser.open(f"{guarded.url}/#/service")
    browser.driver.execute_script("sessionStorage.clear()")
    browser.open(f"{guarded.url}/#/service")
    press(browser, "Manage keys")
    browser.wait("document.querySelector('#key')").send_keys(guarded.admin + Keys.ENTER)
    browser.wait("document.querySelectorAll('tr[data-key]').length === 2")
    assert {row[0] for row in browser.run(ROWS)} == {"a admin", "a runs:read"}
    tab_to(browser.driver, "#key-name")
    press_keys(browser.driver, "x" * 201 + Keys.ENTER)
    browser.wait("document.querySelector('#key-name-error')")
    assert browser.run("document.querySelector('#key-name').getAttribute('aria-describedby')") == "key-name-error"
    retype(browser.driver.find_element("id", "key-name"), HOSTILE)
    tab_to(browser.driver, "#key-expires")
    press_keys(browser.driver, "30", Keys.TAB, "5")
    press(browser, "Make the key")
    token = browser.wait("document.querySelector('#token')?.textContent")
    assert TOKEN.fullmatch(token)
    headers = {"Authorization": f"Bearer {guarded.admin}"}
    made = httpx.get(f"{guarded.url}/v1/keys", headers=headers).json()["keys"][0]
    assert (made["name"], made["scopes"], made["requests_per_second"]) == (HOSTILE, ["evaluate"], 5.0)
    left = datetime.fromisoformat(made["expires"]) - datetime.now(UTC)
    assert 29.9 < left.total_seconds() / 86_400 < 30.1
    browser.wait("document.querySelectorAll('tr[data-key]').length === 3")
    assert [browser.run(ROWS)[0][cell] for cell in (0, 1, 2, 3, 6)] == [HOSTILE, made["id"], "good", "evaluate", "5"]
    assert browser.run("document.querySelectorAll('main b').length") == 0
    press(browser, "Hide it")
    browser.wait("!document.querySelector('#token')")
    assert token not in browser.run("document.documentElement.outerHTML")
    row = 'tr[data-key="{id}"]'.format(**made)
    tab_to(browser.driver, f"{row} button")
    press_keys(browser.driver, Keys.ENTER)
    assert HOSTILE in browser.wait(f"document.querySelector('{row} dialog[open] p').textContent")
    press_keys(browser.driver, Keys.ESCAPE)
    browser.wait("!document.querySelector('dialog[open]')")
    assert httpx.get(f"{guarded.url}/v1/keys", headers=headers).json()["keys"][0]["state"] == "good"
    press_keys(browser.driver, Keys.ENTER)
    browser.wait("document.querySelector('dialog[open]')")
    press_keys(browser.driver, Keys.ENTER)  # the first of the two buttons has the focus
    browser.wait(f"document.querySelector('{row}').children[2].textContent === 'revoked'")
    assert httpx.get(f"{guarded.url}/v1/keys", headers=headers).json()["keys"][0]["state"] == "revoked"
    assert browser.run(f"document.querySelectorAll('{row} button').length") == 0
    assert complaints(browser) == []


def test_a_token_stays_in_sight_though_the_list_is_refused(
    browser: Browser, guarded: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: SqlKeys) -> list[Key]:
        raise StoreUnavailable("It is away.")

    entered(browser, guarded, guarded.admin, "document.querySelector('tr[data-key]')")
    before = len(browser.run(ROWS))
    monkeypatch.setattr(SqlKeys, "all", away)
    browser.driver.find_element("id", "key-name").send_keys("ci")
    press(browser, "Make the key")
    assert browser.wait("document.querySelector('section[aria-label=Keys] > .error')?.textContent") == "It is away."
    assert TOKEN.fullmatch(browser.run("document.querySelector('#token')?.textContent"))
    assert len(browser.run(ROWS)) == before
    assert [error for error in complaints(browser) if "503" not in error] == []


def test_what_is_no_number_is_refused_and_not_left_out(browser: Browser, guarded: Guarded) -> None:
    entered(browser, guarded, guarded.admin, "document.querySelector('tr[data-key]')")
    headers = {"Authorization": f"Bearer {guarded.admin}"}
    before = httpx.get(f"{guarded.url}/v1/keys", headers=headers).json()
    browser.driver.find_element("id", "key-name").send_keys("ci")
    for field in ("expires", "requests_per_second"):
        typed = browser.driver.find_element("id", f"key-{field}")
        typed.send_keys("1e")
        assert browser.run("arguments[0].validity.badInput", typed)
        press(browser, "Make the key")
        told = browser.wait(f"document.querySelector('#key-{field}-error')?.textContent")
        assert told == "This is not a number."
        retype(typed, "30")
    assert httpx.get(f"{guarded.url}/v1/keys", headers=headers).json() == before
    press(browser, "Make the key")
    browser.wait("document.querySelector('#token')")
    made = httpx.get(f"{guarded.url}/v1/keys", headers=headers).json()["keys"][0]
    assert (made["name"], made["requests_per_second"], made["expires"] is None) == ("ci", 30.0, False)
    assert complaints(browser) == []


def test_the_key_in_use_is_marked_and_its_end_warned_of(browser: Browser, guarded: Guarded) -> None:
    entered(browser, guarded, guarded.admin, "document.querySelector('tr[data-key]')")
    own = guarded.admin.split("_")[1]
    assert [row[1] for row in browser.run(ROWS) if "this key" in row[1]] == [f"{own} (this key)"]
    warned = "[...document.querySelectorAll('tr[data-key] dialog')].filter(one => one.querySelector('.error'))"
    assert browser.run(f"{warned}.map(one => one.closest('tr').dataset.key)") == [own]


def test_whoever_may_not_manage_keys_sees_nothing_of_them(browser: Browser, guarded: Guarded) -> None:
    entered(browser, guarded, guarded.reader)
    browser.wait("Number(document.querySelector('main').dataset.readings) > 1")
    assert "Manage keys" not in browser.run("document.querySelector('main').textContent")
    assert browser.run("document.querySelectorAll('section[aria-label=Keys], tr[data-key]').length") == 0
    with serving(auth="off") as url:
        browser.open(f"{url}/#/service")
        browser.wait("Number(document.querySelector('main').dataset.readings) > 1")
        press(browser, "Manage keys")
        assert "LOSSMETER_AUTH=off" in browser.wait("document.querySelector('main > .note')?.textContent")
    assert complaints(browser) == []


def test_the_keys_break_no_rule_and_are_in_chinese(browser: Browser, guarded: Guarded) -> None:
    browser.driver.set_script_timeout(60)
    browser.emulate(prefers_color_scheme="light")
    entered(browser, guarded, guarded.admin, "document.querySelector('tr[data-key]')")
    try:
        press(browser, "Make the key")
        browser.wait("document.querySelector('#key-name-error')")
        found = {"refused": in_both_lights(browser)}
        browser.driver.find_element("id", "key-name").send_keys("axe")
        press(browser, "Make the key")
        browser.wait("document.querySelector('#token')")
        found["made"] = in_both_lights(browser)
        press(browser, "Revoke")
        browser.wait("document.querySelector('dialog[open]')")
        found["question"] = in_both_lights(browser)
        assert found == {place: [] for place in found}
        screen = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
        browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        assert browser.run("document.documentElement.scrollWidth <= innerWidth")
        browser.driver.execute_script("localStorage.setItem('lossmeter.language', 'zh')")
        browser.open(f"{guarded.url}/#/service")
        press(browser, "创建密钥")
        browser.wait("document.querySelector('#key-name-error') && document.querySelector('tr[data-key]')")
        browser.driver.execute_script("document.querySelector('#key-name-error').remove()")
        assert browser.run(LEFT) == []
    finally:
        browser.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.driver.execute_script("localStorage.clear()")
        browser.emulate()
    assert complaints(browser) == []
