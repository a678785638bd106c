"""What happens now: the last result of each camera, its last minutes, its picture, its stream.

What metrics are for months, this is for somebody who looks; the pipeline tells both through here.
Nothing in it waits for whoever looks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edged.clock import Clock, monotonic_ns
from edged.result import Result
from edged.telemetry.exposition import Subjects
from edged.telemetry.metrics import Metrics
from edged.web.history import History
from edged.web.pictures import View
from edged.web.streams import ResultStreams

STREAMS = 8
"""Clients that get results as they come; each has a thread. The next one displaces the oldest."""


@dataclass(slots=True)
class CameraLive:
    history: History = field(default_factory=History)
    last: Result | None = None
    last_ns: int = 0


class Live:
    """Counts for the metrics too: it stands before them."""

    def __init__(self, metrics: Metrics, clock: Clock = monotonic_ns) -> None:
        self.view = View(clock)
        self.streams = ResultStreams(STREAMS)
        self.clock = clock
        self.subjects = Subjects({}, (), (), (), "", "")
        self.cameras: Mapping[str, CameraLive] = {}
        self._metrics = metrics

    def follow(self, subjects: Subjects) -> None:
        """Go on with these, as in the metrics."""
        self._metrics.follow(subjects)
        self.cameras = {
            name: self.cameras.get(name) or CameraLive() for name in subjects.budgets_ms
        }
        self.view.follow(self.cameras)
        self.subjects = subjects

    def observe(self, result: Result) -> None:
        self._metrics.observe(result)
        camera, now_ns = self.cameras[result.camera], self.clock()
        camera.last, camera.last_ns = result, now_ns
        camera.history.observe(now_ns, result.latency_ms, result.budget_ms, result.variant.name)
        self.streams.publish(result)

    def stale(self, camera: str) -> None:
        self._metrics.stale(camera)
        self.cameras[camera].history.stale(self.clock(), self.subjects.budgets_ms[camera])

    def shed(self, camera: str) -> None:
        self._metrics.shed(camera)

    def switched(self, camera: str, reason: str) -> None:
        self._metrics.switched(camera, reason)
