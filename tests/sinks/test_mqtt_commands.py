"""Commands at a real Mosquitto: what switches, what is ignored and what is told."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from edged.sinks.mqtt.commands import TELL_SECONDS, Commands
from edged.sinks.mqtt.messages import Messages
from edged.sinks.mqtt.mqtt import Mqtt
from edged.sinks.mqtt.options import MqttConfig
from edged.sinks.sink import Rule, Rules
from edged.switches.switch import ON, Kind, State, Switch, Target
from edged.switches.switches import Switches
from tests.rig.broker import Broker, Listener, needs_mosquitto
from tests.rig.camera import FakeTime
from tests.rig.mqtt import ROOT, config_for, retained, started
from tests.rig.waiting import eventually

needs_broker = [pytest.mark.servers, needs_mosquitto]
OPEN, SHUT = Rule("open", False), Rule("shut", False)
RULES: Rules = {"yard/gate": (OPEN,), "yard/bin": (OPEN, SHUT), "door": (OPEN,)}
GATE, DOOR, RULE = f"{ROOT}/yard/gate", f"{ROOT}/door", f"{ROOT}/yard/event/open"
TARGETS = {
    *(Target(Kind.VIEW, view) for view in RULES),
    *(Target(Kind.EVENT, name) for name in ("open", "shut")),
}


def switches_of() -> Switches:
    switches = Switches()
    switches.follow(dict.fromkeys(TARGETS, ()))
    return switches


@contextmanager
def switching(config: MqttConfig, switches: Switches) -> Iterator[Mqtt]:
    """The sink, which is told of each change."""
    with started(replace(config, commands=True), RULES) as sink:
        switches._changed = lambda: sink.observe_switches(switches)
        sink.observe_switches(switches)
        yield sink


def states(listener: Listener, topic: str) -> list[str]:
    return [each["state"] for each in listener.json(f"{topic}/switch")]


def told(broker: Broker, topic: str) -> tuple[str, str | None] | None:
    """The state that is retained, and its origin."""
    found = retained(broker.port, f"{topic}/switch").get(f"{topic}/switch")
    said = json.loads(found or b"null")
    return said and (said["state"], said["origin"])


@pytest.fixture(params=["5", "3.1.1"])
def config(request: pytest.FixtureRequest, broker: Broker) -> MqttConfig:
    return replace(config_for(broker), version=request.param)


class TestWithABroker:
    pytestmark = needs_broker

    @pytest.mark.parametrize("qos", [0, 1, 2])
    def test_commands_switch_and_are_answered_by_the_state(
        self, broker: Broker, config: MqttConfig, qos: int
    ) -> None:
        switches = switches_of()
        with (
            Listener(broker.port, f"{ROOT}/#") as listener,
            switching(replace(config, qos=qos), switches),  # type: ignore[arg-type]
        ):
            topics = GATE, DOOR, RULE, f"{ROOT}/door/event/open"
            eventually(lambda: [states(listener, each) for each in topics] == [["on"]] * 4)
            listener.send(f"{GATE}/set", b"OFF")
            eventually(lambda: states(listener, GATE) == ["on", "off"])
            said = listener.json(f"{GATE}/switch")[-1]
            assert (said["until"], said["origin"]) == (None, "mqtt")
            listener.send(f"{GATE}/set", b"ON")
            eventually(lambda: states(listener, GATE) == ["on", "off", "on"])
            listener.send(f"{DOOR}/set", b"snooze 15")
            eventually(lambda: states(listener, DOOR) == ["on", "snoozed"])
            listener.send(f"{RULE}/set", b"off")
            eventually(lambda: states(listener, RULE) == ["on", "off"])
            # The rule is one, at each of its cameras.
            eventually(lambda: states(listener, f"{ROOT}/door/event/open") == ["on", "off"])
        assert switches.of_view("yard/gate").on
        snoozed = switches.of_view("door")
        assert (snoozed.state, snoozed.origin) == (State.SNOOZED, "mqtt")
        assert snoozed.until_s == (snoozed.changed_s or 0) + 15 * 60
        assert switches.of_event("open").state is State.OFF
        assert switches.of_view("yard/bin") == switches.of_event("shut") == ON

    def test_without_the_key_nothing_is_subscribed(self, broker: Broker) -> None:
        switches = switches_of()
        with (
            Listener(broker.port, f"{ROOT}/#") as listener,
            started(config_for(broker), RULES) as sink,
        ):
            sink.observe_switches(switches)
            eventually(lambda: states(listener, GATE) == ["on"])
            listener.send(f"{GATE}/set", b"OFF")
            listener.wait_for(f"{GATE}/set", b"OFF")
            switches.change(Target(Kind.VIEW, "door"), State.OFF, "api on loopback")
            sink.observe_switches(switches)
            eventually(lambda: states(listener, DOOR) == ["on", "off"])
        assert switches.of_view("yard/gate") == ON

    def test_retained_commands_are_ignored_and_told_once(
        self, broker: Broker, config: MqttConfig, caplog: pytest.LogCaptureFixture
    ) -> None:
        switches = switches_of()
        with Listener(broker.port, f"{ROOT}/#") as listener:
            listener.keep(f"{GATE}/set", b"OFF")
            listener.keep(f"{RULE}/set", b"OFF")
            listener.wait_for(f"{RULE}/set", b"OFF")
            with switching(config, switches) as sink:
                eventually(lambda: sum("retained" in each for each in caplog.messages) == 2)
                broker.stop()
                broker.start()  # it has lost them
                eventually(lambda: states(listener, DOOR)[1:] != [])
                listener.keep(f"{GATE}/set", b"OFF")
                listener.wait_for(f"{GATE}/set", b"OFF")
                if config.version == "5":  # that tells what is retained while connected, too
                    listener.send(f"{DOOR}/set", b"OFF")
                    eventually(lambda: not switches.of_view("door").on)
                    assert switches.of_view("yard/gate") == ON
                listener.keep(f"{RULE}/set", b"")  # which takes it away, and is no command
                assert sink.alive
        assert switches.of_event("open") == ON
        told = [each for each in caplog.messages if "retained message is no command" in each]
        assert sorted(told) == [
            f"mqtt: {topic}/set: a retained message is no command, ignored; send it without retain"
            for topic in (RULE, GATE)
        ]

    def test_states_are_retained_and_survive_a_lost_broker(
        self, broker: Broker, config: MqttConfig
    ) -> None:
        switches = switches_of()
        with switching(config, switches):
            switches.change(Target(Kind.VIEW, "door"), State.OFF, "page by anna")
            eventually(lambda: told(broker, DOOR) == ("off", "page by anna"))
            broker.stop()
            switches.change(Target(Kind.VIEW, "yard/gate"), State.OFF, "api by anna")
            broker.start()  # it has lost what was retained
            eventually(lambda: told(broker, DOOR) == ("off", "page by anna"))
            eventually(lambda: told(broker, GATE) == ("off", "api by anna"))
            eventually(lambda: told(broker, RULE) == ("on", None))

    def test_what_is_gone_does_not_stay_retained(self, broker: Broker, config: MqttConfig) -> None:
        with switching(config, switches_of()):
            eventually(lambda: f"{RULE}/switch" in retained(broker.port, f"{ROOT}/#"))
        fewer: Rules = {"yard/gate": (), "lamp": (SHUT,)}
        with started(config, fewer) as sink:
            sink.observe_switches(switches_of())
            wanted = {f"{GATE}/switch"}

            def switch_topics() -> set[str]:
                found = retained(broker.port, f"{ROOT}/#")
                return {each for each in found if each.endswith("/switch")}

            eventually(lambda: switch_topics() - {f"{ROOT}/lamp/event/shut/switch"} == wanted)


def test_topics_of_cameras_views_and_rules_differ() -> None:
    """Also where their names are those of topic levels."""
    rules: Rules = {
        "event": (Rule("switch", True), Rule("set", False)),
        "switch/set": (Rule("event", True), Rule("switch", False)),
        "set": (Rule("state", False),),
    }
    config = MqttConfig("broker.example", 1883, None, "pi", commands=True)
    messages = Messages(config, rules)
    targets = [Target(Kind.VIEW, view) for view in rules]
    targets += [Target(Kind.EVENT, rule.name) for own in rules.values() for rule in own]
    told = list(messages.switched(dict.fromkeys(targets, ON)))
    sent = [*(each.topic for each in told), *(each.topic for each in messages.all_retained())]
    others = [each for each in sent if sent.count(each) == 1]
    commands = Commands(config, rules, logging.getLogger("test"), FakeTime().clock).targets
    assert len(told) == len({each.topic for each in told}) == len(commands) == 3 + 5
    assert not commands.keys() & set(sent)
    assert len(others) == 3 + 5  # statuses of cameras, and events
    assert not [each for topic in sent for each in messages.left_over(topic) if each.topic in sent]


@pytest.mark.parametrize(
    "payload",
    [b"on!", b"1", b"TOGGLE", b"snooze", b"snooze x", b"snooze -5", b"snooze 0", b"snooze 99999",
     b"snooze 1.5", b"\xff\xfe", b"x" * 100_000, b'{"state": "ON"}', b"rtsp://u:hunter2@h/ ON"],
)  # fmt: skip
def test_bad_payloads_are_told_at_a_bounded_rate(
    payload: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    clock, switches = FakeTime(), switches_of()
    config = replace(MqttConfig("broker.example", 1883, None, "pi"), commands=True)
    commands = Commands(config, RULES, logging.getLogger("edged.sinks.mqtt"), clock.clock)
    for _ in range(1000):
        commands.obey(f"{GATE}/set", payload, False, switches)
    (line,) = caplog.messages
    assert line.startswith(f"mqtt: {GATE}/set: ignored: expected ")
    assert len(line) < 200
    assert "hunter2" not in line
    clock.sleep(TELL_SECONDS)
    commands.obey(f"{DOOR}/set", payload, False, switches)
    assert caplog.messages[1].endswith(" (and 999 more before it)")
    assert switches.states == dict.fromkeys(TARGETS, ON)
    commands.obey(f"{DOOR}/set", b" Snooze  30 ", False, switches)
    assert switches.of_view("door").state is State.SNOOZED


def test_a_successor_goes_on_with_what_was_told() -> None:
    config = MqttConfig("broker.example", 1883, None, "pi")
    off = Switch(State.OFF, None, 1, "mqtt")
    states = {Target(Kind.VIEW, "door"): off, Target(Kind.EVENT, "open"): ON}
    before = Messages(config, {"door": (OPEN,), "lamp": ()})
    assert len(list(before.switched({**states, Target(Kind.VIEW, "lamp"): ON}))) == 3
    after = Messages(config, {"door": (OPEN,)})
    after.take_over(before)
    assert list(after.switched(states)) == []
    (said,) = [each for each in after.all_retained() if each.topic == f"{DOOR}/switch"]
    assert json.loads(said.payload)["state"] == "off"
