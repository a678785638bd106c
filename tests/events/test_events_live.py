"""Events of a real daemon: what its sink prints, what its metrics say, and what a reload does."""

from __future__ import annotations

import base64
import json
import signal
from pathlib import Path
from typing import Any

import pytest

from edged.capture.decode.jpeg import jpeg_size
from edged.events.journal import FILE
from tests.rig.broker import Listener, needs_mosquitto, running_broker
from tests.rig.daemon import RunningDaemon
from tests.rig.rules import ANY
from tests.rig.webhook import serving

RULE = f"{{{ANY}, for_seconds: 0, snapshot: true}}"
METRIC = 'edged_event{what}{{camera="door",event="{event}"}}'


def config(events: str, **camera: str) -> str:
    keys = {"source": "synthetic", "size": "320x240", "fps": "5", **camera}
    inner = ", ".join(f"{key}: {value}" for key, value in keys.items())
    return (
        "variants: [mobilenet_v1_0.25_128]\nlatency_budget_ms: 5000\n"
        f"http: {{listen: 127.0.0.1:0}}\nevents: {{{events}}}\ncameras: {{door: {{{inner}}}}}\n"
    )


def events(daemon: RunningDaemon) -> list[dict[str, Any]]:
    return [line for line in daemon.results if "event" in line]


def test_events_go_the_way_of_results_and_through_a_reload(tmp_path: Path) -> None:
    with RunningDaemon(tmp_path, config(f"any: {RULE}, gone: {RULE}")) as daemon:
        daemon.wait_for(lambda: len(events(daemon)) == 2)
        for begun in events(daemon):
            assert (begun["camera"], begun["state"], begun["ended_at"]) == ("door", "started", None)
            assert begun["peak"] >= 0.99
            assert jpeg_size(base64.b64decode(begun["snapshot"])) is not None
        assert daemon.metric(METRIC.format(what="s_total", event="any")) == 1
        assert daemon.metric(METRIC.format(what="_active", event="any")) == 1

        # One rule stays as it is, one is gone, and one is new.
        said = daemon.reload(config(f"any: {RULE}, more: {RULE}"))
        assert said == "configuration reloaded: events"
        daemon.wait_for(lambda: len(events(daemon)) == 4)
        later = {(event["event"], event["state"]) for event in events(daemon)[2:]}
        assert later == {("gone", "ended"), ("more", "started")}
        assert daemon.metric(METRIC.format(what="s_total", event="any")) == 1

        # A class that the family does not have changes nothing.
        said = daemon.reload(config("any: {class: golf bal}"))
        assert "edged.yaml:4: events.any.class: the family has no such class" in said
        assert said.endswith("(got golf bal); did you mean golf ball?")
        assert daemon.metric(METRIC.format(what="_active", event="any")) == 1

        status, _ = daemon.stop(signal.SIGTERM)
        assert status == 0
    ended = [event["event"] for event in events(daemon) if event["state"] == "ended"]
    assert sorted(ended) == ["any", "gone", "more"]


@pytest.mark.servers
@needs_mosquitto
def test_a_crash_and_a_reload_tell_the_truth_on_every_way_out(tmp_path: Path) -> None:
    """Webhook, MQTT and lines: an event that goes on has not ended; one that ran at a crash has."""
    with (
        running_broker(tmp_path) as broker,
        serving(200) as server,
        Listener(broker.port) as listener,
    ):
        topic = "edged/pi/door/event/any"

        def text(**keys: str) -> str:
            mqtt = {"broker": f"'mqtt://127.0.0.1:{broker.port}'", "device": "pi"} | keys
            inner = ", ".join(f"{key}: {value}" for key, value in mqtt.items())
            url = f"http://127.0.0.1:{server.server_port}/"
            out = f"results: {{mqtt: {{{inner}}}, webhook: {{url: '{url}'}}}}\n"
            return config(f"any: {RULE.replace(', snapshot: true', '')}") + out

        def posted() -> list[dict[str, Any]]:
            return [json.loads(body) for _, _, body in server.got]

        with RunningDaemon(tmp_path, text()) as daemon:
            daemon.wait_for(lambda: listener.json(topic)[-1:] and len(posted()) == 1)
            daemon.wait_for(lambda: listener.json(topic)[-1]["state"] == "started")
            daemon.wait_for(lambda: listener.of("edged/pi/door/status")[-1:] == [b"online"])
            daemon.reload(text(state_seconds="5"))
            daemon.wait_for_results(len(daemon.results) + 3)
            assert daemon.metric(METRIC.format(what="_active", event="any")) == 1
            told = [each["state"] for each in listener.json(topic)]
            assert told[0] == "ended" and set(told[1:]) == {"started"}  # of an earlier run
            daemon.wait_for((tmp_path / "state" / FILE).exists)
            daemon.process.kill()
            daemon.process.wait(30)
        listener.wait_for("edged/pi/status", b"offline")
        first = posted()[0]
        with RunningDaemon(tmp_path, text()) as daemon:
            daemon.wait_for(lambda: len(posted()) == 3 and len(events(daemon)) == 2)
            ended, again = posted()[1:]
            assert (ended["state"], ended["started_at"]) == ("ended", first["started_at"])
            assert first["started_at"] <= ended["ended_at"] <= again["started_at"]
            assert again["state"] == "started"
            daemon.wait_for(lambda: listener.json(topic)[-2:] == [ended, again])
            assert events(daemon) == [ended, again]
            assert daemon.stop()[0] == 0
        daemon.wait_for(lambda: len(posted()) == 4)
        assert not (tmp_path / "state" / FILE).exists()


def test_an_unknown_class_is_an_error_at_the_start(tmp_path: Path) -> None:
    with RunningDaemon(tmp_path, config("any: {class: zebra}")) as daemon:
        assert daemon.process.wait(30) == 2
        daemon.wait_for(lambda: "zebra" in daemon.text)
    assert "Traceback" not in daemon.text
    (line,) = [line for line in daemon.log if "zebra" in line]
    assert "edged.yaml:4: events.any.class: the family has no such class (got zebra)" in line


def test_a_quiet_camera_gives_few_results_and_no_misses(tmp_path: Path) -> None:
    quiet = "{at_least_every_seconds: 1, hold_seconds: 0.2, threshold: 30}"
    still = config("", source='"synthetic:320x240@30?still"', quiet=quiet)
    with RunningDaemon(tmp_path, still) as daemon:
        daemon.wait_for(
            lambda: daemon.metric('edged_frames_dropped_total{camera="door",reason="quiet"}') > 60
        )
        assert daemon.metric('edged_frames_dropped_total{camera="door",reason="stale"}') == 0
        before = len(daemon.results)
        daemon.wait_for_results(before + 1)  # though nothing moves
