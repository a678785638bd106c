"""The daemon's numbers for Prometheus, on a registry of their own.

Every label value comes from the configuration or from an enum, and every series is there with 0
from the start, so that rates work from the first scrape. What happens per result is counted here;
what others count already (mailboxes, sources, sinks, the slow-down estimate, sensors) is read at
the scrape. Of the device's sensors only those are there that it has. Knows nothing of HTTP
(edged/telemetry/http.py).

The share of frames that missed their deadline, which a drop cannot flatter:

    rate(edged_deadline_misses_total)
      / (rate(edged_results_total) + rate(edged_frames_dropped_total{reason="stale"}))

A frame that is left out for the temperature's sake (reason="temperature") stands on neither side of
it, as one above max_fps: nobody tried it, and which frames these are has nothing to do with how
late they are. What has come too late already is counted as such before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import Enum
from operator import attrgetter
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from edged.capture import Failure
from edged.control.selector import Reason
from edged.frame import Result, Stages
from edged.sensors.reading import Gauge as Reading
from edged.variants.variant import Variant

STAGES = tuple(field.name for field in fields(Stages))
_stage_times_ms: Callable[[Stages], tuple[float, ...]] = attrgetter(*STAGES)

# A series per edge, stage and camera: together with 16 variants a camera stays below 200 series.
# The budgets of the configuration are added to the first two ladders.
LATENCY_EDGES_SECONDS = (
    *(0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075),
    *(0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0),
)
STAGE_EDGES_SECONDS = (
    *(0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01),
    *(0.02, 0.05, 0.1, 0.2, 0.5, 1.0),
)
DELIVERY_EDGES_SECONDS = (0.0005, 0.002, 0.01, 0.05, 0.2, 1.0, 5.0, 20.0)


class MailboxCounters(Protocol):
    """Frames of one camera since the start."""

    @property
    def captured(self) -> int: ...
    @property
    def overwritten(self) -> int: ...
    @property
    def skipped(self) -> int:
        """Not decoded, because `max_fps` allows fewer."""

    @property
    def broken(self) -> int:
        """Came, but could not be decoded."""


class ObservedCamera(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def state(self) -> Enum:
        """A member of an enumeration whose values are strings: the label."""

    @property
    def restarts(self) -> Mapping[Failure, int]: ...

    @property
    def mailbox(self) -> MailboxCounters: ...


class ObservedSink(Protocol):
    observe_delivery: Callable[[float], None]
    """Set here: what the sink tells the seconds each delivery took."""

    @property
    def name(self) -> str: ...
    @property
    def delivered(self) -> int: ...
    @property
    def dropped(self) -> Mapping[str, int]:
        """Per reason, every reason present from the start."""


@dataclass(slots=True)
class _CameraSeries:
    """The live series of one camera, looked up once."""

    results: Counter
    misses: Counter
    latency: Histogram
    stages: tuple[Histogram, ...]
    variants: Mapping[Variant, Counter]
    stale: int = 0
    shed: int = 0


class Metrics:
    """Made at start, when all is known that can become a label; `registry` is what is served.

    budgets_ms: camera → latency budget. variants: all that the selector may choose. Cameras and
    sinks are read at every scrape; so are, once they are assigned, `slowdown` (observed /
    profiled), `sensors`, and `busy_share` (what max_temperature_c leaves of the time).
    `observe`, `stale`, `shed` and `switched` are called by the pipeline's thread.
    """

    def __init__(
        self,
        budgets_ms: Mapping[str, float],
        *,
        variants: Sequence[Variant],
        cameras: Sequence[ObservedCamera],
        sinks: Sequence[ObservedSink],
        version: str,
        backend: str,
        family: str,
        max_temperature_c: float | None = None,
    ) -> None:
        self.registry = _Registry()
        self.slowdown: Callable[[], float] = lambda: 1.0
        self.sensors: Callable[[], Sequence[Reading]] = lambda: ()
        self.busy_share: Callable[[], float] = lambda: 1.0
        self._series = self._series_of_cameras(budgets_ms, variants)
        self._switches = self._counter(
            "edged_variant_switches",
            "Changes of variant or of its threads, by the reason of the new choice.",
            "camera",
            "reason",
        )
        for camera in budgets_ms:
            for reason in Reason:
                self._switches.labels(camera, reason.value)
        delivery = self._histogram(
            "edged_sink_delivery_seconds",
            "From the hand-over of a result to its delivery; no part of its latency.",
            DELIVERY_EDGES_SECONDS,
            "sink",
        )
        for sink in sinks:
            sink.observe_delivery = delivery.labels(sink.name).observe
        Info("edged_build", "What is running.", registry=self.registry).info(
            {"version": version, "backend": backend, "family": family}
        )
        ProcessCollector(registry=self.registry)
        self.registry.register(
            _Readings(
                cameras,
                sinks,
                stale=lambda camera: self._series[camera].stale,
                shed=lambda camera: self._series[camera].shed,
                slowdown=lambda: {backend: self.slowdown()},
                sensors=lambda: self.sensors(),
            )
        )
        if max_temperature_c is not None:
            self._gauge(
                "edged_temperature_limit_celsius", "max_temperature_c of the configuration."
            ).set(max_temperature_c)
            self._gauge(
                "edged_allowed_busy_ratio",
                "Share of the time in which the temperature lets the device compute; 1 is all.",
            ).set_function(lambda: self.busy_share())

    def observe(self, result: Result) -> None:
        """Count one result."""
        series = self._series[result.camera]
        series.results.inc()
        if not result.on_time:
            series.misses.inc()
        series.latency.observe(latency_seconds(result.latency_ms, result.budget_ms))
        for stage, time_ms in zip(series.stages, _stage_times_ms(result.stages), strict=True):
            stage.observe(time_ms / 1000)
        series.variants[result.variant].inc()

    def stale(self, camera: str) -> None:
        """Count a frame dropped because its budget was spent before it could run: a miss too."""
        series = self._series[camera]
        series.stale += 1
        series.misses.inc()

    def shed(self, camera: str) -> None:
        """Count a frame left out so that the device stays below max_temperature_c: no miss."""
        self._series[camera].shed += 1

    def switched(self, camera: str, reason: str) -> None:
        """Count a change of variant; `reason` is the new decision's."""
        self._switches.labels(camera, reason).inc()

    def _series_of_cameras(
        self, budgets_ms: Mapping[str, float], variants: Sequence[Variant]
    ) -> dict[str, _CameraSeries]:
        budgets_seconds = {camera: edge_seconds(ms) for camera, ms in budgets_ms.items()}
        results = self._counter("edged_results", "Results handed to the sinks.", "camera")
        misses = self._counter(
            "edged_deadline_misses",
            "Results later than the budget, and frames dropped because it was spent already.",
            "camera",
        )
        latency = self._histogram(
            "edged_result_latency_seconds",
            "From capture to the result's hand-over to the sinks.",
            sorted({*LATENCY_EDGES_SECONDS, *budgets_seconds.values()}),
            "camera",
        )
        stages = self._histogram(
            "edged_stage_duration_seconds",
            "Where the latency of a result was spent; the stages add up to it.",
            sorted({*STAGE_EDGES_SECONDS, *budgets_seconds.values()}),
            "camera",
            "stage",
        )
        by_variant = self._counter(
            "edged_variant_results", "Results by the variant that made them.", "camera", "variant"
        )
        budget = Gauge(
            "edged_latency_budget_seconds",
            "What the configuration allows from capture to result.",
            ["camera"],
            registry=self.registry,
        )
        for camera, seconds in budgets_seconds.items():
            budget.labels(camera).set(seconds)
        return {
            camera: _CameraSeries(
                results=results.labels(camera),
                misses=misses.labels(camera),
                latency=latency.labels(camera),
                stages=tuple(stages.labels(camera, stage) for stage in STAGES),
                variants={each: by_variant.labels(camera, each.name) for each in variants},
            )
            for camera in budgets_ms
        }

    def _gauge(self, name: str, documentation: str) -> Gauge:
        return Gauge(name, documentation, registry=self.registry)

    def _counter(self, name: str, documentation: str, *labels: str) -> Counter:
        return Counter(name, documentation, labels, registry=self.registry)

    def _histogram(
        self, name: str, documentation: str, edges: Sequence[float], *labels: str
    ) -> Histogram:
        return Histogram(name, documentation, labels, buckets=edges, registry=self.registry)


def edge_seconds(budget_ms: float) -> float:
    """The budget as a bucket edge that reads as it was written: 33 ms is `0.033`."""
    return round(budget_ms / 1000, 9)


def latency_seconds(latency_ms: float, budget_ms: float) -> float:
    """The latency, kept on its side of the budget's edge whatever the rounding of both.

    So the bucket `le="<budget>"` counts exactly the results that were on time.
    """
    edge = edge_seconds(budget_ms)
    if latency_ms <= budget_ms:
        return min(latency_ms / 1000, edge)
    return max(latency_ms / 1000, math.nextafter(edge, math.inf))


class _Registry(CollectorRegistry):
    """Leaves out the `_created` series, which double the counters and which nobody queries.

    The library's own switch is global to the process.
    """

    def __init__(self) -> None:
        super().__init__(auto_describe=False)

    def collect(self) -> Iterator[Metric]:
        for metric in super().collect():
            created = metric.name + "_created"
            metric.samples = [sample for sample in metric.samples if sample.name != created]
            yield metric


class _Readings(Collector):
    """Values that are counted elsewhere, read at the scrape."""

    def __init__(
        self,
        cameras: Sequence[ObservedCamera],
        sinks: Sequence[ObservedSink],
        *,
        stale: Callable[[str], int],
        shed: Callable[[str], int],
        slowdown: Callable[[], Mapping[str, float]],
        sensors: Callable[[], Sequence[Reading]],
    ) -> None:
        self._cameras = cameras
        self._sinks = sinks
        self._slowdown = slowdown
        self._stale = stale
        self._shed = shed
        self._sensors = sensors

    def collect(self) -> Iterator[Metric]:
        yield from self._of_cameras()
        yield from self._of_sinks()
        slowdown = GaugeMetricFamily(
            "edged_slowdown_ratio",
            "How much longer a run takes than the profile says; 1 is an undisturbed device.",
            labels=["backend"],
        )
        for backend, ratio in self._slowdown().items():
            slowdown.add_metric([backend], ratio)
        yield slowdown
        yield from (_family(reading) for reading in self._sensors() if reading.values)

    def _of_cameras(self) -> Iterator[Metric]:
        captured = CounterMetricFamily(
            "edged_frames_captured", "Frames the driver handed over.", labels=["camera"]
        )
        dropped = CounterMetricFamily(
            "edged_frames_dropped",
            "Frames that became no result: replaced by a newer one before they could run "
            "(overwritten), older than the budget (stale), above max_fps, not decodable (broken), "
            "or left out to stay below max_temperature_c (temperature).",
            labels=["camera", "reason"],
        )
        state = GaugeMetricFamily(
            "edged_source_state", "1 for the state the source is in.", labels=["camera", "state"]
        )
        restarts = CounterMetricFamily(
            "edged_source_restarts",
            "Restarts of the capture process.",
            labels=["camera", "reason"],
        )
        for camera in self._cameras:
            name, mailbox, now = camera.name, camera.mailbox, camera.state
            captured.add_metric([name], mailbox.captured)
            dropped.add_metric([name, "overwritten"], mailbox.overwritten)
            dropped.add_metric([name, "stale"], self._stale(name))
            dropped.add_metric([name, "max_fps"], mailbox.skipped)
            dropped.add_metric([name, "broken"], mailbox.broken)
            dropped.add_metric([name, "temperature"], self._shed(name))
            for member in type(now):
                state.add_metric([name, member.value], float(member is now))
            for failure in Failure:
                restarts.add_metric([name, failure.value], camera.restarts.get(failure, 0))
        yield from (captured, dropped, state, restarts)

    def _of_sinks(self) -> Iterator[Metric]:
        delivered = CounterMetricFamily(
            "edged_sink_delivered", "Results that left through the sink.", labels=["sink"]
        )
        dropped = CounterMetricFamily(
            "edged_sink_dropped", "Results the sink gave up.", labels=["sink", "reason"]
        )
        for sink in self._sinks:
            delivered.add_metric([sink.name], sink.delivered)
            for reason, count in sink.dropped.items():
                dropped.add_metric([sink.name, reason], count)
        yield from (delivered, dropped)


def _family(reading: Reading) -> GaugeMetricFamily:
    family = GaugeMetricFamily(reading.name, reading.documentation, labels=reading.labels)
    for labels, value in reading.values.items():
        family.add_metric(labels, value)
    return family
