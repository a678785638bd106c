"""Switches on the overview, in a real browser beside a real daemon."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from edged.web.password import PasswordHash
from tests.rig.axe import script, violations
from tests.rig.browser import CHROMIUM, Browser, page_config
from tests.rig.daemon import RunningDaemon
from tests.rig.looks import faint, small, too_wide
from tests.rig.rules import ANY

pytestmark = [
    pytest.mark.servers,
    pytest.mark.timeout(600),
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium"),
]

LONG = "a" * 32
CAMERAS = (
    "door: {source: 'synthetic:320x240@10'}, yard: {source: 'synthetic:320x240@10',"
    f" views: {{gate: {{roi: [0, 0, 0.5, 1]}}, {LONG}: {{roi: [0.5, 0, 0.5, 1]}}}}}}"
)
EVENTS = f"events: {{visitor: {{{ANY}}}, {LONG}: {{{ANY}}}}}\n"
DOOR = "document.querySelector('[data-camera=door]')"
GATE = "document.querySelector('[data-view=gate]')"
VISITOR = "document.querySelector('#rules [data-key=visitor]')"
CLOCK = r"\d\d:\d\d"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDaemon]:
    folder = tmp_path_factory.mktemp("home")
    with RunningDaemon(folder, page_config(cameras=CAMERAS) + EVENTS) as daemon:
        yield daemon


def button(place: str, number: int = 0) -> str:
    return f"{place}.querySelectorAll('.switch button')[{number}]"


def said(place: str) -> str:
    return f"{place}.querySelector('.switched').textContent"


def show(browser: Browser, daemon: RunningDaemon) -> None:
    browser.open(f"http://127.0.0.1:{daemon.port}/")
    browser.wait_for("typeof maySwitch != 'undefined' && maySwitch")
    for place in (DOOR, GATE, VISITOR):
        browser.wait_for(f"{place} && !{button(place)}.hidden && {button(place)}.offsetHeight > 0")


def test_buttons_switch_and_the_page_says_who_and_when(
    browser: Browser, daemon: RunningDaemon
) -> None:
    show(browser, daemon)
    browser.wait_for(f"{DOOR}.querySelector('.state').textContent == 'live'")
    assert browser.value(said(DOOR)) == ""
    browser.click(button(DOOR))
    browser.wait_for(f"/^Switched off: page on loopback, {CLOCK}.$/.test({said(DOOR)})")
    browser.wait_for(f"{DOOR}.querySelector('.state').textContent == 'off'")
    browser.wait_for(f"{DOOR}.querySelector('.top').textContent == 'off'")
    browser.wait_for(f"{DOOR}.querySelector('img').hidden")
    browser.wait_for("$('headline').textContent.includes('door is switched off')")
    assert browser.value(f"{button(DOOR)}.textContent") == "Switch on"
    browser.click(button(GATE, 1))
    browser.wait_for(
        f"/^Snoozed until {CLOCK}: page on loopback, {CLOCK}.$/.test({said(GATE)})"
        f" || /^Snoozed until .*, {CLOCK}: page on/.test({said(GATE)})"  # tomorrow
    )
    browser.click(button(VISITOR))
    browser.wait_for(f"{said(VISITOR)}.startsWith('Switched off: page on loopback')")
    assert "event visitor: switched off (page on loopback)" in daemon.text
    for place in (DOOR, GATE, VISITOR):
        browser.click(button(place))
        browser.wait_for(f"/^Switched on: page on loopback, {CLOCK}.$/.test({said(place)})")
    browser.wait_for(f"{DOOR}.querySelector('.state').textContent == 'live'")
    browser.value(f"{DOOR}.scrollIntoView(); 0")  # a card that is out of sight shows no new picture
    browser.wait_for(f"!{DOOR}.querySelector('img').hidden")
    assert [each for each in browser.trouble if "snapshot.jpg" not in each] == []


def test_a_keyboard_is_enough_and_a_screen_reader_hears_it(
    browser: Browser, daemon: RunningDaemon
) -> None:
    show(browser, daemon)
    names = f"[...{GATE}.querySelectorAll('.switch button')].map((each) => each.ariaLabel)"
    assert browser.value(names) == ["Switch off: yard/gate", "Snooze 1 h: yard/gate"]
    browser.value(f"{button(GATE)}.focus(); 0")
    for key, what in (("Enter", "/^Switched off/"), (" ", "/^Switched on/")):
        browser.stroke(key)
        browser.wait_for(f"{what}.test({said(GATE)})")
        assert browser.value(f"document.activeElement === {button(GATE)}")
    assert browser.value(f"{GATE}.querySelector('.switched').role") == "status"
    assert browser.value(f"{GATE}.querySelector('.switch .error').role") == "alert"


def test_it_suits_a_phone_and_the_dark(browser: Browser, daemon: RunningDaemon) -> None:
    axe = script()
    for width, dark in ((320, False), (390, True), (1280, False)):
        browser.size(width, 844, 1, dark=dark)
        show(browser, daemon)
        places = [DOOR, f"document.querySelector('[data-view={LONG}]')", VISITOR]
        for place in places:
            browser.value(f"{button(place, 1)}.click(); 0")  # cards move when they come into sight
            browser.wait_for(f"/^Snoozed/.test({said(place)})")
        assert too_wide(browser, width) == []
        assert faint(browser) == []
        assert small(browser, 44, ".switch button") == []
        assert violations(browser, axe) == []
        for place in places:
            browser.value(f"{button(place)}.click(); 0")
            browser.wait_for(f"/^Switched on/.test({said(place)})")


def test_who_may_not_switch_sees_what_is_off_and_no_buttons(
    tmp_path: Path, browser: Browser
) -> None:
    hashed = PasswordHash.of("hunter2hunter2")
    users = f"users: {{anna: '{hashed}', bert: '{hashed}'}}, may: {{control: [anna]}}"
    text = page_config(cameras=CAMERAS).replace("{listen", f"{{{users}, listen")

    def login(name: str) -> str:
        credentials = base64.b64encode(f"{name}:hunter2hunter2".encode()).decode()
        return f"Basic {credentials}"

    with RunningDaemon(tmp_path, text + EVENTS) as daemon:
        home = f"http://127.0.0.1:{daemon.port}/"
        for name, may in (("anna", True), ("bert", False)):
            headers = {"Authorization": login(name)}
            browser.call("Network.setExtraHTTPHeaders", headers=headers)
            browser.open("about:blank")
            browser.open(home)
            browser.wait_for(f"{DOOR} && {DOOR}.querySelector('.state').textContent != ''")
            if may:
                browser.wait_for(f"!{button(DOOR)}.hidden")
                browser.click(button(DOOR))
            browser.wait_for(f"{said(DOOR)}.startsWith('Switched off: page by anna')")
            if not may:
                browser.wait_for("asked.size > 2")
                shown = "document.querySelectorAll('.switch button:not([hidden])').length"
                assert browser.value(shown) == 0
        browser.call("Network.setExtraHTTPHeaders", headers={})
        assert "camera door: switched off (page by anna)" in daemon.text
