"""`results.webhook`: options and table entry."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edged.document.document import Document
from edged.document.hosts import AUTHORITY, check_host, is_loopback
from edged.document.parts import SECRET, key, section
from edged.document.problems import Formats
from edged.document.values import path_from, read_secret
from edged.errors import InputError
from edged.secret import Secret, SourceUrl
from edged.sinks.sink import Kind, Rules, Sink
from edged.sinks.template import FIELDS, check_json, check_template, is_json
from edged.sinks.tls import TLS_KEYS, TLS_PAIR, TlsClient, parse_tls, try_tls

_URL = re.compile(rf"http(?P<tls>s?)://{AUTHORITY}(?P<target>[/?][!-\"$-~]*)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class WebhookConfig:
    """authorization: the header's value. timeout_seconds: of one request. body: a template, None
    for the JSON of an event or a result."""

    url: SourceUrl = field(repr=False)  # its path may be a secret
    tls: TlsClient | None
    host: str
    port: int
    target: Secret
    authorization: Secret | None = None
    events: bool = True
    results: bool = False
    timeout_seconds: float = 10.0
    body: Secret | None = None
    content_type: str = "application/json"


def _parse(data: Mapping[str, Any], base: Path) -> WebhookConfig:
    url = _webhook_url(data["url"])
    secure, authorization = bool(url["tls"]), data.get("authorization")
    if "authorization_file" in data:
        file = path_from(data["authorization_file"], base)
        authorization = read_secret(file, "the header's value")
    return WebhookConfig(
        url=SourceUrl(data["url"]),
        tls=parse_tls(data, base) if secure else None,
        host=url["host"].strip("[]"),
        port=int(url["port"] or (443 if secure else 80)),
        target=Secret(_target(url["target"] or "/")),
        authorization=None if authorization is None else Secret(authorization),
        events="events" in data["send"],
        results="results" in data["send"],
        timeout_seconds=float(data["timeout_seconds"]),
        body=Secret(data["body"]) if "body" in data else None,
        content_type=data["content_type"],
    )


def _target(target: str) -> str:
    return target if target.startswith("/") else f"/{target}"


def _formats(base: Path) -> Formats:
    return {
        "webhook-url": _webhook_url,
        "header-value": _header_value,
        "authorization-file": lambda text: _header_value(_read_authorization(text, base)),
    }


def _read_authorization(file: str, base: Path) -> str:
    return read_secret(path_from(file, base), "the header's value")


def _webhook_url(text: str) -> re.Match[str]:
    """Errors do not show the URL, whose path is often a secret."""
    if re.match(r"https?://[^/?]*@", text):
        fix = "write authorization: or authorization_file:"
        raise InputError("expected no user in the webhook's URL", fix=fix)
    match = _URL.fullmatch(text)
    if match is None or not 0 < int(match["port"] or 1) < 65536:
        fix = "write https://host/path, with %20 for a space"
        raise InputError("expected an http:// or https:// URL", fix=fix)
    check_host(match["host"])
    return match


def _header_value(text: str) -> None:
    """The error does not show the value, which is a secret."""
    if not text.isascii() or not text.isprintable():
        raise InputError("expected the value of an Authorization header: printable ASCII")


def _check(config: WebhookConfig, document: Document) -> Iterator[InputError]:
    """Errors of the body, which depend on the other keys."""
    if config.body is None:
        return
    sent = [each for each in FIELDS if getattr(config, each)]
    known = [name for name in FIELDS[sent[0]] if all(name in FIELDS[each] for each in sent)]
    try:
        check_template(config.body.reveal(), known)
        if is_json(config.content_type):
            check_json(config.body.reveal())
    except InputError as error:
        yield document.error(error.what, "results", "webhook", "body", fix=error.fix)


def _warnings(config: WebhookConfig) -> Iterator[str]:
    if not config.tls and not is_loopback(config.host):
        yield f"data is sent to {config.host} unencrypted; use https://"


def _make(config: WebhookConfig, rules: Rules, state: Path | None) -> Sink:
    from edged.sinks.webhook.webhook import Webhook

    return Webhook(config)


_HINTS = {
    **dict.fromkeys(("uri", "address", "endpoint", "host"), "url"),
    **dict.fromkeys(("token", "headers", "header", "auth", "bearer"), "authorization"),
    "timeout": "timeout_seconds",
    **dict.fromkeys(("template", "json", "payload", "data", "text"), "body"),
    **dict.fromkeys(("content-type", "type", "mime"), "content_type"),
    **dict.fromkeys(("user", "password"), 'write authorization: "Basic …" or "Bearer …"'),
}

_SCHEMA = section(
    ["url"],
    _HINTS,
    url=key(
        "URL",
        "Receives a POST for each event, retried until it is accepted or the backlog is "
        "full. Redirects are not followed. edged never shows the URL, as its path is often a "
        "secret.",
        "https://hooks.example/${HOOK}",
        format="webhook-url",
        **SECRET,
    ),
    authorization=key(
        "Authorization",
        "Value of the Authorization header. Default: none.",
        "Bearer ${TOKEN}",
        format="header-value",
        **SECRET,
    ),
    authorization_file=key(
        "Authorization file",
        "File with the value on one line, instead of authorization. Default: none.",
        "${CREDENTIALS_DIRECTORY}/webhook",
        format="authorization-file",
        **SECRET,
    ),
    **TLS_KEYS,
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
    body=key(
        "Body",
        "Template of the body, for services that expect their own form, with fields such as $event "
        "and $place. Default: the JSON of the event or result.",
        '{"text": "$event at $place"}',
        **SECRET,
    ),
    content_type=key(
        "Content type",
        "Media type of a body of your own. Values are escaped for JSON and for "
        "application/x-www-form-urlencoded, and are put into others as they are.",
        "text/plain; charset=utf-8",
        type="string",
        pattern=r"^[\w.+-]+/[\w.+-]+( *; *[\w.+-]+=[\w.+-]+)*$",
        patternErrorMessage="a media type, such as application/json",
        default="application/json",
    ),
    timeout_seconds=key(
        "Time-out (seconds)",
        "Time-out of one request, which is then retried.",
        10,
        type="number",
        exclusiveMinimum=0,
        maximum=300,
        default=10,
    ),
) | {
    "title": "Webhook",
    "description": "Sends events, results or both to a web server. Default: none.",
    "dependentRequired": {"content_type": ["body"], **TLS_PAIR},
    "not": {"required": ["authorization", "authorization_file"]},
    "examples": [{"url": "https://hooks.example/edged"}],
}

WEBHOOK = Kind(
    schema=_SCHEMA,
    parse=_parse,
    make=_make,
    formats=_formats,
    check=_check,
    warnings=_warnings,
    try_files=try_tls,
    words=("http", "hook", "webhooks"),
)
