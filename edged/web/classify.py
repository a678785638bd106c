"""`POST /api/v1/classify`: what a view's networks say of a picture that somebody sends."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import TimeoutError as FutureTimeoutError  # Python 3.10's own
from functools import partial
from http import HTTPStatus

from edged.capture.decode.pictures import BrokenPictureError
from edged.capture.sent.bounds import MOST_PICTURE_BYTES
from edged.capture.sent.decoder import PictureDecoder, Wanted
from edged.clock import Clock
from edged.errors import EdgedError, InputError
from edged.pipeline.sent import SentPicture, SentPictures
from edged.printable import printable
from edged.result import Result, answer_to_json
from edged.telemetry.subjects import ViewSubject
from edged.variants.runtime import RunError
from edged.web.answer import JPEG, PNG, Answer, Query, Request, parsed, text
from edged.web.changes.json_body import error_answer
from edged.web.changes.post import Body, Kept, Post
from edged.web.live import Live

PATH = "/api/v1/classify"
WAIT_SECONDS = 10.0
"""How long after its budget a picture may be answered."""
MOST_BUDGET_MS = 60_000.0
RETRY = ("Retry-After", "2")
_BEGINNINGS = (b"\xff\xd8", b"\x89PNG\r\n\x1a\n")
_SPARE_SECONDS = 5.0
"""For a run that began in time, and for the answer."""


class ClassifyEndpoint:
    def __init__(
        self, live: Live, sent: SentPictures, decoder: PictureDecoder, wait_seconds: float
    ) -> None:
        self._live = live
        self._sent = sent
        self._decoder = decoder
        self._wait_seconds = wait_seconds

    @property
    def _clock(self) -> Clock:
        return self._live.clock

    def answer(self, request: Request) -> Answer | Post | None:
        """None: not its path."""
        if request.path != PATH:
            return None
        if request.method != "POST":
            return Answer.text(HTTPStatus.METHOD_NOT_ALLOWED, ("Allow", "POST"))
        subjects = self._live.subjects
        try:
            model, budget_ms = _asked(request.query)
            view = _view(subjects.views, model)
        except InputError as error:
            return error_answer(HTTPStatus.BAD_REQUEST, error)
        if subjects.loading():
            what = "the networks are still being loaded"
            return Answer.error(HTTPStatus.SERVICE_UNAVAILABLE, what, RETRY)
        if view.to_teach is not None:
            return Answer.error(HTTPStatus.CONFLICT, view.to_teach)
        budget_ms = view.budget_ms if budget_ms is None else budget_ms
        seconds = budget_ms / 1000 + self._wait_seconds
        make = partial(self._classified, view, budget_ms, seconds)
        kinds = dict.fromkeys((JPEG, PNG), MOST_PICTURE_BYTES)
        return Post(None, kinds, seconds + _SPARE_SECONDS, make, Kept.MEMFD)

    def _classified(
        self, view: ViewSubject, budget_ms: float, seconds: float, body: Body
    ) -> Answer:
        """seconds: since the picture has arrived."""
        until_ns = body.received_ns + int(seconds * 1e9)
        try:
            result = self._result(view, budget_ms, until_ns, body)
        except BrokenPictureError as error:
            self._sent.count("rejected")
            return Answer.error(HTTPStatus.BAD_REQUEST, f"not classified: {error}")
        except TimeoutError:
            self._sent.count("busy")
            what = f"the cameras left no time for it within {seconds:g} s"
            return Answer.error(HTTPStatus.SERVICE_UNAVAILABLE, what, RETRY)
        except RunError as error:
            return error_answer(HTTPStatus.INTERNAL_SERVER_ERROR, error)
        except EdgedError as error:
            return error_answer(HTTPStatus.SERVICE_UNAVAILABLE, error, RETRY)
        self._sent.count("on_time" if result.on_time else "late")
        return Answer.json(HTTPStatus.OK, answer_to_json(view.family, result))

    def _result(self, view: ViewSubject, budget_ms: float, until_ns: int, body: Body) -> Result:
        """Raises BrokenPictureError, TimeoutError, and EdgedError."""
        if not body.content.read(8).startswith(_BEGINNINGS):
            raise BrokenPictureError("neither a JPEG nor a PNG picture")
        wanted = Wanted(max(each.resolution for each in view.variants), view.square)
        pixels = self._decoder.frame(body.content, wanted, self._left_seconds(until_ns))
        picture = SentPicture(view.id, pixels, budget_ms, body.received_ns, self._clock())
        self._sent.put(picture)
        try:
            return picture.done.result(self._left_seconds(until_ns))
        except FutureTimeoutError:
            if picture.done.cancel():
                raise TimeoutError from None
        try:
            return picture.done.result(_SPARE_SECONDS)  # it runs
        except FutureTimeoutError:
            raise TimeoutError from None

    def _left_seconds(self, until_ns: int) -> float:
        return max(0.0, (until_ns - self._clock()) / 1e9)


def _asked(query: Query) -> tuple[str | None, float | None]:
    """(model, budget_ms), None where it is not given. Raises InputError."""
    given = parsed(query, model=text, budget_ms=_budget)
    return given.get("model"), given.get("budget_ms")


def _budget(key: str, value: str) -> float:
    try:
        budget_ms = float(value)
    except ValueError:
        budget_ms = math.nan
    if not 0 < budget_ms <= MOST_BUDGET_MS:
        what = f"{key}: expected milliseconds, more than 0, at most {MOST_BUDGET_MS:g}"
        raise InputError(what, got=repr(printable(value, 60)))
    return budget_ms


def _view(views: Sequence[ViewSubject], model: str | None) -> ViewSubject:
    """The view of that model that has the most time, whose settings serve the picture. Raises
    InputError."""
    known = list(dict.fromkeys(view.family for view in views))
    if model is None and len(known) == 1:
        model = known[0]
    if model not in known:
        what = "say which model" if model is None else "no such model is loaded"
        got = None if model is None else repr(printable(model, 60))
        raise InputError(what, got=got, fix=f"model is one of {', '.join(known)}")
    return max((each for each in views if each.family == model), key=lambda each: each.budget_ms)
