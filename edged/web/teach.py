"""Teaching over HTTP: `/api/v1/teach`.

Paths and bodies are checked here; what they mean is checked by Teaching, whose InputError becomes
an error in JSON.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any, BinaryIO, Protocol, TypeVar

from edged.errors import EdgedError, InputError
from edged.printable import printable
from edged.secret import redact
from edged.web.answer import JPEG, JSON, PNG, ZIP, Answer, Download, Request
from edged.web.changes.change import Body, Change
from edged.web.live import Live

PATH = "/api/v1/teach"
JSON_BYTES = 64 * 1024
PICTURE_BYTES = 20_000_000
ZIP_BYTES = 200_000_000
ANSWER_SECONDS = 60.0
UPLOAD_SECONDS = 900.0
"""To look at what was uploaded: a small device decodes a few thousand pictures in that time."""
MOST_CLASSES = 256
_T = TypeVar("_T")
_LONGEST = 300
"""Characters of an error's parts."""
_NAME = re.compile(rf"{PATH}/([a-z][a-z0-9_-]{{0,31}})(?:/(.*))?")
_PICTURE = re.compile(r"pictures/([0-9a-f]{16})\.jpg")
_UPLOAD = "pictures"
_EXPORT = "export.zip"
_CACHED = ("Cache-Control", "private, max-age=3600, immutable")
"""Of pictures: another one has another name."""


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


@dataclass(frozen=True, slots=True)
class _Field:
    """Of a JSON body. kinds: the types of its value. what: them in words."""

    kinds: tuple[type, ...]
    what: str
    required: bool = True

    def takes(self, value: object) -> bool:
        if isinstance(value, bool) and bool not in self.kinds:
            return False
        if isinstance(value, float) and not math.isfinite(value):
            return False
        return isinstance(value, self.kinds)


_TEXT = _Field((str,), "text")
_NO_TEXT = type(None)
_ACTIONS: Mapping[str | None, Mapping[str, _Field]] = {
    None: {"view": _TEXT, "classes": _Field((list,), "a list of names")},
    "record": {
        "label": _TEXT,
        "seconds": _Field((int, float), "a number"),
        "moment": _Field((str, _NO_TEXT), "text or null", required=False),
    },
    "label": {"moment": _TEXT, "label": _Field((str, _NO_TEXT), "text or null")},
    "discard": {"moment": _TEXT},
    "train": {},
    "deploy": {
        "version": _Field((int, _NO_TEXT), "a whole number or null", required=False),
        "anyway": _Field((bool,), "true or false", required=False),
    },
    "back": {},
    "forget": {},
}
"""What a POST to `NAME/ACTION` takes; None creates."""
_CONFLICTS = ("train", "deploy", "back", "forget")
"""Whose InputError is about the present state, not about the request."""
_UPLOADED = {JPEG: PICTURE_BYTES, PNG: PICTURE_BYTES, ZIP: ZIP_BYTES}


class TeachEndpoints:
    """teaching: None where nothing can be taught, as in `edged demo`."""

    def __init__(self, teaching: Teaching | None, live: Live) -> None:
        self._teaching = teaching
        self._live = live

    def answer(self, request: Request) -> Answer | Download | Change | None:
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
            else _answered(partial(self._read, teaching, request, name, rest))
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
            return _answered(partial(_picture, teaching, name, picture[1]), HTTPStatus.NOT_FOUND)
        return None

    def _described(self, about: dict[str, Any]) -> dict[str, Any]:
        """With the median time of each variant in its view, as far as it was measured."""
        views = {view.id: view for view in self._live.subjects.views}
        measured = views[about["view"]].measured_ms() if about["view"] in views else {}
        latency_ms = {name: round(ms, 2) for name, ms in measured.items()}
        return {"latency_ms": latency_ms, **about}


def _picture(teaching: Teaching, name: str, picture: str) -> Answer:
    return Answer(HTTPStatus.OK, JPEG, teaching.picture(name, picture), (_CACHED,))


def _change(
    teaching: Teaching, request: Request, name: str, action: str | None
) -> Answer | Change | None:
    if action == _UPLOAD:
        return _upload(teaching, request, name)
    if action not in _ACTIONS:
        return None
    make = partial(_make, teaching, name, action)
    return Change("teach", {JSON: JSON_BYTES}, ANSWER_SECONDS, make)


def _make(teaching: Teaching, name: str, action: str | None, body: Body) -> Answer:
    given = _answered(partial(_fields, body, _ACTIONS[action]))
    if isinstance(given, Answer):
        return given
    conflict = action in _CONFLICTS
    failed = HTTPStatus.CONFLICT if conflict else HTTPStatus.BAD_REQUEST
    return _answered(partial(_acted, teaching, name, action, given), failed)


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


def _upload(teaching: Teaching, request: Request, name: str) -> Answer | Change:
    label = request.query.get("class", [""])[0]
    if not label:
        what = f"name the class: {PATH}/{name}/pictures?class=LABEL"
        return Answer.error(HTTPStatus.BAD_REQUEST, what)
    if missing := _missing(teaching, name):
        return missing
    one_moment = request.query.get("one_moment", ["false"])[0] == "true"

    def make(body: Body) -> Answer:
        def act() -> Answer:
            about = teaching.upload(
                name, label, body.content, body.content_type, one_moment=one_moment
            )
            return Answer.json(HTTPStatus.OK, about)

        return _answered(act)

    return Change("teach", _UPLOADED, UPLOAD_SECONDS, make, is_upload=True)


def _missing(teaching: Teaching, name: str) -> Answer | None:
    """The answer if there is no such classifier."""
    known = teaching.names()
    if name in known:
        return None
    fix = f"there are {', '.join(known)}" if known else "create it: POST its view and classes"
    return Answer.error(HTTPStatus.NOT_FOUND, "no such classifier", got=name, fix=fix)


def _fields(body: Body, wanted: Mapping[str, _Field]) -> dict[str, Any]:
    """Raises InputError unless the body is a JSON object of these fields."""
    try:
        given = json.loads(body.content.read())
    except (ValueError, RecursionError):
        raise InputError("expected a JSON object", got="something else") from None
    if not isinstance(given, dict):
        raise InputError("expected a JSON object", got=type(given).__name__)
    if unknown := sorted(given.keys() - wanted):
        raise InputError("unknown field", got=unknown[0], fix=f"known: {', '.join(wanted)}")
    for name, field in wanted.items():
        if field.required and name not in given:
            raise InputError(f"{name} is missing")
        if name in given and not field.takes(given[name]):
            raise InputError(f"{name}: expected {field.what}", got=json.dumps(given[name]))
    return given


def _answered(act: Callable[[], _T], failed: HTTPStatus = HTTPStatus.BAD_REQUEST) -> _T | Answer:
    """What `act` returns, or its error. failed: the status of a mistake."""
    try:
        return act()
    except InputError as error:
        return _error(failed, error)
    except EdgedError as error:
        return _error(HTTPStatus.INTERNAL_SERVER_ERROR, error)


def _error(status: HTTPStatus, error: EdgedError) -> Answer:
    got = None if error.got is None else _told(error.got)
    fix = None if error.fix is None else _told(error.fix)
    return Answer.error(status, _told(error.what), got=got, fix=fix)


def _told(text: object) -> str:
    return printable(redact(str(text)), _LONGEST)
