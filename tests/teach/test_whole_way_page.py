"""The whole way on the page: Chromium, a daemon and the stream of a camera, nothing in between."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rig.browser import CHROMIUM, Browser
from tests.rig.daemon import RunningDaemon
from tests.rig.gate import LABELS, OPEN, GateCamera
from tests.rig.teach_page import button
from tests.rig.yard import Yard, config_for

pytestmark = [
    pytest.mark.servers,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium"),
]


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    with (
        GateCamera() as camera,
        RunningDaemon(tmp_path, config_for(tmp_path, camera)) as daemon,
    ):
        daemon.wait_for_results(2, 90)
        yield Yard(tmp_path, camera, daemon)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as browser:
        yield browser


@pytest.mark.parametrize("width", [pytest.param(1280, marks=pytest.mark.long), 390])
def test_the_whole_way_before_a_real_stream(browser: Browser, yard: Yard, width: int) -> None:
    browser.forget()
    browser.size(width, 844, 1)
    browser.open(f"http://127.0.0.1:{yard.daemon.port}/teach?view=door")
    browser.wait_for("!!document.querySelector('#begin img:not([hidden])')")
    browser.write("document.getElementById('new-name')", "gate")
    browser.write("document.getElementById('new-classes')", "open, closed")
    browser.click(button("Begin"))
    browser.wait_for("document.querySelectorAll('#classes > li').length >= 2")
    yard.follows("camera door: to be taught")
    yard.daemon.more_results("door", 3)

    for number, scene in enumerate(LABELS * 3):
        rounds = 1 + number // len(LABELS)
        yard.camera.scene = scene
        label = f"document.querySelector('#classes > [data-key={scene}]')"
        counts = f"{label}.querySelector('.counts').textContent"
        before = browser.value(counts)
        hold = f"{label}.querySelector('.hold')"
        browser.press(hold)
        browser.wait_for(f"{counts} != {before!r}")
        browser.wait_for(f"parseInt({counts}.split(', ')[1]) > {3 * rounds}")
        browser.release(hold)
        browser.wait_for(f"/^Hold/.test({hold}.textContent)")
        browser.wait_for(f"/moment/.test({counts})")

    browser.wait_for("!document.getElementById('train').disabled")
    browser.click(button("Train"))
    browser.wait_for("document.getElementById('train').disabled")
    browser.wait_for("!document.getElementById('train').disabled", 1200)  # it is niced
    assert browser.value("document.getElementById('train-error').textContent") == ""
    assert browser.value("document.querySelectorAll('#report .plot').length") == 2
    said = browser.value("document.querySelector('.estimate').textContent")
    assert "judged on 6 moments" in said
    browser.click(button("Deploy version 1"))
    browser.wait_for("/version 1 runs/.test(document.getElementById('state').textContent)")
    yard.follows("camera door: version 1 of gate")
    for scene in LABELS:
        yard.comes_to_say(scene)

    browser.click(button("Stop using it"))
    browser.wait_for("document.getElementById('state').textContent == 'not in use'")
    yard.follows("camera door: few")
    assert yard.says(OPEN) not in LABELS
    assert browser.value("document.documentElement.scrollWidth") == width
    assert not browser.trouble
