"""Views of a real daemon, as others see them: topics, entities, series, the API, and a reload."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import pytest

from tests.rig.broker import Broker, Listener, needs_mosquitto
from tests.rig.daemon import RunningDaemon, quick_config
from tests.rig.mqtt import retained
from tests.rig.rules import ANY

pytestmark = [pytest.mark.servers, needs_mosquitto]

ROOT = "edged/pi"
DISCOVERY = "homeassistant/device/edged-pi/yard/config"


def config(port: int, views: str) -> str:
    return quick_config(
        {
            "yard": f"{{source: synthetic, size: 320x240, fps: 10, views: {{{views}}}}}",
            "door": "{source: synthetic, size: 320x240, fps: 10}",
        },
        results=f"{{jsonl: '-', mqtt: {{broker: 'mqtt://127.0.0.1:{port}', device: pi}}}}",
        events=f"{{seen: {{{ANY}, for_seconds: 0, snapshot: true, cameras: [yard, door]}}}}",
    )


def test_what_is_told_of_views_and_what_is_taken_back(tmp_path: Path, broker: Broker) -> None:
    gate, bin = "gate: {roi: [0, 0, 0.5, 1]}", "bin: {roi: [0.5, 0, 0.5, 1], max_fps: 2}"
    text = config(broker.port, f"{gate}, {bin}")
    with RunningDaemon(tmp_path, text) as daemon, Listener(broker.port) as listener:
        for view in ("yard/gate", "yard/bin", "door"):
            for what in ("result", "state", "event/seen/snapshot"):
                daemon.wait_for(lambda v=view, w=what: listener.of(f"{ROOT}/{v}/{w}"), 60)
        listener.wait_for(f"{ROOT}/yard/status", b"online")
        assert {(each["camera"], each.get("view")) for each in daemon.results} >= {
            *(("yard", "gate"), ("yard", "bin"), ("door", None))
        }
        begun = listener.json(f"{ROOT}/yard/bin/event/seen")[-1]
        assert (begun["camera"], begun["view"], begun["state"]) == ("yard", "bin", "started")
        for series in (
            'edged_results_total{camera="yard",view="gate"}',
            'edged_events_total{camera="yard",event="seen",view="bin"}',
            'edged_results_total{camera="door"}',
            'edged_variant_results_total{camera="yard",variant="mobilenet_v1_0.25_128",view="bin"}',
        ):
            assert daemon.metric(series) >= 1, series
        cameras = json.loads(daemon.get("/api/v1/status")[1])["cameras"]
        assert cameras["yard"]["views"]["gate"]["roi"] == [0, 0, 0.5, 1]
        assert cameras["yard"]["views"]["bin"]["last"] is not None
        with urllib.request.urlopen(
            f"http://127.0.0.1:{daemon.port}/api/v1/cameras/yard/views/bin/snapshot.jpg"
        ) as answer:
            assert json.loads(answer.headers["Picture-Result"])["view"] == "bin"
        entities = listener.json(DISCOVERY)[-1]["components"]
        assert {"gate-Class", "bin-Class", "bin-Event-seen", "delivers"} <= entities.keys()

        said = daemon.reload(config(broker.port, f"{gate}, lamp: {{roi: [0.5, 0, 0.5, 1]}}"))
        assert said.startswith("configuration reloaded"), daemon.text
        daemon.wait_for(lambda: listener.of(f"{ROOT}/yard/lamp/result"))
        for gone in ("state", "event/seen", "event/seen/snapshot"):
            listener.wait_for(f"{ROOT}/yard/bin/{gone}", b"")
        assert not [line for line in daemon.get("/metrics")[1].splitlines() if 'view="bin"' in line]
        assert daemon.metric('edged_results_total{camera="yard",view="gate"}') >= 2
        daemon.wait_for(lambda: "lamp-Class" in listener.json(DISCOVERY)[-1]["components"])
        assert "bin-Class" not in listener.json(DISCOVERY)[-1]["components"]
        assert daemon.get("/api/v1/cameras/yard/views/bin/snapshot.jpg")[0] == 404
        assert daemon.stop()[0] == 0
    kept = retained(broker.port, f"{ROOT}/#")
    assert kept[f"{ROOT}/yard/status"] == b"offline"
    assert not [topic for topic in kept if "/bin/" in topic]
    assert f"{ROOT}/yard/lamp/state" in kept


def classes(listener: Listener) -> set[str]:
    """Entities of the camera that name a class."""
    told = listener.json(DISCOVERY)[-1:]
    return {name for each in told for name in each["components"] if name.lower()[-5:] == "class"}


def test_a_camera_gets_views_and_loses_them(tmp_path: Path, broker: Broker) -> None:
    """Nothing stays of what the camera said without them, nor of them."""
    divided = config(broker.port, "gate: {roi: [0, 0, 0.5, 1]}")
    whole = divided.replace(", views: {gate: {roi: [0, 0, 0.5, 1]}}", "")
    with RunningDaemon(tmp_path, whole) as daemon, Listener(broker.port) as listener:
        daemon.wait_for_results(1)
        for text, prefix, entity in (
            (whole, "", "class"),
            (divided, "gate/", "gate-Class"),
            (whole, "", "class"),
        ):
            assert daemon.reload(text).startswith("configuration reloaded")
            kept = ("state", "switch", "event/seen", "event/seen/snapshot")
            says = {f"{prefix}{what}" for what in kept}
            expected = {f"{ROOT}/yard/{what}" for what in (*says, "status", "event/seen/switch")}
            daemon.wait_for(lambda e=expected: retained(broker.port, f"{ROOT}/yard/#").keys() == e)
            daemon.wait_for(lambda e=entity: classes(listener) == {e})
        assert daemon.stop()[0] == 0
