"""`results.mqtt`: options and table entry."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edged.document.hosts import AUTHORITY, check_host, is_loopback
from edged.document.parts import SECRET, key, section
from edged.document.problems import Formats
from edged.document.values import path_from, read_secret
from edged.errors import InputError
from edged.secret import Secret, SourceUrl
from edged.sinks.sink import Kind, Rules, Sink
from edged.sinks.tls import TLS_KEYS, TLS_PAIR, TlsClient, parse_tls, try_tls

_BROKER = re.compile(rf"mqtt(?P<tls>s?)://{AUTHORITY}/?", re.ASCII)


@dataclass(frozen=True, slots=True)
class MqttConfig:
    """tls: None for an unencrypted connection. device: part of every topic. state_seconds: least
    time between two states of a view. home_assistant: discovery prefix, None for no discovery.
    commands: messages to …/set switch views and event rules."""

    host: str
    port: int
    tls: TlsClient | None
    device: str
    user: str | None = None
    password: Secret | None = None
    version: Literal["5", "3.1.1"] = "5"
    topic: str = "edged"
    qos: Literal[0, 1, 2] = 1
    results: bool = True
    state_seconds: float = 1.0
    home_assistant: str | None = None
    commands: bool = False


def _parse(data: Mapping[str, Any], base: Path) -> MqttConfig:
    broker = _broker_url(data["broker"])
    secure = bool(broker["tls"])
    password = Secret(data["password"]) if "password" in data else None
    if "password_file" in data:
        password = Secret(read_secret(path_from(data["password_file"], base), "the password"))
    return MqttConfig(
        host=broker["host"].strip("[]"),
        port=int(broker["port"] or (8883 if secure else 1883)),
        tls=parse_tls(data, base) if secure else None,
        device=data.get("device", _host_name()),
        user=data.get("user"),
        password=password,
        version="3.1.1" if data["version"] == "3.1.1" else "5",
        topic=data["topic"],
        qos=data["qos"],
        results=data["results"],
        state_seconds=float(data["state_seconds"]),
        commands=data["commands"],
        home_assistant=None if data["home_assistant"] == "none" else data["home_assistant"],
    )


def _host_name() -> str:
    """As a topic level and an identifier for Home Assistant."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", socket.gethostname().split(".")[0]) or "edged"


def _formats(base: Path) -> Formats:
    return {
        "broker-url": _broker_url,
        "mqtt-topic": _topic,
        "password-file": lambda text: read_secret(path_from(text, base), "the password"),
    }


def _broker_url(text: str) -> re.Match[str]:
    if "@" in text:
        fix = "write them under user: and password: or password_file:"
        raise InputError("expected no user in the broker's URL", got=SourceUrl(text), fix=fix)
    match = _BROKER.fullmatch(text)
    if match is None or not 0 < int(match["port"] or 1) < 65536:
        raise InputError(
            "expected a broker URL",
            got=SourceUrl(text),
            fix="write mqtt://host:1883, or mqtts://host:8883 for TLS",
        )
    check_host(match["host"])
    return match


def _topic(text: str) -> None:
    """Topic levels that every broker accepts; `+` and `#` are wildcards."""
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)*", text):
        fix = "use letters, digits, _, - and . in levels separated by /"
        raise InputError("expected an MQTT topic", got=repr(text), fix=fix)


def _warnings(config: MqttConfig) -> Iterator[str]:
    if not config.tls and config.password and not is_loopback(config.host):
        yield f"the password is sent to {config.host} unencrypted; use mqtts://"


def _make(config: MqttConfig, rules: Rules, state: Path | None) -> Sink:
    from edged.sinks.mqtt.mqtt import Mqtt

    return Mqtt(config, rules, None if state is None else state / "mqtt.json")


_TLS = "write mqtts:// in broker:, and ca_file: for your own CA"
_HINTS = {
    **dict.fromkeys(("host", "server", "address", "url"), "broker"),
    "port": "write the port in the address: broker: mqtt://host:1883",
    **dict.fromkeys(("username", "login"), "user"),
    **dict.fromkeys(("tls", "ssl"), _TLS),
    **dict.fromkeys(("ca", "ca_cert", "cafile"), "ca_file"),
    **dict.fromkeys(("topic_prefix", "prefix", "base_topic"), "topic"),
    **dict.fromkeys(("client_id", "device_id"), "device"),
    **dict.fromkeys(("command", "control", "switches"), "commands"),
    **dict.fromkeys(("discovery", "discovery_prefix"), "home_assistant"),
}

_SCHEMA = section(
    ["broker"],
    _HINTS,
    broker=key(
        "Broker",
        "mqtt://host, or mqtts://host for TLS. Add :port unless it is 1883 or 8883.",
        "mqtts://broker.example",
        "mqtt://192.0.2.10:1883",
        format="broker-url",
        **SECRET,
    ),
    user=key(
        "User",
        "User name at the broker, with permission to read and write TOPIC/DEVICE/# and the "
        "discovery topics of Home Assistant. Default: anonymous.",
        "edged",
        **SECRET,
    ),
    password=key(
        "Password",
        "Password of the user; `${NAME}` inserts an environment variable. Default: none.",
        "${MQTT_PASSWORD}",
        **SECRET,
    ),
    password_file=key(
        "Password file",
        "File with the password on one line, instead of password. Default: none.",
        "${CREDENTIALS_DIRECTORY}/mqtt",
        format="password-file",
        **SECRET,
    ),
    **TLS_KEYS,
    version=key("MQTT version", "Protocol version.", 5, "3.1.1", enum=[5, "5", "3.1.1"], default=5),
    topic=key(
        "Topic",
        "Prefix of all topics: TOPIC/DEVICE/status, TOPIC/DEVICE/CAMERA/status, …/result, …/state, "
        "…/switch, …/event/NAME and …/event/NAME/snapshot. Views have all but status at "
        "TOPIC/DEVICE/CAMERA/VIEW.",
        "edged",
        type="string",
        format="mqtt-topic",
        default="edged",
    ),
    device=key(
        "Device",
        "Unique name of this device in topics and in Home Assistant. Default: the host name. "
        "edged clears the messages that the broker retains under an earlier name.",
        "gate-pi",
        pattern="^[A-Za-z0-9_-]{1,64}$",
        patternErrorMessage="letters, digits, _ and -, 64 at most",
        type="string",
    ),
    qos=key(
        "Quality of service",
        "MQTT QoS. 0: at most once; 1: at least once; 2: exactly once while the connection lasts.",
        1,
        enum=[0, 1, 2],
        default=1,
    ),
    results=key(
        "Results",
        "Send every result. If false, only events and states are sent.",
        True,
        type="boolean",
        default=True,
    ),
    state_seconds=key(
        "Seconds between states",
        "Minimum time between two states of a camera or view. Home Assistant stores each state.",
        10,
        type="number",
        minimum=0.1,
        maximum=3600,
        default=1,
    ),
    home_assistant=key(
        "Home Assistant",
        "Prefix of the discovery topics, or none, which also removes earlier discovery messages.",
        "homeassistant",
        "none",
        type="string",
        format="mqtt-topic",
        default="homeassistant",
    ),
    commands=key(
        "Commands",
        "Whether messages to …/set switch views and event rules: ON, OFF or snooze MINUTES. "
        "Whoever may write there at the broker may then switch them. Retained messages are "
        "ignored; with version 3.1.1, which does not mark those that come while edged is "
        "connected, only the ones that were there before.",
        True,
        type="boolean",
        default=False,
    ),
) | {
    "title": "MQTT",
    "description": "Sends results, states and events to an MQTT broker. Default: none.",
    "dependentRequired": {
        "password": ["user"],
        "password_file": ["user"],
        **TLS_PAIR,
    },
    "not": {"required": ["password", "password_file"]},
    "examples": [{"broker": "mqtts://broker.example", "user": "edged", "password": "${PASSWORD}"}],
}

MQTT = Kind(
    schema=_SCHEMA,
    parse=_parse,
    make=_make,
    formats=_formats,
    warnings=_warnings,
    try_files=try_tls,
    uses_rules=True,
)
