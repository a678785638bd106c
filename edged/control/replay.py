"""What a policy would have made of a trace, frame by frame, as the pipeline would have run it.

When the backend becomes free it takes the newest frame that is ready, which has aged meanwhile;
frames that were overtaken are skipped, as in the mailbox. A frame whose budget is spent by then is
dropped and counts as a miss.

Knows nothing of recorded traces (reproduce.py turns one into a full trace).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from edged.control.policies import Alert, ApproxDet, Clairvoyant, Edged, Fixed, Ladder, Policy
from edged.control.trace import FullTrace, TracedFrame
from edged.errors import InputError

WINDOW_FRAMES = 100
"""Stretch of the window reference: about what a perfect controller could tell a regime by."""


class PolicyName(str, Enum):
    """What `edged replay --policy` takes beside the name of a variant, which means it alone."""

    EDGED = "edged"
    ALERT = "alert"
    LADDER = "ladder"
    APPROXDET = "approxdet"
    STATIC = "static"
    WINDOW = "window"
    CLAIRVOYANT = "clairvoyant"


@dataclass(frozen=True, slots=True)
class Step:
    """One frame of a replay. variant: position in the trace, None for a frame that was dropped."""

    captured_ms: float
    latency_ms: float
    variant: int | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """frames: that were run or dropped, not those that were skipped.

    on_time: share of the frames. accuracy: mean top-1 over all of them, a late or dropped one
    counting 0, in the unit of the trace; accuracy_on_time: over those on time. share: of the runs,
    by variant, those that ran.
    """

    frames: int
    on_time: float
    accuracy: float
    accuracy_on_time: float
    switches: int
    share: dict[str, float]


def replay(trace: FullTrace, policy: str, budget_ms: float, on_time: float) -> Outcome:
    """The outcome under a policy by name; InputError when there is neither policy nor variant."""
    return run(trace, make_policy(trace, policy, budget_ms, on_time), budget_ms)


def make_policy(trace: FullTrace, policy: str, budget_ms: float, on_time: float) -> Policy:
    names = [variant.name for variant in trace.variants]
    if policy in names:
        return Fixed([names.index(policy)], len(trace.frames))
    try:
        name = PolicyName(policy)
    except ValueError:
        known = ", ".join([member.value for member in PolicyName] + names)
        raise InputError(
            "no such policy or variant", got=policy, fix=f"it is one of {known}"
        ) from None
    if name is PolicyName.STATIC:
        return Fixed([_best_fixed(trace, budget_ms, on_time)], len(trace.frames))
    if name is PolicyName.WINDOW:
        return _window(trace, budget_ms, on_time)
    if name is PolicyName.CLAIRVOYANT:
        return Clairvoyant(trace)
    causal: dict[PolicyName, Callable[[FullTrace, float, float], Policy]] = {
        PolicyName.EDGED: Edged,
        PolicyName.ALERT: Alert,
        PolicyName.LADDER: Ladder,
        PolicyName.APPROXDET: ApproxDet,
    }
    return causal[name](trace, budget_ms, on_time)


def run(
    trace: FullTrace,
    policy: Policy,
    budget_ms: float,
    note: Callable[[Step], object] | None = None,
) -> Outcome:
    """Run the policy over the trace. note: is told of every frame, for a picture of them."""
    frames = trace.frames
    top1 = [variant.top1 for variant in trace.variants]
    runs = [0] * len(top1)
    taken = on_time = switches = 0
    accuracy, free_ms, previous, index = 0.0, 0.0, -1, 0
    while index < len(frames):
        now_ms = max(free_ms, _ready_ms(frames[index]))
        while index + 1 < len(frames) and _ready_ms(frames[index + 1]) <= now_ms:
            index += 1
        frame = frames[index]
        age_ms = now_ms - frame.captured_ms
        slack_ms = budget_ms - age_ms
        taken += 1
        if slack_ms <= 0:
            policy.dropped()
            if note is not None:
                note(Step(frame.captured_ms, age_ms, None))
        else:
            chosen = policy.choose(index, slack_ms)
            service_ms = frame.service_ms[chosen]
            in_time = service_ms <= slack_ms
            policy.observe(chosen, service_ms, in_time)
            if note is not None:
                note(Step(frame.captured_ms, age_ms + service_ms, chosen))
            on_time += in_time
            accuracy += top1[chosen] if in_time else 0.0
            switches += chosen != previous and previous >= 0
            runs[chosen] += 1
            previous, free_ms = chosen, now_ms + service_ms
        index += 1
    shares = {
        variant.name: count / sum(runs)
        for variant, count in zip(trace.variants, runs, strict=True)
        if count
    }
    return Outcome(
        taken, on_time / taken, accuracy / taken, accuracy / max(on_time, 1), switches, shares
    )


def _ready_ms(frame: TracedFrame) -> float:
    return frame.captured_ms + frame.wait_ms


def _best_fixed(trace: FullTrace, budget_ms: float, target: float) -> int:
    """The most accurate single variant that keeps the target; the most punctual where none does."""
    best, best_merit = 0, (False, 0.0, 0.0)
    for index in range(len(trace.variants)):
        outcome = run(trace, Fixed([index], len(trace.frames)), budget_ms)
        kept = outcome.on_time >= target
        merit = (kept, outcome.accuracy if kept else outcome.on_time, outcome.accuracy)
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
