"""`/api/v1/events` and `/api/v1/seen`: what the device remembers."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any, Protocol

from edged.clock import rfc3339, unix_of
from edged.errors import InputError
from edged.history.history import BusyError, OffError
from edged.history.reader import Asked, Span, TooSlowError
from edged.printable import printable
from edged.view import id_of
from edged.web.answer import CACHED, JPEG, JSON, Answer, Request
from edged.web.changes.json_body import (
    ANSWER_SECONDS,
    JSON_BYTES,
    NO_VALUE,
    TEXT_FIELD,
    Field,
    answered,
    error_answer,
    fields_of,
)
from edged.web.changes.post import Body, Post
from edged.web.history.query import asked, span
from edged.web.live import Live
from edged.web.teach import Teaching

EVENTS, SEEN = "/api/v1/events", "/api/v1/seen"
_EVENT = re.compile(rf"{EVENTS}/([1-9][0-9]{{0,17}})(?:/(snapshot\.jpg|delete|correct))?")
_ACTIONS: Mapping[str, Mapping[str, Field]] = {
    "delete": {},
    "correct": {
        "classifier": Field((str, NO_VALUE), "text or null", required=False),
        "label": TEXT_FIELD,
    },
}
"""What a POST takes."""
_RETRY = ("Retry-After", "5")


class History(Protocol):
    """Several threads call it at once. Raises OffError where there is none, BusyError and
    TooSlowError, and EdgedError for a failure."""

    def events(self, asked: Asked) -> dict[str, Any]: ...

    def event(self, number: int) -> dict[str, Any] | None: ...

    def snapshot(self, number: int) -> bytes | None: ...

    def seen(self, span: Span) -> list[dict[str, Any]]: ...

    def views(self) -> list[str]: ...

    def delete(self, number: int) -> bool: ...

    def correct(self, number: int, label: str) -> bool: ...


class HistoryEndpoints:
    """history: None where nothing is recorded. teaching: None where nothing can be taught."""

    def __init__(
        self,
        history: History | None,
        teaching: Teaching | None,
        live: Live,
        unix: Callable[[], float] = time.time,
    ) -> None:
        self._history = history
        self._teaching = teaching
        self._live = live
        self._unix = unix

    def answer(self, request: Request) -> Answer | Post | None:
        """None: not one of its paths."""
        path, found = request.path, _EVENT.fullmatch(request.path)
        if found is None and path not in (EVENTS, SEEN):
            if path.startswith(f"{EVENTS}/"):
                return Answer.error(HTTPStatus.NOT_FOUND, "no such path")
            return None
        history, action = self._history, "" if found is None else found[2] or ""
        if history is None:
            return Answer.error(HTTPStatus.NOT_FOUND, "this daemon keeps no history")
        allowed = "POST" if action in _ACTIONS else "GET, HEAD"
        if request.method not in allowed.split(", "):
            return Answer.text(HTTPStatus.METHOD_NOT_ALLOWED, ("Allow", allowed))
        if found is not None and action in _ACTIONS:
            make = partial(self._make, history, int(found[1]), action)
            return Post("control", {JSON: JSON_BYTES}, ANSWER_SECONDS, make)
        if found is not None:
            return _told(partial(_event, history, int(found[1]), action))
        return _told(partial(self._list, history, request))

    def _list(self, history: History, request: Request) -> Answer:
        if request.path == EVENTS:
            of = asked(request.query)
            page = history.events(of)
            if not page["events"]:
                self._check_name(history, of.takes, of.view or of.camera)
            return Answer.json(HTTPStatus.OK, page)
        wanted = span(request.query, self._unix())
        seen = history.seen(wanted)
        if not seen:
            self._check_name(history, wanted.view.__eq__, wanted.view)
        about = {
            "view": wanted.view,
            "since": rfc3339(wanted.since_s * 1_000_000_000),
            "until": rfc3339(wanted.until_s * 1_000_000_000),
            "step": wanted.step_s,
            "seen": seen,
        }
        return Answer.json(HTTPStatus.OK, about)

    def _check_name(self, history: History, takes: Callable[[str], bool], name: str | None) -> None:
        """Raise InputError if neither the configuration nor the history has such a view."""
        known = dict.fromkeys((*self._live.views, *history.views()))
        if known and name is not None and not any(map(takes, known)):
            got = repr(printable(name, 60))
            raise InputError("no such camera or view", got=got, fix=f"views: {', '.join(known)}")

    def _make(self, history: History, number: int, action: str, body: Body) -> Answer:
        def act() -> Answer:
            given = fields_of(body, _ACTIONS[action])
            if action == "correct":
                return self._correct(history, number, given)
            return Answer.json(HTTPStatus.OK, {}) if history.delete(number) else _no_event(number)

        return _told(act)

    def _correct(self, history: History, number: int, given: Mapping[str, Any]) -> Answer:
        event, jpeg = history.event(number), history.snapshot(number)
        if event is None:
            return _no_event(number)
        if jpeg is None:
            what, fix = "the event has no snapshot", "set snapshot: true for it"
            return Answer.error(HTTPStatus.CONFLICT, what, got=event["event"], fix=fix)
        if self._teaching is None:
            return Answer.error(HTTPStatus.CONFLICT, "this daemon does not teach")
        name = self._classifier(self._teaching, event, given.get("classifier"))
        self._teaching.correct(name, given["label"], jpeg, unix_of(event["started_at"]))
        if not history.correct(number, given["label"]):
            return _no_event(number)
        return Answer.json(HTTPStatus.OK, {**event, "corrected": given["label"]})

    def _classifier(self, teaching: Teaching, event: Mapping[str, Any], wanted: str | None) -> str:
        """The one that is named, or the only one of the event's view."""
        known: dict[str, dict[str, Any]] = teaching.overview()["classifiers"]
        view = id_of(event)
        of_view = [name for name, about in known.items() if about["view"] == view]
        fix = f"name one: {', '.join(of_view)}" if of_view else "begin one: edged teach NAME"
        if wanted is not None:
            if wanted not in known:
                raise InputError("no such classifier", got=wanted, fix=fix)
            return wanted
        if len(of_view) != 1:
            what = f"{len(of_view) or 'no'} classifiers belong to {view}"
            raise InputError(what, fix=fix)
        return of_view[0]


def _event(history: History, number: int, action: str) -> Answer:
    if action:
        jpeg = history.snapshot(number)
        if jpeg is not None:
            return Answer(HTTPStatus.OK, JPEG, jpeg, (CACHED,))
        if history.event(number) is not None:
            return Answer.error(HTTPStatus.NOT_FOUND, "the event has no snapshot")
        return _no_event(number)
    event = history.event(number)
    return _no_event(number) if event is None else Answer.json(HTTPStatus.OK, event)


def _told(act: Callable[[], Answer]) -> Answer:
    """What `act` returns, or its error."""

    def acting() -> Answer:
        try:
            return act()
        except OffError as error:
            return error_answer(HTTPStatus.NOT_FOUND, error)
        except BusyError as error:
            return error_answer(HTTPStatus.SERVICE_UNAVAILABLE, error, _RETRY)
        except TooSlowError as error:
            return error_answer(HTTPStatus.SERVICE_UNAVAILABLE, error)

    return answered(acting)


def _no_event(number: int) -> Answer:
    fix = "it may have been deleted; GET /api/v1/events lists those that are kept"
    return Answer.error(HTTPStatus.NOT_FOUND, "no such event", got=str(number), fix=fix)
