"""What a request's query asks of the history. InputError for a mistake."""

from __future__ import annotations

import re
from datetime import datetime, timezone

from edged.errors import InputError
from edged.history.reader import Asked, Span
from edged.printable import printable
from edged.web.answer import Query, parsed

MOST_EVENTS = 500
MOST_STEPS = 5000
LEAST_STEP_S, MOST_STEP_S = 60, 86_400
DEFAULT_STEP_S = 600
DAY_S = 86_400
LATEST_S = 9_000_000_000
"""In 2255; nanoseconds of later times do not fit into the database."""
_TIME = "write it as 2026-01-31T12:00:00Z, or as Unix time in seconds"
_RANGE = "from 1970-01-01T00:00:00Z to 2255-03-14T16:00:00Z"
_SECONDS = re.compile(r"-?\d{1,18}(\.\d{1,9})?", re.ASCII)
_WHOLE = re.compile(r"\d{1,18}", re.ASCII)
_LONGEST = 200
"""Characters of a name."""


def asked(query: Query) -> Asked:
    given = parsed(
        query,
        since=_time,
        until=_time,
        camera=_name,
        view=_name,
        event=_name,
        **{"class": _name},
        limit=lambda key, text: _whole(key, text, 1, MOST_EVENTS),
        before=lambda key, text: _whole(key, text, 1, 10**18),
    )
    since, until = given.get("since"), given.get("until")
    _check_order(since, until)
    return Asked(
        None if since is None else round(since * 1e9),
        None if until is None else round(until * 1e9),
        given.get("camera"),
        given.get("view"),
        given.get("event"),
        given.get("class"),
        given.get("limit", Asked().limit),
        given.get("before"),
    )


def span(query: Query, now_s: float) -> Span:
    """Times are widened to whole steps."""
    given = parsed(
        query,
        view=_name,
        since=_time,
        until=_time,
        step=lambda key, text: _whole(key, text, LEAST_STEP_S, MOST_STEP_S),
    )
    if "view" not in given:
        raise InputError("view is missing", fix="name it: ?view=yard/gate, or the camera's name")
    until = given.get("until", now_s)
    since = given.get("since", max(until - DAY_S, 0.0))
    _check_order(since, until)
    step = given.get("step", DEFAULT_STEP_S)
    first, last = int(since // step) * step, -int(-until // step) * step
    if (last - first) // step > MOST_STEPS:
        what = f"more than {MOST_STEPS} steps"
        raise InputError(what, got=(last - first) // step, fix="ask for a longer step")
    return Span(given["view"], first, last, step)


def _name(key: str, text: str) -> str:
    if len(text) > _LONGEST:
        raise InputError(f"{key}: expected at most {_LONGEST} characters", got=len(text))
    return text


def _whole(key: str, text: str, least: int, most: int) -> int:
    if not _WHOLE.fullmatch(text) or not least <= int(text) <= most:
        got = repr(printable(text, 60))
        raise InputError(f"{key}: expected a whole number from {least} to {most}", got=got)
    return int(text)


def _time(key: str, text: str) -> float:
    """Unix time in seconds."""
    got = repr(printable(text, 60))
    try:
        if _SECONDS.fullmatch(text):
            found = float(text)
        else:
            # Python 3.10 knows no Z. A plus sign of an address is a space.
            moment = datetime.fromisoformat(re.sub("[zZ]$", "+00:00", text.replace(" ", "+")))
            found = moment.replace(tzinfo=moment.tzinfo or timezone.utc).timestamp()
    except (ValueError, OverflowError):
        raise InputError(f"{key}: expected a time", got=got, fix=_TIME) from None
    if not 0 <= found <= LATEST_S:
        raise InputError(f"{key}: expected a time {_RANGE}", got=got)
    return found


def _check_order(since: float | None, until: float | None) -> None:
    if since is not None and until is not None and since >= until:
        raise InputError("since must be before until")
