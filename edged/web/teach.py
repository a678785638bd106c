"""Teaching over HTTP: `/api/v1/teach`.

Paths and bodies are checked here; what they mean is checked by Teaching, whose InputError becomes
an error in JSON.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any, BinaryIO, Protocol

from edged.capture.sent.bounds import MOST_PICTURE_BYTES
from edged.errors import InputError
from edged.printable import printable
from edged.web.answer import CACHED, JPEG, JSON, PNG, ZIP, Answer, Download, Request, parsed, text
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
from edged.web.changes.post import Body, Kept, Post
from edged.web.live import Live

PATH = "/api/v1/teach"
ZIP_BYTES = 200_000_000
UPLOAD_SECONDS = 900.0
"""To look at what was uploaded: a small device decodes a few thousand pictures in that time."""
MOST_CLASSES = 256
_NAME = re.compile(rf"{PATH}/([a-z][a-z0-9_-]{{0,31}})(?:/(.*))?")
_PICTURE = re.compile(r"pictures/([0-9a-f]{16})\.jpg")
_UPLOAD = "pictures"
_EXPORT = "export.zip"


class Teaching(Protocol):
    """Several threads call it at once. Raises InputError for a mistake, EdgedError for a failure;
    nothing is changed then."""

    def names(self) -> Collection[str]: ...

    def overview(self) -> dict[str, Any]: ...

    def describe(self, name: str) -> dict[str, Any]: ...

    def create(self, name: str, view: str, classes: Collection[str]) -> None: ...

    def forget(self, name: str) -> None: ...

    def record(
        self, name: str, label: str, seconds: float, moment: str | None = None
    ) -> dict[str, Any]: ...

    def upload(
        self, name: str, label: str, content: BinaryIO, content_type: str, *, one_moment: bool
    ) -> dict[str, Any]:
        """content: a file without a name, at its start; it ends with the call."""

    def correct(self, name: str, label: str, jpeg: bytes, unix: float) -> None: ...

    def label(self, name: str, moment: str, label: str | None) -> None: ...

    def discard(self, name: str, moment: str) -> None: ...

    def train(self, name: str) -> None: ...

    def deploy(
        self, name: str, version: int | None = None, *, anyway: bool = False
    ) -> dict[str, Any]: ...

    def back(self, name: str) -> dict[str, Any]: ...

    def picture(self, name: str, picture: str) -> bytes: ...

    def export(self, name: str, file: BinaryIO) -> None:
        """Write a zip of everything that belongs to it. file: cannot seek."""


_ACTIONS: Mapping[str | None, Mapping[str, Field]] = {
    None: {"view": TEXT_FIELD, "classes": Field((list,), "a list of names")},
    "record": {
        "label": TEXT_FIELD,
        "seconds": Field((int, float), "a number"),
        "moment": Field((str, NO_VALUE), "text or null", required=False),
    },
    "label": {"moment": TEXT_FIELD, "label": Field((str, NO_VALUE), "text or null")},
    "discard": {"moment": TEXT_FIELD},
    "train": {},
    "deploy": {
        "version": Field((int, NO_VALUE), "a whole number or null", required=False),
        "anyway": Field((bool,), "true or false", required=False),
    },
    "back": {},
    "forget": {},
}
"""What a POST to `NAME/ACTION` takes; None creates."""
_CONFLICTS = ("train", "deploy", "back", "forget")
"""Whose InputError is about the present state, not about the request."""
_UPLOADED = {JPEG: MOST_PICTURE_BYTES, PNG: MOST_PICTURE_BYTES, ZIP: ZIP_BYTES}


class TeachEndpoints:
    """teaching: None where nothing can be taught, as in `edged demo`."""

    def __init__(self, teaching: Teaching | None, live: Live) -> None:
        self._teaching = teaching
        self._live = live

    def answer(self, request: Request) -> Answer | Download | Post | None:
        """None: not one of its paths."""
        found = _NAME.fullmatch(request.path)
        if found is None and request.path != PATH:
            return None
        teaching = self._teaching
        if teaching is None:
            what = "this daemon does not teach"
            return Answer.error(HTTPStatus.NOT_FOUND, what, fix="start it with: edged run")
        name, rest = ("", None) if found is None else (found[1], found[2])
        allowed = "GET, HEAD, POST" if name else "GET, HEAD"
        if request.method not in allowed.split(", "):
            return Answer.text(HTTPStatus.METHOD_NOT_ALLOWED, ("Allow", allowed))
        answer = (
            _change(teaching, request, name, rest)
            if request.method == "POST"
            else answered(partial(self._read, teaching, request, name, rest))
        )
        return answer or Answer.error(HTTPStatus.NOT_FOUND, "no such path")

    def _read(
        self, teaching: Teaching, request: Request, name: str, rest: str | None
    ) -> Answer | Download | None:
        if not name:
            why_not = request.barred.get("teach")
            about = {"may_change": why_not is None, "why_not": why_not, **teaching.overview()}
            return Answer.json(HTTPStatus.OK, about)
        if missing := _missing(teaching, name):
            return missing
        if rest is None:
            return Answer.json(HTTPStatus.OK, self._described(teaching.describe(name)))
        if rest == _EXPORT:
            return Download(ZIP, f"{name}.zip", partial(teaching.export, name))
        if picture := _PICTURE.fullmatch(rest):
            return answered(partial(_picture, teaching, name, picture[1]), HTTPStatus.NOT_FOUND)
        return None

    def _described(self, about: dict[str, Any]) -> dict[str, Any]:
        """With the median time of each variant in its view, as far as it was measured."""
        views = {view.id: view for view in self._live.subjects.views}
        measured = views[about["view"]].measured_ms() if about["view"] in views else {}
        latency_ms = {name: round(ms, 2) for name, ms in measured.items()}
        return {"latency_ms": latency_ms, **about}


def _picture(teaching: Teaching, name: str, picture: str) -> Answer:
    return Answer(HTTPStatus.OK, JPEG, teaching.picture(name, picture), (CACHED,))


def _change(
    teaching: Teaching, request: Request, name: str, action: str | None
) -> Answer | Post | None:
    if action == _UPLOAD:
        return _upload(teaching, request, name)
    if action not in _ACTIONS:
        return None
    make = partial(_make, teaching, name, action)
    return Post("teach", {JSON: JSON_BYTES}, ANSWER_SECONDS, make)


def _make(teaching: Teaching, name: str, action: str | None, body: Body) -> Answer:
    given = answered(partial(fields_of, body, _ACTIONS[action]))
    if isinstance(given, Answer):
        return given
    conflict = action in _CONFLICTS
    failed = HTTPStatus.CONFLICT if conflict else HTTPStatus.BAD_REQUEST
    return answered(partial(_acted, teaching, name, action, given), failed)


def _acted(teaching: Teaching, name: str, action: str | None, given: dict[str, Any]) -> Answer:
    if action is None:
        return _create(teaching, name, **given)
    if missing := _missing(teaching, name):
        return missing
    acts: Mapping[str, Callable[..., Mapping[str, Any] | None]] = {
        "record": teaching.record,
        "label": teaching.label,
        "discard": teaching.discard,
        "train": teaching.train,
        "deploy": teaching.deploy,
        "back": teaching.back,
        "forget": teaching.forget,
    }
    return Answer.json(HTTPStatus.OK, acts[action](name, **given) or {})


def _create(teaching: Teaching, name: str, view: str, classes: list[Any]) -> Answer:
    if len(classes) > MOST_CLASSES or not all(isinstance(each, str) for each in classes):
        what = f"classes: expected a list of at most {MOST_CLASSES} names"
        raise InputError(what, fix='for example ["open", "closed"]')
    if name in teaching.names():
        what = "there is a classifier of this name already"
        return Answer.error(HTTPStatus.CONFLICT, what, got=name, fix="choose another name")
    teaching.create(name, view, tuple(classes))
    return Answer.json(HTTPStatus.CREATED, {"name": name})


def _upload(teaching: Teaching, request: Request, name: str) -> Answer | Post:
    try:
        given = parsed(request.query, **{"class": text}, one_moment=_flag)
    except InputError as error:
        return error_answer(HTTPStatus.BAD_REQUEST, error)
    label = given.get("class", "")
    if not label:
        what = f"name the class: {PATH}/{name}/pictures?class=LABEL"
        return Answer.error(HTTPStatus.BAD_REQUEST, what)
    if missing := _missing(teaching, name):
        return missing
    one_moment = given.get("one_moment", False)

    def make(body: Body) -> Answer:
        def act() -> Answer:
            about = teaching.upload(
                name, label, body.content, body.content_type, one_moment=one_moment
            )
            return Answer.json(HTTPStatus.OK, about)

        return answered(act)

    return Post("teach", _UPLOADED, UPLOAD_SECONDS, make, Kept.FILE)


def _flag(key: str, value: str) -> bool:
    if value not in ("true", "false"):
        raise InputError(f"{key}: expected true or false", got=repr(printable(value, 60)))
    return value == "true"


def _missing(teaching: Teaching, name: str) -> Answer | None:
    """The answer if there is no such classifier."""
    known = teaching.names()
    if name in known:
        return None
    fix = f"there are {', '.join(known)}" if known else "create it: POST its view and classes"
    return Answer.error(HTTPStatus.NOT_FOUND, "no such classifier", got=name, fix=fix)
