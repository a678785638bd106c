"""Simulates the pipeline under a policy, frame by frame, from a trace.

When the backend becomes free it takes the newest frame that is ready and skips older ones, as the
mailbox does. A frame whose budget is spent by then is dropped and counts as a miss.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

from edged.errors import InputError
from edged.tracing.policies import Alert, ApproxDet, Clairvoyant, Edged, Fixed, Ladder, Policy
from edged.tracing.trace import FullTrace, TracedFrame, TracedVariant

WINDOW_FRAMES = 100
"""Stretch of the window reference: about what a perfect controller needs to detect a regime."""


class PolicyName(str, Enum):
    """Values of `edged replay --policy`, besides the name of a variant to run alone."""

    EDGED = "edged"
    ALERT = "alert"
    LADDER = "ladder"
    APPROXDET = "approxdet"
    STATIC = "static"
    WINDOW = "window"
    CLAIRVOYANT = "clairvoyant"


@dataclass(frozen=True, slots=True)
class Step:
    """The result of one frame. variant: position in the trace, None for a dropped frame.

    latency_ms: for a dropped frame, its age when dropped. service_ms: how long it ran.
    """

    captured_ms: float
    budget_ms: float
    latency_ms: float
    variant: int | None
    on_time: bool
    service_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """frames: number run or dropped, without skipped ones.

    on_time: share of the frames. accuracy: mean top-1 over the frames in the unit of the trace, 0
    for late or dropped ones; accuracy_on_time: over those on time. processor_ms: mean processor
    time of a frame, all threads together. share: of the runs, by variant.
    """

    frames: int
    on_time: float
    accuracy: float
    accuracy_on_time: float
    processor_ms: float
    switches: int
    share: dict[str, float]


def replay(trace: FullTrace, policy: str, budget_ms: float, on_time: float) -> Outcome:
    """The outcome under a policy. Raises InputError for an unknown policy or variant."""
    steps = run(trace, make_policy(trace, policy, budget_ms, on_time), budget_ms)
    return outcome(trace.variants, steps)


def make_policy(
    trace: FullTrace, policy: str, budget_ms: float, on_time: float, give_up: float | None = None
) -> Policy:
    """give_up: of the policy `edged`. Raises InputError for an unknown policy or variant."""
    names = [variant.name for variant in trace.variants]
    if policy in names:
        return Fixed([names.index(policy)], len(trace.frames))
    try:
        name = PolicyName(policy)
    except ValueError:
        known = ", ".join([member.value for member in PolicyName] + names)
        raise InputError(
            "no such policy or variant", got=policy, fix=f"use one of {known}"
        ) from None
    if name is PolicyName.STATIC:
        return Fixed([_best_fixed(trace, budget_ms, on_time)], len(trace.frames))
    if name is PolicyName.WINDOW:
        return _window(trace, budget_ms, on_time)
    if name is PolicyName.CLAIRVOYANT:
        return Clairvoyant(trace)
    if name is PolicyName.EDGED:
        return Edged(trace, budget_ms, on_time, give_up)
    causal: dict[PolicyName, Callable[[FullTrace, float, float], Policy]] = {
        PolicyName.ALERT: Alert,
        PolicyName.LADDER: Ladder,
        PolicyName.APPROXDET: ApproxDet,
    }
    return causal[name](trace, budget_ms, on_time)


def run(trace: FullTrace, policy: Policy, budget_ms: float) -> list[Step]:
    frames, steps = trace.frames, list[Step]()
    free_ms, index = 0.0, 0
    while index < len(frames):
        now_ms = max(free_ms, _ready_ms(frames[index]))
        while index + 1 < len(frames) and _ready_ms(frames[index + 1]) <= now_ms:
            index += 1
        frame = frames[index]
        age_ms = now_ms - frame.captured_ms
        slack_ms = budget_ms - age_ms
        if slack_ms <= 0:
            policy.dropped()
            steps.append(Step(frame.captured_ms, budget_ms, age_ms, None, False))
        else:
            chosen = policy.choose(index, slack_ms)
            service_ms = frame.service_ms[chosen]
            on_time = service_ms <= slack_ms
            policy.observe(chosen, service_ms, on_time)
            latency_ms = age_ms + service_ms
            steps.append(
                Step(frame.captured_ms, budget_ms, latency_ms, chosen, on_time, service_ms)
            )
            free_ms = now_ms + service_ms
        index += 1
    return steps


def outcome(variants: Sequence[TracedVariant], steps: Sequence[Step]) -> Outcome:
    """Summarizes at least one step."""
    runs = [step.variant for step in steps if step.variant is not None]
    processor_ms = sum(
        variants[step.variant].threads * step.service_ms
        for step in steps
        if step.variant is not None
    )
    in_time = [step.variant for step in steps if step.variant is not None and step.on_time]
    correct = sum(variants[variant].top1 for variant in in_time)
    counts = Counter(variants[variant].name for variant in runs)
    return Outcome(
        frames=len(steps),
        on_time=len(in_time) / len(steps),
        accuracy=correct / len(steps),
        accuracy_on_time=correct / max(len(in_time), 1),
        processor_ms=processor_ms / len(steps),
        switches=sum(variant != previous for previous, variant in pairwise(runs)),
        share={name: count / len(runs) for name, count in counts.items()},
    )


def _ready_ms(frame: TracedFrame) -> float:
    return frame.captured_ms + frame.wait_ms


def _best_fixed(trace: FullTrace, budget_ms: float, target: float) -> int:
    """The most accurate variant that keeps the target, or else the one most often on time."""
    best, best_merit = 0, (False, 0.0, 0.0)
    for index in range(len(trace.variants)):
        found = outcome(trace.variants, run(trace, Fixed([index], len(trace.frames)), budget_ms))
        kept = found.on_time >= target
        merit = (kept, found.accuracy if kept else found.on_time, found.accuracy)
        if merit > best_merit:
            best, best_merit = index, merit
    return best


def _window(trace: FullTrace, budget_ms: float, target: float) -> Fixed:
    stretches = [
        trace.frames[first : first + WINDOW_FRAMES]
        for first in range(0, len(trace.frames), WINDOW_FRAMES)
    ]
    chosen = []
    for frames in stretches:
        begun_ms = frames[0].captured_ms
        moved = tuple(
            TracedFrame(frame.captured_ms - begun_ms, frame.wait_ms, frame.service_ms)
            for frame in frames
        )
        chosen.append(_best_fixed(FullTrace(trace.variants, moved), budget_ms, target))
    return Fixed(chosen, WINDOW_FRAMES)
