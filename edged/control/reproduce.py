"""A recorded trace, decided again: as it was, or under other settings.

From a header's state on, the controller that was told what the recorded one was told must choose
what it chose. Under other settings the times of variants that did not run are not known; `as_full`
estimates them as their profile times the slow-down of what did run. The limits that frame rate and
temperature set then are kept: how hot the device would have become is not known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from edged.control.recording import RecordedFrame, RecordedTrace
from edged.control.replay import Step
from edged.control.selector import allowed
from edged.control.trace import FullTrace, TracedFrame, TracedVariant
from edged.errors import InputError

DIFFERENCES_KEPT = 10


@dataclass(frozen=True, slots=True)
class Difference:
    """line: of the trace. Choices as `variant xthreads: reason`."""

    line: int
    recorded: str
    replayed: str


@dataclass(frozen=True, slots=True)
class Reproduction:
    """decisions: that were made again. different: of them; differences: the first of those."""

    decisions: int
    different: int
    differences: tuple[Difference, ...]


def reproduce(trace: RecordedTrace) -> Reproduction:
    """Make the recorded decisions again, each after what really happened before it."""
    decisions = different = 0
    differences: list[Difference] = []
    for segment in trace.segments:
        ladder, controller = segment.header.ladder, segment.header.controller()
        for frame in segment.frames:
            if frame.chosen is None:
                controller.dropped(frame.camera)
                continue
            limit_ms = math.inf if frame.limit_ms is None else frame.limit_ms
            decision = controller.decide(frame.camera, ladder, frame.slack_ms, limit_ms)
            candidate = ladder[frame.chosen]
            decisions += 1
            if decision.candidate is not candidate or decision.reason.value != frame.reason:
                different += 1
                if len(differences) < DIFFERENCES_KEPT:
                    recorded = f"{candidate.name}: {frame.reason}"
                    replayed = f"{decision.candidate.name}: {decision.reason.value}"
                    differences.append(Difference(frame.line, recorded, replayed))
            controller.observe(frame.camera, ladder, candidate, frame.service_ms, frame.on_time)
    return Reproduction(decisions, different, tuple(differences))


def recorded_steps(
    trace: RecordedTrace, camera: str
) -> tuple[tuple[TracedVariant, ...], list[Step]]:
    """What came of the decisions that were made for one camera, and the variants they refer to."""
    candidates = {c.name: c for segment in trace.segments for c in segment.header.ladder}
    positions = {name: position for position, name in enumerate(candidates)}
    steps, captured_ms = list[Step](), 0.0
    for segment in trace.segments:
        for frame in _of(camera, segment.frames):
            captured_ms += frame.interval_ms if steps else 0.0
            budget_ms = segment.header.cameras[camera].budget_ms
            latency_ms = budget_ms - frame.slack_ms + frame.service_ms
            chosen = None
            if frame.chosen is not None:
                chosen = positions[segment.header.ladder[frame.chosen].name]
            steps.append(Step(captured_ms, budget_ms, latency_ms, chosen, frame.on_time))
    _require(len(steps), trace, camera)
    variants = tuple(TracedVariant(c.name, c.top1, c.p50_ms) for c in candidates.values())
    return variants, steps


def as_full(trace: RecordedTrace, camera: str) -> FullTrace:
    """One camera's frames with an estimate of every variant's time, for replay under a policy.

    Variants are those that the camera may use, named `variant xthreads`, with their last profile.
    A dropped frame, on which nothing ran, is as slow as the run before it.
    """
    ladder = {c.name: c for segment in trace.segments for c in segment.header.ladder}
    settings = trace.segments[-1].header.cameras.get(camera)
    least = 0.0 if settings is None else settings.min_top1
    candidates = allowed(sorted(ladder.values(), key=lambda c: -c.top1), least)
    frames: list[TracedFrame] = []
    captured_ms, slow_down = 0.0, 1.0
    for segment in trace.segments:
        for frame in _of(camera, segment.frames):
            captured_ms += frame.interval_ms if frames else 0.0
            if frame.chosen is not None:
                chosen = segment.header.ladder[frame.chosen]
                slow_down = frame.service_ms / chosen.p50_ms
            times = tuple(candidate.p50_ms * slow_down for candidate in candidates)
            limit_ms = math.inf if frame.limit_ms is None else frame.limit_ms
            frames.append(TracedFrame(captured_ms, frame.wait_ms, times, limit_ms))
    _require(len(frames), trace, camera)
    variants = [TracedVariant(c.name, c.top1, c.p50_ms) for c in candidates]
    return FullTrace(tuple(variants), tuple(frames))


def _of(camera: str, frames: tuple[RecordedFrame, ...]) -> list[RecordedFrame]:
    return [frame for frame in frames if frame.camera == camera]


def _require(frames: int, trace: RecordedTrace, camera: str) -> None:
    if not frames:
        known = sorted({f.camera for segment in trace.segments for f in segment.frames})
        raise InputError(
            "the trace has no frames of this camera", got=camera, fix="it has " + ", ".join(known)
        )
