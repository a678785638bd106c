"""Metric families, made at a scrape from counts and states."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.metrics_core import Metric

from edged.capture.source import Failure
from edged.capture.supervisor import Camera
from edged.control.profile import Candidate
from edged.events.events import EventCount
from edged.result import Stages
from edged.sensors.reading import Gauge as Reading
from edged.sinks.sink import Sink
from edged.telemetry.counts import CameraCounts, SinkCounts, edge_seconds
from edged.variants.runtime import Engines
from edged.variants.variant import Choice, Variant


@dataclass(frozen=True, slots=True)
class Subjects:
    """What the metrics describe, until a reload replaces it.

    budgets_ms: camera → latency budget. on_time: camera → target share. labels: the family's
    classes. variants: all that the selector may choose. top1: their accuracy. runtimes: each one's
    own description. Cameras, sinks and functions are read at each scrape. loading: no
    frame can run yet. ladder: variants worth a run on this device. failures: failed runs.
    """

    budgets_ms: Mapping[str, float]
    variants: Sequence[Variant]
    cameras: Sequence[Camera]
    sinks: Sequence[Sink]
    family: str
    labels: Sequence[str] = ()
    on_time: Mapping[str, float] = field(default_factory=dict)
    top1: Mapping[Variant, float] = field(default_factory=dict)
    runtimes: Sequence[Mapping[str, str]] = ()
    loading: Callable[[], bool] = lambda: False
    engines: Callable[[], Engines] = Engines
    max_temperature_c: float | None = None
    sensors: Callable[[], Sequence[Reading]] = lambda: ()
    slowdown: Callable[[], float] = lambda: 1.0
    busy_share: Callable[[], float] = lambda: 1.0
    ladder: Callable[[], Sequence[Candidate]] = lambda: ()
    failures: Callable[[], Mapping[Choice, int]] = dict
    events: Callable[[], Sequence[EventCount]] = lambda: ()
    events_dropped: Callable[[], int] = lambda: 0
    snapshots_dropped: Callable[[], int] = lambda: 0

    @property
    def runtime_names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(each["backend"] for each in self.runtimes))


@dataclass(frozen=True, slots=True)
class Scene:
    """A consistent set for one scrape, unaffected by a reload."""

    subjects: Subjects
    cameras: Mapping[str, CameraCounts]
    sinks: Mapping[str, SinkCounts]


def families(scene: Scene) -> Iterator[Metric]:
    yield from _of_results(scene)
    yield from _of_frames(scene)
    yield from _of_events(scene.subjects)
    yield from _of_sources(scene.subjects)
    yield from _of_sinks(scene)
    yield from _of_variants(scene.subjects)
    yield from _of_backend(scene.subjects)
    yield from _of_device(scene.subjects)


def _of_results(scene: Scene) -> Iterator[Metric]:
    results = _counter("edged_results", "Results handed to the sinks.", "camera")
    misses = _counter(
        "edged_deadline_misses",
        "Results later than the budget, and frames dropped because their budget was spent.",
        "camera",
    )
    latency = _histogram(
        "edged_result_latency_seconds",
        "Time from capture until the result is handed to the sinks.",
        "camera",
    )
    stages = _histogram(
        "edged_stage_duration_seconds",
        "Duration of each stage of a result; the stages add up to its latency.",
        "camera",
        "stage",
    )
    by_variant = _counter("edged_variant_results", "Results by variant.", "camera", "variant")
    switches = _counter(
        "edged_variant_switches",
        "Changes of the variant or its threads, by reason of the new choice.",
        "camera",
        "reason",
    )
    budget = _gauge(
        "edged_latency_budget_seconds",
        "Configured time from capture to result (latency_budget_ms).",
        "camera",
    )
    target = _gauge(
        "edged_on_time_target_ratio",
        "Configured share of results within the budget (on_time).",
        "camera",
    )
    for name, counts in scene.cameras.items():
        results.add_metric([name], counts.results)
        misses.add_metric([name], counts.misses)
        latency.add_metric([name], counts.latency.buckets(), counts.latency.sum)
        for stage, times in zip(Stages._fields, counts.stages, strict=True):
            stages.add_metric([name, stage], times.buckets(), times.sum)
        for variant, count in counts.by_variant.items():
            by_variant.add_metric([name, variant.name], count)
        for reason, count in counts.switches.items():
            switches.add_metric([name, reason], count)
    for name, budget_ms in scene.subjects.budgets_ms.items():
        budget.add_metric([name], edge_seconds(budget_ms))
    for name, share in scene.subjects.on_time.items():
        target.add_metric([name], share)
    yield from (results, misses, latency, stages, by_variant, switches, budget, target)


def _of_frames(scene: Scene) -> Iterator[Metric]:
    captured = _counter("edged_frames_captured", "Frames received from the source.", "camera")
    dropped = _counter(
        "edged_frames_dropped",
        "Frames without a result: replaced by a newer one before they ran (overwritten), older "
        "than the budget (stale), above max_fps, not decodable (broken), without motion (quiet), "
        "or left out to stay below max_temperature_c (temperature).",
        "camera",
        "reason",
    )
    for camera in scene.subjects.cameras:
        name, mailbox, counts = camera.name, camera.mailbox, scene.cameras[camera.name]
        captured.add_metric([name], mailbox.captured)
        dropped.add_metric([name, "overwritten"], mailbox.overwritten)
        dropped.add_metric([name, "stale"], counts.stale)
        dropped.add_metric([name, "max_fps"], mailbox.skipped)
        dropped.add_metric([name, "broken"], mailbox.broken)
        dropped.add_metric([name, "quiet"], mailbox.quiet)
        dropped.add_metric([name, "temperature"], counts.shed)
    yield from (captured, dropped)


def _of_events(subjects: Subjects) -> Iterator[Metric]:
    begun = _counter("edged_events", "Events started.", "camera", "event")
    active = _gauge("edged_event_active", "1 while the event is active.", "camera", "event")
    for each in subjects.events():
        begun.add_metric([each.camera, each.event], each.begun)
        active.add_metric([each.camera, each.event], float(each.active))
    yield from (begun, active)
    dropped = _counter(
        "edged_events_dropped", "Event starts and ends that a sink did not get: too many at once."
    )
    dropped.add_metric([], subjects.events_dropped())
    pictures = _counter(
        "edged_event_snapshots_dropped",
        "Event snapshots dropped: too many at once, or not encodable as JPEG.",
    )
    pictures.add_metric([], subjects.snapshots_dropped())
    yield from (dropped, pictures)


def _of_sinks(scene: Scene) -> Iterator[Metric]:
    delivered = _counter("edged_sink_delivered", "Results and events delivered.", "sink")
    dropped = _counter("edged_sink_dropped", "Results and events dropped.", "sink", "reason")
    times = _histogram(
        "edged_sink_delivery_seconds",
        "Time from the hand-over of a result to its delivery; not part of its latency.",
        "sink",
    )
    for name, counts in scene.sinks.items():
        delivered.add_metric([name], counts.delivered)
        for reason, count in counts.dropped.items():
            dropped.add_metric([name, reason], count)
        times.add_metric([name], counts.times.buckets(), counts.times.sum)
    yield from (delivered, dropped, times)


def _of_sources(subjects: Subjects) -> Iterator[Metric]:
    state = _gauge("edged_source_state", "1 for the current state.", "camera", "state")
    restarts = _counter(
        "edged_source_restarts",
        "Restarts of the capture process, by reason (no_pictures: the camera responds but sends "
        "no valid pictures).",
        "camera",
        "reason",
    )
    for camera in subjects.cameras:
        now = camera.state
        for member in type(now):
            state.add_metric([camera.name, member.value], float(member is now))
        for failure in Failure:
            restarts.add_metric([camera.name, failure.value], camera.restarts.get(failure, 0))
    yield from (state, restarts)


def _of_variants(subjects: Subjects) -> Iterator[Metric]:
    top1 = _gauge(
        "edged_variant_top1_ratio",
        "Top-1 accuracy on held-out pictures, from the family's manifest; absent if unknown.",
        "variant",
    )
    run = _gauge(
        "edged_variant_run_seconds",
        "Median time of preprocessing and inference on an idle device, in the fastest runtime; "
        "only variants for which no other is as accurate and faster.",
        "variant",
        "runtime",
    )
    for variant, accuracy in subjects.top1.items():
        top1.add_metric([variant.name], accuracy)
    failures = _counter(
        "edged_variant_failures",
        "Failed runs; the variant is then suspended in that runtime while the others continue.",
        "variant",
        "runtime",
    )
    failed = subjects.failures()
    for variant, runtime in product(subjects.variants, subjects.runtime_names):
        times = [
            count
            for choice, count in failed.items()
            if (choice.variant, choice.runtime) == (variant, runtime)
        ]
        failures.add_metric([variant.name, runtime], sum(times))
    fastest: dict[Variant, Candidate] = {}
    for each in sorted(subjects.ladder(), key=lambda candidate: candidate.p50_ms):
        fastest.setdefault(each.variant, each)
    for variant, each in fastest.items():
        run.add_metric([variant.name, each.runtime], each.p50_ms / 1000)
    yield from (top1, run, failures)


def _of_backend(subjects: Subjects) -> Iterator[Metric]:
    engines = subjects.engines()
    backend = InfoMetricFamily("edged_backend", "Inference runtimes.", labels=())
    for runtime in subjects.runtimes:
        backend.add_metric((), dict(runtime))
    yield backend
    yield GaugeMetricFamily(
        "edged_engines_building",
        "Engines still to be built; until then these networks run on the CPU.",
        engines.building,
    )
    seconds = _gauge(
        "edged_engine_build_seconds",
        "Build time of each engine built since the start.",
        "network",
    )
    for network, took_seconds in dict(engines.build_seconds).items():
        seconds.add_metric([network], took_seconds)
    yield seconds
    failures = _counter("edged_gpu_failures", "Runs that failed on the GPU and ran on the CPU.")
    failures.add_metric([], engines.failures)
    yield failures


def _of_device(subjects: Subjects) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "edged_slowdown_ratio",
        "Run time relative to the profile; 1 is an idle device.",
        subjects.slowdown(),
    )
    if subjects.max_temperature_c is not None:
        yield GaugeMetricFamily(
            "edged_temperature_limit_celsius",
            "Configured limit (max_temperature_c).",
            subjects.max_temperature_c,
        )
        yield GaugeMetricFamily(
            "edged_allowed_busy_ratio",
            "Share of time that max_temperature_c leaves for computing.",
            subjects.busy_share(),
        )
    for reading in subjects.sensors():
        if reading.values:
            gauge = _gauge(reading.name, reading.documentation, *reading.labels)
            for labels, value in reading.values.items():
                gauge.add_metric(labels, value)
            yield gauge


def _counter(name: str, documentation: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(name, documentation, labels=labels)


def _gauge(name: str, documentation: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, documentation, labels=labels)


def _histogram(name: str, documentation: str, *labels: str) -> HistogramMetricFamily:
    return HistogramMetricFamily(name, documentation, labels=labels)
