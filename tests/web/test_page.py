"""The page in a real browser, beside a real daemon.

    EDGED_SCREENSHOTS=docs/pictures python -m pytest tests/web/test_page.py -k pictures

makes the two screenshots in docs/pictures again.
"""

from __future__ import annotations

import json
import os
import re
import urllib.request
from contextlib import suppress
from pathlib import Path
from urllib.error import HTTPError

import numpy as np
import pytest
from PIL import Image

from edged.web.password import PasswordHash, new_token, token_hash
from tests.rig.browser import CAMERAS, CARD, CHROMIUM, Browser, page_config, save
from tests.rig.daemon import RunningDaemon
from tests.rig.families import sibling
from tests.rig.mosaic import NEAR, imagenette, off, roi, tile, write_scene

pytestmark = [
    pytest.mark.servers,
    pytest.mark.timeout(600),
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium"),
]


VARIANT = "mobilenet_v1_0.25_128"


def shown(selector: str) -> str:
    return f"{CARD}?.querySelector('{selector}').textContent"


def test_the_page_shows_the_camera_and_what_changes(tmp_path: Path, browser: Browser) -> None:
    with RunningDaemon(tmp_path, page_config()) as daemon:
        browser.open(f"http://127.0.0.1:{daemon.port}/")
        browser.wait_for(f"{shown('.variant')} == 'mobilenet_v1_0.25_128'")
        browser.wait_for(f"{shown('.state')} == 'streaming'")
        assert "most accurate variant" in browser.value(shown(".why"))
        browser.wait_for(f"/\\d/.test({shown('.on-time')})")
        browser.wait_for(f"{CARD}.querySelector('.chart .budget') !== null")

        browser.wait_for(f"!{CARD}.querySelector('img').hidden")
        browser.value(
            "window.sum = () => { const canvas = new OffscreenCanvas(64, 64);"
            "const context = canvas.getContext('2d', {willReadFrequently: true});"
            f"context.drawImage({CARD}.querySelector('img'), 0, 0, 64, 64);"
            "return context.getImageData(0, 0, 64, 64).data.reduce((a, b) => a * 31 % 65521 + b) };"
            "window.before = sum(); 0"
        )
        browser.wait_for("sum() !== before")
        assert browser.trouble == []
        family = "document.querySelector('#family')"
        assert browser.value(f"{family}.innerText").startswith("10 classes: tench, English s")
        ways = browser.value(f"{family}.querySelector('p').textContent")
        assert "edged models pull mobilenet-v1-imagenet" in ways and "edged models import" in ways

        daemon.reload(page_config(variants="mobilenet_v1_0.5_160"))
        browser.wait_for(f"{shown('.variant')} == 'mobilenet_v1_0.5_160'")


def test_a_camera_that_looks_seldom_keeps_its_result_until_the_next(
    tmp_path: Path, browser: Browser
) -> None:
    door = "door: {source: synthetic, size: 320x240, max_fps: 0.1}"
    with RunningDaemon(tmp_path, page_config(cameras=door)) as daemon:
        browser.open(f"http://127.0.0.1:{daemon.port}/")
        browser.wait_for(f"{shown('.fps')} == '0.1 fps'")  # the second result
        browser.value(
            "window.ages = [];"
            "setInterval(async () => {"
            "  const status = await (await fetch('api/v1/status')).json();"
            f"  const card = {CARD};"
            "  ages.push([status.cameras.door.last.age_seconds,"
            "    card.querySelector('.why').textContent, card.querySelector('.fps').textContent])"
            "}, 500); 0"
        )
        browser.wait_for("ages.some(([age]) => age > 8)")
        for _, why, rate in browser.value("ages"):
            assert "ago" not in why
            assert rate == "0.1 fps"
        assert browser.trouble == []


def test_what_is_seen_is_said_of_the_picture_that_is_shown(
    tmp_path: Path, browser: Browser
) -> None:
    """Black and white pictures in turn, which the network takes for two classes."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(2):
        Image.new("RGB", (64, 64), (255 * number,) * 3).save(pictures / f"{number}.png")
    door = f"door: {{source: {pictures}, fps: 4, loop: true}}"
    text = page_config(cameras=door).replace(
        "{jsonl: none}", "{jsonl: none, min_score: 0, top_k: 1}"
    )
    with RunningDaemon(tmp_path, text) as daemon:
        labels: dict[str, str] = {}

        def has_learned() -> bool:
            url = f"http://127.0.0.1:{daemon.port}/api/v1/cameras/door/snapshot.jpg"
            with suppress(HTTPError), urllib.request.urlopen(url, timeout=5) as answer:
                said = json.loads(answer.headers["Picture-Result"])["top"][0]["label"]
                with Image.open(answer) as image:
                    white = str(image.convert("L").getpixel((32, 32)) > 128).lower()
                assert labels.setdefault(white, said) == said
            return len(labels) == 2

        daemon.wait_for(has_learned)
        assert len(set(labels.values())) == 2
        browser.open(f"http://127.0.0.1:{daemon.port}/")
        browser.wait_for(f"{CARD} && !{CARD}.querySelector('img').hidden")
        browser.value(
            "window.right = window.wrong = 0;"
            "const context = new OffscreenCanvas(1, 1)"
            ".getContext('2d', { willReadFrequently: true });"
            f"const labels = {json.dumps(labels)};"
            "setInterval(() => {"
            f"context.drawImage({CARD}.querySelector('img'), 0, 0, 1, 1);"
            "const white = context.getImageData(0, 0, 1, 1).data[0] > 128;"
            f"if ({shown('.top span')} === labels[white]) right++; else wrong++; }}, 30); 0"
        )
        browser.wait_for("right + wrong > 150")
        right, wrong = browser.value("[right, wrong]")
        assert wrong < right / 10  # the two change within one turn, but not in one call
        assert browser.trouble == []


def test_a_second_of_late_frames_alone_breaks_no_chart(tmp_path: Path, browser: Browser) -> None:
    with RunningDaemon(tmp_path, page_config()) as daemon:
        browser.open(f"http://127.0.0.1:{daemon.port}/")
        browser.wait_for(f"!!{CARD}?.querySelector('.chart .budget')")
        rows = [[9, 0.0, 0.0, 0.0, 0.0, 1, None]]
        columns = ["ago", "p50_ms", "p95_ms", "most_ms", "budget_ms", "late", "variant"]
        history = {"seconds": 300, "columns": columns, "cameras": {"door": rows}}
        drawn = f"showHistory({json.dumps(history)}), {CARD}.querySelector('.chart').outerHTML"
        chart = browser.value(drawn)
        assert "NaN" not in chart
        assert 'class="late"' in chart and "M0,58.0H600" in chart  # its budget: 200 of 300 ms


def test_a_camera_that_streams_before_networks_are_there(tmp_path: Path, browser: Browser) -> None:
    with RunningDaemon(tmp_path, page_config()) as daemon:
        browser.open(f"http://127.0.0.1:{daemon.port}/")
        browser.wait_for(f"{shown('.state')} == 'streaming'")
        browser.value(
            "window.NONE = { columns: [], seconds: 300, cameras: { door: [] } };"
            "window.ask = async (path) => {"
            "if (path === 'api/v1/history') return { json: async () => NONE };"
            "const answer = await fetch(new URL(path, HERE));"
            "if (path !== 'api/v1/status') return answer; const said = await answer.json();"
            "said.loading = true; said.cameras.door.last = null;"
            "return { json: async () => said }; }; showHistory(NONE); 0"
        )
        browser.wait_for(f"{shown('.state')} == 'loading'")
        assert browser.value(shown(".why")) == "loading networks"
        for kept in (".top", ".chart"):  # of the daemon that ran before
            # A picture of this daemon, which is not loading in truth, may bring its label again.
            browser.wait_for(f"{CARD}.querySelector('{kept}').childElementCount === 0")


def test_a_camera_that_is_down_says_why(tmp_path: Path, browser: Browser) -> None:
    cameras = f"{CAMERAS}, yard: {{source: /dev/no-such-camera}}"
    with RunningDaemon(tmp_path, page_config(cameras=cameras)) as daemon:
        browser.open(f"http://127.0.0.1:{daemon.port}/")
        yard = "document.querySelector('[data-camera=yard]')"
        browser.wait_for(f"/no such device/.test({yard}?.querySelector('.error').textContent)")
        browser.wait_for(f"!{CARD}.querySelector('img').hidden")
        assert browser.value(f"{yard}.querySelector('img').hidden")
        assert browser.trouble == []

        daemon.reload(page_config())
        browser.wait_for(f"{yard} === null")


def test_it_says_when_it_is_old_and_goes_on_after_a_restart(
    tmp_path: Path, browser: Browser
) -> None:
    said = "document.getElementById('connection').textContent"
    with RunningDaemon(tmp_path, page_config()) as daemon:
        port = daemon.port
        browser.open(f"http://127.0.0.1:{port}/")
        browser.wait_for(f"{shown('.state')} == 'streaming'")
        assert browser.value(said) == ""
    browser.wait_for(f"/last update .* ago/.test({said})")
    again = tmp_path / "again"
    again.mkdir()
    with RunningDaemon(again, page_config(port)):
        browser.wait_for(f"{said} === ''")
        browser.wait_for(f"{shown('.state')} == 'streaming'")


def test_long_names_fit_a_phone(tmp_path: Path, browser: Browser) -> None:
    """Camera names of all the letters that they may have."""
    names = ("warehouse_north_entrance_camera1", "w" * 32)
    cameras = ", ".join(f"{name}: {{source: 'synthetic:320x240@5'}}" for name in names)
    with RunningDaemon(tmp_path, page_config(cameras=cameras)) as daemon:
        browser.open(f"http://127.0.0.1:{daemon.port}/")
        browser.wait_for("document.querySelectorAll('.state.streaming').length == 2")
        for width in (320, 360, 430):
            browser.size(width, 800, 1)
            browser.wait_for(  # a phone would zoom out: then innerWidth is larger
                f"innerWidth == {width} && document.documentElement.scrollWidth <= {width}"
            )


def test_three_views_on_a_phone(tmp_path: Path, browser: Browser) -> None:
    """Each with its answer, and its frame on the part of the camera's picture that it sees."""
    write_scene(tmp_path / "clip.mp4")
    sibling(imagenette(), tmp_path / "bins")
    parts = {"gate": 0, "meter": 3, "bin": 5}
    models = {"bin": ", model: ./bins"}
    views = ", ".join(
        f"{name}: {{roi: {roi(part)}{models.get(name, '')}}}" for name, part in parts.items()
    )
    yard = f"yard: {{source: clip.mp4, loop: true, views: {{{views}}}}}"
    text = page_config(cameras=yard).replace("ms: 200", "ms: 5000")
    card = "document.querySelector('[data-camera=yard]')"
    with RunningDaemon(tmp_path, text) as daemon:
        browser.size(390, 844, 1)
        browser.open(f"http://127.0.0.1:{daemon.port}/")
        browser.wait_for(f"{card} && !{card}.querySelector('img').hidden")
        for name in parts:
            section = f"{card}.querySelector('[data-view={name}]')"
            browser.wait_for(f"{section}.querySelector('.variant').textContent == '{VARIANT}'")
            browser.wait_for(f"{section}.querySelector('.top span') !== null")
            browser.wait_for(f"{section}.querySelector('.chart .budget') !== null")
        browser.wait_for("innerWidth == 390 && document.documentElement.scrollWidth == 390")
        browser.value(
            "window.seen = (box) => {"
            f"const image = {card}.querySelector('img'), whole = image.getBoundingClientRect();"
            "const scale = image.naturalWidth / whole.width, side = 64;"
            "const context = new OffscreenCanvas(side, side).getContext('2d');"
            "const { left, top, width, height } = box.getBoundingClientRect();"
            "context.drawImage(image, (left - whole.left) * scale, (top - whole.top) * scale,"
            "width * scale, height * scale, 0, 0, side, side);"
            "return [...context.getImageData(0, 0, side, side).data] }; 0"
        )
        for number, part in enumerate(parts.values()):
            box = f"{card}.querySelectorAll('.region')[{number}]"
            pixels = np.array(browser.value(f"seen({box})"), np.uint8).reshape(64, 64, 4)
            assert off(pixels[:, :, :3], tile(part)) < NEAR
        assert browser.trouble == []

        daemon.reload(text.replace(f"meter: {{roi: {roi(3)}}}, ", ""))
        browser.wait_for(f"{card}.querySelectorAll('.region').length == 2")
        assert browser.value(f"{card}.querySelectorAll('section').length") == 2


def test_a_quiet_camera_shows_its_last_picture(tmp_path: Path, browser: Browser) -> None:
    cameras = (
        "door: {source: 'synthetic:320x240@20?still', "
        "quiet: {at_least_every_seconds: 3600, hold_seconds: 0, threshold: 255}}"
    )
    with RunningDaemon(tmp_path, page_config(cameras=cameras)) as daemon:
        daemon.wait_for(lambda: daemon.metric('edged_results_total{camera="door"}') >= 1)
        before = daemon.metric('edged_results_total{camera="door"}')
        browser.open(f"http://127.0.0.1:{daemon.port}/")
        browser.wait_for(f"/^\\d+ s ago$/.test({shown('figcaption')})")
        assert not browser.value(f"{CARD}.querySelector('img').hidden")
        assert browser.value(f"{CARD}.querySelector('img').naturalWidth") > 0
        assert browser.value(shown(".state")) == "streaming"
        browser.wait_for(f"/no recent result/.test({shown('.top')})")
        assert daemon.metric('edged_results_total{camera="door"}') == before
        assert browser.trouble == []


def test_an_address_with_name_and_password(tmp_path: Path, browser: Browser) -> None:
    users = f"users: {{anna: '{PasswordHash.of('hunter2hunter2')}'}}, open: [metrics]"
    text = page_config().replace("{listen", f"{{{users}, listen")
    with RunningDaemon(tmp_path, text) as daemon:
        browser.open(f"http://anna:hunter2hunter2@127.0.0.1:{daemon.port}/")
        browser.wait_for(f"{shown('.state')} == 'streaming'")
        browser.wait_for(f"!{CARD}.querySelector('img').hidden")
        assert browser.trouble == []


def test_an_answer_that_is_none_of_use_is_told(tmp_path: Path, browser: Browser) -> None:
    with RunningDaemon(tmp_path, page_config()) as daemon:
        port = daemon.port
        browser.open(f"http://127.0.0.1:{port}/")
        browser.wait_for(f"{shown('.state')} == 'streaming'")
        asks = f"{{token_hashes: ['{token_hash(new_token())}'], open: [metrics], listen"
        daemon.reload(page_config(port).replace("{listen", asks))
        said = "document.getElementById('connection').textContent"
        browser.wait_for(f"/^the device answered with status 401; last update .* ago/.test({said})")


def test_pictures_of_the_page(tmp_path: Path, browser: Browser) -> None:
    """On a phone and at a desk, light and dark: nothing is wider than the screen."""
    folder = os.environ.get("EDGED_SCREENSHOTS")
    text = page_config(
        cameras="door: {source: synthetic}, bench: {source: 'synthetic:1280x720@15'}"
    )
    if folder is not None:
        text = re.sub("(?m)^variants.*", "", text).replace("ms: 200", "ms: 20")
    with RunningDaemon(tmp_path, text) as daemon:
        browser.size(1280, 780, 1)
        browser.open(f"http://127.0.0.1:{daemon.port}/")
        browser.wait_for("document.querySelectorAll('img:not([hidden])').length == 2")
        if folder is not None:  # four minutes of latency to be seen
            browser.wait_for("(window.begun ??= Date.now()) < Date.now() - 240000", 300)
        desktop = browser.screenshot()
        browser.size(390, 844, 2, dark=True)
        browser.wait_for("innerWidth == 390")
        assert browser.value("document.documentElement.scrollWidth") == 390
        phone = browser.screenshot()
        assert phone != desktop
        if folder is not None:
            save(desktop, Path(folder) / "page-desktop.png")
            save(phone, Path(folder) / "page-phone.png")
