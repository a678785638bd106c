"""Where results and events go, and what stands in them."""

from __future__ import annotations

from typing import Any

from edged.document.parts import FILE, SECRET, key, section

_ROTATION: dict[str, Any] = {
    "path": key(
        "File",
        "Appended to; a symbolic link stays one.",
        "results.jsonl",
        type="string",
        minLength=1,
    ),
    "max_bytes": key(
        "Bytes in a file",
        "A file that would grow beyond it becomes FILE.1, and that FILE.2.",
        10_000_000,
        type="integer",
        minimum=100_000,
    ),
    "keep": key(
        "Full files",
        "So many stay beside the one that is written: the card holds at most (keep + 1) x "
        "max_bytes of results.",
        3,
        type="integer",
        minimum=0,
        maximum=1000,
        default=3,
    ),
}
_CA_FILE = key(
    "Trusted certificates",
    "PEM file of who may have signed the server's certificate. Without it whom the system trusts.",
    "/etc/edged/ca.pem",
    **FILE,
)
_CERTIFICATE_FILE = key(
    "Client certificate",
    "PEM file that is shown to the server. Without it none is.",
    "/etc/edged/pi.pem",
    **FILE,
)
_KEY_FILE = key(
    "Its key",
    "PEM file that has no password. Without it there is no client certificate.",
    "/etc/edged/pi.key",
    **FILE,
)

_TLS = "write mqtts:// in broker:, and ca_file: for a certificate of your own"
_MQTT_HINTS = {
    **dict.fromkeys(("host", "server", "address", "url"), "broker"),
    "port": "a port stands in the address: broker: mqtt://host:1883",
    **dict.fromkeys(("username", "login"), "user"),
    **dict.fromkeys(("tls", "ssl"), _TLS),
    **dict.fromkeys(("ca", "ca_cert", "cafile"), "ca_file"),
    **dict.fromkeys(("topic_prefix", "prefix", "base_topic"), "topic"),
    **dict.fromkeys(("client_id", "device_id"), "device"),
    **dict.fromkeys(("discovery", "discovery_prefix"), "home_assistant"),
}
_WEBHOOK_HINTS = {
    **dict.fromkeys(("uri", "address", "endpoint", "host"), "url"),
    **dict.fromkeys(("token", "headers", "header", "auth", "bearer"), "authorization"),
    "timeout": "timeout_seconds",
    **dict.fromkeys(("user", "password"), 'write authorization: "Basic …" or "Bearer …"'),
}

_MQTT = section(
    ["broker"],
    _MQTT_HINTS,
    broker=key(
        "Broker",
        "mqtt://host, or mqtts://host for TLS; :port where it is not 1883 or 8883.",
        "mqtts://broker.example",
        "mqtt://192.0.2.10:1883",
        format="broker-url",
        **SECRET,
    ),
    user=key(
        "User",
        "Whom the broker knows, and lets write and read TOPIC/DEVICE/# and the topics of Home "
        "Assistant. Without it a client without a name.",
        "edged",
        **SECRET,
    ),
    password=key(
        "Password",
        "`${NAME}` becomes the variable of that name. Without it none is sent.",
        "${MQTT_PASSWORD}",
        **SECRET,
    ),
    password_file=key(
        "Password file",
        "Instead of password: a file whose one line it is. Without it none is read.",
        "${CREDENTIALS_DIRECTORY}/mqtt",
        format="password-file",
        **SECRET,
    ),
    ca_file=_CA_FILE,
    certificate_file=_CERTIFICATE_FILE,
    key_file=_KEY_FILE,
    version=key("MQTT version", "Of the protocol.", 5, "3.1.1", enum=[5, "5", "3.1.1"], default=5),
    topic=key(
        "Topic",
        "What all topics begin with: TOPIC/DEVICE/status, TOPIC/DEVICE/CAMERA/status, …/result, "
        "…/state, …/event/NAME and …/event/NAME/snapshot.",
        "edged",
        type="string",
        format="mqtt-topic",
        default="edged",
    ),
    device=key(
        "Device",
        "This device in topics and in Home Assistant; no two may share it. Without it the host "
        "name. What the broker has retained of an earlier name is cleared.",
        "gate-pi",
        pattern="^[A-Za-z0-9_-]{1,64}$",
        patternErrorMessage="letters, digits, _ and -, 64 at most",
        type="string",
    ),
    qos=key(
        "Quality of service",
        "0: sent once; 1: until the broker says that it is there; 2: and never twice while the "
        "connection lasts.",
        1,
        enum=[0, 1, 2],
        default=1,
    ),
    results=key(
        "Results",
        "Send every result. Without it there are events, and a camera's state.",
        True,
        type="boolean",
        default=True,
    ),
    state_seconds=key(
        "Seconds between states",
        "The least time from one state of a camera to the next. Home Assistant stores each.",
        10,
        type="number",
        minimum=0.1,
        maximum=3600,
        default=1,
    ),
    home_assistant=key(
        "Home Assistant",
        "What its discovery topics begin with, or none; what was introduced before is taken back "
        "then.",
        "homeassistant",
        "none",
        type="string",
        format="mqtt-topic",
        default="homeassistant",
    ),
) | {
    "title": "MQTT",
    "description": "Results, states and events to a broker. Without it to none.",
    "dependentRequired": {
        "password": ["user"],
        "password_file": ["user"],
        "certificate_file": ["key_file"],
        "key_file": ["certificate_file"],
    },
    "not": {"required": ["password", "password_file"]},
    "examples": [{"broker": "mqtts://broker.example", "user": "edged", "password": "${PASSWORD}"}],
}

_WEBHOOK = section(
    ["url"],
    _WEBHOOK_HINTS,
    url=key(
        "URL",
        "Gets a POST with JSON for each event, until it is accepted or the backlog is full. "
        "Redirects are not followed. It is never shown, as its path often is what lets in.",
        "https://hooks.example/${HOOK}",
        format="webhook-url",
        **SECRET,
    ),
    authorization=key(
        "Authorization",
        "The value of that header. Without it none is sent.",
        "Bearer ${TOKEN}",
        format="header-value",
        **SECRET,
    ),
    authorization_file=key(
        "Authorization file",
        "Instead of authorization: a file whose one line it is. Without it none is read.",
        "${CREDENTIALS_DIRECTORY}/webhook",
        format="authorization-file",
        **SECRET,
    ),
    ca_file=_CA_FILE,
    certificate_file=_CERTIFICATE_FILE,
    key_file=_KEY_FILE,
    send=key(
        "Send",
        "Events, results or both.",
        ["events"],
        type="array",
        items={"enum": ["events", "results"]},
        minItems=1,
        uniqueItems=True,
        default=["events"],
    ),
    timeout_seconds=key(
        "Time-out (seconds)",
        "So long the server may take for one answer; then it is asked again.",
        10,
        type="number",
        exclusiveMinimum=0,
        maximum=300,
        default=10,
    ),
) | {
    "title": "Webhook",
    "description": "Events to a web server. Without it to none.",
    "dependentRequired": {
        "certificate_file": ["key_file"],
        "key_file": ["certificate_file"],
    },
    "not": {"required": ["authorization", "authorization_file"]},
    "examples": [{"url": "https://hooks.example/edged"}],
}

_HINTS = {
    **dict.fromkeys(("json", "file", "path", "log", "output"), "jsonl"),
    **dict.fromkeys(("http", "hook", "webhooks"), "webhook"),
    **dict.fromkeys(("threshold", "confidence"), "min_score"),
    "top": "top_k",
}

RESULTS = section(
    [],
    _HINTS,
    jsonl=key(
        "JSON lines",
        'A file, "-" for standard output, or none. After logrotate, the new file is used.',
        "-",
        "results.jsonl",
        "none",
        {"path": "results.jsonl", "max_bytes": 10_000_000, "keep": 3},
        type=["string", "object"],
        pattern=".",
        patternErrorMessage='a file, "-" or none',
        default="-",
        additionalProperties=False,
        required=["path", "max_bytes"],
        properties=_ROTATION,
    ),
    mqtt=_MQTT,
    webhook=_WEBHOOK,
    top_k=key(
        "Classes in a result",
        "The best so many classes.",
        3,
        type="integer",
        minimum=1,
        maximum=100,
        default=3,
    ),
    min_score=key(
        "Least score",
        "Classes below it are left out.",
        0.1,
        type="number",
        minimum=0,
        maximum=1,
        default=0.1,
    ),
)
