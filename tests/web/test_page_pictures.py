"""A picture and what is said of it belong together: on the page, in a real browser, and in each
answer of a real daemon.

A folder source shows black and white, which the network takes for two classes.
"""

from __future__ import annotations

import io
import json
import urllib.request
from contextlib import suppress
from pathlib import Path
from urllib.error import HTTPError

import pytest
from PIL import Image

from tests.rig.browser import CARD, CHROMIUM, Browser, page_config
from tests.rig.daemon import RunningDaemon
from tests.rig.feed import showing
from tests.rig.teach_page import VIEWS
from tests.rig.teaching import FakeTeaching

pytestmark = [
    pytest.mark.servers,
    pytest.mark.timeout(900),
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium"),
]
ANSWERS = 100
"""Of each rate."""


def black_and_white(folder: Path) -> Path:
    """Not in turn: who looks at every second picture would see one of them alone."""
    pictures = folder / "pictures"
    pictures.mkdir()
    for number, white in enumerate((0, 1, 1, 0, 1, 0, 0)):
        Image.new("RGB", (64, 64), (255 * white,) * 3).save(pictures / f"{number}.png")
    return pictures


def config(source: Path, fps: float, views: str = "") -> str:
    text = page_config(cameras=f"door: {{source: {source}, fps: {fps}, loop: true{views}}}")
    return text.replace("{jsonl: none}", "{jsonl: none, min_score: 0, top_k: 1}")


def is_white(picture: bytes, at: tuple[int, int] = (32, 32)) -> bool:
    with Image.open(io.BytesIO(picture)) as image:
        return int(image.convert("L").getpixel(at)) > 128  # type: ignore[arg-type]


def asked(daemon: RunningDaemon) -> tuple[bytes, str]:
    url = f"http://127.0.0.1:{daemon.port}/api/v1/cameras/door/snapshot.jpg"
    with urllib.request.urlopen(url, timeout=30) as answer:
        said = json.loads(answer.headers["Picture-Result"])
        return answer.read(), said["top"][0]["label"]


def learned(daemon: RunningDaemon) -> dict[bool, str]:
    """The label of a black picture and of a white one."""
    labels: dict[bool, str] = {}

    def has_learned() -> bool:
        with suppress(HTTPError):
            picture, label = asked(daemon)
            labels.setdefault(is_white(picture), label)
        return len(labels) == 2

    daemon.wait_for(has_learned, 60)
    assert len(set(labels.values())) == 2
    return labels


@pytest.mark.parametrize("fps", [pytest.param(2, marks=pytest.mark.long), 10])
def test_what_is_seen_is_said_of_the_picture_that_is_shown(
    tmp_path: Path, browser: Browser, fps: int
) -> None:
    """Each change of the page is looked at as soon as it is made: picture, caption and bars."""
    with RunningDaemon(tmp_path, config(black_and_white(tmp_path), fps)) as daemon:
        labels = learned(daemon)
        browser.open(f"http://127.0.0.1:{daemon.port}/")
        browser.wait_for(f"{CARD} && !{CARD}.querySelector('img').hidden")
        known = json.dumps({str(white).lower(): label for white, label in labels.items()})
        browser.value(
            f"window.seen = []; const labels = {known};"
            "const context = new OffscreenCanvas(1, 1)"
            ".getContext('2d', { willReadFrequently: true });"
            "const look = () => {"
            f"const image = {CARD}.querySelector('img'); if (image.hidden) return;"
            "context.drawImage(image, 0, 0, 1, 1);"
            "const label = labels[context.getImageData(0, 0, 1, 1).data[0] > 128];"
            f"const said = ['figcaption .label', '.top bdi'].map((it) => {CARD}"
            ".querySelector(it)?.textContent); seen.push([label, ...said]); };"
            # Of the figure a change of the picture, of the list a change of what is said.
            f"for (const it of ['figure', '.top']) new MutationObserver(look)"
            f".observe({CARD}.querySelector(it), {{ childList: true }}); 0"
        )
        browser.wait_for(f"seen.length >= {ANSWERS}", 300)
        seen = browser.value("seen")
        assert {each[0] for each in seen} == set(labels.values())
        assert [each for each in seen if len(set(each)) > 1] == []
        assert browser.trouble == []


def test_views_of_one_picture_are_told_of_this_picture(tmp_path: Path, browser: Browser) -> None:
    """Two halves of which one is always white; the whole picture's answer has both results."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(2):
        image = Image.new("RGB", (128, 64), "white")
        image.paste((255 * number,) * 3, (0, 0, 64, 64))
        image.save(pictures / f"{number}.png")
    views = ", views: {left: {roi: [0, 0, 0.5, 1]}, right: {roi: [0.5, 0, 0.5, 1]}}"
    with RunningDaemon(tmp_path, config(pictures, 4, views)) as daemon:
        url = f"http://127.0.0.1:{daemon.port}/api/v1/cameras/door/snapshot.jpg"
        labels: dict[bool, str] = {}
        compared = 0
        while compared < 20 or len(labels) < 2:
            with suppress(HTTPError), urllib.request.urlopen(url, timeout=30) as answer:
                results = json.loads(answer.headers["Picture-Results"])
                picture = answer.read()
                if set(results) != {"door/left", "door/right"}:
                    continue  # one of them was not run
                white = is_white(picture, (32, 32))
                for name, colour in (("door/left", white), ("door/right", True)):
                    said = results[name]["top"][0]["label"]
                    assert labels.setdefault(colour, said) == said
                compared += 1
        assert len(set(labels.values())) == 2

        known = json.dumps({str(white).lower(): label for white, label in labels.items()})
        browser.open(f"http://127.0.0.1:{daemon.port}/")
        browser.wait_for(f"{CARD} && !{CARD}.querySelector('img').hidden")
        browser.value(
            f"window.seen = []; const labels = {known};"
            "const context = new OffscreenCanvas(1, 1)"
            ".getContext('2d', { willReadFrequently: true });"
            "new MutationObserver(() => {"
            f"const image = {CARD}.querySelector('img'); if (image.hidden) return;"
            "context.drawImage(image, 0, 0, 32, 32, 0, 0, 1, 1);"
            "const label = labels[context.getImageData(0, 0, 1, 1).data[0] > 128];"
            f"const drawn = {CARD}.querySelector('.regions .label').textContent;"
            "seen.push([`left: ${label}`, drawn]);"
            f"}}).observe({CARD}.querySelector('figure'), {{ childList: true }}); 0"
        )
        browser.wait_for("seen.length >= 20", 120)
        wrong = [each for each in browser.value("seen") if each[0] != each[1]]
        assert len(wrong) <= 1  # a result that came too late to be told with its picture


DAMAGED = """
    const { createObjectURL, revokeObjectURL } = URL;
    window.tried = 0;
    window.kept = new Set();
    URL.createObjectURL = () => {
        const url = createObjectURL.call(URL, new Blob(["no picture"], { type: "image/jpeg" }));
        tried += 1;
        kept.add(url);
        return url;
    };
    URL.revokeObjectURL = (url) => {
        kept.delete(url);
        revokeObjectURL.call(URL, url);
    };
"""
"""From now on no picture can be drawn. kept: their addresses, each of which holds one in memory."""


@pytest.mark.parametrize("path", ["", "teach"])
def test_a_picture_that_cannot_be_drawn_is_not_kept(browser: Browser, path: str) -> None:
    teaching = FakeTeaching(*VIEWS)
    teaching.taught("gate", view="yard/gate")
    with showing(VIEWS, "yard", teaching=teaching) as (_, url):
        browser.open(url + path)
        browser.wait_for("!!document.querySelector('figure img:not([hidden])')")
        browser.value(f"{{ {DAMAGED} }} 0")
        browser.wait_for("tried >= 3")
        assert browser.value("kept.size") <= 1  # the one that is loaded now
        texts = "[...document.querySelectorAll('figcaption')].map((it) => it.textContent)"
        assert "no picture" in browser.value(texts)
        browser.forget()  # before the server goes
