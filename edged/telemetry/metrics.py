"""The daemon's Prometheus metrics, in a registry of their own.

Label values come from the configuration or from enums, and every series starts at 0, so that rates
work from the first scrape. Results are counted here; mailboxes, sources, sinks, the slow-down
estimate and sensors are read at the scrape.

A reload keeps the counts of views that stay and removes the series of those that are gone. A
changed budget becomes an edge of the histograms: from then on `le="<budget>"` counts the results on
time, while earlier ones count as above it unless they were below a lower edge.

The share of missed deadlines, which dropping frames does not improve:

    rate(edged_deadline_misses_total)
      / (rate(edged_results_total) + rate(edged_frames_dropped_total{reason="stale"}))

Frames dropped for max_temperature_c, max_power_w, max_fps or lack of motion count on neither side:
they never ran, and the choice does not depend on how late they are. Frames already too late count
as stale.

There are no native histograms: they need the protobuf format, which prometheus-client (0.26) does
not write.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from edged.result import Result, Stages
from edged.telemetry.counts import ResultCounts, SinkCounts
from edged.telemetry.exposition import Scene, families, frames_dropped
from edged.telemetry.subjects import Subjects, ViewSubject

FEWEST_RESULTS = 100
"""Fewer say little about what a result costs."""


class Metrics(Collector):
    """Call `follow` first, and only while no pipeline runs. The pipeline calls `observe`, `stale`,
    `shed` and `switched`, one call at a time.
    """

    def __init__(self, version: str, started_unix_seconds: float) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self._version = version
        self._reload_success, self._reload_unix_seconds = True, started_unix_seconds
        self._views: dict[str, ResultCounts] = {}
        self._sinks: dict[str, SinkCounts] = {}
        self._clock_steps = 0
        self._scene = Scene(Subjects(), {}, {})
        self.registry.register(self)
        ProcessCollector(registry=self.registry)

    def follow(self, subjects: Subjects) -> None:
        """Continue with these; views, variants and sinks that stay keep their counts."""
        self._sinks = {
            sink.name: SinkCounts(sink)
            if sink.name not in self._sinks
            else self._sinks[sink.name].continued(sink)
            for sink in subjects.sinks
        }
        budgets_ms = [view.budget_ms for view in subjects.views]
        self._views = {
            view.id: self._views.get(view.id, ResultCounts()).continued(budgets_ms, view.variants)
            for view in subjects.views
        }
        self._scene = Scene(subjects, self._views, self._sinks)

    def reloaded(self, success: bool, unix_seconds: float) -> None:
        """Record a reload of the configuration. success: it was applied, not refused."""
        self._reload_success = success
        if success:
            self._reload_unix_seconds = unix_seconds

    def clock_stepped(self) -> None:
        """Count a step of the wall clock."""
        self._clock_steps += 1

    def observe(self, result: Result) -> None:
        self._views[result.view].observe(result)

    def stale(self, view: str) -> None:
        """Count a frame whose budget was spent before it could run: dropped, and a miss."""
        self._views[view].stale += 1
        self._views[view].misses += 1

    def shed(self, view: str, *, by_power: bool = False) -> None:
        """Count a frame dropped to stay below max_temperature_c or max_power_w: not a miss."""
        self._views[view].shed["power" if by_power else "temperature"] += 1

    def switched(self, view: str, reason: str) -> None:
        """Count a change of variant. reason: of the new choice."""
        self._views[view].switches[reason] += 1

    def frames(self, view: ViewSubject) -> dict[str, Any]:
        """What became of a view's frames since the start."""
        counts = self._views[view.id]
        return {
            "results": counts.results,
            "late": counts.misses - counts.stale,
            "dropped": frames_dropped(view, counts),
        }

    def costs_ms(self, view: str) -> tuple[float, float]:
        """Mean time of a result for decoding its picture, and for deciding: preprocessing and
        inference; zeros before FEWEST_RESULTS."""
        counts = self._views[view]
        if counts.results < FEWEST_RESULTS:
            return 0.0, 0.0
        mean = Stages(*(1e3 * stage.sum / counts.results for stage in counts.stages))
        return mean.decode, mean.preprocess + mean.inference

    def collect(self) -> Iterator[Metric]:
        yield from families(self._scene)
        yield from self._of_daemon(self._scene.subjects)

    def _of_daemon(self, subjects: Subjects) -> Iterator[Metric]:
        about = {"version": self._version, "family": ", ".join(subjects.families)}
        yield InfoMetricFamily("edged_build", "Version and families.", about)
        yield GaugeMetricFamily(
            "edged_config_last_reload_success",
            "1 if the last reload of the configuration succeeded, else 0.",
            float(self._reload_success),
        )
        yield GaugeMetricFamily(
            "edged_config_last_reload_success_timestamp_seconds",
            "Time of the last successful load of the configuration.",
            self._reload_unix_seconds,
        )
        yield CounterMetricFamily(
            "edged_clock_steps",
            "Steps of the wall clock by half a second or more, including after a suspend.",
            self._clock_steps,
        )
