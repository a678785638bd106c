"""The page of events, in a real browser: what was seen and when, and how it is corrected."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from edged.history.database import Database, Recorded
from edged.history.history import History
from edged.history.minutes import Minute
from edged.history.options import HistoryConfig
from edged.result import Event
from edged.web.options import HttpConfig
from edged.web.password import PasswordHash
from tests.rig.browser import CHROMIUM, Browser
from tests.rig.feed import showing
from tests.rig.four_cameras import FOURTEEN, write_a_day
from tests.rig.live import Views
from tests.rig.looks import faint, too_wide
from tests.rig.results import make_result
from tests.rig.teach_page import button
from tests.rig.teaching import FakeTeaching, jpeg

pytestmark = [
    pytest.mark.servers,
    pytest.mark.timeout(600),
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium"),
]
VIEWS: Views = {"lawn": {}, "street": {}}
ENTRIES = "document.querySelectorAll('.entry')"
LONG = "w" * 32
MARKUP = "<img src=x onerror=document.title='owned'>"
LABELS = ("ساحة انتظار السيارات الكبيرة", "大きなゴミ収集車が来ました", "x" * 80, MARKUP)


@contextmanager
def page(
    browser: Browser,
    folder: Path,
    path: str = "events",
    width: int = 1280,
    *,
    views: Views = VIEWS,
    teaching: FakeTeaching | None = None,
    http: HttpConfig | None = None,
    login: str = "",
    dark: bool = False,
) -> Iterator[str]:
    history = History(folder)
    history.follow(HistoryConfig(), ())
    cameras = {view.partition("/")[0]: 0 for view in views}
    try:
        with showing(views, *cameras, teaching=teaching, http=http, history=history) as (_, url):
            browser.size(width, 844, 1, dark=dark)
            browser.open(url.replace("//", f"//{login}") + path)
            browser.wait_for("document.getElementById('all')?.hidden === false")
            yield url
    finally:
        history.close(10)


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("day")
    write_a_day(folder)
    return folder


def hour(number: int) -> str:
    return f"document.getElementById('hours').children[{number}]"


def test_what_was_seen_at_two_in_the_afternoon(browser: Browser, day: Path) -> None:
    """Whole days are told, so the last 14 o'clock may be yesterday's."""
    with page(browser, day) as url:
        browser.wait_for(f"{ENTRIES}.length == 40")
        days = browser.value("[...document.querySelectorAll('#list h2')].map((it) => it.innerText)")
        # In the first half hour of a day nothing has been seen of it.
        assert days in (["Today"], ["Today", "Yesterday"], ["Yesterday"])
        now = datetime.now().astimezone()
        at = now.replace(hour=FOURTEEN, minute=0, second=0, microsecond=0).timestamp()
        at -= 86_400 if at + 3600 > time.time() else 0
        date = datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d")
        browser.value(
            f"$('date').value = '{date}'; $('date').dispatchEvent(new Event('change'));"
            f"$('time').value = '{FOURTEEN}:00'; $('time').dispatchEvent(new Event('change')); 0"
        )
        browser.wait_for("/lawn saw parachute 83 %/.test($('then').textContent)")
        assert browser.value("/street saw .*garbage truck/.test($('then').textContent)")
        assert browser.value(f"{hour(FOURTEEN)}.getAttribute('aria-pressed')") == "true"
        # One event each 36 minutes: one or two of this hour.
        browser.wait_for(f"{ENTRIES}.length > 0 && {ENTRIES}.length < 3")
        assert f"at={date}T{FOURTEEN}%3A00&hour=" in browser.value("location.search")
        browser.open(browser.value("location.href"))  # it can be kept and sent
        then = "document.getElementById('then')?.textContent"
        browser.wait_for(f"/lawn saw parachute 83 %/.test({then})")
        browser.click(button("Newest"))
        browser.wait_for(f"{ENTRIES}.length == 40")
        assert browser.value("location.href") == f"{url}events"
        assert browser.trouble == []


def test_hours_are_chosen_with_the_keyboard(browser: Browser, day: Path) -> None:
    with page(browser, day):
        browser.wait_for("document.querySelectorAll('.hour').length == 24")
        assert browser.value("document.querySelectorAll('.hour[tabindex=\"0\"]').length") == 1
        browser.value(f"{hour(3)}.focus(); 0")
        for key, to in (("ArrowRight", 4), ("End", 23), ("ArrowUp", 11), ("Home", 0)):
            browser.value(
                "document.activeElement.dispatchEvent(new KeyboardEvent('keydown',"
                f" {{ key: '{key}', bubbles: true }})); 0"
            )
            assert browser.value(f"document.activeElement === {hour(to)}")
        browser.stroke("Enter")
        browser.wait_for(f"{hour(0)}.getAttribute('aria-pressed') == 'true'")
        browser.wait_for("/00:00 to 01:00/.test($('then').textContent)")


def write_in_turn(folder: Path, count: int = 120, picture: bytes | None = None) -> None:
    """Events, one each minute: of the street, of the lawn, and so on."""
    now_ms = int(time.time() * 1000)
    database = Database(folder / "history.sqlite3", ())
    for number in range(count):
        view, name = ("lawn", "parachute") if number % 2 else ("street", "truck")
        began = (now_ms - 60_000 * (count - number)) * 1_000_000
        event = Event(view, name, began, began + 10**9, 0.9, picture, make_result(view=view))
        database.write([Recorded(event, (f"{name} class",))], [], HistoryConfig(), now_ms)
    database.close()


def test_events_are_filtered_and_paged(browser: Browser, tmp_path: Path) -> None:
    write_in_turn(tmp_path)
    with page(browser, tmp_path):
        browser.wait_for(f"{ENTRIES}.length == 50")
        browser.click(button("Show older"))
        browser.wait_for(f"{ENTRIES}.length == 100")
        focused = browser.value(f"[...{ENTRIES}].indexOf(document.activeElement)")
        assert focused == 50  # reading goes on there
        browser.click(button("Show older"))
        browser.wait_for(f"{ENTRIES}.length == 120 && $('more').hidden")
        browser.value("$('view').value = 'lawn'; $('view').dispatchEvent(new Event('change')); 0")
        browser.wait_for(f"{ENTRIES}.length == 50")
        assert browser.value("[...new Set([...found.values()].map((it) => it.camera))].join()") == (
            "lawn"
        )
        browser.value(
            "$('what').value = 'class:truck class'; $('what').dispatchEvent(new Event('change')); 0"
        )
        browser.wait_for("!$('none').hidden")
        assert browser.value("$('none').textContent") == "No such event was kept."
        assert browser.trouble == []


def test_older_events_of_another_choice_are_not_shown(browser: Browser, tmp_path: Path) -> None:
    write_in_turn(tmp_path)
    with page(browser, tmp_path):
        browser.wait_for(f"{ENTRIES}.length == 50")
        # In one turn: they are asked for, and the choice changes before they come.
        browser.value(
            "window.older = showOlder();"
            "$('view').value = 'lawn'; $('view').dispatchEvent(new Event('change')); older"
        )
        browser.wait_for(f"{ENTRIES}.length > 0 && [...found.values()].some((it) => it.id > 100)")
        views = "[...found.values()].map((it) => it.camera)"
        assert browser.value(views) == ["lawn"] * 50
        assert browser.trouble == []


def test_an_event_is_corrected_and_deleted(browser: Browser, day: Path) -> None:
    teaching = FakeTeaching("lawn")
    teaching.taught("sky", view="lawn", classes=("ball", "parachute"))
    teaching.asked.clear()
    with page(browser, day, teaching=teaching) as url:
        browser.wait_for(f"{ENTRIES}.length == 40")
        with_picture = f"[...{ENTRIES}].find((it) => it.querySelector('img'))"
        browser.value(f"{with_picture}.focus(); 0")
        browser.stroke("Enter")
        browser.wait_for("$('event').open && !$('correct').hidden")
        assert browser.value("$('event-title').textContent") == "parachute in lawn"
        browser.wait_for("$('event').querySelector('img').naturalWidth > 0")
        options = browser.value("[...$('right').options].map((it) => it.textContent)")
        assert options == ["ball", "parachute", "none"]
        browser.value("$('right').value = 'ball'; 0")
        browser.click(button("Correct"))
        browser.wait_for("/Corrected to ball/.test($('corrected').textContent)")
        browser.wait_for(f"/corrected to ball/.test({with_picture}.textContent)")
        assert [call[0] for call in teaching.asked] == ["correct"]

        number = browser.value("location.hash.slice(1)")
        browser.click(button("Delete"))
        browser.wait_for("$('question').open")
        browser.click(button("Delete", "$('question')"))
        browser.wait_for(f"!$('event').open && {ENTRIES}.length == 39")
        assert browser.trouble == []
        browser.open(f"{url}events#{number}")  # nothing to open
        browser.wait_for(f"{ENTRIES}.length == 39")
        assert not browser.value("$('event').open")


def test_an_event_offers_nothing_of_the_one_before(browser: Browser, tmp_path: Path) -> None:
    """Neither before the device has answered, nor where it does not answer."""
    write_in_turn(tmp_path, 2, jpeg(1))
    teaching = FakeTeaching("lawn", "street")
    teaching.taught("sky", view="lawn", classes=("ball", "parachute"))
    lawn, street = (f"{ENTRIES}[{number}]" for number in range(2))
    offers = (
        "[$('event-title').textContent, $('event').open, $('delete').disabled,"
        "...['correct', 'cannot-correct', 'barred'].map((id) => $(id).hidden)]"
    )
    may_delete = "!$('delete').disabled"
    nothing = ["truck in street", True, True, True, True, True]
    with page(browser, tmp_path, teaching=teaching):
        browser.wait_for(f"{ENTRIES}.length == 2")
        browser.value(f"{lawn}.click(); 0")
        browser.wait_for(f"!$('correct').hidden && {may_delete}")
        close(browser)
        # In one turn: the device has not answered.
        assert browser.value(f"{street}.click(); {offers}") == nothing
        browser.wait_for(f"!$('cannot-correct').hidden && {may_delete}")
        assert browser.value("$('correct').hidden")
        close(browser)
        browser.value(f"{lawn}.click(); 0")
        browser.wait_for(f"!$('correct').hidden && {may_delete}")
        close(browser)
    browser.value(f"{street}.click(); 0")
    browser.wait_for("/^No answer/.test($('failed').textContent) && !$('failed').hidden")
    assert browser.value(offers) == nothing


def close(browser: Browser) -> None:
    """The dialog of an event."""
    browser.value("$('event').close(); 0")
    browser.wait_for("shownEvent === null")


def test_who_may_only_read_changes_nothing(browser: Browser, day: Path) -> None:
    password = PasswordHash.parse(str(PasswordHash.of("geheim")))
    http = HttpConfig("127.0.0.1", 0, users={"anna": password})
    with page(browser, day, http=http, login="anna:geheim@"):
        browser.wait_for(f"{ENTRIES}.length > 0")
        browser.value("document.querySelector('.entry').click(); 0")
        browser.wait_for("!$('barred').hidden")
        said = "Reading only: anna may only read; see http.may.control in the configuration"
        assert browser.value("$('barred').textContent") == said
        assert browser.value("$('delete').disabled && $('correct').hidden")
    may = replace(http, may={"control": frozenset({"anna"})})
    with page(browser, day, http=may, login="anna:geheim@"):
        browser.wait_for(f"{ENTRIES}.length > 0")
        browser.value("document.querySelector('.entry').click(); 0")
        browser.wait_for("$('event').open && !$('delete').disabled && $('barred').hidden")


@pytest.mark.parametrize("path", ["", "events"])
def test_without_a_history_it_says_how_to_keep_one(browser: Browser, path: str) -> None:
    with showing(VIEWS, "lawn", "street") as (_, url):
        browser.open(url + path)
        browser.wait_for("document.getElementById('past')?.hidden === false")
        assert "set history: {days: 30} in edged.yaml" in browser.value("$('past').textContent")
        assert browser.value("document.querySelectorAll('.day:not([hidden])').length") == 0


@pytest.mark.parametrize("path", ["", "events"])
def test_sixteen_views_with_long_names_and_labels_of_all_scripts_fit(
    browser: Browser, tmp_path: Path, path: str
) -> None:
    """Labels may also be hostile."""
    names = [f"{LONG}/v{'m' * 30}{chr(97 + number)}" for number in range(16)]
    now_ms = int(time.time() * 1000) // 60_000 * 60_000
    database = Database(tmp_path / "history.sqlite3", ())
    for number, view in enumerate(names):
        label = LABELS[number % len(LABELS)]
        minutes = [
            Minute(view, now_ms - 60_000 * ago, 10, 0, 0, 9.0, None, 0.8, 0.9, {label: 9}, 1)
            for ago in range(1, 120, 10)
        ]
        began = (now_ms - 3_600_000) * 1_000_000
        event = Event(view, "e" * 32, began, None, 0.9, jpeg(number), make_result(view=view))
        database.write([Recorded(event, (label,))], minutes, HistoryConfig(), now_ms)
    database.close()
    views: Views = {name: {"roi": (0.1, 0.1, 0.2, 0.2)} for name in names}
    for width, dark in ((320, False), (390, True), (1280, False)):
        with page_of(browser, tmp_path, path, width, views, dark=dark):
            details = "document.querySelectorAll('details')"
            browser.value(f"{details}.forEach((it) => {{ it.open = true }}); 0")
            assert too_wide(browser, width) == []
            assert faint(browser) == []
            assert browser.value("document.querySelectorAll('[onerror]').length") == 0
            assert browser.value("document.title") != "owned"
            assert browser.trouble == []


@contextmanager
def page_of(
    browser: Browser, folder: Path, path: str, width: int, views: Views, *, dark: bool
) -> Iterator[None]:
    """The events, or the overview once it shows the past of a view."""
    history = History(folder)
    history.follow(HistoryConfig(), ())
    try:
        with showing(views, LONG, history=history) as (feed, url):
            feed.label = LABELS[0]
            browser.size(width, 844, 1, dark=dark)
            browser.open(url + path)
            shown = "document.getElementById('all')?.hidden === false"
            ready = (
                f"{shown} && {ENTRIES}.length == 16"
                if path
                else "!!document.querySelector('.thumbs img')"
            )
            browser.wait_for(ready)
            yield
            browser.forget()  # before the server goes
    finally:
        history.close(10)
