"""The configuration of the ways out: where results and events go, and what stands in them.

Knows nothing of brokers and servers: whether one is there is found out by who sends.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from edged.document.document import Document
from edged.document.hosts import AUTHORITY, check_host, is_loopback
from edged.document.values import path_from, read_secret
from edged.errors import InputError
from edged.secret import Secret, SourceUrl

_BROKER = re.compile(rf"mqtt(?P<tls>s?)://{AUTHORITY}/?", re.ASCII)
_WEBHOOK = re.compile(rf"http(?P<tls>s?)://{AUTHORITY}(?P<target>[/?][!-\"$-~]*)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class JsonlConfig:
    """path: None for standard output. max_bytes: of one file, None for no rotation. keep: how many
    full files stay beside the one that is written."""

    path: Path | None = None
    max_bytes: int | None = None
    keep: int = 0


@dataclass(frozen=True, slots=True)
class TlsClient:
    """PEM files. ca: who is trusted, None for whom the system trusts. certificate: what the client
    shows, with its key; None for nothing."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class MqttConfig:
    """tls: None for a connection that is not encrypted. device: stands in every topic.
    state_seconds: from one state of a camera to the next. home_assistant: the prefix of its
    discovery topics, None for no discovery."""

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


@dataclass(frozen=True, slots=True)
class WebhookConfig:
    """authorization: the header's value. timeout_seconds: for the answer to one request."""

    url: SourceUrl = field(repr=False)  # its path may be what lets in
    tls: TlsClient | None
    host: str
    port: int
    target: Secret
    authorization: Secret | None = None
    events: bool = True
    results: bool = False
    timeout_seconds: float = 10.0


@dataclass(frozen=True, slots=True)
class ResultsConfig:
    """None for a way out that is not used."""

    jsonl: JsonlConfig | None
    top_k: int
    min_score: float
    mqtt: MqttConfig | None = None
    webhook: WebhookConfig | None = None


def results_config(data: Mapping[str, Any], base: Path) -> ResultsConfig:
    """data: the section `results`, checked. base: where relative paths start."""
    mqtt, webhook = data.get("mqtt"), data.get("webhook")
    return ResultsConfig(
        _jsonl(data["jsonl"], base),
        int(data["top_k"]),
        float(data["min_score"]),
        None if mqtt is None else _mqtt(mqtt, base),
        None if webhook is None else _webhook(webhook, base),
    )


def _jsonl(data: str | Mapping[str, Any], base: Path) -> JsonlConfig | None:
    if data == "none":
        return None
    if data == "-":
        return JsonlConfig()
    if isinstance(data, str):
        return JsonlConfig(path_from(data, base))
    return JsonlConfig(path_from(data["path"], base), int(data["max_bytes"]), int(data["keep"]))


def _mqtt(data: Mapping[str, Any], base: Path) -> MqttConfig:
    broker = _match_broker(data["broker"])
    secure = bool(broker["tls"])
    password = Secret(data["password"]) if "password" in data else None
    if "password_file" in data:
        password = Secret(read_secret(path_from(data["password_file"], base), "the password"))
    return MqttConfig(
        host=broker["host"].strip("[]"),
        port=int(broker["port"] or (8883 if secure else 1883)),
        tls=_tls(data, base) if secure else None,
        device=data.get("device", _host_name()),
        user=data.get("user"),
        password=password,
        version="3.1.1" if data["version"] == "3.1.1" else "5",
        topic=data["topic"],
        qos=data["qos"],
        results=data["results"],
        state_seconds=float(data["state_seconds"]),
        home_assistant=None if data["home_assistant"] == "none" else data["home_assistant"],
    )


def _webhook(data: Mapping[str, Any], base: Path) -> WebhookConfig:
    url = _match_webhook(data["url"])
    secure, authorization = bool(url["tls"]), data.get("authorization")
    if "authorization_file" in data:
        file = path_from(data["authorization_file"], base)
        authorization = read_secret(file, "the header's value")
    return WebhookConfig(
        url=SourceUrl(data["url"]),
        tls=_tls(data, base) if secure else None,
        host=url["host"].strip("[]"),
        port=int(url["port"] or (443 if secure else 80)),
        target=Secret(_target(url["target"] or "/")),
        authorization=None if authorization is None else Secret(authorization),
        events="events" in data["send"],
        results="results" in data["send"],
        timeout_seconds=float(data["timeout_seconds"]),
    )


def _target(target: str) -> str:
    return target if target.startswith("/") else f"/{target}"


def _tls(data: Mapping[str, Any], base: Path) -> TlsClient:
    files = (data.get(key) for key in ("ca_file", "certificate_file", "key_file"))
    return TlsClient(*(None if file is None else path_from(file, base) for file in files))


def _host_name() -> str:
    """As a level of a topic, and as Home Assistant takes it for an identifier."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", socket.gethostname().split(".")[0]) or "edged"


# One kind of text each; all raise InputError and never show a credential


def broker_url(text: str) -> str:
    _match_broker(text)
    return text


def _match_broker(text: str) -> re.Match[str]:
    if "@" in text:
        fix = "user: and password: or password_file: are keys of their own"
        raise InputError("a broker's URL holds no user and password", got=SourceUrl(text), fix=fix)
    match = _BROKER.fullmatch(text)
    if match is None or not 0 < int(match["port"] or 1) < 65536:
        raise InputError(
            "expected the URL of a broker",
            got=SourceUrl(text),
            fix="write mqtt://host:1883, or mqtts://host:8883 for TLS",
        )
    check_host(match["host"])
    return match


def webhook_url(text: str) -> str:
    _match_webhook(text)
    return text


def _match_webhook(text: str) -> re.Match[str]:
    """Nothing of it is shown: it is common that the path itself is what lets in."""
    if re.match(r"https?://[^/?]*@", text):
        fix = "authorization: or authorization_file: is a key of its own"
        raise InputError("a webhook's URL holds no user and password", fix=fix)
    match = _WEBHOOK.fullmatch(text)
    if match is None or not 0 < int(match["port"] or 1) < 65536:
        fix = "write https://host/path; a blank is %20"
        raise InputError("expected a URL of http:// or https://", fix=fix)
    check_host(match["host"])
    return match


def topic(text: str) -> str:
    """Levels that every broker takes; `+` and `#` would be wildcards."""
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)*", text):
        fix = "write letters, digits, _, - and . in levels parted by /"
        raise InputError("expected an MQTT topic", got=repr(text), fix=fix)
    return text


def header_value(text: str) -> str:
    """Not shown: it is the secret."""
    if not text.isascii() or not text.isprintable():
        raise InputError("expected the value of an Authorization header: printable ASCII")
    return text


def results_errors(results: ResultsConfig, document: Document) -> Iterator[InputError]:
    """Where lines would go to what holds none of them."""
    path = None if results.jsonl is None else results.jsonl.path
    with suppress(OSError):  # it is not there yet, as it should be
        if path is not None and path.is_dir():
            yield document.error("expected a file, not a folder", "results", "jsonl", got=path)
        elif path is not None and path.samefile(document.path):
            yield document.error("is this very file", "results", "jsonl", got=path)


def results_warnings(results: ResultsConfig) -> Iterator[str]:
    """What is not wrong, but will surprise. One line each."""
    mqtt, webhook = results.mqtt, results.webhook
    path = None if results.jsonl is None else results.jsonl.path
    try:
        if path is not None and not path.parent.is_dir():
            folder = path.parent
            yield f"results.jsonl: there is no folder {folder}; make it: mkdir -p {folder}"
    except OSError as error:  # a folder above it is closed to us
        yield f"results.jsonl: {path}: {error.strerror}"
    if mqtt and not mqtt.tls and mqtt.password and not is_loopback(mqtt.host):
        yield (
            f"results.mqtt: everybody on the way to {mqtt.host} can read the password; mqtts:// "
            "encrypts it"
        )
    if webhook and not webhook.tls and not is_loopback(webhook.host):
        yield (
            f"results.webhook: everybody on the way to {webhook.host} can read what is sent; "
            "https:// encrypts it"
        )
