"""The MQTT sink of a device `pi` with a camera `door`, and its topics."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from edged.sinks.mqtt.mqtt import Mqtt
from edged.sinks.mqtt.options import MqttConfig
from edged.sinks.sink import Rule, Rules
from edged.sinks.worker import Timing
from tests.rig.broker import Broker, Listener
from tests.rig.waiting import eventually

RULES: Rules = {"door": (Rule("visitor", True),)}
ROOT = "edged/pi"
RESULT, STATE, EVENT = f"{ROOT}/door/result", f"{ROOT}/door/state", f"{ROOT}/door/event/visitor"
LAST = "$SYS/broker/version"
STATUS, CAMERA_STATUS = f"{ROOT}/status", f"{ROOT}/door/status"


def config_for(broker: Broker | int) -> MqttConfig:
    port = broker if isinstance(broker, int) else broker.port
    return MqttConfig("127.0.0.1", port, None, "pi", home_assistant="homeassistant")


@contextmanager
def started(
    config: MqttConfig, rules: Rules = RULES, lasting_seconds: float = 0.0
) -> Iterator[Mqtt]:
    sink = Mqtt(config, rules, None, Timing(0.05, lasting_seconds=lasting_seconds))
    sink.start()
    try:
        yield sink
    finally:
        sink.close(10)


def retained(port: int, *roots: str) -> dict[str, bytes]:
    """All that is kept at the broker, under these topics."""
    found: dict[str, bytes] = {}
    for root in roots:
        # With QoS 0 none waits for others to be acknowledged: the last asked for comes last.
        with Listener(port, root, qos=0) as listener:
            listener.subscribe(LAST)
            eventually(partial(listener.of, LAST))
            found |= {each.topic: each.payload for each in listener.messages if each.retain}
            del found[LAST]
    return found
