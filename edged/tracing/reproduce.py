"""Repeats the decisions of a recorded trace, with the same or other settings.

Starting from a header's state, a controller with the same observations must make the same choices.
For other settings, `as_full` estimates the times of variants that did not run as their profile
times the slow-down of the one that ran. Limits from frame rate and
temperature are kept as recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edged.control.profile import Candidate
from edged.control.selector import allowed
from edged.errors import InputError
from edged.tracing.recording import Header, RecordedFrame, RecordedTrace
from edged.tracing.replay import Step
from edged.tracing.trace import FullTrace, TracedFrame, TracedVariant

DIFFERENCES_KEPT = 10


@dataclass(frozen=True, slots=True)
class Difference:
    """line: of the trace. Choices as `variant xthreads runtime: reason`."""

    line: int
    recorded: str
    replayed: str


@dataclass(frozen=True, slots=True)
class Reproduction:
    """decisions: number repeated. different: number that differ; differences: the first of them."""

    decisions: int
    different: int
    differences: tuple[Difference, ...]


def reproduce(trace: RecordedTrace) -> Reproduction:
    """Repeat the recorded decisions, each after the recorded observations before it."""
    decisions = different = 0
    differences: list[Difference] = []
    for segment in trace.segments:
        ladder, controller = segment.header.ladder, segment.header.controller()
        decided = list[list[RecordedFrame]]([] for _ in segment.frames)
        for position, frame in enumerate(segment.frames):
            decided[position - frame.overtaken].append(frame)
        for position, frame in enumerate(segment.frames):
            for made in decided[position]:
                if made.chosen is None:
                    continue
                decision = controller.decide(made.camera, ladder, made.slack_ms, made.limits)
                candidate = ladder[made.chosen]
                decisions += 1
                if decision.candidate is not candidate or decision.reason.value != made.reason:
                    different += 1
                    if len(differences) < DIFFERENCES_KEPT:
                        recorded = f"{candidate.name}: {made.reason}"
                        replayed = f"{decision.candidate.name}: {decision.reason.value}"
                        differences.append(Difference(made.line, recorded, replayed))
            if frame.chosen is None:
                controller.dropped(frame.camera)
            else:
                ran = ladder[frame.chosen]
                controller.observe(frame.camera, ladder, ran, frame.service_ms, frame.on_time)
    return Reproduction(decisions, different, tuple(differences))


def recorded_steps(
    trace: RecordedTrace, camera: str
) -> tuple[tuple[TracedVariant, ...], list[Step]]:
    """The recorded steps of one camera, and the variants they refer to."""
    candidates = _candidates(trace)
    positions = {candidate.name: position for position, candidate in enumerate(candidates)}
    steps = list[Step]()
    for captured_ms, header, frame in _timed(trace, camera):
        budget_ms = header.cameras[camera].budget_ms
        latency_ms = budget_ms - frame.slack_ms + frame.service_ms
        chosen = None if frame.chosen is None else positions[header.ladder[frame.chosen].name]
        steps.append(Step(captured_ms, budget_ms, latency_ms, chosen, frame.on_time))
    return _traced(candidates), steps


def as_full(trace: RecordedTrace, camera: str) -> FullTrace:
    """One camera's frames with an estimate of every variant's time, for replay under a policy.

    Variants are those allowed for the camera, named `variant xthreads runtime`, with their last
    profile. A dropped frame has the slow-down of the run before it.
    """
    timed = _timed(trace, camera)
    settings = trace.settings(camera)
    candidates = allowed(
        sorted(_candidates(trace), key=lambda candidate: -candidate.top1), settings.min_top1
    )
    frames, slow_down = list[TracedFrame](), 1.0
    for captured_ms, header, frame in timed:
        if frame.chosen is not None:
            slow_down = frame.service_ms / header.ladder[frame.chosen].p50_ms
        times = tuple(candidate.p50_ms * slow_down for candidate in candidates)
        frames.append(TracedFrame(captured_ms, frame.wait_ms, times, frame.limits.run_ms))
    return FullTrace(_traced(candidates), tuple(frames))


def _timed(trace: RecordedTrace, camera: str) -> list[tuple[float, Header, RecordedFrame]]:
    """The camera's frames, each with its capture time in ms since the first one and its header.
    Raises InputError if there are none."""
    timed: list[tuple[float, Header, RecordedFrame]] = []
    captured_ms = 0.0
    for segment in trace.segments:
        for frame in segment.frames:
            if frame.camera == camera:
                captured_ms += frame.interval_ms if timed else 0.0
                timed.append((captured_ms, segment.header, frame))
    if not timed:
        known = sorted({f.camera for segment in trace.segments for f in segment.frames})
        raise InputError(
            "the trace has no frames of this camera", got=camera, fix="it has " + ", ".join(known)
        )
    return timed


def _candidates(trace: RecordedTrace) -> list[Candidate]:
    """All candidates of the ladders, each with its last profile."""
    by_name = {c.name: c for segment in trace.segments for c in segment.header.ladder}
    return list(by_name.values())


def _traced(candidates: Sequence[Candidate]) -> tuple[TracedVariant, ...]:
    return tuple(TracedVariant(each.name, each.top1, each.p50_ms) for each in candidates)
