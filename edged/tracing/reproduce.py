"""Repeats the decisions of a recorded trace, with the same or other settings.

Starting from a header's state, a controller with the same observations must make the same choices.
For other settings, `as_full` estimates the times of variants that did not run as their profile
times the slow-down of the one that ran. Limits from frame rate, temperature and other views are
kept as recorded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from edged.control.profile import Candidate
from edged.control.selector import Decision, allowed
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
        ladders, controller = segment.header.ladders, segment.header.controller()
        decided = list[list[int]]([] for _ in segment.frames)
        for position, frame in enumerate(segment.frames):
            if frame.chosen is not None:
                decided[position - frame.overtaken].append(position)
        made = dict[int, Decision]()
        for position, frame in enumerate(segment.frames):
            for place in decided[position]:
                other = segment.frames[place]
                assert other.chosen is not None
                ladder = ladders[other.view]
                decision = controller.decide(other.view, ladder, other.slack_ms, other.limits)
                candidate = ladder[other.chosen]
                made[place] = decision._replace(candidate=candidate)
                decisions += 1
                if decision.candidate is not candidate or decision.reason.value != other.reason:
                    different += 1
                    if len(differences) < DIFFERENCES_KEPT:
                        recorded = f"{candidate.name}: {other.reason}"
                        replayed = f"{decision.candidate.name}: {decision.reason.value}"
                        differences.append(Difference(other.line, recorded, replayed))
            if frame.chosen is None:
                controller.dropped(frame.view)
            else:
                controller.observe(
                    frame.view,
                    ladders[frame.view],
                    made.pop(position),
                    frame.service_ms,
                    frame.on_time,
                    shared=frame.shared,
                )
    return Reproduction(decisions, different, tuple(differences))


def recorded_steps(trace: RecordedTrace, view: str) -> tuple[tuple[TracedVariant, ...], list[Step]]:
    """The recorded steps of one view, and the variants they refer to.

    A variant whose accuracy changed, because the view's model did, is listed once for each.
    """
    ran = dict[tuple[str, float], Candidate]()
    positions = dict[tuple[str, float], int]()
    steps = list[Step]()
    for captured_ms, header, frame in _timed(trace, view):
        budget_ms = header.settings[view].budget_ms
        latency_ms = budget_ms - frame.slack_ms + frame.service_ms
        chosen = None
        if frame.chosen is not None:
            candidate = header.ladders[view][frame.chosen]
            key = candidate.name, candidate.top1
            ran[key] = candidate
            chosen = positions.setdefault(key, len(positions))
        service_ms = frame.service_ms
        steps.append(Step(captured_ms, budget_ms, latency_ms, chosen, frame.on_time, service_ms))
    return _traced(ran.values()), steps


def as_full(trace: RecordedTrace, view: str) -> FullTrace:
    """One view's frames with an estimate of every variant's time, for replay under a policy.

    Variants are those of the view's last ladder that it may use, named `variant xthreads runtime`.
    A dropped frame has the slow-down of the run before it.
    """
    last = trace.latest(view)
    candidates = allowed(last.ladders[view], last.settings[view].min_top1)
    frames, slow_down = list[TracedFrame](), 1.0
    for captured_ms, header, frame in _timed(trace, view):
        if frame.chosen is not None:
            slow_down = frame.service_ms / header.ladders[view][frame.chosen].p50_ms
        times = tuple(candidate.p50_ms * slow_down for candidate in candidates)
        frames.append(TracedFrame(captured_ms, frame.wait_ms, times, frame.limits.run_ms))
    return FullTrace(_traced(candidates), tuple(frames))


def _timed(trace: RecordedTrace, view: str) -> Iterator[tuple[float, Header, RecordedFrame]]:
    """The view's frames, each with its capture time in ms since the first one and its header."""
    captured_ms = None
    for segment in trace.segments:
        for frame in segment.frames:
            if frame.view == view:
                captured_ms = 0.0 if captured_ms is None else captured_ms + frame.interval_ms
                yield captured_ms, segment.header, frame


def _traced(candidates: Iterable[Candidate]) -> tuple[TracedVariant, ...]:
    return tuple(
        TracedVariant(each.name, each.top1, each.p50_ms, each.threads, each.joules)
        for each in candidates
    )
