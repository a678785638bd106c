"""Switches of a real daemon: what stops, what goes on, and what a restart and a reload keep."""

from __future__ import annotations

import json
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.rig.broker import Listener, needs_mosquitto, running_broker
from tests.rig.daemon import RunningDaemon, quick_config
from tests.rig.key_frames import FRAMES, cpu_ns, key_frames_ns, write_stream
from tests.rig.rules import ANY
from tests.rig.waiting import eventually

YARD = (
    "{source: synthetic, size: 320x240, fps: 5,"
    " views: {gate: {roi: [0, 0, 0.5, 1]}, bin: {roi: [0.5, 0, 0.5, 1]}}}"
)
DOOR = "{source: synthetic, size: 320x240, fps: 5}"
RULE = f"{{{ANY}, above: 0.5, for_seconds: 0, smooth_seconds: 0"
EVENTS = f"{{any: {RULE}}}, other: {RULE}, cameras: [door]}}}}"
GATE = '{camera="yard",view="gate"}'


def config(**more: str) -> str:
    return quick_config({"yard": YARD, "door": DOOR}, events=EVENTS, **more)


def switch(daemon: RunningDaemon, **body: Any) -> Any:
    request = urllib.request.Request(
        f"http://127.0.0.1:{daemon.port}/api/v1/switches",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def told(daemon: RunningDaemon, path: str) -> Any:
    return json.loads(daemon.get(path)[1])


def results(daemon: RunningDaemon, view: str) -> list[dict[str, Any]]:
    return [each for each in daemon.results_of(view) if "sequence" in each]


def events(daemon: RunningDaemon, view: str, name: str) -> list[str]:
    """States of the event that were told."""
    found = (each for each in daemon.results_of(view) if each.get("event") == name)
    return [each["state"] for each in found]


def none_follow(daemon: RunningDaemon, view: str, other: str) -> None:
    """The view gives no result while the other one goes on."""
    before = len(results(daemon, other))
    daemon.wait_for(lambda: len(results(daemon, other)) > before + 2)  # of frames in progress
    stopped, before = len(results(daemon, view)), len(results(daemon, other))
    daemon.wait_for(lambda: len(results(daemon, other)) > before + 5)
    assert len(results(daemon, view)) == stopped


@pytest.mark.timeout(240)
def test_a_view_that_is_off_does_nothing_and_is_no_trouble(tmp_path: Path) -> None:
    with RunningDaemon(tmp_path, config()) as daemon:
        daemon.wait_for(lambda: events(daemon, "yard/gate", "any") == ["started"])
        daemon.wait_for(lambda: results(daemon, "yard/bin") and results(daemon, "door"))
        assert daemon.metric(f"edged_view_on{GATE}") == 1
        answer = switch(daemon, view="yard/gate", set="off")
        assert answer["kept"] is True
        daemon.wait_for(lambda: events(daemon, "yard/gate", "any") == ["started", "ended"])
        none_follow(daemon, "yard/gate", "yard/bin")
        assert daemon.metric(f"edged_view_on{GATE}") == 0
        dropped = 'edged_frames_dropped_total{camera="yard",reason="off",view="gate"}'
        assert daemon.metric(dropped) > 0
        assert "view yard/gate: switched off (api on loopback)" in daemon.text
        said = told(daemon, "/api/v1/status")
        about = said["cameras"]["yard"]["views"]["gate"]["switch"]
        assert (about["state"], about["origin"]) == ("off", "api on loopback")
        assert said["verdict"]["text"].endswith("; yard/gate is switched off")
        for path in ("/healthz", "/readyz"):
            assert daemon.get(path)[0] == 200
        assert events(daemon, "yard/bin", "any") == ["started"]  # it goes on

        switch(daemon, event="any", set="snooze", minutes=5)
        daemon.wait_for(lambda: events(daemon, "yard/bin", "any") == ["started", "ended"])
        daemon.wait_for(lambda: events(daemon, "door", "any") == ["started", "ended"])
        assert events(daemon, "door", "other") == ["started"]
        switch(daemon, event="any", set="on")
        daemon.wait_for(lambda: events(daemon, "yard/bin", "any")[2:] == ["started"])
        switch(daemon, view="yard/gate", set="on")
        daemon.wait_for(lambda: events(daemon, "yard/gate", "any")[2:] == ["started"])
        assert daemon.stop()[0] == 0


@pytest.mark.alone
@pytest.mark.timeout(240)
def test_a_camera_whose_views_are_all_off_costs_about_its_key_frames(tmp_path: Path) -> None:
    clip = write_stream(tmp_path / "meter.mp4")
    yard = YARD.replace("synthetic, size: 320x240, fps: 5", f"{clip}, loop: true")
    names = "yard/gate", "yard/bin"

    def capture_ns(seconds: float) -> float:
        """Processor time per captured frame, of the capture process."""
        frames, begun_ns = daemon.metric('edged_frames_captured_total{camera="yard"}'), cpu_ns(pid)
        time.sleep(seconds)
        used_ns = cpu_ns(pid) - begun_ns
        return used_ns / (daemon.metric('edged_frames_captured_total{camera="yard"}') - frames)

    with RunningDaemon(tmp_path, quick_config({"yard": yard}, backend="onnxruntime")) as daemon:
        daemon.wait_for(lambda: all(results(daemon, name) for name in names))
        (pid,) = daemon.capture_processes()
        on_ns = capture_ns(2)
        switch(daemon, view="yard/gate", set="off")
        none_follow(daemon, "yard/gate", "yard/bin")
        switch(daemon, view="yard/bin", set="off")
        off = 'edged_frames_dropped_total{camera="yard",reason="off",view="bin"}'
        daemon.wait_for(lambda: daemon.metric(off) >= 2 * FRAMES)
        stopped = len(daemon.results)
        off_ns, usual_ns = capture_ns(4), key_frames_ns(clip, FRAMES)
        assert len(daemon.results) == stopped
        # 0.8 to 1.5: at so many frames a second, waking for each is a good part of it.
        assert off_ns / usual_ns <= 2, f"{off_ns / usual_ns:.2f} of decoding key frames"
        assert off_ns / on_ns < 0.2, f"{off_ns / on_ns:.2f} of what a view that is on costs"
        switch(daemon, view="yard/bin", set="on")
        daemon.wait_for(lambda: len(results(daemon, "yard/bin")) > 20)
        assert daemon.stop()[0] == 0


@pytest.mark.timeout(240)
def test_a_restart_and_a_reload_keep_it_and_what_is_gone_is_forgotten(tmp_path: Path) -> None:
    with RunningDaemon(tmp_path, config()) as daemon:
        daemon.wait_for(lambda: results(daemon, "door"))
        switch(daemon, view="yard/gate", set="off")
        switch(daemon, event="other", set="off")
        switch(daemon, view="door", set="snooze", minutes=60)
        before = told(daemon, "/api/v1/switches")
        daemon.process.kill()  # the answer came after it was written
        daemon.process.wait(30)
    with RunningDaemon(tmp_path, config()) as daemon:
        daemon.wait_for(lambda: len(results(daemon, "yard/bin")) > 5)
        assert told(daemon, "/api/v1/switches") == before
        assert results(daemon, "yard/gate") == results(daemon, "door") == []
        daemon.reload(config(latency_budget_ms="4000"))
        none_follow(daemon, "yard/gate", "yard/bin")
        assert told(daemon, "/api/v1/switches") == before
        without = quick_config({"yard": YARD, "lamp": DOOR}, events=f"{{any: {RULE}}}}}")
        daemon.reload(without)
        daemon.wait_for(lambda: results(daemon, "lamp"))
        for what in (r"camera door", r"event other"):
            assert f"{what} is no longer configured; it was s" in daemon.text
        states = told(daemon, "/api/v1/switches")["views"]
        assert {view: each["state"] for view, each in states.items()} == {
            "yard/gate": "off",
            "yard/bin": "on",
            "lamp": "on",
        }
        assert daemon.stop()[0] == 0


@pytest.mark.timeout(240)
def test_outside_its_hours_a_view_or_an_event_is_as_if_off(tmp_path: Path) -> None:
    hour = time.gmtime().tm_hour
    closed = f"{(hour + 2) % 24:02}:00-{(hour + 4) % 24:02}:00"
    opened = f"{(hour - 1) % 24:02}:00-{(hour + 3) % 24:02}:00"
    yard = YARD.replace("gate: {", f"gate: {{hours: '{closed}', ")
    yard = yard.replace("bin: {", f"bin: {{hours: ['{closed}', '{opened}'], ")
    rules = f"{{any: {RULE}, hours: '{opened}'}}, other: {RULE}, hours: '{closed}'}}}}"
    with RunningDaemon(tmp_path, quick_config({"yard": yard}, events=rules), TZ="UTC") as daemon:
        daemon.wait_for(lambda: len(results(daemon, "yard/bin")) > 5)
        daemon.wait_for(lambda: events(daemon, "yard/bin", "any") == ["started"])
        assert results(daemon, "yard/gate") == events(daemon, "yard/bin", "other") == []
        assert daemon.metric(f"edged_view_on{GATE}") == 0
        assert switch(daemon, view="yard/gate", set="on")["views"]["yard/gate"]["state"] == "hours"
        assert told(daemon, "/api/v1/status")["events"]["other"]["switch"]["state"] == "hours"
        assert "view yard/gate: outside its hours" in daemon.text
        daemon.reload(quick_config({"yard": YARD}, events=rules))
        daemon.wait_for(lambda: results(daemon, "yard/gate"))
        assert daemon.stop()[0] == 0


@pytest.mark.servers
@needs_mosquitto
@pytest.mark.timeout(240)
def test_commands_of_a_broker_and_what_it_is_told(tmp_path: Path) -> None:
    with running_broker(tmp_path) as broker, Listener(broker.port, "edged/#") as listener:

        def text(**more: str) -> str:
            mqtt = f"{{broker: 'mqtt://127.0.0.1:{broker.port}', device: pi, commands: true}}"
            return config(results=f"{{jsonl: '-', mqtt: {mqtt}}}", **more)

        def states(topic: str) -> list[str]:
            return [each["state"] for each in listener.json(f"edged/pi/{topic}/switch")]

        with RunningDaemon(tmp_path, text()) as daemon:
            daemon.wait_for(lambda: results(daemon, "yard/gate"))
            daemon.wait_for(lambda: states("yard/gate") == ["on"])
            listener.send("edged/pi/yard/gate/set", b"OFF")
            listener.send("edged/pi/door/event/other/set", b"snooze 10")
            daemon.wait_for(lambda: states("yard/gate") == ["on", "off"])
            daemon.wait_for(lambda: states("door/event/other") == ["on", "snoozed"])
            none_follow(daemon, "yard/gate", "yard/bin")
            assert "view yard/gate: switched off (mqtt)" in daemon.text
            daemon.reload(text(latency_budget_ms="4000"))
            daemon.reload(text().replace("commands: true", "commands: true, state_seconds: 5"))
            listener.send("edged/pi/yard/gate/set", b"ON")
            daemon.wait_for(lambda: states("yard/gate")[-1] == "on")
            daemon.wait_for(lambda: results(daemon, "yard/gate"))
            listener.send("edged/pi/yard/gate/set", b"OFF")
            daemon.wait_for(lambda: states("yard/gate")[-1] == "off")
            assert daemon.stop()[0] == 0
        assert listener.of("edged/pi/status").count(b"offline") == 1
        told_before = len(states("yard/gate"))
        with RunningDaemon(tmp_path, text()) as daemon:
            eventually(lambda: len(states("yard/gate")) > told_before)
            assert states("yard/gate")[-1] == states("yard/gate")[told_before] == "off"
            daemon.wait_for(lambda: results(daemon, "yard/bin"))
            assert results(daemon, "yard/gate") == []
