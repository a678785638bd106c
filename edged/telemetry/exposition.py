"""Metric families, made at a scrape from counts and states."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product

from prometheus_client.core import (
    GaugeMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.metrics_core import Metric

from edged.capture.source import Failure
from edged.control.profile import Candidate
from edged.result import Stages
from edged.telemetry.counts import ResultCounts, SinkCounts, edge_seconds
from edged.telemetry.labelled import VIEW, counter, gauge, histogram, values, view_with
from edged.telemetry.subjects import Subjects, ViewSubject
from edged.variants.variant import Variant
from edged.view import fields


@dataclass(frozen=True, slots=True)
class Scene:
    """A consistent set for one scrape, unaffected by a reload. counts: by view."""

    subjects: Subjects
    counts: Mapping[str, ResultCounts]
    sinks: Mapping[str, SinkCounts]


def families(scene: Scene) -> Iterator[Metric]:
    yield from _of_results(scene)
    yield from _of_frames(scene)
    yield from _of_events(scene.subjects)
    yield from _of_history(scene.subjects)
    yield _of_pictures(scene.subjects)
    yield from _of_sources(scene.subjects)
    yield from _of_sinks(scene)
    yield from _of_variants(scene.subjects)
    yield from _of_probes(scene.subjects)
    yield from _of_backend(scene.subjects)
    yield from _of_device(scene.subjects)


def _of_results(scene: Scene) -> Iterator[Metric]:
    results = counter("edged_results", "Results handed to the sinks.", *VIEW)
    misses = counter(
        "edged_deadline_misses",
        "Results later than the budget, and frames dropped because their budget was spent.",
        *VIEW,
    )
    latency = histogram(
        "edged_result_latency_seconds",
        "Time from capture until the result is handed to the sinks.",
        *VIEW,
    )
    stages = histogram(
        "edged_stage_duration_seconds",
        "Duration of each stage of a result; the stages add up to its latency.",
        *view_with("stage"),
    )
    by_variant = counter("edged_variant_results", "Results by variant.", *view_with("variant"))
    switches = counter(
        "edged_variant_switches",
        "Changes of the variant or its threads, by reason of the new choice.",
        *view_with("reason"),
    )
    budget = gauge(
        "edged_latency_budget_seconds",
        "Configured time from capture to result (latency_budget_ms).",
        *VIEW,
    )
    target = gauge(
        "edged_on_time_target_ratio",
        "Configured share of results within the budget (on_time).",
        *VIEW,
    )
    on = gauge(
        "edged_view_on",
        "1 while the view counts, 0 while it is switched off, snoozed or outside its hours.",
        *VIEW,
    )
    about = InfoMetricFamily("edged_view", "Family of each view.")
    for view in scene.subjects.views:
        counts, of = scene.counts[view.id], partial(values, view.id)
        results.add_metric(of(), counts.results)
        misses.add_metric(of(), counts.misses)
        latency.add_metric(of(), counts.latency.buckets(), counts.latency.sum)
        for stage, times in zip(Stages._fields, counts.stages, strict=True):
            stages.add_metric(of(stage), times.buckets(), times.sum)
        for variant, count in counts.by_variant.items():
            by_variant.add_metric(of(variant), count)
        for reason, count in counts.switches.items():
            switches.add_metric(of(reason), count)
        budget.add_metric(of(), edge_seconds(view.budget_ms))
        target.add_metric(of(), view.on_time)
        on.add_metric(of(), float(view.switch().on))
        about.add_metric((), fields(view.id) | {"family": view.family})
    yield from (results, misses, latency, stages, by_variant, switches, budget, target, on, about)


def _of_frames(scene: Scene) -> Iterator[Metric]:
    captured = counter("edged_frames_captured", "Frames received from the source.", "camera")
    dropped = counter(
        "edged_frames_dropped",
        "Frames without a result: replaced by a newer one before they ran (overwritten), older "
        "than the budget (stale), above max_fps, not decodable (broken), without motion (quiet), "
        "left out to stay below max_temperature_c (temperature) or max_power_w (power), or of a "
        "view that is off (off).",
        *view_with("reason"),
    )
    for camera in scene.subjects.cameras:
        captured.add_metric([camera.name], camera.mailbox.captured)
    for view in scene.subjects.views:
        for reason, count in frames_dropped(view, scene.counts[view.id]).items():
            dropped.add_metric(values(view.id, reason), count)
    yield from (captured, dropped)


def frames_dropped(view: ViewSubject, counts: ResultCounts) -> dict[str, int]:
    """Since the start, by reason."""
    mailbox = view.camera.mailbox
    frames = mailbox.counts(view.index)
    return {
        "overwritten": frames.overwritten + view.replaced(),
        "stale": counts.stale,
        "max_fps": frames.skipped,
        "broken": mailbox.broken,
        "quiet": frames.quiet,
        **counts.shed,
        "off": frames.off + view.off(),
    }


def _of_pictures(subjects: Subjects) -> Metric:
    classified = counter(
        "edged_classified",
        "Pictures received at /api/v1/classify: answered within their budget (on_time) or later "
        "(late), not decodable (rejected), or without time between the frames (busy).",
        "outcome",
    )
    for outcome, count in subjects.classified().items():
        classified.add_metric([outcome], count)
    return classified


def _of_events(subjects: Subjects) -> Iterator[Metric]:
    begun = counter("edged_events", "Events started.", *view_with("event"))
    active = gauge("edged_event_active", "1 while the event is active.", *view_with("event"))
    for each in subjects.events():
        begun.add_metric(values(each.view, each.event), each.begun)
        active.add_metric(values(each.view, each.event), float(each.active))
    yield from (begun, active)
    dropped = counter(
        "edged_events_dropped", "Event starts and ends that a sink did not get: too many at once."
    )
    dropped.add_metric([], subjects.events_dropped())
    pictures = counter(
        "edged_event_snapshots_dropped",
        "Event snapshots dropped: too many at once, or not encodable as JPEG.",
    )
    pictures.add_metric([], subjects.snapshots_dropped())
    yield from (dropped, pictures)


def _of_history(subjects: Subjects) -> Iterator[Metric]:
    dropped = counter(
        "edged_history_dropped",
        "Events, their pictures, and minutes of a view that the history did not keep: too many at "
        "once, or the disk did not take them for a long time.",
    )
    dropped.add_metric([], subjects.history_dropped())
    size = gauge("edged_history_bytes", "Size of the history on the disk; 0 without one.")
    size.add_metric([], subjects.history_bytes())
    yield from (dropped, size)


def _of_sinks(scene: Scene) -> Iterator[Metric]:
    delivered = counter("edged_sink_delivered", "Results and events delivered.", "sink")
    dropped = counter("edged_sink_dropped", "Results and events dropped.", "sink", "reason")
    times = histogram(
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
    state = gauge("edged_source_state", "1 for the current state.", "camera", "state")
    restarts = counter(
        "edged_source_restarts",
        "Restarts of the capture process, by reason (no_pictures: the camera responds but sends "
        "no valid pictures).",
        "camera",
        "reason",
    )
    decoder = gauge(
        "edged_source_decoder",
        "1 for what decodes an RTSP stream or a video file: software, or the GStreamer element of "
        "a hardware decoder; absent until it is opened.",
        "camera",
        "decoder",
    )
    for camera in subjects.cameras:
        if camera.decoder is not None:
            decoder.add_metric([camera.name, camera.decoder], 1.0)
        now = camera.state
        for member in type(now):
            state.add_metric([camera.name, member.value], float(member is now))
        for failure in Failure:
            restarts.add_metric([camera.name, failure.value], camera.restarts.get(failure, 0))
    yield from (state, restarts, decoder)


def _of_variants(subjects: Subjects) -> Iterator[Metric]:
    top1 = gauge(
        "edged_variant_top1_ratio",
        "Top-1 accuracy on held-out pictures, from the family's manifest; absent if unknown.",
        "variant",
        "family",
    )
    run = gauge(
        "edged_variant_run_seconds",
        "Median time of preprocessing and inference on an idle device, in the fastest runtime; "
        "only variants for which no other is as accurate and faster.",
        "variant",
        "runtime",
        "family",
    )
    joules = gauge(
        "edged_result_joules",
        "Energy of a result, estimated from the device's power while the variant runs and while it "
        "does not; absent unless significant (one-sided t-test, 0.1 %).",
        "variant",
        "threads",
        "runtime",
        "family",
    )
    failures = counter(
        "edged_variant_failures",
        "Failed runs; the variant is then suspended in that runtime while the others continue.",
        "variant",
        "runtime",
        "family",
    )
    failed = subjects.failures()
    accuracy: dict[tuple[Variant, str], float] = {}
    networks: dict[tuple[Variant, str], str] = {}
    fastest: dict[tuple[Variant, str], Candidate] = {}
    costs: dict[tuple[str, ...], float] = {}
    for view in subjects.views:
        accuracy |= {(variant, view.family): ratio for variant, ratio in view.top1.items()}
        networks |= {(variant, view.family): view.networks[variant] for variant in view.variants}
        for each in view.ladder():
            known = fastest.setdefault((each.variant, view.family), each)
            if each.p50_ms < known.p50_ms:
                fastest[each.variant, view.family] = each
            if (cost := subjects.joules(each.choice)) is not None:
                of = each.variant.name, str(each.threads), each.runtime, view.family
                costs[of] = cost
    for (variant, family), ratio in accuracy.items():
        top1.add_metric([variant.name, family], ratio)
    for (variant, family), each in fastest.items():
        run.add_metric([variant.name, each.runtime, family], each.p50_ms / 1000)
    for ((variant, family), network), runtime in product(networks.items(), subjects.runtime_names):
        times = [
            count
            for choice, count in failed.items()
            if (choice.variant, choice.runtime, choice.network) == (variant, runtime, network)
        ]
        failures.add_metric([variant.name, runtime, family], sum(times))
    for found, cost in costs.items():
        joules.add_metric(found, cost)
    yield from (top1, run, joules, failures)


def _of_probes(subjects: Subjects) -> Iterator[Metric]:
    seconds = counter("edged_probe_seconds", "Time spent on probes in gaps between frames.", *VIEW)
    agreement, low, high = (
        gauge(f"edged_agreement{end}", text, *view_with("variant"))
        for end, text in (
            ("", "Share of the view's frames on which the variant agrees with the reference."),
            ("_low", "Lower end of the 95 % interval of edged_agreement."),
            ("_high", "Upper end of the 95 % interval of edged_agreement."),
        )
    )
    score = gauge(
        "edged_reference_score_ratio",
        "Mean best score of the reference, the most accurate variant, on probes; 0 for no class.",
        *VIEW,
    )
    classless = gauge(
        "edged_reference_classless_ratio",
        "Share of the reference's answers to probes that have no class.",
        *VIEW,
    )
    give_up = gauge(
        "edged_give_up_ratio",
        "Configured accuracy to give up (give_up); only views whose goal is power.",
        *VIEW,
    )
    for view in subjects.views:
        learnt, of = view.learnt(), partial(values, view.id)
        if view.give_up is not None:
            give_up.add_metric(of(), view.give_up)
        seconds.add_metric(of(), learnt.seconds)
        for variant, each in learnt.estimates.items():
            agreement.add_metric(of(variant.name), each.agreement)
            low.add_metric(of(variant.name), each.low)
            high.add_metric(of(variant.name), each.high)
        if learnt.score is not None:
            score.add_metric(of(), learnt.score)
            classless.add_metric(of(), learnt.classless)
    yield from (seconds, agreement, low, high, score, classless, give_up)


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
    seconds = gauge(
        "edged_engine_build_seconds",
        "Build time of each engine built since the start.",
        "network",
    )
    for network, took_seconds in dict(engines.build_seconds).items():
        seconds.add_metric([network], took_seconds)
    yield seconds
    failures = counter("edged_gpu_failures", "Runs that failed on the GPU and ran on the CPU.")
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
    if subjects.max_power_w is not None:
        yield GaugeMetricFamily(
            "edged_power_limit_watts", "Configured limit (max_power_w).", subjects.max_power_w
        )
    if subjects.max_temperature_c is not None or subjects.max_power_w is not None:
        yield GaugeMetricFamily(
            "edged_allowed_busy_ratio",
            "Share of time that max_temperature_c and max_power_w leave for computing.",
            subjects.busy_share(),
        )
    for reading in subjects.sensors():
        if reading.values:
            of_sensor = gauge(reading.name, reading.documentation, *reading.labels)
            for labels, value in reading.values.items():
                of_sensor.add_metric(labels, value)
            yield of_sensor
