"""Which variant runs on this frame: a pure function of the ladder, the estimate and the slack.

The one with the highest expected accuracy of what arrives in time: (top-1 + price) x chance of
being on time. The price is zero while the camera keeps its promise; when it misses more than it
may, the price rises until the promise is kept (share.py), which in the end leaves the variant that
is the likeliest to be on time, the cheapest. Allowed misses are not spent for their own sake: a
late result costs a whole answer, a step down the ladder a point or two. No clock and no I/O here,
so a recorded run replays to the same choices.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple

from edged.control.profile import Candidate
from edged.control.slowdown import Slowdown

HOLD = 0.001
"""A gain in expected top-1 below this is not worth a change that people see flicker."""
ROOM = 0.9
"""What is not running must take at most this part of a limit before it runs: the device's pace
wavers by some per cent, and a variant at the limit would come and go with it."""


class Reason(str, Enum):
    """Why not something more accurate: the metric's label, and a field of every result."""

    MOST_ACCURATE = "most_accurate"  # nothing better is there
    BUDGET = "budget"  # the next better one is too slow for the budget even undisturbed
    FRAME_AGE = "frame_age"  # it would fit the budget, but the frame came old
    SLOWDOWN = "slowdown"  # it would fit, but the device is slower than its profile
    LIMIT = "limit"  # it would run longer than the frame rate or the temperature allows
    PICTURE = "picture"  # the picture was decoded too small for it; the next one will not be
    CORES = "cores"  # it wants more threads than other frames that wait leave it
    HOLD = "hold"  # a change would gain too little
    NONE_FITS = "none_fits"  # none is as likely to be on time as was asked


class Decision(NamedTuple):
    """predicted_ms: expected service time. chance: probability of being on time."""

    candidate: Candidate
    predicted_ms: float
    chance: float
    reason: Reason


class Limits(NamedTuple):
    """What a frame may not be given, whatever its slack.

    run_ms: what is expected to run longer is left out as long as something cheaper is there.
    resolution: the largest that the picture, as it was decoded, can serve; threads: the most that
    are free. None for no such limit.
    """

    run_ms: float = math.inf
    resolution: int | None = None
    threads: int | None = None


NO_LIMITS = Limits()
NOTHING_DEARER: Mapping[int, float] = MappingProxyType({})


def allowed(ladder: Sequence[Candidate], min_top1: float) -> Sequence[Candidate]:
    """The ladder without what is less accurate than the configuration's min_top1.

    Rather late than worse; the most accurate is always left.
    """
    if ladder[-1].top1 >= min_top1:
        return ladder
    return [candidate for candidate in ladder if candidate.top1 >= min_top1] or ladder[:1]


def choose(
    ladder: Sequence[Candidate],
    outlook: Slowdown,
    *,
    slack_ms: float,
    budget_ms: float,
    target: float,
    price: float = 0.0,
    previous: Candidate | None = None,
    limits: Limits = NO_LIMITS,
    dearer_ms: Mapping[int, float] = NOTHING_DEARER,
) -> Decision:
    """Decide for one frame. `ladder` is the Pareto frontier, most accurate first, not empty.

    slack_ms: what is left of budget_ms. target: share of results that must be on time; it only
    decides what the reason is, the price is what enforces it. price: of a miss, in answers.
    previous: what ran on this camera's last frame. dearer_ms: how much less slack there would be
    for a resolution, because its pictures take so much longer to decode.
    """
    longest_ms = limits.run_ms / outlook.ratio
    bounded = limits is not NO_LIMITS

    def bar(candidate: Candidate) -> Reason | None:
        """What forbids it."""
        if limits.resolution is not None and candidate.variant.resolution > limits.resolution:
            return Reason.PICTURE
        if limits.threads is not None and candidate.threads > limits.threads:
            return Reason.CORES
        room = 1.0 if candidate is previous else ROOM
        return Reason.LIMIT if candidate.p50_ms > room * longest_ms else None

    def slack_for(candidate: Candidate) -> float:
        return slack_ms - dearer_ms.get(candidate.variant.resolution, 0.0)

    best = None
    best_chance = best_value = held_chance = 0.0
    for candidate in ladder:
        worth = candidate.top1 + price
        if worth <= best_value:
            break  # what follows is less accurate even if it were certain
        if bounded and bar(candidate):
            continue
        chance = outlook.chance(candidate, slack_for(candidate))
        if candidate is previous:
            held_chance = chance
        if worth * chance > best_value:
            best, best_chance, best_value = candidate, chance, worth * chance
    if best is None:  # no time left, or nothing within the limits
        possible = [each for each in ladder if bar(each) in (None, Reason.LIMIT)] or ladder
        best = min(possible, key=lambda candidate: candidate.p50_ms)
        chance = outlook.chance(best, slack_for(best))
        reason = Reason.LIMIT if chance >= target else Reason.NONE_FITS
        return Decision(best, best.p50_ms * outlook.ratio, chance, reason)
    reason = Reason.MOST_ACCURATE
    better = _next_better(ladder, best)
    if better:
        free = [candidate for candidate in better if not bar(candidate)] or better
        fastest = min(free, key=lambda candidate: candidate.p50_ms)
        reason = bar(fastest) or _why(fastest, slack_for(fastest), budget_ms)
    if previous is not None and previous is not best and not bar(previous):
        if not held_chance and any(candidate is previous for candidate in ladder):
            held_chance = outlook.chance(previous, slack_for(previous))
        if held_chance and best_value - (previous.top1 + price) * held_chance < HOLD:
            best, best_chance, reason = previous, held_chance, Reason.HOLD
    if best_chance < target:
        reason = Reason.NONE_FITS
    return Decision(best, best.p50_ms * outlook.ratio, best_chance, reason)


def _next_better(ladder: Sequence[Candidate], best: Candidate) -> Sequence[Candidate]:
    """The variants that come next in accuracy, at every thread count; empty at the top."""
    better: list[Candidate] = []
    for candidate in reversed(ladder):
        if better and candidate.top1 > better[0].top1:
            break
        if candidate.top1 > best.top1:
            better.append(candidate)
    return better


def _why(better: Candidate, slack_ms: float, budget_ms: float) -> Reason:
    """Why this one did not run, though no limit forbids it."""
    if better.p50_ms > budget_ms:
        return Reason.BUDGET
    return Reason.FRAME_AGE if better.p50_ms > slack_ms else Reason.SLOWDOWN
