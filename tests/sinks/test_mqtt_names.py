"""What a reload and another name change at a real Mosquitto: what is retained, and what is not."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from edged.result import Event
from edged.sinks.mqtt.mqtt import Mqtt
from edged.sinks.mqtt.options import MqttConfig
from edged.sinks.sink import Rule, Rules
from edged.sinks.worker import Timing
from tests.rig.broker import Broker, Listener, needs_mosquitto
from tests.rig.mqtt import (
    CAMERA_STATUS,
    EVENT,
    RESULT,
    ROOT,
    RULES,
    STATUS,
    config_for,
    retained,
)
from tests.rig.results import make_result
from tests.rig.waiting import eventually

pytestmark = [pytest.mark.servers, needs_mosquitto]
BEGUN = Event("door", "visitor", 10**18, None, 0.7, b"picture")
DISCOVERY = "homeassistant/device/edged-pi/door/config"


def sink_of(
    config: MqttConfig, rules: Rules = RULES, memory: Path | None = None, lasting: float = 0.0
) -> Mqtt:
    return Mqtt(config, rules, memory, Timing(0.05, lasting_seconds=lasting))


def replaced(before: Mqtt, after: Mqtt) -> None:
    """As a reload does it."""
    after.take_over(before)
    after.start()
    before.close(5)


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_an_event_goes_on_through_a_reload(broker: Broker, version: str) -> None:
    config = replace(config_for(broker), version=version)
    with Listener(broker.port, f"{ROOT}/#") as listener:
        before = sink_of(config)
        before.start()
        before.publish_event(BEGUN)
        before.observe_cameras({"door": True})
        eventually(lambda: before.delivered == 1 and b"online" in listener.of(CAMERA_STATUS))
        rules: Rules = {"door": (Rule("visitor", True, "occupancy"), Rule("dog", False))}
        after = sink_of(replace(config, state_seconds=5), rules)
        replaced(before, after)
        eventually(lambda: listener.of(f"{ROOT}/door/event/dog"))
        after.publish_event(replace(BEGUN, ended_unix_ns=10**18 + 1, snapshot=None))
        eventually(lambda: listener.json(EVENT)[-1]["ended_at"])
        assert b"offline" not in listener.of(STATUS)  # the device was there all the time
        assert listener.of(CAMERA_STATUS) == [b"offline", b"online", b"online"]
        after.close(5)
        listener.wait_for(STATUS, b"offline")
    states = [each["state"] for each in listener.json(EVENT)]
    assert states == ["ended", "started", "started", "ended"]  # again on the new connection
    assert not any((before.dropped | after.dropped).values())


def test_one_that_connects_otherwise_does_not_count_on_being_let_in(broker: Broker) -> None:
    with Listener(broker.port, f"{ROOT}/#") as listener:
        before = sink_of(config_for(broker))
        before.start()
        listener.wait_for(STATUS, b"online")
        after = sink_of(replace(config_for(broker), user="edged"))
        replaced(before, after)
        eventually(lambda: b"offline" in listener.of(STATUS))
        listener.wait_for(STATUS, b"online")
        after.close(5)


def test_what_waits_is_taken_over_in_its_order(broker: Broker) -> None:
    broker.stop()
    before = sink_of(config_for(broker))
    before.start()
    for number in range(100):
        before.publish(make_result(number))
    before.publish_event(BEGUN)
    waits, listening = threading.Event(), threading.Event()

    def wait(seconds: float) -> bool:
        waits.set()
        return listening.wait(30)

    after = Mqtt(replace(config_for(broker), device="gate"), RULES, None, Timing(wait=wait))
    replaced(before, after)
    before.publish(make_result(100))  # by whoever has not heard of it
    assert waits.wait(30)
    broker.start()
    with Listener(broker.port, "edged/gate/#") as listener:
        listening.set()
        eventually(lambda: after.delivered == 102)
        eventually(lambda: len(listener.json("edged/gate/door/result")) == 101)
        arrived = [each["sequence"] for each in listener.json("edged/gate/door/result")]
        assert arrived == list(range(101))
        assert listener.of("edged/gate/door/event/visitor/snapshot") == [b"picture"]
        after.close(5)
    assert before.delivered == 0
    assert not any((before.dropped | after.dropped).values())


@pytest.mark.parametrize("prefix", [None, "ha", "home/ha"])
def test_discovery_is_taken_back_when_it_is_off_or_elsewhere(
    broker: Broker, prefix: str | None
) -> None:
    config = config_for(broker)
    foreign = "homeassistant/device/edged-pi/other/config"
    with Listener(broker.port) as listener:
        before = sink_of(config)
        before.start()
        eventually(lambda: listener.of(DISCOVERY))
        before.close(5)
        listener.keep(foreign, b'{"origin": {"name": "somebody"}}')
        eventually(lambda: listener.of(foreign))
        after = sink_of(replace(config, home_assistant=prefix))
        after.start()
        listener.wait_for(DISCOVERY, b"")
        if prefix is not None:
            eventually(lambda: listener.of(DISCOVERY.replace("homeassistant", prefix)))
        after.close(5)
        assert len(listener.of(foreign)) == 1


def test_nothing_stays_of_a_former_name(broker: Broker, tmp_path: Path) -> None:
    config, memory = config_for(broker), tmp_path / "state" / "mqtt.json"
    before = sink_of(config, RULES, memory)
    before.start()
    before.publish_event(BEGUN)
    before.publish(make_result(1))
    eventually(lambda: before.delivered == 2 and memory.exists())
    before.close(5)
    assert len(retained(broker.port, f"{ROOT}/#", DISCOVERY)) == 6
    after = sink_of(replace(config, device="gate", topic="cameras"), RULES, memory)
    after.start()
    with Listener(broker.port, "cameras/#") as listener:
        eventually(lambda: not retained(broker.port, f"{ROOT}/#", DISCOVERY))
        listener.wait_for("cameras/gate/status", b"online")
    eventually(lambda: json.loads(memory.read_bytes())["device"] == "gate")
    after.close(5)
    assert retained(broker.port, "cameras/gate/status") == {"cameras/gate/status": b"offline"}


def test_what_has_the_former_name_now_is_left_alone(broker: Broker, tmp_path: Path) -> None:
    config, memory = config_for(broker), tmp_path / "mqtt.json"
    kept = {"broker": f"127.0.0.1:{broker.port}", "topic": "edged", "device": "pi"}
    memory.write_text(json.dumps(kept))
    other = sink_of(config)
    other.start()
    with Listener(broker.port) as listener:
        listener.wait_for(STATUS, b"online")
        renamed = sink_of(replace(config, device="gate"), RULES, memory, lasting=0.3)
        renamed.start()
        renamed.publish(make_result(1))
        eventually(lambda: listener.of(RESULT.replace("pi", "gate")))
        time.sleep(0.5)  # so long it would have taken to forget the former name
        renamed.close(5)
        other.publish_event(BEGUN)
        eventually(lambda: listener.of(f"{EVENT}/snapshot"))
        assert all(listener.of(topic)[-1] for topic in (STATUS, EVENT, DISCOVERY))
    other.close(5)
    assert json.loads(memory.read_bytes()) == kept


@pytest.mark.parametrize(
    "content",
    [
        *("", "[", "{}", "3", '{"broker": 1}', "[" * 4000),
        '{"broker": "BROKER", "topic": "#", "device": "+"}',
    ],
)
def test_a_damaged_memory_is_none(broker: Broker, tmp_path: Path, content: str) -> None:
    memory = tmp_path / "mqtt.json"
    memory.write_text(content.replace("BROKER", f"127.0.0.1:{broker.port}"))
    sink = sink_of(config_for(broker), RULES, memory)
    sink.start()
    sink.publish(make_result(1))
    eventually(lambda: sink.delivered == 1)
    eventually(lambda: '"device": "pi"' in memory.read_text())
    sink.close(5)
