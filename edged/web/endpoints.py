"""The endpoints. Paths are compared as a whole; none of them names a file."""

from __future__ import annotations

import gzip
import re
import threading
from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus

from prometheus_client.exposition import choose_encoder, gzip_accepted
from prometheus_client.registry import CollectorRegistry

from edged.capture.sent.decoder import PictureDecoder
from edged.clock import Clock, monotonic_ns
from edged.pipeline.sent import SentPictures
from edged.secret import redact
from edged.switches.switches import Switches
from edged.telemetry.health import Health, stuck_loops
from edged.view import camera_of
from edged.web.answer import HTML, JPEG, Answer, Download, Request, Stream
from edged.web.changes.post import Post
from edged.web.classify import WAIT_SECONDS, ClassifyEndpoint
from edged.web.history.endpoints import History, HistoryEndpoints
from edged.web.live import Live
from edged.web.page import PAGES, Page
from edged.web.status.device import device
from edged.web.status.status import history as last_seconds
from edged.web.status.status import result_line, results_line, status
from edged.web.switches import SwitchesEndpoint
from edged.web.teach import TeachEndpoints, Teaching

STUCK_SECONDS = 5.0
PICTURE_SECONDS = 2.0
"""How long a snapshot request waits for a new picture."""
STILL_SECONDS = 15.0
"""Maximum age of the picture of a camera that is down. A streaming camera's picture may be older:
without motion it sends no newer one."""
_NAME = "[a-z][a-z0-9_-]{0,31}"
_SNAPSHOT = re.compile(rf"/api/v1/cameras/({_NAME})(?:/views/({_NAME}))?/snapshot\.jpg")


class Endpoints:
    def __init__(
        self,
        registry: CollectorRegistry,
        health: Health,
        live: Live,
        teaching: Teaching | None = None,
        history: History | None = None,
        sent: SentPictures | None = None,
        switches: Switches | None = None,
        decoder: PictureDecoder | None = None,
        wait_seconds: float = WAIT_SECONDS,
        stuck_seconds: float = STUCK_SECONDS,
        clock: Clock = monotonic_ns,
    ) -> None:
        self._registry = registry
        self._health = health
        self._live = live
        pictures = sent or SentPictures(), decoder or PictureDecoder()
        self._further = (
            TeachEndpoints(teaching, live),
            HistoryEndpoints(history, teaching, live),
            SwitchesEndpoint(switches),
            ClassifyEndpoint(live, *pictures, wait_seconds),
        )
        self._stuck_seconds = stuck_seconds
        self._clock = clock
        self._encoding = threading.Lock()
        """One scrape at a time: several would only compete with the pipeline."""
        self._answers: dict[str, Callable[[Request], Answer | Stream]] = {
            **{path: partial(_page, page) for path, page in PAGES.items()},
            "/metrics": self._metrics,
            "/healthz": lambda request: self._healthz(),
            "/readyz": lambda request: self._readyz(),
            "/api/v1/status": lambda request: Answer.json(HTTPStatus.OK, status(live)),
            "/api/v1/history": lambda request: Answer.json(HTTPStatus.OK, last_seconds(live)),
            "/api/v1/device": lambda request: Answer.json(
                HTTPStatus.OK, device(live, request.barred)
            ),
            "/api/v1/results": self._results,
        }

    def answer(self, request: Request) -> Answer | Stream | Download | Post:
        """A Post waits for its body; whether the client may send it has not been checked."""
        for each in self._further:
            if (further := each.answer(request)) is not None:
                return further
        if request.method not in ("GET", "HEAD"):
            return Answer.text(HTTPStatus.METHOD_NOT_ALLOWED, ("Allow", "GET, HEAD"))
        answer = self._answers.get(request.path)
        if answer is not None:
            return answer(request)
        snapshot = _SNAPSHOT.fullmatch(request.path)
        if snapshot:
            return self._snapshot("/".join(filter(None, snapshot.groups())))
        return Answer.text(HTTPStatus.NOT_FOUND)

    def _metrics(self, request: Request) -> Answer:
        try:
            encode, content_type = choose_encoder(" ".join(request.accept.split()))
        except (TypeError, ValueError):  # a malformed version
            encode, content_type = choose_encoder("")
        with self._encoding:
            body = encode(self._registry)
        vary = ("Vary", "Accept, Accept-Encoding")
        if not gzip_accepted(request.accept_encoding):
            return Answer(HTTPStatus.OK, content_type, body, (vary,))
        packed = gzip.compress(body, compresslevel=1)  # CPU time costs more than the bytes
        return Answer(HTTPStatus.OK, content_type, packed, (vary, ("Content-Encoding", "gzip")))

    def _healthz(self) -> Answer:
        stuck = stuck_loops(self._health.loops(), self._clock(), self._stuck_seconds)
        return Answer.json(
            HTTPStatus.SERVICE_UNAVAILABLE if stuck else HTTPStatus.OK,
            {
                "healthy": not stuck,
                "stuck_seconds": {loop: round(seconds, 3) for loop, seconds in stuck.items()},
            },
        )

    def _readyz(self) -> Answer:
        cameras = self._health.cameras()
        ready = all(camera.ready for camera in cameras)
        return Answer.json(
            HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE,
            {
                "ready": ready,
                "cameras": {
                    camera.name: {
                        "state": camera.state,
                        "ready": camera.ready,
                        "last_error": redact(camera.last_error or "") or None,
                    }
                    for camera in cameras
                },
            },
        )

    def _results(self, request: Request) -> Answer | Stream:
        wanted = frozenset(request.query.get("camera", ()))
        if unknown := sorted(wanted.difference(self._names)):
            why = f"no camera {unknown[0][:65]!r}; cameras: {', '.join(self._names)}"
            return Answer.text(HTTPStatus.NOT_FOUND, why=why)

        def is_over() -> bool:
            """True once a reload has removed every requested camera."""
            return bool(wanted) and wanted.isdisjoint(self._names)

        return self._live.streams.open(wanted, request.client, is_over)

    @property
    def _names(self) -> Mapping[str, None]:
        """Cameras and their views."""
        return dict.fromkeys(name for view in self._live.views for name in (camera_of(view), view))

    def _snapshot(self, name: str) -> Answer:
        if off := self._off(name):
            return Answer.text(HTTPStatus.SERVICE_UNAVAILABLE, why=off)
        try:
            shown = self._live.pictures.jpeg(name, PICTURE_SECONDS)
        except KeyError:
            return Answer.text(HTTPStatus.NOT_FOUND, why="no such camera or view")
        streams = self._streams(camera_of(name))
        if shown is None or (shown.age_seconds > STILL_SECONDS and not streams):
            retry = ("Retry-After", "2")
            return Answer.text(HTTPStatus.SERVICE_UNAVAILABLE, retry, why="no picture available")
        age = ("Picture-Age-Seconds", f"{shown.age_seconds:.1f}")
        if shown.result is None:
            results = ("Picture-Results", results_line(shown.results))
            return Answer(HTTPStatus.OK, JPEG, shown.jpeg, (age, results))
        result = ("Picture-Result", result_line(shown.result))
        return Answer(HTTPStatus.OK, JPEG, shown.jpeg, (age, result))

    def _off(self, name: str) -> str:
        """Why a view, or a camera with all its views, shows no picture though it may deliver one;
        empty if it is on. Its last one could be hours old."""
        views = self._live.subjects.views
        own = [view for view in views if name in (view.id, camera_of(view.id))]
        if any(view.switch().on for view in own):
            return ""
        each = (f"{view.id} is {view.switch().words()}" for view in own)
        return "; ".join(each)

    def _streams(self, camera: str) -> bool:
        cameras = self._live.subjects.cameras
        return any(each.name == camera and each.state.value == "streaming" for each in cameras)


def _page(page: Page, request: Request) -> Answer:
    return Answer(HTTPStatus.OK, HTML, page.html, (("Content-Security-Policy", page.policy),))
