"""The overview in a real browser, beside a real daemon."""

from __future__ import annotations

import json
import re
import signal
import socket
from pathlib import Path

import numpy as np
import pytest

from edged.web.password import PasswordHash, new_token, token_hash
from tests.rig.browser import CAMERAS, CARD, CHROMIUM, Browser, page_config
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
    return f"{CARD}?.querySelector('{selector}')?.textContent"


def test_the_page_shows_the_camera_and_what_changes(tmp_path: Path, browser: Browser) -> None:
    with RunningDaemon(tmp_path, page_config()) as daemon:
        browser.open(f"http://127.0.0.1:{daemon.port}/")
        browser.wait_for(f"{shown('.variant')} == 'mobilenet_v1_0.25_128'")
        browser.wait_for(f"{shown('.state')} == 'live'")
        assert "most accurate variant" in browser.value(shown(".why"))
        browser.wait_for(f"/\\d/.test({shown('.on-time')})")
        browser.wait_for("$('headline').textContent == 'door keeps its budget'")
        browser.wait_for("$('told').textContent == 'door keeps its budget'")
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

        daemon.reload(page_config(variants="mobilenet_v1_0.5_160"))
        browser.wait_for(f"{shown('.variant')} == 'mobilenet_v1_0.5_160'")


def test_a_camera_that_looks_seldom_keeps_its_result_until_the_next(
    tmp_path: Path, browser: Browser
) -> None:
    door = "door: {source: synthetic, size: 320x240, max_fps: 0.1}"
    with RunningDaemon(tmp_path, page_config(cameras=door)) as daemon:
        browser.open(f"http://127.0.0.1:{daemon.port}/")
        browser.wait_for(f"{shown('.fps')} == '0.1 a second'")  # the second result
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
            assert rate == "0.1 a second"
        assert browser.trouble == []


def test_a_second_of_late_frames_alone_breaks_no_chart(tmp_path: Path, browser: Browser) -> None:
    with RunningDaemon(tmp_path, page_config()) as daemon:
        browser.open(f"http://127.0.0.1:{daemon.port}/")
        browser.wait_for(f"!!{CARD}?.querySelector('.chart .budget')")
        rows = [[9, 0.0, 0.0, 0.0, 0.0, 1, None]]
        columns = ["ago", "p50_ms", "p95_ms", "most_ms", "budget_ms", "late", "variant"]
        history = {"seconds": 300, "columns": columns, "cameras": {"door": rows}}
        drawn = f"showSeconds({json.dumps(history)}), {CARD}.querySelector('.chart').outerHTML"
        chart = browser.value(drawn)
        assert "NaN" not in chart
        assert 'class="late"' in chart
        edge = re.search(r'class="budget" d="M40,([0-9.]+)H', chart)
        assert edge is not None
        assert float(edge[1]) == pytest.approx(130 - 118 * 200 / 300, abs=0.1)  # of 300 ms


def test_a_camera_that_streams_before_networks_are_there(tmp_path: Path, browser: Browser) -> None:
    with RunningDaemon(tmp_path, page_config()) as daemon:
        browser.open(f"http://127.0.0.1:{daemon.port}/")
        browser.wait_for(f"{shown('.state')} == 'live'")
        browser.value(
            "window.NONE = { columns: [], seconds: 300, cameras: { door: [] } };"
            "window.ask = async (path) => {"
            "if (path === 'api/v1/history') return { json: async () => NONE };"
            "const answer = await fetch(new URL(path, HERE));"
            "if (path !== 'api/v1/status') return answer; const said = await answer.json();"
            "said.loading = true; said.cameras.door.last = null;"
            "return { json: async () => said }; }; showSeconds(NONE); 0"
        )
        browser.wait_for(f"{shown('.state')} == 'loading networks'")
        assert browser.value(shown(".why")) == "loading networks"
        # Of the daemon that ran before. A picture of this one, which is not loading in truth, may
        # bring its label again.
        browser.wait_for(f"{shown('.top')} == 'loading networks'")
        browser.wait_for(f"{CARD}.querySelector('.chart').childElementCount === 0")


def test_a_camera_that_is_down_says_why(tmp_path: Path, browser: Browser) -> None:
    cameras = f"{CAMERAS}, yard: {{source: /dev/no-such-camera}}"
    with RunningDaemon(tmp_path, page_config(cameras=cameras)) as daemon:
        browser.open(f"http://127.0.0.1:{daemon.port}/")
        yard = "document.querySelector('[data-camera=yard]')"
        browser.wait_for(
            f"/^Away since .*no such device/.test({yard}?.querySelector('.error').textContent)"
        )
        browser.wait_for(f"!{CARD}.querySelector('img').hidden")
        assert browser.value(f"{yard}.querySelector('img').hidden")
        browser.wait_for("/^yard is away since .*no such device/.test($('headline').textContent)")
        cards = "[...document.querySelectorAll('article')].map((it) => it.dataset.camera)"
        browser.wait_for(f"{cards}.join() == 'yard,door'")  # the trouble first
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
        browser.wait_for(f"{shown('.state')} == 'live'")
        browser.wait_for("$('verdict').className == 'good'")
        assert browser.value(said) == ""
    browser.wait_for(f"/last update .* ago/.test({said})")
    browser.wait_for("$('verdict').className == 'bad'")
    host = socket.gethostname()
    gone = rf"/^(⚠ )?{re.escape(host)} has not answered since \d\d:\d\d$/"
    for place in ("$('headline').textContent", "document.title", "$('told').textContent"):
        assert browser.value(f"{gone}.test({place})"), browser.value(place)
    assert browser.value("$('verdict').querySelector('path').getAttribute('d') == MARKS.bad")
    assert browser.value(shown(".state")) == "no answer"
    assert browser.value("getComputedStyle($('main')).opacity") == "0.55"
    again = tmp_path / "again"
    again.mkdir()
    with RunningDaemon(again, page_config(port)):
        browser.wait_for(f"{said} === ''")
        browser.wait_for(f"{shown('.state')} == 'live'")
        browser.wait_for("$('headline').textContent == 'door keeps its budget'")
        assert browser.value("$('verdict').className") == "good"
        assert browser.value("document.title").startswith("✓ ")
        assert browser.value("getComputedStyle($('main')).opacity") == "1"


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
            browser.wait_for(f"{section}.querySelector('.top bdi') !== null")
            browser.value(f"{section}.querySelector('.figures').open = true; 0")
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
        browser.wait_for(f"/^\\d+ s ago$/.test({shown('figcaption .age')})")
        assert not browser.value(f"{CARD}.querySelector('img').hidden")
        assert browser.value(f"{CARD}.querySelector('img').naturalWidth") > 0
        assert browser.value(shown(".state")) == "live"
        # The picture keeps the result that came with it.
        assert browser.value(shown(".top bdi")) == browser.value(shown("figcaption .label"))
        assert daemon.metric('edged_results_total{camera="door"}') == before
        assert browser.trouble == []


def test_an_address_with_name_and_password(tmp_path: Path, browser: Browser) -> None:
    users = f"users: {{anna: '{PasswordHash.of('hunter2hunter2')}'}}, open: [metrics]"
    text = page_config().replace("{listen", f"{{{users}, listen")
    with RunningDaemon(tmp_path, text) as daemon:
        browser.open(f"http://anna:hunter2hunter2@127.0.0.1:{daemon.port}/")
        browser.wait_for(f"{shown('.state')} == 'live'")
        browser.wait_for(f"!{CARD}.querySelector('img').hidden")
        assert browser.trouble == []


def test_an_answer_that_is_none_of_use_is_told(tmp_path: Path, browser: Browser) -> None:
    with RunningDaemon(tmp_path, page_config()) as daemon:
        port = daemon.port
        browser.open(f"http://127.0.0.1:{port}/")
        browser.wait_for(f"{shown('.state')} == 'live'")
        asks = f"{{token_hashes: ['{token_hash(new_token())}'], open: [metrics], listen"
        daemon.reload(page_config(port).replace("{listen", asks))
        said = "document.getElementById('connection').textContent"
        browser.wait_for(f"/^The device answered with status 401; last update .* ago/.test({said})")
        browser.wait_for("/ has not told its state since /.test($('headline').textContent)")


def test_a_device_that_hangs_is_told(tmp_path: Path, browser: Browser) -> None:
    """It keeps the connection, and answers nothing."""
    with RunningDaemon(tmp_path, page_config()) as daemon:
        browser.open(f"http://127.0.0.1:{daemon.port}/events")
        headline = "document.getElementById('headline')?.textContent"
        browser.wait_for(f"{headline} == 'door keeps its budget'")
        daemon.process.send_signal(signal.SIGSTOP)
        try:
            # Before anything has failed.
            quiet = "$('connection').textContent == ''"
            browser.wait_for(f"/ has not answered since /.test({headline}) && {quiet}")
        finally:
            daemon.process.send_signal(signal.SIGCONT)
        browser.wait_for(f"{headline} == 'door keeps its budget'")


def test_names_are_written_as_they_are(tmp_path: Path, browser: Browser) -> None:
    cameras = "tostring: {source: /dev/no-such-camera}, edge: {source: /dev/no-such-camera}"
    with RunningDaemon(tmp_path, page_config(cameras=cameras)) as daemon:
        browser.open(f"http://127.0.0.1:{daemon.port}/")
        # The reason stands in a line of its own.
        browser.wait_for(
            r"/^tostring is away since \d\d:\d\d $/.test("
            "[...document.getElementById('headline')?.childNodes ?? []]"
            ".slice(0, 2).map((it) => it.textContent).join(''))"
        )
        assert "no such device" in browser.value(
            "document.querySelector('#headline .why').textContent"
        )
        browser.wait_for("/^edge is away since/.test($('troubles').textContent)")
        assert browser.value("sentence('results do not reach mqtt', ['door'])")[0] == "R"
