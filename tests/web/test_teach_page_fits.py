"""The page that teaches for everybody: on a phone, in the dark, for readers, and not for others."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from edged.errors import EdgedError
from edged.web.options import HttpConfig
from edged.web.password import PasswordHash
from tests.rig.browser import CHROMIUM, Browser
from tests.rig.feed import showing
from tests.rig.http_server import answering
from tests.rig.live import Views
from tests.rig.looks import faint, small, too_wide
from tests.rig.teach_page import VIEWS, button, measured_ms, page
from tests.rig.teaching import FakeTeaching
from tests.rig.waiting import eventually

pytestmark = [
    pytest.mark.servers,
    pytest.mark.timeout(600),
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium"),
]
DONE = "document.querySelectorAll('#report .plot').length == 2"
LONG = "w" * 32
LONG_CLASSES = ("warehouse door that stands wide open", "o" * 60, "c", "d", "e")


def taught(*classes: str, view: str = "yard/gate", name: str = "gate") -> FakeTeaching:
    """With everything that the page can show at once."""
    teaching = FakeTeaching(view, "yard/bin")
    teaching.taught(name, view=view, classes=classes or ("open", "closed"))
    teaching.add(name, None, "unlike anything taught", pictures=9)
    teaching.answer(name, (classes or ("open",))[0], 0.93)
    teaching.deploy(name, 1)
    teaching.taught(name)
    teaching.asked.clear()
    return teaching


def everything(browser: Browser) -> None:
    """Open what is folded, and show the undo."""
    browser.wait_for(DONE)
    browser.value("document.querySelectorAll('details').forEach((it) => { it.open = true }); 0")
    browser.wait_for("document.querySelectorAll('#moments img').length > 0")
    browser.value("toast('Labelled open.', async () => {}); 0")


@pytest.mark.parametrize("width", [320, 360, 390])
def test_nothing_is_wider_than_a_phone(browser: Browser, width: int) -> None:
    views: Views = {f"{LONG}/{LONG}": {"roi": (0.0, 0.2, 0.25, 0.5), "measured_ms": measured_ms}}
    teaching = taught(*LONG_CLASSES, view=f"{LONG}/{LONG}", name=LONG)
    with page(browser, teaching, width=width, views=views):
        everything(browser)
        assert too_wide(browser, width) == []
        assert small(browser, 40, "button, .button, summary") == []  # for a finger
        browser.value("location.hash = '+'; 0")
        browser.wait_for("!document.getElementById('begin').hidden")
        assert browser.value("document.documentElement.scrollWidth") == width
        assert browser.trouble == []


def test_the_picture_stays_in_sight_while_a_class_is_shown(browser: Browser) -> None:
    with page(browser, taught(), width=390):
        browser.wait_for("!!document.querySelector('#live img:not([hidden])')")
        browser.place("document.querySelectorAll('.hold')[2]")
        assert browser.value(
            "(({ top, bottom }) => top >= 0 && bottom <= innerHeight)"
            "(document.querySelector('#live figure').getBoundingClientRect())"
        )
        covered = browser.value(
            "(({ left, top, width, height }) =>"
            " document.elementFromPoint(left + width / 2, top + height / 2).className)"
            "(document.querySelectorAll('.hold')[2].getBoundingClientRect())"
        )
        assert covered == "hold"


@pytest.mark.parametrize("dark", [False, True])
def test_every_text_stands_out_from_its_ground(browser: Browser, dark: bool) -> None:
    with page(browser, taught(), dark=dark):
        everything(browser)
        assert faint(browser, 100) == []
        held = "document.querySelector('.hold')"
        browser.press(held)
        browser.wait_for(f"/^Recording/.test({held}.textContent)")
        assert faint(browser, 100) == []
        browser.release(held)


def test_the_keyboard_reaches_everything_and_shows_where_it_is(browser: Browser) -> None:
    with page(browser, taught()):
        everything(browser)
        reached: list[str] = []
        while True:
            browser.stroke("Tab")
            if browser.value("document.activeElement === document.body"):
                break
            reached.append(
                browser.value("document.activeElement.outerHTML.replaceAll(/data-shown.*/g, '')")
            )
            outlined = browser.value(
                "[document.activeElement, document.activeElement.closest('.button')].some((it) =>"
                " it !== null && getComputedStyle(it).outlineStyle !== 'none')"
            )
            assert outlined, reached[-1]
            assert len(reached) < 1000
        count = browser.value(
            "[...document.querySelectorAll('a[href], button, select, input, summary, .scroll')]"
            ".filter((it) => it.checkVisibility() && !it.disabled).length"
        )
        assert len(reached) == count


class Refusing(FakeTeaching):
    """It does not record what is open."""

    def record(
        self, name: str, label: str, seconds: float, moment: str | None = None
    ) -> dict[str, Any]:
        if label == "open":
            raise EdgedError("the camera is away")
        return super().record(name, label, seconds, moment)


def test_a_failure_ends_no_hold_that_began_meanwhile(browser: Browser) -> None:
    teaching = Refusing("yard/gate")
    teaching.taught("gate", view="yard/gate")
    in_item = "document.querySelector('#classes > [data-key={}] {}').textContent"
    with page(browser, teaching):
        browser.wait_for(DONE)
        # In one turn: no answer comes between them.
        browser.value(
            "for (const label of ['open', 'closed']) document.querySelector("
            "`#classes > [data-key=${label}] .hold`)"
            ".dispatchEvent(new KeyboardEvent('keydown', { key: ' ' })); 0"
        )
        browser.wait_for(f"{in_item.format('open', '.said')} == 'the camera is away'")
        assert browser.value("held?.label") == "closed"
        before = len(teaching.asked)
        eventually(lambda: len(teaching.asked) >= before + 2)  # the end of a hold would be one
        browser.value("release(); 0")
        browser.wait_for(f"{in_item.format('closed', '.hold')} == 'Hold to show closed'")


def test_a_screen_reader_finds_its_way(browser: Browser) -> None:
    with page(browser, taught()):
        browser.wait_for(DONE)
        browser.call("Accessibility.enable")
        nodes = browser.call("Accessibility.getFullAXTree")["nodes"]
        browser.call("Accessibility.disable")
        found = [
            (node["role"]["value"], node.get("name", {}).get("value", ""), node)
            for node in nodes
            if not node.get("ignored")
        ]
        levels = [
            (name, property["value"]["value"])
            for role, name, node in found
            if role == "heading"
            for property in node["properties"]
            if property["name"] == "level"
        ]
        assert {("Teach", 1), ("gate ● version 1 runs", 2), ("Seen (1)", 2)} <= set(levels)
        assert {("Show it each class", 3), ("open", 4), ("Confusions", 3)} <= set(levels)
        names = [name for role, name, _ in found if role == "heading"]
        assert {"What it learned", "Moments"} <= set(names)
        assert [name for role, name, _ in found if role == "navigation"] == [
            *("Pages", "Classifiers")
        ]
        for role in ("button", "link", "textbox", "combobox", "image", "img", "region"):
            nameless = [node for kind, name, node in found if kind == role and not name.strip()]
            assert nameless == []
        assert ("group", True) in [(role, name.startswith("Label of ")) for role, name, _ in found]
        pictures = [name for role, name, _ in found if role in ("image", "img")]
        assert any(name.startswith("Accuracy against latency of 16 variants") for name in pictures)


PASSWORD = PasswordHash.parse(str(PasswordHash.of("geheim")))


def test_who_may_only_read_sees_it_and_changes_nothing(browser: Browser) -> None:
    http = HttpConfig("127.0.0.1", 0, users={"anna": PASSWORD})
    teaching = taught()
    notice = "document.getElementById('notice')"
    with page(browser, teaching, http=http, login="anna:geheim@"):
        browser.wait_for(DONE)
        assert browser.value(f"{notice}.textContent") == (
            "Reading only: anna may only read; see http.may.teach in the configuration"
        )
        enabled = browser.value(
            "[...document.querySelectorAll('button, input, select')].filter((it) =>"
            " it.checkVisibility() && !it.matches(':disabled')).map((it) => it.textContent)"
        )
        assert enabled == ["Copy"]
        browser.press("document.querySelector('.hold')")
        assert browser.trouble == []
    assert teaching.asked == []
    may = replace(http, may={"teach": frozenset({"anna"})})
    with page(browser, teaching, http=may, login="anna:geheim@"):
        browser.wait_for(DONE)
        assert browser.value(f"{notice}.hidden")
        browser.click(button("Deploy version 2"))
        browser.wait_for("document.getElementById('state').textContent == 'version 2 runs'")


def test_its_header_says_what_that_of_the_other_pages_says(browser: Browser) -> None:
    headline = "document.getElementById('headline')?.textContent"
    said = f"{headline} == 'All 2 views keep their budget'"
    with page(browser, taught()) as url:
        for path in ("events", "device", "teach"):
            browser.open(url + path)
            browser.wait_for(f"location.pathname == '/{path}' && {said}")


def test_on_networks_that_know_little_it_names_the_command(browser: Browser) -> None:
    teaching = FakeTeaching("yard/gate")
    command = "sudo edged models pull mobilenet-v1-imagenet --teach"
    teaching.warning = f"on the networks of ImageNet teaching is far better: {command}"
    with page(browser, teaching):
        warning = "document.getElementById('warning')"
        browser.wait_for(f"!{warning}.hidden")
        assert browser.value(f"{warning}.textContent") == teaching.warning
        assert browser.value(f"{warning}.querySelector('code').textContent") == command
        teaching.warning = None
        browser.wait_for(f"{warning}.hidden")


def test_a_daemon_that_does_not_teach_says_so(browser: Browser) -> None:
    with showing(VIEWS) as (_, url):
        browser.open(f"{url}teach")
        said = "document.getElementById('connection')?.textContent"
        browser.wait_for(f"{said} == 'This daemon does not teach. start it with: edged run'")


def test_each_view_links_to_its_teaching(browser: Browser) -> None:
    teaching = taught()
    with showing(VIEWS, teaching=teaching) as (_, url):
        browser.open(url)
        links = "[...document.querySelectorAll('a.teach')]"
        browser.wait_for(f"{links}.length == 2")
        assert browser.value(f"{links}.map((it) => it.getAttribute('href'))") == [
            *("teach?view=yard%2Fgate", "teach?view=yard%2Fbin")
        ]
        browser.open(browser.value(f"{links}[0].href"))
        browser.wait_for("document.getElementById('title')?.textContent == 'gate'")
        browser.open(f"{url}teach?view=yard/bin")
        browser.wait_for("document.getElementById('begin')?.hidden === false")
        browser.wait_for("document.getElementById('new-view').value == 'yard/bin'")


THEIRS = """<!DOCTYPE html><link rel=icon href=data:,><script>
  window.told = {};
  const note = (name) => [() => { told[name] = "read"; }, () => { told[name] = "no"; }];
  const post = (name, headers, body) => fetch("OURS/api/v1/teach/gate/train", {
    method: "POST", mode: name === "plain" ? "no-cors" : "cors", headers, body,
  }).then(...note(name));
  post("plain", { "Content-Type": "text/plain" }, "{}");
  post("json", { "Content-Type": "application/json" }, "{}");
  navigator.sendBeacon("OURS/api/v1/teach/gate/forget", new Blob(["{}"], { type: "text/plain" }));
  addEventListener("load", () => document.forms[0].submit());
</script><iframe name="inside"></iframe>
<form method="post" enctype="text/plain" target="inside" action="OURS/api/v1/teach/gate/forget">
  <input name='{"a":"' value='"}'></form>"""
"""A page that does what pages may do to others without their leave."""


def test_a_page_of_another_site_changes_nothing(browser: Browser) -> None:
    teaching = taught()
    with page(browser, teaching) as url:
        ours = url.rstrip("/")
        with answering(lambda *_: (200, "text/html", THEIRS.replace("OURS", ours))) as port:
            browser.open(f"http://127.0.0.1:{port}/")
            browser.wait_for("window.told && Object.keys(told).length == 2")
            assert json.loads(browser.value("JSON.stringify(told)")) == {
                **dict.fromkeys(("plain", "json"), "no")
            }
            browser.open(ours + "/teach")
            browser.wait_for(DONE)
    assert teaching.asked == []
