"""What a scrape says: counts and states become metric families, by subject.

Counts nothing itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.metrics_core import Metric

from edged.capture.source import Failure
from edged.capture.supervisor import Camera
from edged.control.profile import Candidate, Choice
from edged.events.events import EventCount
from edged.result import Stages
from edged.sensors.reading import Gauge as Reading
from edged.sinks.sink import Sink
from edged.telemetry.counts import CameraCounts, SinkCounts, edge_seconds
from edged.variants.runtime import Engines
from edged.variants.variant import Variant


@dataclass(frozen=True, slots=True)
class Subjects:
    """What the numbers are about, until a reload makes it something else.

    budgets_ms: camera → latency budget; on_time: → promised share. labels: what the family knows.
    variants: all that the selector may choose; top1: their accuracy. runtime: what the backend says
    of itself. Cameras, sinks and the functions are asked at every scrape: whether networks are
    still loaded, so that no frame can run; the backend's engines; what the sensors read last; how
    much longer a run takes than the profile says; what max_temperature_c leaves of the time; which
    variants are worth a run on this device; runs that failed; what was seen, and what the sinks
    were not told of it.
    """

    budgets_ms: Mapping[str, float]
    variants: Sequence[Variant]
    cameras: Sequence[Camera]
    sinks: Sequence[Sink]
    backend: str
    family: str
    labels: Sequence[str] = ()
    on_time: Mapping[str, float] = field(default_factory=dict)
    top1: Mapping[Variant, float] = field(default_factory=dict)
    runtime: Mapping[str, str] = field(default_factory=dict)
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


@dataclass(frozen=True, slots=True)
class Scene:
    """What belongs together in one scrape, whatever a reload does meanwhile."""

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
        "Results later than the budget, and frames dropped because it was spent already.",
        "camera",
    )
    latency = _histogram(
        "edged_result_latency_seconds",
        "From capture to the result's hand-over to the sinks.",
        "camera",
    )
    stages = _histogram(
        "edged_stage_duration_seconds",
        "Where the latency of a result was spent; the stages add up to it.",
        "camera",
        "stage",
    )
    by_variant = _counter(
        "edged_variant_results", "Results by the variant that made them.", "camera", "variant"
    )
    switches = _counter(
        "edged_variant_switches",
        "Changes of variant or of its threads, by the reason of the new choice.",
        "camera",
        "reason",
    )
    budget = _gauge(
        "edged_latency_budget_seconds",
        "What the configuration allows from capture to result.",
        "camera",
    )
    target = _gauge(
        "edged_on_time_target_ratio",
        "Share of results that the configuration wants within the budget (on_time).",
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
    captured = _counter("edged_frames_captured", "Frames the driver handed over.", "camera")
    dropped = _counter(
        "edged_frames_dropped",
        "Frames that became no result: replaced by a newer one before they could run "
        "(overwritten), older than the budget (stale), above max_fps, not decodable (broken), "
        "without motion (quiet), or left out to stay below max_temperature_c (temperature).",
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
    begun = _counter("edged_events", "Events that have begun.", "camera", "event")
    active = _gauge(
        "edged_event_active", "1 while the event goes on before the camera.", "camera", "event"
    )
    for each in subjects.events():
        begun.add_metric([each.camera, each.event], each.begun)
        active.add_metric([each.camera, each.event], float(each.active))
    yield from (begun, active)
    dropped = _counter(
        "edged_events_dropped", "Starts and ends that no sink was told of: too many came at once."
    )
    dropped.add_metric([], subjects.events_dropped())
    pictures = _counter(
        "edged_event_snapshots_dropped",
        "Events without their picture: too many came at once, or it could not be compressed.",
    )
    pictures.add_metric([], subjects.snapshots_dropped())
    yield from (dropped, pictures)


def _of_sinks(scene: Scene) -> Iterator[Metric]:
    delivered = _counter("edged_sink_delivered", "Results that left through the sink.", "sink")
    dropped = _counter("edged_sink_dropped", "Results the sink gave up.", "sink", "reason")
    times = _histogram(
        "edged_sink_delivery_seconds",
        "From the hand-over of a result to its delivery; no part of its latency.",
        "sink",
    )
    for name, counts in scene.sinks.items():
        delivered.add_metric([name], counts.delivered)
        for reason, count in counts.dropped.items():
            dropped.add_metric([name, reason], count)
        times.add_metric([name], counts.times.buckets(), counts.times.sum)
    yield from (delivered, dropped, times)


def _of_sources(subjects: Subjects) -> Iterator[Metric]:
    state = _gauge("edged_source_state", "1 for the state the source is in.", "camera", "state")
    restarts = _counter(
        "edged_source_restarts",
        "Restarts of the capture process (no_pictures: the camera answers, but sends none).",
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
        "Share of held-out pictures that the variant names right, by the family's manifest; absent "
        "where it is unknown.",
        "variant",
    )
    run = _gauge(
        "edged_variant_run_seconds",
        "Median of preprocessing and inference on the undisturbed device; of variants that are "
        "worth a run: nothing else is as accurate and faster.",
        "variant",
    )
    for variant, accuracy in subjects.top1.items():
        top1.add_metric([variant.name], accuracy)
    failures = _counter(
        "edged_variant_failures",
        "Runs that failed on a picture; the variant then rests and the others go on.",
        "variant",
    )
    failed = subjects.failures()
    for variant in subjects.variants:
        times = [count for (each, _), count in failed.items() if each == variant]
        failures.add_metric([variant.name], sum(times))
    fastest_ms: dict[str, float] = {}
    for each in subjects.ladder():
        name = each.variant.name
        fastest_ms[name] = min(each.p50_ms, fastest_ms.get(name, each.p50_ms))
    for name, run_ms in fastest_ms.items():
        run.add_metric([name], run_ms / 1000)
    yield from (top1, run, failures)


def _of_backend(subjects: Subjects) -> Iterator[Metric]:
    engines = subjects.engines()
    yield InfoMetricFamily("edged_backend", "What runs the networks.", dict(subjects.runtime))
    yield GaugeMetricFamily(
        "edged_engines_building",
        "Networks that run on the CPU until their engine is built.",
        engines.building,
    )
    seconds = _gauge(
        "edged_engine_build_seconds",
        "How long the building of a network's engine took; of those built since the start.",
        "network",
    )
    for network, took_seconds in dict(engines.build_seconds).items():
        seconds.add_metric([network], took_seconds)
    yield seconds
    failures = _counter("edged_gpu_failures", "Runs that the GPU failed, made on the CPU.")
    failures.add_metric([], engines.failures)
    yield failures


def _of_device(subjects: Subjects) -> Iterator[Metric]:
    slowdown = _gauge(
        "edged_slowdown_ratio",
        "How much longer a run takes than the profile says; 1 is an undisturbed device.",
        "backend",
    )
    slowdown.add_metric([subjects.backend], subjects.slowdown())
    yield slowdown
    if subjects.max_temperature_c is not None:
        yield GaugeMetricFamily(
            "edged_temperature_limit_celsius",
            "max_temperature_c of the configuration.",
            subjects.max_temperature_c,
        )
        yield GaugeMetricFamily(
            "edged_allowed_busy_ratio",
            "Share of the time in which the temperature lets the device compute; 1 is all.",
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
