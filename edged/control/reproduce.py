"""A recorded trace, decided again: as it was, or under other settings.

From a header's state on, the controller that was told what the recorded one was told must choose
what it chose. Under other settings the times of variants that did not run are not known; `as_full`
estimates them as their profile times the slow-down of what did run.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from edged.control.recording import RecordedFrame, RecordedTrace
from edged.control.replay import Outcome
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


def recorded_outcome(trace: RecordedTrace, camera: str) -> Outcome:
    """What came of the decisions that were made for one camera."""
    counts: dict[str, int] = {}
    taken = on_time = switches = 0
    accuracy, previous = 0.0, ""
    for segment in trace.segments:
        for frame in _of(camera, segment.frames):
            taken += 1
            if frame.chosen is None:
                continue
            candidate = segment.header.ladder[frame.chosen]
            counts[candidate.name] = counts.get(candidate.name, 0) + 1
            switches += previous not in ("", candidate.name)
            previous = candidate.name
            if frame.on_time:
                on_time += 1
                accuracy += candidate.top1
    _require(taken, trace, camera)
    runs = sum(counts.values())
    share = {name: count / runs for name, count in counts.items()}
    return Outcome(
        taken, on_time / taken, accuracy / taken, accuracy / max(on_time, 1), switches, share
    )


def as_full(trace: RecordedTrace, camera: str) -> FullTrace:
    """One camera's frames with an estimate of every variant's time, for replay under a policy.

    Variants are those that ran or could have, named `variant xthreads`, with their last profile.
    A dropped frame, on which nothing ran, is as slow as the run before it.
    """
    candidates = {c.name: c for segment in trace.segments for c in segment.header.ladder}
    frames: list[TracedFrame] = []
    captured_ms, slow_down = 0.0, 1.0
    for segment in trace.segments:
        for frame in _of(camera, segment.frames):
            captured_ms += frame.interval_ms if frames else 0.0
            if frame.chosen is not None:
                chosen = segment.header.ladder[frame.chosen]
                slow_down = frame.service_ms / chosen.p50_ms
            times = tuple(candidate.p50_ms * slow_down for candidate in candidates.values())
            frames.append(TracedFrame(captured_ms, frame.wait_ms, times))
    _require(len(frames), trace, camera)
    variants = [TracedVariant(name, c.top1, c.p50_ms) for name, c in candidates.items()]
    return FullTrace(tuple(variants), tuple(frames))


def _of(camera: str, frames: tuple[RecordedFrame, ...]) -> list[RecordedFrame]:
    return [frame for frame in frames if frame.camera == camera]


def _require(frames: int, trace: RecordedTrace, camera: str) -> None:
    if not frames:
        known = sorted({f.camera for segment in trace.segments for f in segment.frames})
        raise InputError(
            "the trace has no frames of this camera", got=camera, fix="it has " + ", ".join(known)
        )
