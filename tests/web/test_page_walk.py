"""A walk through the pages of a home with four cameras, in a real browser beside a real daemon: one
camera is away, one is too slow, one sees events, one is quiet.

    EDGED_SCREENSHOTS=docs/pictures python -m pytest tests/web/test_page_walk.py -k pictures

makes the pictures in docs/pictures again; the day before was written by tests/rig/four_cameras.py.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from PIL import Image, ImageStat

from tests.rig.axe import script, violations
from tests.rig.browser import CHROMIUM, Browser, save
from tests.rig.daemon import RunningDaemon
from tests.rig.four_cameras import FOURTEEN, config, write_a_day
from tests.rig.looks import faint, small, too_wide

pytestmark = [
    pytest.mark.long,
    pytest.mark.servers,
    pytest.mark.timeout(900),
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium"),
]

PAGES = ("", "events", "teach", "device")
CLOCK = r"\d\d:\d\d"
READY = {
    "": "document.querySelectorAll('.thumbs img').length >= 3"
    " && !!document.querySelector('[data-camera=street] .given:not([hidden])')"
    " && document.querySelectorAll('article figure img:not([hidden])').length == 3",
    "events": "document.querySelectorAll('.entry').length >= 40"
    " && document.querySelectorAll('.hour').length == 24",
    "teach": "document.getElementById('begin')?.hidden === false",
    "device": "!!document.querySelector('#profile .plot circle.worth')",
}
"""By page, whether it shows all that it will."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDaemon]:
    folder = tmp_path_factory.mktemp("home")
    write_a_day(folder / "state")
    shots = os.environ.get("EDGED_SCREENSHOTS") is not None
    text = config(budget_ms=400, slow_ms=12) if shots else config(budget_ms=1000)
    with RunningDaemon(folder, text) as daemon:
        yield daemon


def show(browser: Browser, home: RunningDaemon, path: str = "") -> None:
    """Wait until the page shows all that it has."""
    browser.open(f"http://127.0.0.1:{home.port}/{path}")
    browser.wait_for("document.readyState == 'complete' && typeof shownStatus != 'undefined'")
    # Cards load their past and their pictures when they come into sight.
    down = "scrollTo(0, scrollY + innerHeight >= document.body.scrollHeight ? 0 : scrollY + 300)"
    browser.wait_for(f"{down}, {READY[path]}", 120)
    browser.value("scrollTo(0, 0)")


def card(name: str, selector: str) -> str:
    return f"document.querySelector('[data-camera={name}] {selector}')"


def text(element: str) -> str:
    return f"{element}.textContent"


def test_the_overview_tells_a_newcomer_what_is_wrong(browser: Browser, home: RunningDaemon) -> None:
    show(browser, home)
    said = text("document.querySelector('h1')")
    # Is all well? Which camera is away, since when, and why?
    browser.wait_for(rf"/^garage is away since {CLOCK} .*Connection refused$/.test({said})")
    assert browser.value("document.getElementById('verdict').className") == "bad"
    assert "switched on" in browser.value(text("document.getElementById('advice')"))
    browser.wait_for(
        f"/^street misses its budget: 0 % on time/.test({text('$(`troubles`).firstElementChild')})"
    )
    cards = browser.value(
        "[...document.querySelectorAll('article')].map((it) => it.dataset.camera)"
    )
    assert cards[:2] == ["garage", "street"]  # trouble first
    assert browser.value(text(card("garage", ".state"))) == "away"
    assert "Connection refused" in browser.value(text(card("garage", ".error")))
    # What accuracy is given up, since when, and why?
    given = browser.value(text(card("street", ".given")))
    assert "% instead of 87 % accuracy since " in given and ", because " in given
    # What was seen?
    assert browser.value(text(card("lawn", ".legend"))).startswith("golf ball")
    browser.click(card("lawn", ".hourly summary"))
    hours = browser.value(
        f"[...{card('lawn', '.hourly table')}.rows].map((it) => it.textContent)"
        f".filter((it) => /{FOURTEEN}:00/.test(it))"
    )
    assert any("parachute 83 %" in each for each in hours), hours
    # Its frames that were dropped, in words.
    browser.wait_for(
        f"/Since the start: .* were older than the budget/.test({text(card('street', '.dropped'))})"
    )
    quiet = f"/Not looked at, as configured: .* no motion/.test({text(card('hall', '.dropped'))})"
    browser.wait_for(quiet)
    failed = [each for each in browser.trouble if "garage/snapshot.jpg" not in each]
    assert failed == []


def test_numbers_are_on_the_axis_of_latency(browser: Browser, home: RunningDaemon) -> None:
    browser.size(1280, 900, 1)
    show(browser, home)
    chart = card("lawn", ".chart")
    browser.wait_for(f"!!{chart}.querySelector('.limit')")
    numbers = browser.value(f"[...{chart}.querySelectorAll('text')].map((it) => it.textContent)")
    assert "0 ms" in numbers and "1000" in numbers and "now" in numbers
    assert "The budget is 1000" in browser.value(f"{chart}.getAttribute('aria-label')")


@pytest.mark.parametrize("path", PAGES)
def test_a_page_suits_a_phone_and_the_dark(
    browser: Browser, home: RunningDaemon, path: str
) -> None:
    for width, dark in ((320, False), (390, True), (1280, False), (1280, True)):
        browser.size(width, 844, 1, dark=dark)
        show(browser, home, path)
        browser.value("document.querySelectorAll('details').forEach((it) => { it.open = true }); 0")
        assert too_wide(browser, width) == []
        assert faint(browser) == []
        assert small(browser, 24, "a[href]:not(p > a, li > a, dd > a, .skip)") == []
        assert small(browser, 24, "button, select, input:not([type=file], .one), summary") == []


@pytest.mark.parametrize("path", PAGES)
def test_axe_finds_nothing_serious(browser: Browser, home: RunningDaemon, path: str) -> None:
    axe = script()
    for dark in (False, True):
        browser.size(1280, 900, 1, dark=dark)
        show(browser, home, path)
        found = violations(browser, axe)
        assert [each for each in found if each[0] in ("serious", "critical")] == []


def test_the_keyboard_reaches_content_and_pages_and_shows_where_it_is(
    browser: Browser, home: RunningDaemon
) -> None:
    show(browser, home)
    reached = []
    while len(reached) < 8:
        browser.stroke("Tab")
        outlined = "getComputedStyle(document.activeElement).outlineStyle != 'none'"
        assert browser.value(outlined)
        reached.append(browser.value("document.activeElement.textContent.trim()"))
    pages = ["Overview", "Events", "Teach", "Device"]
    assert reached[:5] == ["Skip to the content", *pages]
    browser.value("document.querySelector('.skip').focus(); 0")
    browser.stroke("Enter")
    browser.wait_for("document.activeElement.id == 'main'")


def test_nobody_watches_a_page_out_of_sight(browser: Browser, home: RunningDaemon) -> None:
    """What asks the device waits until the page is in sight again."""
    show(browser, home)
    browser.value(
        "window.asks = 0; const real = window.fetch;"
        "window.fetch = (...all) => { asks++; return real(...all); };"
        "Object.defineProperty(document, 'hidden', { get: () => window.away, configurable: true });"
        "window.away = true; document.dispatchEvent(new Event('visibilitychange')); 0"
    )
    browser.value("sleep(1500)")  # what was asked before is answered
    before = browser.value("asks")
    browser.value("sleep(4000)")
    assert browser.value("asks") == before
    browser.value("away = false; document.dispatchEvent(new Event('visibilitychange')); 0")
    browser.wait_for(f"asks > {before} + 3")


def test_only_cameras_in_sight_are_asked_for_pictures(
    browser: Browser, home: RunningDaemon
) -> None:
    browser.size(390, 500, 1)
    browser.open(f"http://127.0.0.1:{home.port}/")
    browser.wait_for("document.querySelectorAll('article').length == 4")
    browser.wait_for("[...cameras.values()].filter((it) => it.inSight).length == 1")
    browser.value(
        "window.paths = []; const real = window.fetch;"
        "window.fetch = (url, ...rest) => { paths.push(String(url)); return real(url, ...rest); };"
        "scrollTo(0, document.body.scrollHeight); 0"
    )
    browser.wait_for("!cameras.get('street').inSight && cameras.get('hall').inSight")
    browser.value("sleep(3000)")  # what was asked before is answered
    browser.value("paths.length = 0")
    browser.wait_for("paths.some((it) => /hall.snapshot/.test(it)) && paths.length > 10")
    asked = {each.split("/")[-2] for each in browser.value("paths") if "snapshot" in each}
    assert "street" not in asked


def test_a_viewer_in_another_zone_is_told(browser: Browser, home: RunningDaemon) -> None:
    """Charts and lists have the viewer's time, the device's sentences its own."""
    show(browser, home)
    assert browser.value("document.getElementById('zone').hidden")
    browser.call("Emulation.setTimezoneOverride", timezoneId="Asia/Kathmandu")  # UTC+05:45
    try:
        here = datetime.now().astimezone()
        show(browser, home, "events")
        browser.wait_for("!document.getElementById('zone').hidden")
        said = browser.value("document.getElementById('zone').textContent")
        assert re.match(rf"On the device it is {CLOCK} \(UTC\{here:%z}"[:-2], said), said
        there = here.astimezone(timezone(timedelta(hours=5, minutes=45)))
        marked = browser.value(
            "document.querySelector('.hour[tabindex=\"0\"] .number').textContent"
        )
        assert int(marked) in (there.hour, (there.hour + 1) % 24)
    finally:
        browser.call("Emulation.setTimezoneOverride", timezoneId="")


def test_pictures_of_the_pages(browser: Browser, home: RunningDaemon) -> None:
    """At a desk in the light, on a phone in the dark."""
    folder = os.environ.get("EDGED_SCREENSHOTS")
    if folder is not None:  # minutes of latency to be seen
        show(browser, home)
        browser.wait_for("(window.begun ??= Date.now()) < Date.now() - 200_000", 300)
    for path in PAGES:
        name = path or "overview"
        for width, height, scale, dark in ((1280, 1200, 1, False), (390, 844, 2, True)):
            browser.size(width, height, scale, dark=dark)
            show(browser, home, path)
            browser.value("sleep(3500)")
            taken = browser.screenshot()
            if folder is not None:
                kind = "phone" if dark else "desktop"
                save(taken, Path(folder) / f"page-{name}-{kind}.webp")
            with Image.open(io.BytesIO(taken)) as image:
                assert image.size == (width * scale, height * scale)
                assert (ImageStat.Stat(image.convert("L")).median[0] < 128) == dark
