"""The device: what `/api/v1/device` says, and the page that shows it."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from edged.sensors.sensors import Sensors
from edged.telemetry.subjects import Subjects
from edged.web.answer import Request
from edged.web.live import Live
from edged.web.status.device import device
from edged.web.status.status import status
from tests.rig.browser import CHROMIUM, Browser
from tests.rig.camera import FakeTime
from tests.rig.device_files import ORIN_NX_POWER, PI, make_files
from tests.rig.feed import showing
from tests.rig.live import LARGE, SMALL, ShownCamera, Views, endpoints_of, live_of
from tests.rig.results import make_result

TOP1 = {SMALL: 0.6312, LARGE: 0.7088}
VIEWS: Views = {
    "yard/gate": {"top1": TOP1, "measured_ms": lambda: {SMALL.name: 3.217, LARGE.name: 14.02}},
    "yard/bin": {"family": "bins", "labels": ("full", "empty"), "budget_ms": 100.0},
}
needs_chromium = [
    pytest.mark.servers,
    pytest.mark.timeout(600),
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium"),
]


def test_families_have_all_their_classes_and_what_was_measured() -> None:
    time = FakeTime()
    live = live_of(ShownCamera("yard"), views=VIEWS, clock=time)
    time.now_ns += 90_500_000_000
    about = json.loads(json.dumps(device(live, {"teach": "not you"})))
    assert about["barred"] == {"teach": "not you"}
    assert about["uptime_seconds"] == 90.5
    imagenette, bins = about["families"]["imagenette"], about["families"]["bins"]
    assert len(imagenette["classes"]) == 21
    assert imagenette["budgets_ms"] == {"yard/gate": 20.0}
    assert imagenette["variants"] == [
        {"name": SMALL.name, "accuracy": 0.6312, "p50_ms": 3.22},
        {"name": LARGE.name, "accuracy": 0.7088, "p50_ms": 14.02},
    ]
    assert bins["classes"] == ["full", "empty"]
    assert {each["p50_ms"] for each in bins["variants"]} == {None}
    own = re.search(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert own is not None
    assert about["memory"]["daemon_bytes"] == pytest.approx(1024 * int(own[1]), rel=0.1)
    assert about["host"] == os.uname().nodename


def test_what_a_device_does_not_report_is_not_known() -> None:
    about = device(live_of(ShownCamera("yard")), {})
    assert (about["temperature_c"], about["throttled"], about["power_mode"]) == ({}, None, None)
    assert (about["power_w"], about["total_power_w"], about["max_power_w"]) == ({}, None, None)


def test_rails_and_which_of_them_is_the_total(tmp_path: Path) -> None:
    live = live_of(ShownCamera("yard"))
    live.follow(powered(tmp_path, live))
    about = device(live, {})
    assert about["power_w"] == {"VDD_IN": 30.347, "VDD_CPU_GPU_CV": 15.0, "VDD_SOC": 5.0}
    assert (about["total_power_w"], about["max_power_w"]) == (30.347, 25.0)
    shown = status(live)
    assert (shown["power_w"], shown["max_power_w"]) == (29.5, 25.0)
    text = "the device takes too much power: 29.5 W, at most 25 W wanted"
    assert {"kind": "power", "text": text} in shown["verdict"]["troubles"]


def test_what_the_client_may_comes_with_its_request() -> None:
    request = Request("GET", "/api/v1/device", barred={"control": "only read"})
    answer = endpoints_of().answer(request)
    assert json.loads(answer.body)["barred"] == {"control": "only read"}  # type: ignore[union-attr]


def test_frames_are_counted_since_the_start_by_what_became_of_them() -> None:
    camera = ShownCamera("door")
    live = live_of(camera)
    for latency_ms in (10.0, 40.0):
        live.observe(make_result(latency_ms=latency_ms, budget_ms=33.0))
    live.stale("door")
    live.shed("door")
    camera.mailbox.overwritten, camera.mailbox.quiet = 3, 5
    said = endpoints_of(live=live).answer(Request("GET", "/api/v1/status"))
    about = json.loads(said.body)["cameras"]["door"]  # type: ignore[union-attr]
    assert about["frames"] == {
        "results": 2,
        "late": 1,
        "dropped": {
            "overwritten": 3,
            "stale": 1,
            "max_fps": 0,
            "broken": 0,
            "quiet": 5,
            "temperature": 1,
            "power": 0,
            "off": 0,
        },
    }


def hot(tmp_path: Path, live: Live) -> Subjects:
    """A Raspberry Pi that is hot and has too little voltage."""
    flags = "sys/devices/platform/soc/soc:firmware/get_throttled"
    make_files(tmp_path, {**PI, flags: "50005\n"})
    sensors = Sensors(tmp_path)
    sensors.read()
    return replace(live.subjects, sensors=lambda: sensors.gauges, max_temperature_c=60.0)


def powered(tmp_path: Path, live: Live) -> Subjects:
    """A Jetson that takes more than it should."""
    sensors = Sensors(make_files(tmp_path, ORIN_NX_POWER))
    sensors.read()
    gauges = sensors.gauges
    return replace(live.subjects, sensors=lambda: gauges, max_power_w=25.0, power_w=lambda: 29.5)


class TestPage:
    pytestmark = needs_chromium

    def test_it_says_what_runs_and_what_the_family_knows(self, browser: Browser) -> None:
        many = tuple(f"class {number}" for number in range(1000))
        views: Views = {"yard/gate": {**VIEWS["yard/gate"], "labels": many}}
        with showing(views) as (_, url):
            browser.open(f"{url}device")
            browser.wait_for("document.querySelectorAll('#profile circle').length == 2")
            assert "1000 classes; the first 60" in browser.value("$('knows').textContent")
            browser.write("document.querySelector('#knows input')", "class 99")
            found = "$('knows').querySelector('.hint').textContent"
            browser.wait_for(f"{found} == '11 of 1000 classes'")
            labels = browser.value("[...document.querySelectorAll('#profile text.name')].length")
            assert labels == 2
            described = browser.value("$('profile').querySelector('svg').ariaLabel")
            assert "0.25@128 is right in 63 % and takes 3.2 ms" in described
            budget = "$('profile').querySelector('.budget title').textContent"
            assert browser.value(budget) == "budget of yard/gate"
            assert "not reported" in browser.value("$('health').textContent")
            field = "document.querySelector('#knows input')"
            browser.value(f"{field}.focus(); 0")
            browser.value("sleep(6000)")  # what is shown again does not take the focus
            assert browser.value(f"document.activeElement === {field}")
            assert browser.trouble == []

    def test_heat_and_voltage_are_told_in_words(self, browser: Browser, tmp_path: Path) -> None:
        with showing(VIEWS) as (feed, url):
            feed.follow(hot(tmp_path, feed.live))
            browser.open(f"{url}device")
            health = "document.getElementById('health')?.textContent"
            browser.wait_for(f"/of 60 °C at most/.test({health})")
            assert "its power supply is too weak" in browser.value("$('health').textContent")
            browser.wait_for("/too hot/.test($('headline').textContent)")

    def test_watts_are_shown_by_rail(self, browser: Browser, tmp_path: Path) -> None:
        with showing(VIEWS) as (feed, url):
            feed.follow(powered(tmp_path, feed.live))
            browser.open(f"{url}device")
            said = "30.3 W of 25 W at most (VDD_IN 30.3 W, VDD_CPU_GPU_CV 15.0 W, VDD_SOC 5.0 W)"
            health = "document.getElementById('health')?.textContent"
            browser.wait_for(f"{health}?.includes({json.dumps(said)})")
            browser.wait_for("/too much power/.test($('headline').textContent)")
