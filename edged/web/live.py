"""Live data for page and API: last results, recent history, pictures and streams.

The pipeline reports here, and Live passes it on to the metrics and the history. No call waits for a
client.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edged.clock import Clock, monotonic_ns
from edged.history.minutes import Minutes
from edged.result import Result
from edged.telemetry.metrics import Metrics
from edged.telemetry.subjects import Subjects, ViewSubject
from edged.web.pictures import Pictures
from edged.web.seconds import Seconds
from edged.web.streams import ResultStreams

STREAMS = 8
"""Clients that stream results, each in a thread. One more displaces the oldest."""


MOST_SEEN = 8
"""Classes of a view that are remembered."""


@dataclass(slots=True)
class ViewLive:
    seconds: Seconds = field(default_factory=Seconds)
    last: Result | None = None
    last_ns: int = 0
    on_ns: int = 0
    """When it was last switched on."""
    interval_ns: int = 0
    """Between the last two results; 0 before the second."""
    seen: dict[str, int] = field(default_factory=dict)
    """When each class was last the best of a result; the latest one is last."""

    def see(self, label: str, now_ns: int) -> None:
        self.seen.pop(label, None)
        if len(self.seen) == MOST_SEEN:
            del self.seen[next(iter(self.seen))]
        self.seen[label] = now_ns


class Live:
    def __init__(
        self, metrics: Metrics, clock: Clock = monotonic_ns, minutes: Minutes | None = None
    ) -> None:
        self.pictures = Pictures(clock)
        self.streams = ResultStreams(STREAMS)
        self.clock = clock
        self.started_ns = clock()
        self.subjects = Subjects()
        self.views: Mapping[str, ViewLive] = {}
        self._budgets_ms: Mapping[str, float] = {}
        self._metrics = metrics
        self._minutes = minutes or Minutes()

    def follow(self, subjects: Subjects) -> None:
        """Continue with the views of `subjects`; those that stay keep their data."""
        self._metrics.follow(subjects)
        self._minutes.follow(
            {
                view.id: {variant.name: ratio for variant, ratio in view.top1.items()}
                for view in subjects.views
            }
        )
        self._budgets_ms = {view.id: view.budget_ms for view in subjects.views}
        views = {view: self.views.get(view) or ViewLive() for view in self._budgets_ms}
        self.views = {**self.views, **views}  # for whoever reads at this moment
        self.subjects = subjects
        self.views = views
        self.pictures.follow(views)

    def observe(self, result: Result) -> None:
        self._metrics.observe(result)
        view, now_ns = self.views[result.view], self.clock()
        view.interval_ns = now_ns - view.last_ns if view.last_ns else 0
        view.last, view.last_ns = result, now_ns
        if result.top:
            view.see(result.top[0].label, now_ns)
        latency_ms = result.latency_ms
        view.seconds.observe(now_ns, latency_ms, result.budget_ms, result.variant.name)
        self._minutes.observe(result, latency_ms)
        self.streams.publish(result)

    def stale(self, view: str) -> None:
        self._metrics.stale(view)
        self.views[view].seconds.stale(self.clock(), self._budgets_ms[view])
        self._minutes.stale(view)

    def frames(self, view: ViewSubject) -> dict[str, Any]:
        """What became of a view's frames since the start."""
        return self._metrics.frames(view)

    def costs_ms(self, view: str) -> tuple[float, float]:
        """Mean time of a result for decoding and for deciding; zeros before there are enough."""
        return self._metrics.costs_ms(view)

    def shed(self, view: str, *, by_power: bool = False) -> None:
        self._metrics.shed(view, by_power=by_power)

    def switched(self, view: str, reason: str) -> None:
        self._metrics.switched(view, reason)
