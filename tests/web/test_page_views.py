"""The page in a real browser: a camera with views, its picture and the region of each.

The server is the daemon's own; results and pictures come from this test.
"""

from __future__ import annotations

import pytest

from tests.rig.browser import CHROMIUM, Browser
from tests.rig.feed import showing
from tests.rig.live import ShownCamera, Views, subjects_of

pytestmark = [
    pytest.mark.servers,
    pytest.mark.timeout(600),
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium"),
]

LONG = ("g" * 32, "warehouse_north_entrance_camera1", "m" * 32)
YARD: Views = {
    "yard/gate": {"roi": (0.0, 0.2, 0.25, 0.5)},
    "yard/bin": {"roi": (0.5, 0.5, 0.5, 0.5)},
    "yard/all": {"family": "bins"},
}
CARD = "document.querySelector('[data-camera=yard]')"


def section(view: str) -> str:
    return f"{CARD}.querySelector('[data-view={view}]')"


def text(view: str, selector: str) -> str:
    return f"{section(view)}?.querySelector('{selector}')?.textContent"


def unexpected(browser: Browser) -> list[str]:
    """There is no history here, which the page learns by asking."""
    return [each for each in browser.trouble if "api/v1/seen" not in each]


def test_a_camera_with_views_shows_one_picture_and_what_each_view_found(browser: Browser) -> None:
    with showing(YARD) as (_, url):
        browser.open(url)
        browser.wait_for(f"{CARD} && !{CARD}.querySelector('img').hidden")
        assert browser.value("document.querySelectorAll('article figure img').length") == 1
        assert browser.value(f"{CARD}.querySelector('.state').textContent") == "live"
        for view in ("gate", "bin", "all"):
            browser.wait_for(f"{text(view, '.top bdi')} == 'open yard {view}'")
            browser.wait_for(f"/\\d/.test({text(view, '.on-time')})")
            browser.wait_for(f"{section(view)}.querySelector('.chart .budget') !== null")
            assert browser.value(text(view, ".name")) == view
        assert unexpected(browser) == []


def test_regions_lie_on_the_picture_where_they_are_cut_out(browser: Browser) -> None:
    """Measured in the pixels of the screen: the gate is red, and framed."""
    with showing(YARD) as (_, url):
        browser.open(url)
        browser.wait_for(f"{CARD} && !{CARD}.querySelector('img').hidden")
        browser.wait_for(f"{CARD}.querySelectorAll('.region').length == 3")
        for width, height in ((1280, 900), (1280, 300), (390, 844)):
            browser.size(width, height, 1)
            browser.wait_for(f"innerWidth == {width}")
            image, gate, bin = (
                browser.value(
                    f"(({{left, top, width, height}}) => [left, top, width, height])"
                    f"({CARD}.querySelectorAll('{selector}')[{index}].getBoundingClientRect())"
                )
                for selector, index in (("img", 0), (".region", 0), (".region", 1))
            )
            assert image[2] / image[3] == pytest.approx(16 / 9, rel=0.02)
            for box, roi in ((gate, (0, 0.2, 0.25, 0.5)), (bin, (0.5, 0.5, 0.5, 0.5))):
                expected = [
                    image[0] + roi[0] * image[2],
                    image[1] + roi[1] * image[3],
                    *(roi[2] * image[2], roi[3] * image[3]),
                ]
                assert box == pytest.approx(expected, abs=1)


def test_a_region_has_the_colour_of_its_verdict(browser: Browser) -> None:
    late = {"yard/bin": 50.0}
    with showing(YARD, latencies_ms=late, silent="yard/all") as (_, url):
        browser.open(url)
        browser.wait_for(f"{CARD}?.querySelectorAll('.region').length == 3")
        browser.wait_for(f"{CARD}.querySelectorAll('.region.sure').length == 1")
        labels = f"[...{CARD}.querySelectorAll('.regions .label')].map((each) => each.textContent)"
        assert browser.value(labels) == [
            *("gate: open yard gate", "bin: open yard bin, late", "all: no result")
        ]
        kinds = f"[...{CARD}.querySelectorAll('.region')].map((each) => each.className)"
        assert browser.value(kinds) == ["region sure", "region late", "region unsure"]
        colours = (
            f"[...{CARD}.querySelectorAll('.region')]"
            ".map((each) => getComputedStyle(each).borderTopColor)"
        )
        assert len(set(browser.value(colours))) == 3


def test_views_come_and_go_with_a_reload(browser: Browser) -> None:
    with showing(YARD, "yard", "door") as (feed, url):
        browser.open(url)
        browser.wait_for(f"{CARD}?.querySelectorAll('section').length == 3")
        browser.value(f"window.gate = {section('gate')}; 0")
        yard, door = ShownCamera("yard"), ShownCamera("door")
        after: Views = {"yard/gate": YARD["yard/gate"], "yard/lamp": {}, "door/lock": {}}
        feed.follow(subjects_of(yard, door, views=after))
        browser.wait_for(f"{text('lamp', '.top bdi')} == 'open yard lamp'")
        assert browser.value(f"{section('gate')} === gate")
        assert browser.value(f"{section('bin')} === null")
        browser.wait_for("!!document.querySelector('[data-camera=door] [data-view=lock]')")
        feed.follow(subjects_of(yard))
        browser.wait_for(f"{CARD}.querySelectorAll('.region').length == 0")
        browser.wait_for("document.querySelector('[data-camera=door]') === null")
        browser.wait_for(f"{CARD}.querySelector('.top bdi')?.textContent == 'open yard'")
        assert browser.value("document.querySelectorAll('article section').length") == 1
        # A picture of what is gone may be asked for once more.
        assert not [each for each in unexpected(browser) if "snapshot.jpg" not in each]


@pytest.mark.parametrize("names", [("gate", "bin", "meter"), LONG])
def test_three_views_fit_a_phone(browser: Browser, names: tuple[str, ...]) -> None:
    regions = ((0.0, 0.1, 0.1, 0.1), (0.45, 0.1, 0.1, 0.1), (0.9, 0.1, 0.1, 0.1))
    camera = "c" * 32 if names is LONG else "yard"
    views: Views = {
        f"{camera}/{name}": {"roi": roi, "family": name, "labels": (name,)}
        for name, roi in zip(names, regions, strict=True)
    }
    with showing(views, camera) as (_, url):
        for width in (320, 390):
            browser.size(width, 844, 1)
            browser.open(url)
            browser.wait_for("document.querySelectorAll('details.figures').length == 3")
            browser.value(
                "document.querySelectorAll('details').forEach((it) => { it.open = true }); 0"
            )
            browser.wait_for("document.querySelectorAll('.chart .budget').length == 3")
            browser.wait_for("!document.querySelector('img').hidden")
            browser.wait_for(  # a phone would zoom out: then innerWidth is larger
                f"innerWidth == {width} && document.documentElement.scrollWidth == {width}"
            )
            outside = browser.value(
                "(() => { const box = document.querySelector('figure').getBoundingClientRect();"
                "return [...document.querySelectorAll('.regions .label')]"
                ".map((each) => each.getBoundingClientRect())"
                ".filter((each) => each.left < box.left - 1 || each.right > box.right + 1)"
                ".length; })()"
            )
            assert outside == 0
            clipped = browser.value(
                "[...document.querySelectorAll('article section *')].filter((each) =>"
                "each.getBoundingClientRect().right > innerWidth).length"
            )
            assert clipped == 0
        assert unexpected(browser) == []


def test_a_screen_reader_finds_views_below_their_camera(browser: Browser) -> None:
    with showing(YARD) as (_, url):
        browser.open(url)
        browser.wait_for("document.getElementById('headline')?.textContent.startsWith('All 3')")
        browser.call("Accessibility.enable")
        nodes = browser.call("Accessibility.getFullAXTree")["nodes"]
        browser.call("Accessibility.disable")
        found = [
            (node["role"]["value"], node.get("name", {}).get("value", ""), levels)
            for node in nodes
            if not node.get("ignored")
            for levels in [
                [each["value"]["value"] for each in node["properties"] if each["name"] == "level"]
            ]
        ]
        assert [name for role, name, _ in found if role == "region"] == [
            *("Verdict", "view gate", "view bin", "view all")
        ]
        headings = [(name, *levels) for role, name, levels in found if role == "heading"]
        assert ("All 3 views keep their budget", 1) in headings
        assert ("yard ● live", 2) in headings
        assert ("gate", 3) in headings
        lists = [name for role, name, _ in found if role == "list"]
        assert lists.count("What it sees") == 3
        assert not [name for _, name, _ in found if name.startswith("gate: open")]
