"""The page that teaches, in a real browser: the way from nothing to a version that runs.

The server is the daemon's own; what it teaches is in memory.
"""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from edged.config.config import load_config
from edged.errors import EdgedError
from tests.rig.browser import CHROMIUM, Browser
from tests.rig.teach_page import button, page
from tests.rig.teaching import FakeTeaching, jpeg
from tests.rig.waiting import eventually

pytestmark = [
    pytest.mark.servers,
    pytest.mark.timeout(600),
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium"),
]


DONE = "document.querySelectorAll('#report .plot').length == 2"


@pytest.fixture
def teaching() -> FakeTeaching:
    return FakeTeaching("yard/gate", "yard/bin")


def of(name: str, text: str = "textContent") -> str:
    return f"document.getElementById('{name}').{text}"


def label_of(label: str) -> str:
    return f"document.querySelector('#classes > [data-key={label}]')"


def seen(moment: str) -> str:
    return f"document.querySelector('#seen [data-key=\"{moment}\"]')"


def calls(teaching: FakeTeaching, kind: str) -> list[tuple[object, ...]]:
    return [call[1:] for call in teaching.asked if call[0] == kind]


@pytest.mark.parametrize("width", [1280, 390])
def test_the_whole_way(browser: Browser, teaching: FakeTeaching, width: int) -> None:
    with page(browser, teaching, "teach?view=yard/bin", width):
        assert browser.value(of("new-view", "value")) == "yard/bin"
        browser.value("document.getElementById('new-view').value = 'yard/gate'")
        browser.wait_for("!document.querySelector('#begin img').hidden")
        browser.write("document.getElementById('new-name')", "gate")
        browser.write("document.getElementById('new-classes')", "open, closed")
        browser.click(button("Begin"))
        browser.wait_for(f"{of('title')} == 'gate'")
        assert calls(teaching, "create") == [("gate", "yard/gate", ("open", "closed"))]
        browser.wait_for("document.querySelectorAll('#classes > li').length == 3")
        assert browser.value(of("untaught", "hidden")) is False
        assert "edged teach gate train" in browser.value(of("untaught"))
        assert browser.value(of("train", "disabled")) is True
        assert browser.value(of("train-hint")) == "Show it first: open, closed."

        hold = f"{label_of('open')}.querySelector('.hold')"
        browser.press(hold)
        browser.wait_for(f"/^Recording open/.test({hold}.textContent)")
        eventually(lambda: len(calls(teaching, "record")) >= 3)
        browser.release(hold)
        browser.wait_for(f"{hold}.textContent == 'Hold to show open'")
        counts = f"{label_of('open')}.querySelector('.counts').textContent"
        browser.wait_for(f"/^1 moment, \\d+ pictures$/.test({counts})")

        browser.value(f"{label_of('closed')}.querySelector('.hold').focus()")
        for key in (" ", "Enter"):
            before = len(calls(teaching, "record"))
            browser.key("rawKeyDown", key)
            eventually(lambda before=before: len(calls(teaching, "record")) >= before + 2)
            browser.key("keyUp", key)
            browser.wait_for(
                f"/^Hold/.test({label_of('closed')}.querySelector('.hold').textContent)"
            )
        counts = f"{label_of('closed')}.querySelector('.counts').textContent"
        browser.wait_for(f"/^2 moments/.test({counts})")
        held: dict[object, list[object]] = {}
        for _, label, seconds, moment in calls(teaching, "record"):
            held.setdefault(label, []).append((moment, seconds))
        # Each hold begins a moment, goes on with it, and ends it.
        assert [moment for moment, _ in held["open"]].count(None) == 1
        assert [moment for moment, _ in held["closed"]].count(None) == 2
        assert held["open"][-1][1] < 0.1  # type: ignore[index]

        browser.wait_for(f"!{of('train', 'disabled')}")
        browser.click(button("Train"))
        browser.wait_for("!document.getElementById('training').hidden")
        browser.wait_for(f"/^It cannot be judged yet: /.test({of('report')})")
        teaching.taught("gate", moments=4)
        browser.wait_for(DONE)
        browser.wait_for("!!document.querySelector('#live img:not([hidden])')")
        said = browser.value("document.querySelector('.estimate').textContent")
        assert said == (
            "It knows the right answer in about 93 of 100, between 80 and 98; judged on 8 moments."
        )
        browser.click(button("Deploy version 2"))
        browser.wait_for(f"{of('state')} == 'version 2 runs'")
        browser.click(button("Stop using it"))
        browser.wait_for(f"{of('state')} == 'not in use'")

        browser.click(button("Forget"))
        browser.wait_for("document.getElementById('question').open")
        browser.stroke("Escape")
        browser.wait_for("!document.getElementById('question').open")
        browser.click(button("Forget"))
        browser.wait_for("document.getElementById('question').open")
        assert calls(teaching, "forget") == []
        browser.click(button("Forget", "document.getElementById('question')"))
        browser.wait_for("!document.getElementById('begin').hidden")
        assert calls(teaching, "forget") == [("gate",)]
        assert browser.value(f"innerWidth == {width}")
        assert browser.value("document.documentElement.scrollWidth") == width
        # What is gone may be asked for once more.
        assert not [each for each in browser.trouble if "/api/v1/teach/gate" not in each]


def test_a_screen_reader_that_cannot_hold_records_for_a_while(
    browser: Browser, teaching: FakeTeaching
) -> None:
    teaching.taught("gate", view="yard/gate")
    with page(browser, teaching):
        browser.wait_for(DONE)
        browser.value(f"{label_of('open')}.querySelector('.hold').click()")
        eventually(lambda: calls(teaching, "record") == [("gate", "open", 4, None)])


def test_pictures_are_sent_together_as_a_zip(
    browser: Browser, teaching: FakeTeaching, tmp_path: Path
) -> None:
    """The device has to see them together to tell which are of one moment."""
    teaching.taught("gate", view="yard/gate")
    files = [tmp_path / f"picture {number}.JPG" for number in range(3)]
    for number, file in enumerate(files):
        file.write_bytes(jpeg(number))
    (tmp_path / "notes.txt").write_text("no picture")
    archive = tmp_path / "own.zip"
    with zipfile.ZipFile(archive, "w") as own:
        own.write(files[0], "0.jpg")
    received: list[bytes] = []
    teaching.received = received.append
    with page(browser, teaching):
        browser.wait_for("!!document.querySelector('#classes .files')")
        browser.call("DOM.enable")
        pick = f"{label_of('closed')}.querySelector('.files')"
        said = f"{label_of('closed')}.querySelector('.said').textContent"
        browser.choose(pick, *files, tmp_path / "notes.txt")
        browser.wait_for(f"/^3 pictures added/.test({said})")
        assert browser.value(said).endswith(
            "added. Not taken: notes.txt: neither JPEG, PNG nor zip"
        )
        with zipfile.ZipFile(io.BytesIO(received[-1])) as sent:
            assert sent.testzip() is None
            names = [f"0000{number}-picture {number}.JPG" for number in range(3)]
            assert sent.namelist() == names
            assert [sent.read(name) for name in names] == [file.read_bytes() for file in files]
            assert sent.getinfo(names[0]).date_time[0] >= 2020
        browser.value(f"{label_of('closed')}.querySelector('.one').click()")
        for file, kind in ((files[1], "image/jpeg"), (archive, "application/zip")):
            browser.choose(pick, file)
            browser.wait_for(f"/^1 picture added/.test({said})")
            eventually(lambda file=file: received[-1] == file.read_bytes())
            assert calls(teaching, "upload")[-1] == ("gate", "closed", kind, True)
        assert browser.trouble == []


def test_what_was_seen_is_labelled_by_one_click_and_undone(
    browser: Browser, teaching: FakeTeaching
) -> None:
    teaching.taught("gate", view="yard/gate")
    reasons = ("uncertain", "changed", "unlike anything taught", "versions disagree")
    uncertain, changed, unlike, disagree = (teaching.add("gate", None, why) for why in reasons)
    toast = "document.querySelector('#toast:not([hidden]) span')?.textContent"
    with page(browser, teaching):
        browser.wait_for("document.querySelectorAll('#seen .moment').length == 4")
        assert browser.value(
            "[...document.querySelectorAll('#seen .reason')].map((each) => each.textContent)"
        ) == list(reversed(reasons))
        browser.wait_for("[...document.querySelectorAll('#seen img')].every((it) => it.complete)")
        browser.click(button("open", seen(uncertain.id)))
        eventually(lambda: uncertain.label == "open")
        browser.wait_for(f"{toast} == 'Labelled open.' && {seen(uncertain.id)} === null")
        browser.click(button("none", seen(unlike.id)))
        eventually(lambda: unlike.label == "none")
        for moment, last in ((unlike, False), (uncertain, True)):  # the last one first
            browser.click(button("Undo"))
            eventually(lambda moment=moment: moment.label is None)
            browser.wait_for(f"{seen(moment.id)} !== null")
            browser.wait_for(f"document.getElementById('toast').hidden == {json.dumps(last)}")

        # By keyboard the next moment has the focus, so that it goes on from there.
        browser.value(f"{button('closed', seen(disagree.id))}.focus()")
        browser.stroke("Enter")
        eventually(lambda: disagree.label == "closed")
        browser.wait_for(f"{seen(unlike.id)}.contains(document.activeElement)")

        browser.click(button("Discard", seen(changed.id)))
        browser.wait_for(f"{toast} == 'Discarded.' && {seen(changed.id)} === null")
        browser.click(button("Undo"))
        browser.wait_for(f"{seen(changed.id)} !== null")
        browser.click(button("Discard", seen(changed.id)))
        assert calls(teaching, "discard") == []
        browser.open("about:blank")
        eventually(lambda: calls(teaching, "discard") == [("gate", changed.id)])


def test_moments_of_each_class_can_be_corrected(browser: Browser, teaching: FakeTeaching) -> None:
    teaching.taught("gate", view="yard/gate", moments=7)
    with page(browser, teaching):
        group = "document.querySelector('#moments [data-key=open]')"
        browser.wait_for(f"{group}?.querySelector('summary').textContent == 'open: 7 moments'")
        assert browser.value(f"{group}.querySelectorAll('img').length") == 0
        browser.click(f"{group}.querySelector('summary')")
        browser.wait_for(f"{group}.querySelectorAll('.moment').length == 7")
        first = f"{group}.querySelector('.moment')"
        moment = browser.value(f"{first}.dataset.key")
        browser.click(button("closed", first))
        eventually(lambda: calls(teaching, "label") == [("gate", moment, "closed")])
        browser.wait_for(f"{group}.querySelector('summary').textContent == 'open: 6 moments'")


def test_a_worse_version_asks_before_it_runs(browser: Browser, teaching: FakeTeaching) -> None:
    teaching.taught("gate", view="yard/gate")
    teaching.worse = {"why": "version 1 is right in 81 % of the cases, version 4 in 93 %"}
    dialog = "document.getElementById('question')"
    with page(browser, teaching):
        browser.wait_for(DONE)
        for answer, asked in (("Keep what runs", 1), ("Deploy anyway", 3)):
            browser.click(button("Deploy version 1"))
            browser.wait_for(f"{dialog}.open")
            assert "Version 1 is right in 81 % of the cases, version 4 in 93 %." in browser.value(
                f"{dialog}.textContent"
            )
            assert browser.value("document.activeElement.textContent") == "Keep what runs"
            browser.click(button(answer, dialog))
            browser.wait_for(f"!{dialog}.open")
            eventually(lambda asked=asked: len(calls(teaching, "deploy")) == asked)
        assert [anyway for _, _, anyway in calls(teaching, "deploy")] == [False, False, True]
        browser.wait_for(f"{of('state')} == 'version 1 runs'")


def test_the_way_back_names_the_classifier_that_was_replaced(
    browser: Browser, teaching: FakeTeaching
) -> None:
    teaching.taught("gate", view="yard/gate")
    teaching.replaced = {"name": "barrier", "version": 2}
    with page(browser, teaching):
        browser.wait_for(DONE)
        browser.click(button("Deploy version 1"))
        browser.wait_for(f"!!{button('Go back to version 2 of barrier')}")


def test_a_classifier_may_be_called_new(browser: Browser, teaching: FakeTeaching) -> None:
    teaching.taught("new", view="yard/gate")
    with page(browser, teaching, "teach#%"):
        browser.wait_for(f"{of('title')} == 'new'")
        browser.click("document.querySelector('#classifiers > li:last-child a')")
        browser.wait_for("!document.getElementById('begin').hidden")


def test_what_was_learned(browser: Browser, teaching: FakeTeaching, tmp_path: Path) -> None:
    teaching.taught("gate", view="yard/gate")
    with page(browser, teaching):
        browser.wait_for(DONE)
        charts = browser.value(
            "[...document.querySelectorAll('.plot')].map((each) => [each.ariaLabel,"
            "[...each.querySelectorAll('text')].map((it) => it.textContent),"
            "each.querySelectorAll('circle').length, each.querySelectorAll('.whisker').length])"
        )
        latency, curve = charts
        assert latency[2:] == [16, 16]
        assert {"80", "100", "0", "20", "60", "milliseconds an inference"} <= set(latency[1])
        assert "0.25@128: 87 of 100 in 3.22 ms" in latency[0]
        assert curve[2] == 4 and {"0", "8", "moments"} <= set(curve[1])
        # A point lies where the axes say: the fastest variant left, the best one above the others.
        places = np.array(
            browser.value(
                "[...document.querySelectorAll('.plot')[0].querySelectorAll('circle')]"
                ".map((each) => [+each.getAttribute('cx'), +each.getAttribute('cy')])"
            )
        )
        assert places[:, 0].argmax() == places[:, 1].argmin() == 15
        rows = browser.value(
            "[...document.querySelectorAll('#report .scroll')].find((it) => it.ariaLabel =="
            " 'Confusions').innerText.split('\\n').map((line) => line.split('\\t'))"
        )
        assert ["open", "18", "1", "1"] in rows and ["closed", "1", "18", "1"] in rows
        variants = "document.querySelectorAll('#report table')[0].querySelectorAll('tbody tr')"
        assert browser.value(f"{variants}.length") == 16
        assert "Add one more moment of open in other light." in browser.value(of("report"))
        browser.wait_for("document.querySelectorAll('.worst img').length == 3")

        written = browser.value("document.querySelector('#report pre').textContent")
        file = tmp_path / "edged.yaml"
        views = "views: {gate: {roi: [0, 0, 1, 1]}}"
        file.write_text(f"cameras: {{yard: {{source: synthetic, {views}}}}}\n{written}\n")
        assert [event.name for event in load_config(file, {}).events] == [
            "gate_open",
            "gate_closed",
        ]
        assert yaml.safe_load(written)["events"]["gate_closed"] == {
            "class": "closed",
            "cameras": ["yard/gate"],
            "above": 0.75,
        }
        browser.click(button("Copy"))
        browser.wait_for("document.querySelector('#report [role=status]').textContent == 'Copied.'")
        assert browser.trouble == []


def test_the_region_that_is_taught_is_framed(browser: Browser, teaching: FakeTeaching) -> None:
    teaching.taught("gate", view="yard/gate")
    with page(browser, teaching):
        browser.wait_for("!!document.querySelector('#live img:not([hidden])')")
        image, region = (
            browser.value(
                "(({left, top, width, height}) => [left, top, width, height])"
                f"(document.querySelector('#live {each}').getBoundingClientRect())"
            )
            for each in ("img", ".region")
        )
        assert region == pytest.approx(
            [
                *(image[0], image[1] + 0.2 * image[3]),
                *(0.25 * image[2], 0.5 * image[3]),
            ],
            abs=1,
        )
        teaching.answer("gate", "closed", None)
        browser.wait_for(f"{of('answer')} == 'It sees closed, by what was shown so far'")
        teaching.answer("gate", "closed", 0.873)
        browser.wait_for(f"{of('answer')} == 'It sees closed (87\\u00a0%)'")
        frame = Image.open(io.BytesIO(browser.screenshot())).convert("RGB")
        red = frame.getpixel((int(region[0] + region[2] / 2), int(region[1] + region[3] / 2)))
        assert isinstance(red, tuple) and red[0] > 200 and red[1] < 60


@pytest.mark.parametrize(
    ("moments", "said"),
    [
        (1, "It cannot be judged yet: a class has only one moment. Show each class at least 3"),
        (2, "judged on 4 moments. This is rough: a class has only two moments."),
    ],
)
def test_what_cannot_be_known_is_not_told(
    browser: Browser, teaching: FakeTeaching, moments: int, said: str
) -> None:
    teaching.taught("gate", view="yard/gate", moments=moments)
    with page(browser, teaching):
        browser.wait_for("!!document.querySelector('.estimate')")
        text = browser.value("document.querySelector('.estimate').textContent")
        assert said in text
        assert moments > 1 or not any(letter.isdigit() for letter in text.replace("least 3", ""))
        assert browser.value("document.querySelectorAll('.plot').length") == (
            2 if moments > 1 else 0
        )


def test_a_failure_is_told_and_nothing_else_stops(browser: Browser, teaching: FakeTeaching) -> None:
    teaching.taught("gate", view="yard/gate")
    teaching.failing = EdgedError("no space left on the disk", fix="Delete something.")
    toast = "document.querySelector('#toast:not([hidden]) span')?.textContent"
    with page(browser, teaching):
        browser.wait_for(DONE)
        browser.click(button("Train again"))
        browser.wait_for(f"{toast} == 'no space left on the disk. Delete something.'")
        teaching.failing = None
        browser.click(button("Train again"))
        browser.wait_for("/^Version 2/.test(document.querySelector('#report .hint').textContent)")
