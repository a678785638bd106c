"""The daemon's numbers for Prometheus, on a registry of their own.

Every label value comes from the configuration or from an enum, and every series is there with 0
from the start, so that rates work from the first scrape. What happens per result is counted here;
what others count already (mailboxes, sources, sinks, the slow-down estimate, sensors) is read at
the scrape. Of the device's sensors only those are there that it has.

A reload goes on counting for the cameras that stay, and those that are gone have no series any
more. A changed budget becomes an edge of the histograms, and from then on `le="<budget>"` counts
what was on time: rates over the time since are exact, while results from before lie above a new
edge unless they lay below an older, lower one.

The share of frames that missed their deadline, which a drop cannot flatter:

    rate(edged_deadline_misses_total)
      / (rate(edged_results_total) + rate(edged_frames_dropped_total{reason="stale"}))

A frame that is left out for the temperature's sake (reason="temperature") stands on neither side of
it, as one above max_fps or without motion (quiet): nobody tried it, and which frames these are has
nothing to do with how late they are. What has come too late already is counted as such before.

There are no native histograms: Prometheus takes them in its protobuf form only, which
prometheus-client (0.26) does not write.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from edged.result import Result
from edged.telemetry.counts import CameraCounts, SinkCounts
from edged.telemetry.exposition import Scene, Subjects, families


class Metrics(Collector):
    """`registry` is what is served. Before anything else, `follow` says what there is to count.

    `observe`, `stale`, `shed` and `switched` are called by the pipeline, one call at a time, and
    `follow` while no pipeline runs.
    """

    def __init__(self, version: str, started_unix_seconds: float) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self._version = version
        self._reload_success, self._reload_unix_seconds = True, started_unix_seconds
        self._cameras: dict[str, CameraCounts] = {}
        self._sinks: dict[str, SinkCounts] = {}
        self._clock_steps = 0
        self._scene = Scene(Subjects({}, (), (), (), "", ""), {}, {})
        self.registry.register(self)
        ProcessCollector(registry=self.registry)

    def follow(self, subjects: Subjects) -> None:
        """Go on with these; what they have in common with those before keeps its counts."""
        budgets_ms = subjects.budgets_ms
        self._sinks = {
            sink.name: SinkCounts(sink)
            if sink.name not in self._sinks
            else self._sinks[sink.name].going_on(sink)
            for sink in subjects.sinks
        }
        self._cameras = {
            name: self._cameras.get(name, CameraCounts()).going_on(
                budgets_ms.values(), subjects.variants
            )
            for name in budgets_ms
        }
        self._scene = Scene(subjects, self._cameras, self._sinks)

    def reloaded(self, success: bool, unix_seconds: float) -> None:
        """The configuration was read again at that time, and taken over or refused."""
        self._reload_success = success
        if success:
            self._reload_unix_seconds = unix_seconds

    def clock_stepped(self) -> None:
        """Somebody set the wall clock."""
        self._clock_steps += 1

    def observe(self, result: Result) -> None:
        self._cameras[result.camera].observe(result)

    def stale(self, camera: str) -> None:
        """Count a frame dropped because its budget was spent before it could run: a miss too."""
        self._cameras[camera].stale += 1
        self._cameras[camera].misses += 1

    def shed(self, camera: str) -> None:
        """Count a frame left out so that the device stays below max_temperature_c: no miss."""
        self._cameras[camera].shed += 1

    def switched(self, camera: str, reason: str) -> None:
        """Count a change of variant; `reason` is the new decision's."""
        self._cameras[camera].switches[reason] += 1

    def collect(self) -> Iterator[Metric]:
        yield from families(self._scene)
        yield from self._of_daemon(self._scene.subjects)

    def _of_daemon(self, subjects: Subjects) -> Iterator[Metric]:
        about = {"version": self._version, "backend": subjects.backend, "family": subjects.family}
        yield InfoMetricFamily("edged_build", "What is running.", about)
        yield GaugeMetricFamily(
            "edged_config_last_reload_success",
            "Whether the configuration, when it was last read, was taken over.",
            float(self._reload_success),
        )
        yield GaugeMetricFamily(
            "edged_config_last_reload_success_timestamp_seconds",
            "When a configuration was last taken over.",
            self._reload_unix_seconds,
        )
        yield CounterMetricFamily(
            "edged_clock_steps",
            "Times that the wall clock was set by half a second or more, or the device slept.",
            self._clock_steps,
        )
