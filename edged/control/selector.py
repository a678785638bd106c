"""Which variant runs on this frame: a pure function of the ladder, the estimate and the slack.

Among the variants whose chance of being on time reaches the target, the one with the highest
expected accuracy of what arrives in time (top-1 times that chance); the cheapest where none does.
Allowed misses are not spent for their own sake: a late result costs a whole answer, a step down
the ladder a point or two. No clock and no I/O here, so a recorded run replays to the same choices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from edged.control.profile import Candidate

HOLD_TOP1 = 0.004
"""A gain in expected top-1 below this is not worth a change that people see flicker."""


class Reason(str, Enum):
    """Why not something more accurate: the metric's label, and a field of every result."""

    MOST_ACCURATE = "most_accurate"  # nothing better is there
    BUDGET = "budget"  # the next better one is too slow for the budget even undisturbed
    FRAME_AGE = "frame_age"  # it would fit the budget, but the frame came old
    SLOWDOWN = "slowdown"  # it would fit, but the device is slower than its profile
    HOLD = "hold"  # a change would gain too little
    NONE_FITS = "none_fits"  # not even the cheapest is likely to make it


@dataclass(frozen=True, slots=True)
class Decision:
    candidate: Candidate
    predicted_ms: float
    chance: float
    reason: Reason


class Outlook(Protocol):
    @property
    def ratio(self) -> float: ...

    def chance(self, candidate: Candidate, slack_ms: float) -> float: ...


def choose(
    ladder: Sequence[Candidate],
    outlook: Outlook,
    *,
    slack_ms: float,
    budget_ms: float,
    target: float,
    previous: Candidate | None = None,
) -> Decision:
    """Decide for one frame. `ladder` is the Pareto frontier, most accurate first, not empty.

    slack_ms: what is left of budget_ms. target: share of results that must be on time.
    previous: what ran on this camera's last frame.
    """
    best: Candidate | None = None
    best_chance = best_value = held_chance = 0.0
    for candidate in ladder:
        if candidate.top1 <= best_value:
            break  # what follows is less accurate even if it were certain
        chance = outlook.chance(candidate, slack_ms)
        if chance < target:
            continue
        if candidate is previous:
            held_chance = chance
        if candidate.top1 * chance > best_value:
            best, best_chance, best_value = candidate, chance, candidate.top1 * chance
    if best is None:
        cheapest = min(ladder, key=lambda candidate: candidate.p50_ms)
        predicted_ms = cheapest.p50_ms * outlook.ratio
        return Decision(
            cheapest, predicted_ms, outlook.chance(cheapest, slack_ms), Reason.NONE_FITS
        )
    if previous is not None and best is not previous:
        if not held_chance and previous in ladder:
            chance = outlook.chance(previous, slack_ms)
            held_chance = chance if chance >= target else 0.0
        if held_chance and best_value - previous.top1 * held_chance < HOLD_TOP1:
            predicted_ms = previous.p50_ms * outlook.ratio
            return Decision(previous, predicted_ms, held_chance, Reason.HOLD)
    reason = _why_not_better(ladder, best, slack_ms, budget_ms)
    return Decision(best, best.p50_ms * outlook.ratio, best_chance, reason)


def _why_not_better(
    ladder: Sequence[Candidate], chosen: Candidate, slack_ms: float, budget_ms: float
) -> Reason:
    position = ladder.index(chosen)
    if position == 0:
        return Reason.MOST_ACCURATE
    better = ladder[position - 1]
    if better.p95_ms > budget_ms:
        return Reason.BUDGET
    if better.p95_ms > slack_ms:
        return Reason.FRAME_AGE
    return Reason.SLOWDOWN
