"""Home Assistant MQTT discovery: retained messages that define a device for each camera.

Needs Home Assistant 2024.11 or later (device discovery).
Source: https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload, and the pages of
the platforms sensor, binary_sensor, image and switch there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeAlias

from edged import __version__
from edged.sinks.mqtt.messages import (
    Message,
    camera_status_topic,
    root_of,
    status_topic,
)
from edged.sinks.mqtt.options import MqttConfig
from edged.sinks.sink import Rule, Rules
from edged.view import camera_of, parts

_Availability: TypeAlias = list[dict[str, str]]

_SENSORS: dict[str, dict[str, str]] = {
    "class": {"name": "Class", "icon": "mdi:eye"},
    "score": {"name": "Score", "state_class": "measurement", "icon": "mdi:percent"},
    "variant": {"name": "Variant", "icon": "mdi:layers", "entity_category": "diagnostic"},
    "latency_ms": {
        "name": "Latency",
        "device_class": "duration",
        "unit_of_measurement": "ms",
        "state_class": "measurement",
        "entity_category": "diagnostic",
    },
    "budget_ms": {
        "name": "Latency budget",
        "device_class": "duration",
        "unit_of_measurement": "ms",
        "entity_category": "diagnostic",
    },
    "on_time_percent": {
        "name": "On time",
        "unit_of_measurement": "%",
        "state_class": "measurement",
        "icon": "mdi:timer-check-outline",
    },
}
"""By key in a camera's state."""


def discovery_topics(config: MqttConfig) -> tuple[str, ...]:
    """Filters for this device's discovery messages, also those under an earlier one-level
    prefix."""
    own = f"device/edged-{config.device}/+/config"
    if config.home_assistant is None:
        return (f"+/{own}",)
    return f"{config.home_assistant}/{own}", f"+/{own}"


def is_own_discovery(config: MqttConfig, topic: str, payload: bytes) -> bool:
    """Whether this is a discovery message of this device, or an emptied one."""
    if not re.fullmatch(rf".+/device/edged-{re.escape(config.device)}/[^/]+/config", topic):
        return False
    with suppress(ValueError, TypeError, KeyError, RecursionError):
        return bool(json.loads(payload)["origin"]["name"] == "edged")
    return False


def discovery(config: MqttConfig, rules: Rules) -> Iterator[Message]:
    if config.home_assistant is None:
        return
    for camera in dict.fromkeys(map(camera_of, rules)):
        own = {view: rules[view] for view in rules if camera_of(view) == camera}
        topic = f"{config.home_assistant}/device/edged-{config.device}/{camera}/config"
        payload = json.dumps(_payload(config, camera, own), ensure_ascii=False)
        yield Message(topic, payload.encode(), retain=True)


def withdrawals(introduction: Message, found: bytes) -> list[Message]:
    """Messages that remove components of an earlier discovery message: an update that reduces each
    to its platform, then the present one. found: the payload retained by the broker."""
    payload = json.loads(introduction.payload)
    gone: dict[str, Any] = {}
    with suppress(ValueError, TypeError, KeyError, AttributeError, RecursionError):  # not ours
        gone = {
            key: {"platform": before["platform"]}
            for key, before in json.loads(found)["components"].items()
            if key not in payload["components"]
        }
    if not gone:
        return []
    payload["components"] |= gone
    update = json.dumps(payload, ensure_ascii=False).encode()
    return [replace(introduction, payload=update), introduction]


def _payload(config: MqttConfig, camera: str, rules: Rules) -> dict[str, Any]:
    """rules: of the camera's views."""
    # Names contain no dots, which keeps "gate" + "pi-door" apart from "gate-pi" + "door".
    own, device = f"edged.{config.device}.{camera}", status_topic(config)
    delivers = camera_status_topic(root_of(config), camera)
    components = dict(component for view in rules for component in _of_view(config, view, rules))
    if config.commands:
        components |= _rule_switches(config, camera, rules)
    components["delivers"] = {
        "platform": "binary_sensor",
        "unique_id": f"{own}.delivers",
        "name": "Camera",
        "device_class": "connectivity",
        "entity_category": "diagnostic",
        "state_topic": delivers,
        "payload_on": "online",
        "payload_off": "offline",
        "availability": [{"topic": device}],  # must stay available while the camera is down
    }
    return {
        "device": {
            "identifiers": [own],
            "name": f"{config.device} {camera}",
            "manufacturer": "edged",
            "model": "Camera",
            "sw_version": __version__,
        },
        "origin": {"name": "edged", "sw_version": __version__},
        "availability": [{"topic": device}, {"topic": delivers}],
        "availability_mode": "all",
        "components": components,
        "qos": config.qos,
    }


def _of_view(config: MqttConfig, view: str, rules: Rules) -> Iterator[tuple[str, dict[str, Any]]]:
    """(key, component). Of a camera with views of its own, keys and names begin with the view's
    name. In a key a capital letter follows it, which no name contains: "a" + "event-b" differs
    from "a-event" + "b"."""
    camera, name = parts(view)
    own = ".".join(("edged", config.device, *view.split("/")))
    here = f"{root_of(config)}/{view}"
    known = [{"topic": status_topic(config)}]
    present = [*known, {"topic": camera_status_topic(root_of(config), camera)}, _is_on(here)]
    components = dict(_components(here, rules[view], present))
    for rule in rules[view]:
        on = _is_on(f"{root_of(config)}/{camera}/event/{rule.name}")
        components[f"event-{rule.name}"]["availability"] = [*present, on]
    if config.commands:
        components["switch"] = _switch(here, "Switch", known)
    for key, component in components.items():
        component["unique_id"] = f"{own}.{key}"
        if name is not None:
            component["name"] = f"{_title(name)} {component['name'].lower()}"
            key = f"{name}-{key.capitalize()}"
        yield key, component


def _is_on(topic: str) -> dict[str, str]:
    """Availability while a switch is on, within its hours."""
    template = "{{ 'online' if value_json.state == 'on' else 'offline' }}"
    return {"topic": f"{topic}/switch", "value_template": template}


def _switch(topic: str, name: str, availability: _Availability) -> dict[str, Any]:
    """It is on outside its hours as well, and available while the camera is away."""
    return {
        "platform": "switch",
        "name": name,
        "entity_category": "config",
        "state_topic": f"{topic}/switch",
        "value_template": "{{ 'ON' if value_json.state in ('on', 'hours') else 'OFF' }}",
        "command_topic": f"{topic}/set",
        "json_attributes_topic": f"{topic}/switch",
        "availability": availability,
    }


def _rule_switches(config: MqttConfig, camera: str, rules: Rules) -> dict[str, dict[str, Any]]:
    """One for each event rule of the camera's views, by key; no key of a view's begins so."""
    found = {}
    for name in dict.fromkeys(rule.name for own in rules.values() for rule in own):
        topic, title = f"{root_of(config)}/{camera}/event/{name}", f"Event {_title(name).lower()}"
        component = _switch(topic, title, [{"topic": status_topic(config)}])
        found[f"rule-{name}"] = {
            **component,
            "unique_id": f"edged.{config.device}.{camera}.rule-{name}",
        }
    return found


def _components(
    here: str, rules: tuple[Rule, ...], availability: _Availability
) -> Iterator[tuple[str, dict[str, Any]]]:
    """here: the view's topic. availability: of the view."""
    for key, about in _SENSORS.items():
        yield (
            key,
            {
                "platform": "sensor",
                "state_topic": f"{here}/state",
                "value_template": f"{{{{ value_json['{key}'] }}}}",
                "availability": availability,
                **about,
            },
        )
    for name, snapshot, device_class in rules:
        topic, title = f"{here}/event/{name}", _title(name)
        event = {
            "platform": "binary_sensor",
            "name": title,
            "state_topic": topic,
            "value_template": "{{ value_json.state }}",
            "payload_on": "started",
            "payload_off": "ended",
            "json_attributes_topic": topic,
        }
        yield (
            f"event-{name}",
            event | ({} if device_class is None else {"device_class": device_class}),
        )
        if snapshot:
            yield (
                f"snapshot-{name}",
                {
                    "platform": "image",
                    "name": f"{title} snapshot",
                    "image_topic": f"{topic}/snapshot",
                    "content_type": "image/jpeg",
                    "availability": availability,
                },
            )


def _title(name: str) -> str:
    return name.replace("_", " ").replace("-", " ").capitalize()
