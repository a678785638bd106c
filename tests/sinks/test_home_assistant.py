"""Discovery payloads against what Home Assistant documents, and what becomes of removed cameras.

The schema is written down from https://www.home-assistant.io/integrations/mqtt/ (sections "Device
discovery payload", "Discovery topic", "Using availability topics"), …/sensor.mqtt/,
…/binary_sensor.mqtt/, …/image.mqtt/ and …/switch.mqtt/, and beside them the platforms' own schemas
in home-assistant/core, homeassistant/components/mqtt/. Home Assistant itself did not run here.
"""

from __future__ import annotations

import json
import logging
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import jinja2
import jsonschema
import pytest

from edged.capture.source import MOST_VIEWS
from edged.events.options import DEVICE_CLASSES, MOST_EVENTS
from edged.result import Event
from edged.sinks.mqtt.commands import Commands
from edged.sinks.mqtt.connection import MOST_PACKET_BYTES
from edged.sinks.mqtt.home_assistant import discovery, withdrawals
from edged.sinks.mqtt.messages import Messages
from edged.sinks.mqtt.options import MqttConfig
from edged.sinks.sink import Rule, Rules
from edged.switches.switch import ON, Kind, State, Switch, Target
from tests.rig.broker import Listener, needs_mosquitto, running_broker
from tests.rig.mqtt import config_for, started
from tests.rig.results import make_result
from tests.rig.waiting import eventually

RULES: Rules = {"door": (Rule("visitor", True), Rule("dog", False)), "yard": ()}
VIEWS: Rules = {"yard/gate": (Rule("open", True, "opening"),), "door": (), "yard/bin-2": ()}
CONFIG = MqttConfig("broker.example", 1883, None, "pi", home_assistant="homeassistant")

PLATFORMS = ("sensor", "binary_sensor", "image", "switch")
_TEXT = {"type": "string", "minLength": 1}
_TOPIC = {"type": "string", "pattern": "^[^+#]+$"}
_COMMON = {
    "unique_id": _TEXT,
    "name": _TEXT,
    "icon": {"type": "string", "pattern": "^mdi:[a-z0-9-]+$"},
    "entity_category": {"enum": ["config", "diagnostic"]},
    "json_attributes_topic": _TOPIC,
    "qos": {"enum": [0, 1, 2]},
    "availability": {"$ref": "#/properties/availability"},  # instead of the device's
}


def _component(platform: str, required: list[str], **own: Any) -> dict[str, Any]:
    return {
        "if": {"properties": {"platform": {"const": platform}}},
        "then": {
            "additionalProperties": False,
            "required": ["platform", "unique_id", *required],  # unique_id: for entities
            "properties": {"platform": {"const": platform}, **_COMMON, **own},
        },
    }


SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["device", "origin", "components"],
    "properties": {
        "device": {
            "additionalProperties": False,
            "required": ["identifiers"],
            "properties": {
                "identifiers": {"type": "array", "items": _TEXT, "minItems": 1},
                "name": _TEXT,
                "manufacturer": _TEXT,
                "model": _TEXT,
                "sw_version": _TEXT,
            },
        },
        "origin": {
            "additionalProperties": False,
            "required": ["name"],
            "properties": {"name": _TEXT, "sw_version": _TEXT, "support_url": _TEXT},
        },
        "availability": {
            "type": "array",
            "items": {
                "additionalProperties": False,
                "required": ["topic"],
                # Payloads: online and offline unless said.
                "properties": {"topic": _TOPIC, "value_template": _TEXT},
            },
        },
        "availability_mode": {"enum": ["all", "any", "latest"]},
        "qos": {"enum": [0, 1, 2]},
        "components": {
            "type": "object",
            "minProperties": 1,
            "propertyNames": {"pattern": "^[a-zA-Z0-9_-]+$"},
            "additionalProperties": {
                "type": "object",
                "required": ["platform"],
                "properties": {"platform": {"enum": list(PLATFORMS)}},
                "allOf": [
                    _component(
                        "sensor",
                        ["state_topic"],
                        state_topic=_TOPIC,
                        value_template=_TEXT,
                        unit_of_measurement={"enum": ["ms", "%"]},
                        # Units of the class "duration": d, h, min, s, ms, µs.
                        device_class={"enum": ["duration"]},
                        state_class={"enum": ["measurement", "total", "total_increasing"]},
                    ),
                    _component(
                        "binary_sensor",
                        ["state_topic"],
                        state_topic=_TOPIC,
                        value_template=_TEXT,
                        payload_on=_TEXT,
                        payload_off=_TEXT,
                        device_class={"enum": list(DEVICE_CLASSES)},
                    ),
                    _component("image", ["image_topic"], image_topic=_TOPIC, content_type=_TEXT),
                    _component(
                        "switch",
                        ["command_topic"],
                        command_topic=_TOPIC,
                        state_topic=_TOPIC,
                        value_template=_TEXT,
                        payload_on=_TEXT,  # default: ON
                        payload_off=_TEXT,  # default: OFF
                        state_on=_TEXT,  # default: payload_on
                        state_off=_TEXT,
                        optimistic={"type": "boolean"},
                        retain={"type": "boolean"},
                        device_class={"enum": ["outlet", "switch"]},
                    ),
                ],
            },
        },
    },
}


@pytest.mark.parametrize("commands", [False, True])
def test_payloads_are_as_documented(commands: bool) -> None:
    messages = list(discovery(replace(CONFIG, commands=commands), RULES))
    assert [each.topic for each in messages] == [
        "homeassistant/device/edged-pi/door/config",
        "homeassistant/device/edged-pi/yard/config",
    ]
    unique = []
    for message in messages:
        assert re.fullmatch(r"\w+/device/[\w-]+/[\w-]+/config", message.topic)
        assert message.retain
        payload = json.loads(message.payload)
        jsonschema.Draft202012Validator(SCHEMA).validate(payload)
        unique += [each["unique_id"] for each in payload["components"].values()]
    assert len(unique) == len(set(unique)) == 7 + 3 + 7 + (3 + 1 if commands else 0)


def test_a_camera_with_views_is_one_device_with_the_entities_of_each() -> None:
    messages = {each.topic: json.loads(each.payload) for each in discovery(CONFIG, VIEWS)}
    assert list(messages) == [
        "homeassistant/device/edged-pi/yard/config",
        "homeassistant/device/edged-pi/door/config",
    ]
    for payload in messages.values():
        jsonschema.Draft202012Validator(SCHEMA).validate(payload)
    yard, door = messages.values()
    assert door == json.loads(next(discovery(CONFIG, {"door": ()})).payload)
    assert yard["device"]["identifiers"] == ["edged.pi.yard"]
    entities = {each["unique_id"]: each for each in yard["components"].values()}
    assert len(entities) == len(yard["components"]) == 8 + 6 + 1
    event = entities["edged.pi.yard.gate.event-open"]
    assert (event["name"], event["state_topic"]) == ("Gate open", "edged/pi/yard/gate/event/open")
    assert event["device_class"] == "opening"
    assert entities["edged.pi.yard.gate.snapshot-open"]["name"] == "Gate open snapshot"
    assert entities["edged.pi.yard.bin-2.on_time_percent"]["name"] == "Bin 2 on time"
    assert entities["edged.pi.yard.delivers"]["state_topic"] == "edged/pi/yard/status"
    online = [{"topic": "edged/pi/status"}, {"topic": "edged/pi/yard/status"}]
    assert (yard["availability"], yard["availability_mode"]) == (online, "all")


def test_the_schema_here_refuses_what_is_wrong() -> None:
    good = json.loads(next(discovery(CONFIG, RULES)).payload)
    for key in ("device", "origin", "components"):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({each: good[each] for each in good if each != key}, SCHEMA)
    sensor = good["components"]["class"]
    for wrong in ({"state_topic": "a/#"}, {"platform": "nothing"}, {"unit": "ms"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(good | {"components": {"class": sensor | wrong}}, SCHEMA)


@pytest.mark.parametrize("view", ["door", "door/lock"])
def test_what_a_payload_points_at_is_what_is_sent(view: str) -> None:
    """Every topic is one of the messages', every value of a template a key of theirs."""
    rules = {view: RULES["door"]}
    messages = Messages(CONFIG, rules)
    event = Event(view, "visitor", 10**18, None, 0.7, b"picture")
    sent = [*messages.of(make_result(1, view=view), 0), *messages.of(event, 0), *messages.due(0)]
    targets = Target(Kind.VIEW, view), Target(Kind.EVENT, "visitor"), Target(Kind.EVENT, "dog")
    sent += [*messages.switched(dict.fromkeys(targets, ON)), *messages.all_retained()]
    by_topic = {each.topic: each.payload for each in sent}
    door = json.loads(next(discovery(CONFIG, rules)).payload)
    online = [{"topic": "edged/pi/status"}, {"topic": "edged/pi/door/status"}]
    assert (door["availability"], door["availability_mode"]) == (online, "all")
    assert all(by_topic.get(each["topic"], b"online") in (b"online", b"offline") for each in online)
    for component in door["components"].values():
        payload = by_topic[component.get("state_topic") or component["image_topic"]]
        if component["platform"] == "sensor":
            key = component["unique_id"].rpartition(".")[2]
            assert component["value_template"] == f"{{{{ value_json['{key}'] }}}}"
            assert json.loads(payload)[key] is not None
        elif component["platform"] == "binary_sensor":
            states = {component["payload_on"], component["payload_off"]}
            state = (
                json.loads(payload)["state"] if "value_template" in component else payload.decode()
            )
            assert state in states
        else:
            assert payload == b"picture"


def test_an_event_has_the_device_class_that_was_asked_for() -> None:
    rules: Rules = {"door": (Rule("visitor", True, "occupancy"), Rule("dog", False))}
    payload = json.loads(next(discovery(CONFIG, rules)).payload)
    jsonschema.Draft202012Validator(SCHEMA).validate(payload)
    assert payload["components"]["event-visitor"]["device_class"] == "occupancy"
    assert "device_class" not in payload["components"]["event-dog"]


def components(rules: Rules, **more: Any) -> dict[str, Any]:
    payload = json.loads(next(discovery(replace(CONFIG, **more), rules)).payload)
    jsonschema.Draft202012Validator(SCHEMA).validate(payload)
    found: dict[str, Any] = payload["components"]
    return found


@pytest.mark.parametrize("view", ["door", "door/lock"])
def test_a_switch_points_at_what_is_sent_and_at_what_is_obeyed(view: str) -> None:
    rules: Rules = {view: RULES["door"]}
    config = replace(CONFIG, commands=True)
    messages = Messages(config, rules)
    obeyed = Commands(config, rules, logging.getLogger("test"), int).targets
    found = [each for each in components(rules, commands=True).values() if "command_topic" in each]
    assert {each["command_topic"]: each["name"] for each in found} == {
        f"edged/pi/{view}/set": "Switch" if view == "door" else "Lock switch",
        "edged/pi/door/event/visitor/set": "Event visitor",
        "edged/pi/door/event/dog/set": "Event dog",
    }
    assert obeyed.keys() == {each["command_topic"] for each in found}
    for state, shown in ((State.ON, "ON"), (State.HOURS, "ON"), (State.OFF, "OFF")):
        switch = Switch(state, None, 1, "mqtt")
        sent = messages.switched(dict.fromkeys(obeyed.values(), switch))
        by_topic = {each.topic: json.loads(each.payload) for each in sent}
        for each in found:
            said = by_topic[each["state_topic"]]
            assert each["json_attributes_topic"] == each["state_topic"]
            assert rendered(each["value_template"], said) == shown
            assert each["availability"] == [{"topic": "edged/pi/status"}]


def rendered(template: str, value: Any) -> str:
    """As Home Assistant does, whose templates are Jinja's."""
    return jinja2.Template(template).render(value_json=value)


@pytest.mark.parametrize("view", ["door", "door/lock"])
@pytest.mark.parametrize("state", list(State))
def test_entities_are_available_while_their_view_and_rule_are_on(view: str, state: State) -> None:
    rules: Rules = {view: RULES["door"]}
    messages = Messages(CONFIG, rules)
    for kind, name in ((Kind.VIEW, view), (Kind.EVENT, "visitor")):
        ((topic, payload),) = (
            (each.topic, json.loads(each.payload))
            for each in messages.switched({Target(kind, name): Switch(state, None, 1, "mqtt")})
        )
        available = {}
        for each in components(rules).values():
            for about in each["availability"]:
                if about["topic"] == topic:
                    shown = rendered(about["value_template"], payload)
                    available[each["unique_id"].rpartition(".")[2]] = shown
        entities = {"event-visitor"} if kind is Kind.EVENT else {
            *("class", "score", "variant", "latency_ms", "budget_ms", "on_time_percent"),
            *("event-visitor", "snapshot-visitor", "event-dog"),
        }  # fmt: skip
        wanted = "online" if state is State.ON else "offline"
        assert available == dict.fromkeys(entities, wanted)


def test_switches_go_when_commands_do() -> None:
    before = next(discovery(replace(CONFIG, commands=True), RULES))
    update, last = withdrawals(next(discovery(CONFIG, RULES)), before.payload)
    gone = json.loads(update.payload)["components"]
    assert {key for key, each in gone.items() if each == {"platform": "switch"}} == {
        *("switch", "rule-visitor", "rule-dog")
    }
    assert last == next(discovery(CONFIG, RULES))


def test_the_largest_payload_is_read_back() -> None:
    """The broker returns it at each start, to be compared."""
    rules = tuple(Rule("e" * 31 + f"{number:x}", True) for number in range(MOST_EVENTS))
    camera = "c" * 32
    views: Rules = {f"{camera}/{'v' * 31}{number:x}": rules for number in range(MOST_VIEWS)}
    config = replace(CONFIG, device="d" * 64, topic="t" * 32, commands=True)
    (message,) = discovery(config, views)
    assert len(message.payload) < MOST_PACKET_BYTES * 0.95


def test_a_camera_that_is_gone_is_told_by_an_entity_that_stays() -> None:
    payload = json.loads(next(discovery(CONFIG, RULES)).payload)
    delivers = payload["components"]["delivers"]
    assert delivers["device_class"] == "connectivity"
    assert delivers["state_topic"] == "edged/pi/door/status"
    assert delivers["availability"] == [{"topic": "edged/pi/status"}]


def test_no_device_camera_and_view_share_an_identifier_with_others() -> None:
    devices = [("gate", "pi-door"), ("gate-pi", "door"), ("gate", "pi"), ("gate", "pi-event")]
    rules = (Rule("class", True), Rule("event-class", True))
    identifiers, unique, topics, entities = [], [], [], 0
    for device, camera in devices:
        views: Rules = {f"{camera}/{view}": rules for view in ("a", "a-event", "event-a")}
        of_device: Rules = {f"{camera}-alone": rules} | views
        for message in discovery(replace(CONFIG, device=device), of_device):
            payload = json.loads(message.payload)
            identifiers += payload["device"]["identifiers"]
            unique += [each["unique_id"] for each in payload["components"].values()]
            topics.append(message.topic)
            entities += 1 + 10 * (3 if message.topic.endswith(f"/{camera}/config") else 1)
    for each in (identifiers, unique, topics):
        assert len(set(each)) == len(each)
    assert (len(topics), len(unique)) == (2 * 4, entities)


def test_a_component_that_is_gone_is_told_without_anything_once() -> None:
    before = next(discovery(CONFIG, RULES))
    now = next(discovery(CONFIG, {"door": (Rule("dog", False),)}))
    update, last = withdrawals(now, before.payload)
    components = json.loads(update.payload)["components"]
    assert components.pop("event-visitor") == {"platform": "binary_sensor"}
    assert components.pop("snapshot-visitor") == {"platform": "image"}
    assert components == json.loads(now.payload)["components"]
    assert (update.topic, update.retain, last) == (now.topic, True, now)
    assert withdrawals(now, update.payload) == [update, last]  # cut off between the two
    assert withdrawals(now, now.payload) == []


@pytest.mark.parametrize(
    "found",
    [b"", b"\xff", b"[]", b'{"components": 3}', b'{"components": {"a": 1}}', b"[" * 100_000],
)
def test_what_is_not_ours_takes_nothing_back(found: bytes) -> None:
    assert withdrawals(next(discovery(CONFIG, RULES)), found) == []


@pytest.mark.servers
@needs_mosquitto
def test_an_event_that_is_gone_is_taken_back_and_its_camera_stays(tmp_path: Path) -> None:
    door = "homeassistant/device/edged-pi/door/config"
    with running_broker(tmp_path) as broker, Listener(broker.port, door) as listener:
        with started(config_for(broker), RULES):
            eventually(lambda: len(listener.of(door)) == 1)
        with started(config_for(broker), {"door": (Rule("dog", False),)}):
            eventually(lambda: len(listener.of(door)) == 4)
        said = [each["components"].get("event-visitor") for each in listener.json(door)]
        assert said[0]["unique_id"] == "edged.pi.door.event-visitor"
        assert said[1:] == [None, {"platform": "binary_sensor"}, None]
        with Listener(broker.port, door) as newcomer:
            eventually(lambda: newcomer.json(door) == listener.json(door)[-1:])


@pytest.mark.servers
@needs_mosquitto
def test_a_camera_that_is_gone_is_taken_back(tmp_path: Path) -> None:
    with running_broker(tmp_path) as broker, Listener(broker.port) as listener:
        config = config_for(broker)
        door = "homeassistant/device/edged-pi/door/config"
        with started(config, RULES), started(replace(config, device="other"), {"door": ()}):
            eventually(lambda: listener.of(door))
            eventually(lambda: listener.of(door.replace("pi", "other")))
        with started(config, {"yard": ()}):
            listener.wait_for(door, b"")
        with Listener(broker.port, "homeassistant/#") as newcomer:
            topics = {"homeassistant/device/edged-pi/yard/config", door.replace("pi", "other")}
            eventually(lambda: {each.topic for each in newcomer.messages} == topics)
