"""Views of a camera at a real Mosquitto: their topics, and what of them stays retained."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from edged.result import Event
from edged.sinks.mqtt.mqtt import Mqtt
from edged.sinks.sink import Rule, Rules
from edged.sinks.worker import Timing
from tests.rig.broker import Broker, Listener, needs_mosquitto
from tests.rig.mqtt import ROOT, STATUS, config_for, retained, started
from tests.rig.results import make_result
from tests.rig.waiting import eventually

pytestmark = [pytest.mark.servers, needs_mosquitto]

OPEN = (Rule("open", True),)
YARD: Rules = {"yard/gate": OPEN, "yard/bin": (), "door": OPEN}
GATE, BIN, YARD_STATUS = f"{ROOT}/yard/gate", f"{ROOT}/yard/bin", f"{ROOT}/yard/status"
DISCOVERY = "homeassistant/device/edged-pi/yard/config"


def opened(view: str, name: str = "open") -> Event:
    return Event(view, name, 10**18, None, 0.7, b"picture")


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_each_view_has_its_topics_and_the_camera_its_status(broker: Broker, version: str) -> None:
    config = replace(config_for(broker), version=version)
    with Listener(broker.port, f"{ROOT}/#") as listener, started(config, YARD) as sink:
        sink.observe_cameras({"yard": True, "door": False})
        for number, view in enumerate(YARD):
            sink.publish(make_result(number, view=view))
        sink.publish_event(opened("yard/gate"))
        eventually(lambda: sink.delivered == 4)
        listener.wait_for(YARD_STATUS, b"online")
        eventually(lambda: all(listener.of(f"{ROOT}/{view}/state") for view in YARD))
        listener.wait_for(f"{GATE}/event/open/snapshot", b"picture")
    results = [listener.json(f"{each}/result")[0] for each in (GATE, BIN, f"{ROOT}/door")]
    assert [each["sequence"] for each in results] == [0, 1, 2]
    assert [(each["camera"], each.get("view")) for each in results] == [
        ("yard", "gate"),
        ("yard", "bin"),
        ("door", None),
    ]
    begun = listener.json(f"{GATE}/event/open")[-1]
    assert (begun["camera"], begun["view"], begun["state"]) == ("yard", "gate", "started")
    statuses = {each.topic for each in listener.messages if each.topic.endswith("/status")}
    assert statuses == {STATUS, YARD_STATUS, f"{ROOT}/door/status"}


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_what_is_gone_of_views_does_not_stay_retained(broker: Broker, version: str) -> None:
    config = replace(config_for(broker), version=version)
    before: Rules = {
        "yard/gate": (Rule("open", True), Rule("shut", True)),
        "yard/bin": OPEN,
        "roof/left": OPEN,
        "door": OPEN,
    }
    with started(config, before) as sink:
        for view, rules in before.items():
            sink.publish(make_result(1, view=view))
            for name, *_ in rules:
                sink.publish_event(opened(view, name))
        eventually(lambda: sink.delivered == 9)
    found = retained(broker.port, f"{ROOT}/#")
    assert {f"{GATE}/event/shut/snapshot", f"{BIN}/state", f"{ROOT}/roof/left/state"} <= set(found)
    after: Rules = {"yard/gate": (Rule("open", True),), "door/lock": ()}
    with Listener(broker.port, f"{ROOT}/#") as listener, started(config, after):
        for gone in (
            *("yard/gate/event/shut", "yard/gate/event/shut/snapshot"),
            *("yard/bin/state", "yard/bin/event/open", "yard/bin/event/open/snapshot"),
            *("roof/status", "roof/left/state", "roof/left/event/open/snapshot"),
            *("door/state", "door/event/open", "door/event/open/snapshot"),
        ):
            listener.wait_for(f"{ROOT}/{gone}", b"")
    assert set(retained(broker.port, f"{ROOT}/#")) == {
        *(STATUS, YARD_STATUS, f"{ROOT}/door/status"),
        *(f"{GATE}/{what}" for what in ("state", "event/open", "event/open/snapshot")),
    }


def test_events_with_the_names_of_topic_levels_are_no_views(broker: Broker) -> None:
    rules: Rules = {"door": tuple(Rule(name, True) for name in ("event", "state", "status"))}
    with started(config_for(broker), rules) as sink:
        for name, *_ in rules["door"]:
            sink.publish_event(opened("door", name))
        eventually(lambda: sink.delivered == 3)
    before = retained(broker.port, f"{ROOT}/#")
    with started(config_for(broker), rules) as sink:
        sink.publish_event(opened("door", "event"))
        eventually(lambda: sink.delivered == 1)
    assert set(retained(broker.port, f"{ROOT}/#")) == set(before)
    with started(config_for(broker), {"door": ()}):
        eventually(lambda: len(retained(broker.port, f"{ROOT}/#")) == 2)
    assert set(retained(broker.port, f"{ROOT}/#")) == {STATUS, f"{ROOT}/door/status"}


def test_a_view_goes_on_while_others_come_and_go(broker: Broker) -> None:
    """The camera delivers all the time, whatever becomes of its views."""
    config = config_for(broker)
    with Listener(broker.port, f"{ROOT}/#") as listener:
        before = Mqtt(config, YARD, None, Timing(0.05))
        before.start()
        before.observe_cameras({"yard": True})
        before.publish_event(opened("yard/gate"))
        before.publish(make_result(7, view="yard/gate"))
        eventually(lambda: before.delivered == 2)
        listener.wait_for(YARD_STATUS, b"online")
        after = Mqtt(config, {"yard/gate": OPEN, "yard/lamp": ()}, None, Timing(0.05))
        after.take_over(before)
        after.start()
        before.close(5)
        eventually(lambda: len(listener.of(f"{GATE}/event/open")) == 3)
        eventually(lambda: len(listener.of(f"{GATE}/state")) == 2)
        assert listener.json(f"{GATE}/event/open")[-1]["state"] == "started"
        assert listener.of(YARD_STATUS) == [b"offline", b"online", b"online"]
        after.close(5)


def test_discovery_follows_the_views_of_a_camera(broker: Broker) -> None:
    with Listener(broker.port, DISCOVERY) as listener:
        with started(config_for(broker), {"yard": OPEN}):
            eventually(lambda: len(listener.of(DISCOVERY)) == 1)
        with started(config_for(broker), YARD):
            eventually(lambda: len(listener.of(DISCOVERY)) == 4)
        alone, views, update, last = (each["components"] for each in listener.json(DISCOVERY))
        gone = {"platform": "sensor"}
        assert views == last
        assert {key for key, each in update.items() if each == gone} == {
            key for key, each in alone.items() if each["platform"] == "sensor"
        }
        assert update["delivers"] == alone["delivers"] == views["delivers"]
        with started(config_for(broker), {"door": ()}):
            listener.wait_for(DISCOVERY, b"")


def test_nothing_of_views_stays_of_a_former_name(broker: Broker, tmp_path: Path) -> None:
    config, memory = config_for(broker), tmp_path / "mqtt.json"
    before = Mqtt(config, YARD, memory, Timing(0.05, lasting_seconds=0.0))
    before.start()
    before.publish_event(opened("yard/gate"))
    before.publish(make_result(1, view="yard/bin"))
    eventually(lambda: before.delivered == 2 and memory.exists())
    before.close(5)
    assert f"{GATE}/event/open/snapshot" in retained(broker.port, f"{ROOT}/#")
    after = Mqtt(replace(config, device="hut"), YARD, memory, Timing(0.05, lasting_seconds=0.0))
    after.start()
    eventually(lambda: not retained(broker.port, f"{ROOT}/#", DISCOVERY))
    eventually(lambda: json.loads(memory.read_bytes())["device"] == "hut")
    after.close(5)
