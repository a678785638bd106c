"""Live data for page and API: last results, recent history, pictures and streams.

The pipeline reports here, and Live passes it on to the metrics. No call waits for a client.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edged.clock import Clock, monotonic_ns
from edged.result import Result
from edged.telemetry.exposition import Subjects
from edged.telemetry.metrics import Metrics
from edged.web.history import History
from edged.web.pictures import Pictures
from edged.web.streams import ResultStreams

STREAMS = 8
"""Clients that stream results, each in a thread. One more displaces the oldest."""


@dataclass(slots=True)
class CameraLive:
    history: History = field(default_factory=History)
    last: Result | None = None
    last_ns: int = 0
    interval_ns: int = 0
    """Between the last two results; 0 before the second."""


class Live:
    def __init__(self, metrics: Metrics, clock: Clock = monotonic_ns) -> None:
        self.pictures = Pictures(clock)
        self.streams = ResultStreams(STREAMS)
        self.clock = clock
        self.subjects = Subjects({}, (), (), (), "", "")
        self.cameras: Mapping[str, CameraLive] = {}
        self._metrics = metrics

    def follow(self, subjects: Subjects) -> None:
        """Continue with the cameras of `subjects`; those that stay keep their data."""
        self._metrics.follow(subjects)
        self.cameras = {
            name: self.cameras.get(name) or CameraLive() for name in subjects.budgets_ms
        }
        self.pictures.follow(self.cameras)
        self.subjects = subjects

    def observe(self, result: Result) -> None:
        self._metrics.observe(result)
        camera, now_ns = self.cameras[result.camera], self.clock()
        camera.interval_ns = now_ns - camera.last_ns if camera.last_ns else 0
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
