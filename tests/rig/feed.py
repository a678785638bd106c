"""Results and pictures without a pipeline, and a server that shows them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from edged.capture.frame import Frame
from edged.result import Score
from edged.telemetry.subjects import Subjects
from edged.view import camera_of
from edged.web.history.endpoints import History
from edged.web.live import Live
from edged.web.options import HttpConfig
from edged.web.server import HttpServer
from edged.web.teach import Teaching
from tests.rig.live import ShownCamera, Views, endpoints_of, live_of
from tests.rig.results import make_result

PIXELS = np.full((90, 160, 3), 90, np.uint8)
PIXELS[18:63, :40] = (250, 5, 5)  # a gate


def whole(pixels: NDArray[np.uint8], sequence: int = 1) -> Frame:
    """A whole picture of a camera with views."""
    return Frame(pixels, sequence, 0, 0, 0, whole=True)


class Feed:
    """What the pipeline does: each view's results, and the pictures that are wanted."""

    def __init__(self, live: Live, latencies_ms: dict[str, float], silent: set[str]) -> None:
        self.live = live
        self.latencies_ms = latencies_ms
        self.silent = silent
        self.label = "open {}"
        self.sequence = 0
        self._turn = threading.Lock()
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def follow(self, subjects: Subjects) -> None:
        """As a reload does it, between two results."""
        with self._turn:
            self.live.follow(subjects)

    def _run(self) -> None:
        while not self._ends.wait(0.05):
            with self._turn:
                self._give()

    def _give(self) -> None:
        """A picture of each camera, and then the results of its views."""
        self.sequence += 1
        subjects = self.live.subjects
        shown = [view for view in subjects.views if view.id not in self.silent]
        frame = whole(PIXELS, self.sequence)
        for camera in subjects.cameras:
            views = [view.id for view in shown if camera_of(view.id) == camera.name]
            if views != [camera.name]:
                self.live.pictures.offer_camera(camera.name, frame, views)
        for subject in shown:
            latency_ms = self.latencies_ms.get(subject.id, 10.0)
            result = make_result(
                self.sequence, view=subject.id, latency_ms=latency_ms, budget_ms=subject.budget_ms
            )
            label = self.label.format(subject.id.replace("/", " "))
            result = result._replace(top=(Score(label, 0.9),))
            self.live.observe(result)
            self.live.pictures.offer(result, PIXELS)

    def __enter__(self) -> Feed:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ends.set()
        self._thread.join()


@contextmanager
def showing(
    views: Views,
    *cameras: str,
    latencies_ms: dict[str, float] | None = None,
    silent: str = "",
    teaching: Teaching | None = None,
    http: HttpConfig | None = None,
    history: History | None = None,
) -> Iterator[tuple[Feed, str]]:
    """The feed, and the page's address."""
    live = live_of(*map(ShownCamera, cameras or ("yard",)), views=views)
    endpoints = endpoints_of(live=live, teaching=teaching, history=history)
    with (
        HttpServer(http or HttpConfig("127.0.0.1", 0), endpoints) as server,
        Feed(live, latencies_ms or {}, {silent}) as feed,
    ):
        yield feed, f"http://127.0.0.1:{server.port}/"
