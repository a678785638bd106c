"""Texts with fields, such as `$event at $place`: for messages, and for the body of webhooks.

The syntax is that of string.Template: `$name`, `${name}`, and `$$` for a dollar sign. There is no
access to attributes or items, so that a text can only show what is in FIELDS.
"""

from __future__ import annotations

import difflib
import json
import re
import socket
import string
import time
from base64 import b64encode
from collections.abc import Callable, Collection, Iterator, Mapping
from urllib.parse import quote_plus

from edged.clock import rfc3339
from edged.errors import InputError
from edged.result import Event, Result
from edged.view import parts

_OF_BOTH = ("place", "camera", "view", "device", "score", "date", "time")
FIELDS: Mapping[str, Collection[str]] = {
    "events": ("event", *_OF_BOTH, "ended", "state", "started_at", "ended_at", "snapshot"),
    "results": ("label", *_OF_BOTH, "captured_at", "variant", "latency_ms"),
}
"""Names of the fields, by what is sent. `event_fields` and `result_fields` fill them."""

_NUMBERS = ("score", "latency_ms")

Escape = Callable[[str], str]
"""Makes a value safe where the template puts it."""


def check_template(text: str, known: Collection[str]) -> None:
    """Raises InputError for a field that is not known. The error does not show the text, which may
    contain a secret; it tells the place of the mistake, counted in characters from 1."""
    for found in string.Template.pattern.finditer(text):
        name = found["named"] or found["braced"]
        if found["escaped"] is None and name not in known:
            fix = "write $$ for a dollar sign" if name is None else _nearest(name, known)
            raise InputError(f"unknown field at character {found.start() + 1}", fix=fix)


def check_json(text: str) -> None:
    """Raises InputError if the text is not JSON once its fields are filled in. Its fields are
    known."""
    # After a stray backslash, Z is no escape.
    sample = dict.fromkeys((name for names in FIELDS.values() for name in names), "Z")
    sample |= dict.fromkeys(_NUMBERS, "0")
    try:
        json.loads(fill(text, sample), parse_constant=_refuse)
    except ValueError as error:
        why = error.msg if isinstance(error, json.JSONDecodeError) else "a number is too long"
        raise InputError(
            f"expected JSON once its fields are filled in: {why}",
            fix='put fields in double quotes, as in {"text": "$place"}, or set content_type',
        ) from None


def _refuse(constant: str) -> None:
    raise json.JSONDecodeError(f"{constant} is no number", constant, 0)


def fill(text: str, values: Mapping[str, str], escape: Escape = str) -> str:
    """The text with its fields, which must be among the values."""
    named = {
        found["named"] or found["braced"] for found in string.Template.pattern.finditer(text)
    } - {None}
    return string.Template(text).substitute({name: escape(values[name]) for name in named})


def escape_for(content_type: str) -> Escape:
    """Escapes values for a body of this media type; other types than JSON and forms take values as
    they are."""
    media = media_type(content_type)
    if is_json(content_type):
        return lambda value: json.dumps(value, ensure_ascii=False)[1:-1]
    return quote_plus if media == "application/x-www-form-urlencoded" else str


def is_json(content_type: str) -> bool:
    return re.search(r"[/+]json$", media_type(content_type)) is not None


def media_type(content_type: str) -> str:
    """Without parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def fields_of(entry: Result | Event) -> dict[str, str]:
    """The values of all its fields. Times without a zone are local."""
    return event_fields(entry) if isinstance(entry, Event) else result_fields(entry)


def event_fields(event: Event) -> dict[str, str]:
    """ended, ended_at: empty at the start. snapshot: base64, or empty."""
    ended_unix_ns, snapshot = event.ended_unix_ns, event.snapshot
    return {
        **dict(_of_both(event.view, event.started_unix_ns, event.peak)),
        "event": event.name,
        "state": "started" if ended_unix_ns is None else "ended",
        "ended": "" if ended_unix_ns is None else local(ended_unix_ns),
        "started_at": rfc3339(event.started_unix_ns),
        "ended_at": "" if ended_unix_ns is None else rfc3339(ended_unix_ns),
        "snapshot": "" if snapshot is None else b64encode(snapshot).decode(),
    }


def result_fields(result: Result) -> dict[str, str]:
    """label, score: of the best class; empty and 0 if none reached min_score."""
    best = result.top[0] if result.top else None
    return {
        **dict(_of_both(result.view, result.captured_unix_ns, best.score if best else 0.0)),
        "captured_at": rfc3339(result.captured_unix_ns),
        "label": best.label if best else "",
        "variant": result.variant.name,
        "latency_ms": f"{result.latency_ms:.1f}",
    }


def local(unix_ns: int, form: str = "%H:%M") -> str:
    return time.strftime(form, time.localtime(unix_ns // 1_000_000_000))


def _of_both(view: str, unix_ns: int, score: float) -> Iterator[tuple[str, str]]:
    camera, name = parts(view)
    yield from (("place", view), ("camera", camera), ("view", name or ""))
    yield "device", socket.gethostname().split(".")[0]
    yield from (("date", local(unix_ns, "%Y-%m-%d")), ("time", local(unix_ns)))
    yield "score", str(round(100 * score))


def _nearest(name: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.7)
    if close:
        return f"did you mean ${close[0]}?"
    return f"the fields are {', '.join(f'${each}' for each in known)}; write $$ for a dollar sign"
