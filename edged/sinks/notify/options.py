"""`results.notify`: options and table entry."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

from edged.document.document import Document
from edged.document.parts import NAME, SECRET, key, section
from edged.document.problems import Formats
from edged.document.values import path_from, read_secret
from edged.errors import InputError, how_to_install
from edged.hours import PERIOD, Period
from edged.private_file import readable_by_all
from edged.secret import Secret
from edged.sinks.sink import Kind, Rules, Sink
from edged.sinks.template import FIELDS, check_template

MOST_DESTINATIONS = 16
"""Each has a thread and a queue."""
TEXT_FIELDS = tuple(name for name in FIELDS["events"] if name != "snapshot")
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://\S.*", re.IGNORECASE | re.ASCII)
_IN_BRACES = re.compile(rf"\{{({'|'.join(TEXT_FIELDS)})\}}")


@dataclass(frozen=True, slots=True)
class Destination:
    """address: Apprise's URL. file: where the address was read, or None. events: names of the
    rules, None for all. quiet: periods without messages. per_hour: most messages within an hour.
    title, text: templates; None for the default text."""

    name: str
    address: Secret
    file: Path | None = None
    events: tuple[str, ...] | None = None
    ends: bool = False
    picture: bool = True
    quiet: tuple[Period, ...] = ()
    per_hour: int = 30
    title: str = "$device"
    text: str | None = None


NotifyConfig: TypeAlias = "tuple[Destination, ...]"
INSTALL = "pip install 'edged[notify]'"


def apprise_is_missing() -> bool:
    """Does not import it: it takes 35 MB."""
    return find_spec("apprise") is None


def apprise_hint() -> str:
    return how_to_install(INSTALL, in_deb=True)


def _parse(data: Mapping[str, Any], base: Path) -> NotifyConfig | None:
    return tuple(_destination(name, own, base) for name, own in data.items()) or None


def _destination(name: str, own: Mapping[str, Any], base: Path) -> Destination:
    file = path_from(own["url_file"], base) if "url_file" in own else None
    return Destination(
        name=name,
        address=Secret(own["url"] if file is None else read_secret(file, "the address")),
        file=file,
        events=tuple(own["events"]) if "events" in own else None,
        ends=own["ends"],
        picture=own["picture"],
        quiet=tuple(Period.of(each) for each in own.get("quiet", ())),
        per_hour=own["per_hour"],
        title=own["title"],
        text=own.get("text"),
    )


def _formats(base: Path) -> Formats:
    return {
        "notify-address": _check_address,
        "notify-address-file": lambda text: _check_address(
            read_secret(path_from(text, base), "the address")
        ),
        "notify-text": _check_text,
    }


def _check_address(text: str) -> None:
    """The error does not show the address, which is a secret. Whether Apprise knows the service is
    found out when a message is sent."""
    if not text.isprintable() or _ADDRESS.fullmatch(text) is None:
        fix = "write SERVICE://…, as https://appriseit.com shows it for each service"
        raise InputError("expected the address of a service of Apprise", fix=fix)


def _check_text(text: str) -> None:
    check_template(text, TEXT_FIELDS)
    if found := _IN_BRACES.search(text):
        raise InputError("expected fields with a dollar sign", fix=f"write ${found[1]}")


def _check(config: NotifyConfig, document: Document) -> Iterator[InputError]:
    """Rules that do not exist."""
    known = document.data.get("events")
    known = list(known) if isinstance(known, dict) else []
    for destination in config:
        for index, name in enumerate(destination.events or ()):
            if name not in known:
                place = ("results", "notify", destination.name, "events", index)
                close = difflib.get_close_matches(name, known, n=1)
                names = ", ".join(known) or "none: add a rule under events:"
                fix = f"did you mean {close[0]}?" if close else f"the rules are {names}"
                yield document.error("no such event rule", *place, got=name, fix=fix)


def _warnings(config: NotifyConfig) -> Iterator[str]:
    if apprise_is_missing():
        yield f"no message can be sent, as apprise is not installed; {apprise_hint()}"
    for destination in config:
        if destination.file is not None:
            yield from readable_by_all(destination.file)


def _make(config: NotifyConfig, rules: Rules, state: Path | None) -> Sink:
    from edged.sinks.notify.notify import Notify

    return Notify(config)


_TEXT: dict[str, Any] = {"type": "string", "minLength": 1, "format": "notify-text"}
_HINTS = {
    **dict.fromkeys(("uri", "address", "apprise", "service"), "url"),
    **dict.fromkeys(("urls", "to"), "write a destination for each address, with url:"),
    **dict.fromkeys(("event", "rules", "only"), "events"),
    **dict.fromkeys(("end", "ended"), "ends"),
    **dict.fromkeys(("snapshot", "image", "attach"), "picture"),
    **dict.fromkeys(("quiet_hours", "silent", "mute"), "quiet"),
    **dict.fromkeys(("limit", "rate", "max_per_hour", "hourly"), "per_hour"),
    **dict.fromkeys(("message", "body", "template"), "text"),
    "subject": "title",
}

_DESTINATION = section(
    [],
    _HINTS,
    url=key(
        "Address",
        "Address of the service as Apprise writes it. It often is a secret: edged never shows it.",
        "ntfys://${NTFY_TOPIC}",
        format="notify-address",
        **SECRET,
    ),
    url_file=key(
        "Address file",
        "File with the address on one line, instead of url.",
        "${CREDENTIALS_DIRECTORY}/phone",
        format="notify-address-file",
        **SECRET,
    ),
    events=key(
        "Events",
        "Names of the event rules to tell. Default: all.",
        ["visitor"],
        type="array",
        items={"type": "string"},
        minItems=1,
        uniqueItems=True,
    ),
    ends=key(
        "Ends",
        "Also tell when an event ends. If false, only its start is told.",
        True,
        type="boolean",
        default=False,
    ),
    picture=key(
        "Picture",
        "Attach the event's picture, if its rule has `snapshot: true`.",
        False,
        type="boolean",
        default=True,
    ),
    quiet=key(
        "Quiet hours",
        "Periods of the day, in local time, in which nothing is sent: events are left out and "
        "counted. Days may stand before a period, which may go over midnight. Default: none.",
        ["22:00-06:30"],
        ["Mo-Fr 22:00-06:30", "Sa,Su 00:00-24:00"],
        type="array",
        items=PERIOD,
        minItems=1,
        maxItems=16,
    ),
    per_hour=key(
        "Messages an hour",
        "Most messages within any hour. Further ones are left out; the next message says how many.",
        12,
        type="integer",
        minimum=1,
        maximum=1000,
        default=30,
    ),
    title=key(
        "Title",
        "Title of the message, the subject of an e-mail. Fields as in text.",
        "$event at $place",
        default="$device",
        **_TEXT,
    ),
    text=key(
        "Text",
        f"Text of the message, with the fields {', '.join(f'${name}' for name in TEXT_FIELDS)}. "
        "Default: place, event, time and score.",
        "$event at $place ($score %)",
        **_TEXT,
    ),
) | {
    "title": "Destination",
    "description": "A service that brings messages to a person: ntfy, Telegram, e-mail and others.",
    "oneOf": [{"required": ["url"]}, {"required": ["url_file"]}],
    "examples": [{"url": "ntfys://${NTFY_TOPIC}"}],
}

_SCHEMA = key(
    "Messages",
    "Messages about events to people, by name of the destination, sent through Apprise. Needs "
    "edged[notify]. Default: none.",
    {"phone": {"url": "ntfys://${NTFY_TOPIC}"}},
    type="object",
    maxProperties=MOST_DESTINATIONS,
    propertyNames=NAME,
    additionalProperties=_DESTINATION,
)

NOTIFY = Kind(
    schema=_SCHEMA,
    parse=_parse,
    make=_make,
    formats=_formats,
    check=_check,
    warnings=_warnings,
    words=("apprise", "notifications", "messages", "ntfy", "telegram", "mail", "email"),
)
