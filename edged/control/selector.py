"""Which variant runs on a frame: a pure function of the ladder, the estimate and the slack.

It chooses the highest expected accuracy of results on time: (top-1 + price) x chance of being on
time. The price is zero while the view meets its on-time share; when it misses more, the price
rises until it meets it again (share.py), in the end leaving only the variant most likely to be on
time, the cheapest. Allowed misses are not used up for their own sake: a late result costs a whole
answer, a step down the ladder a point or two. No clock and no I/O: a trace replays to the same
choices.
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
"""A smaller gain in expected top-1 is not worth a change of variant."""
ROOM = 0.9
"""A variant that is not running must take at most this part of a limit: the device's speed varies
by some per cent, and a variant at the limit would be switched on and off with it."""
BEYOND = 1.15
"""Where the mean loss exceeds this multiple of its target, what ran before is not held."""


class Reason(str, Enum):
    """Why nothing more accurate ran: a label in metrics and a field of every result."""

    MOST_ACCURATE = "most_accurate"  # there is no better one
    BUDGET = "budget"  # the next better one is too slow for the budget even undisturbed
    FRAME_AGE = "frame_age"  # it would fit the budget, but the frame arrived old
    SLOWDOWN = "slowdown"  # it would fit, but the device is slower than its profile
    LIMIT = "limit"  # it would run longer than min_fps, the temperature or another view allows
    PICTURE = "picture"  # the picture was decoded too small for it; the next one will not be
    CORES = "cores"  # it needs more threads than other waiting frames leave
    HOLD = "hold"  # a change would gain too little
    POWER = "power"  # it would cost more, and the view's goal is power
    NONE_FITS = "none_fits"  # none reaches the requested chance of being on time


class Instead(NamedTuple):
    """What the goal accuracy would have run, the slack that it would have had, and how far each
    run was stretched then (Slowdown.level)."""

    candidate: Candidate
    slack_ms: float
    level: float


class Decision(NamedTuple):
    """predicted_ms: expected service time. chance: probability of being on time. spared_ms: the
    processor time that the goal power is expected to save. instead_of: None where that runs what
    the goal accuracy would."""

    candidate: Candidate
    predicted_ms: float
    chance: float
    reason: Reason
    spared_ms: float = 0.0
    instead_of: Instead | None = None


class Limits(NamedTuple):
    """Limits besides the slack.

    run_ms: the longest expected run, unless there is nothing cheaper. resolution: the largest that
    the decoded picture serves. threads: how many are free. None: no limit.
    """

    run_ms: float = math.inf
    resolution: int | None = None
    threads: int | None = None


NO_LIMITS = Limits()
NOTHING_DEARER: Mapping[int, float] = MappingProxyType({})


class Situation(NamedTuple):
    """A frame and its view.

    slack_ms: what is left of budget_ms. target: share of results that must be on time; it only
    sets the reason, the price enforces it. price: of a miss, in answers. previous: the ladder's
    candidate for what ran on the view's last frame. dearer_ms: slack lost by resolution, because
    its pictures take longer to decode.
    """

    slack_ms: float
    budget_ms: float
    target: float
    price: float = 0.0
    previous: Candidate | None = None
    limits: Limits = NO_LIMITS
    dearer_ms: Mapping[int, float] = NOTHING_DEARER

    def slack_for(self, candidate: Candidate) -> float:
        return self.slack_ms - self.dearer_ms.get(candidate.variant.resolution, 0.0)


class Terms(NamedTuple):
    """What a view whose goal is power gives up accuracy for (thrift.py).

    charge: accuracy charged for the costliest run of the ladder on the undisturbed device, for
    others in proportion. mean_loss: of accuracy, per frame; target_loss: what it should be.
    """

    charge: float
    mean_loss: float
    target_loss: float


def allowed(ladder: Sequence[Candidate], min_top1: float) -> Sequence[Candidate]:
    """The ladder without variants below min_top1 in the table; the most accurate always stays."""
    if not min_top1 or all(candidate.table_top1 >= min_top1 for candidate in ladder):
        return ladder
    kept = [candidate for candidate in ladder if candidate.table_top1 >= min_top1]
    return kept or [max(ladder, key=lambda candidate: candidate.table_top1)]


def choose(ladder: Sequence[Candidate], outlook: Slowdown, situation: Situation) -> Decision:
    """Decide for one frame. `ladder` is the Pareto frontier, most accurate first, not empty."""
    price, previous, limits = situation.price, situation.previous, situation.limits
    slack_for = situation.slack_for
    longest_ms = limits.run_ms / outlook.ratio
    bounded = limits != NO_LIMITS

    def bar(candidate: Candidate) -> Reason | None:
        return _bar(candidate, limits, longest_ms if candidate is previous else ROOM * longest_ms)

    best = None
    best_chance = best_value = held_chance = 0.0
    for candidate in ladder:
        worth = candidate.top1 + price
        if worth <= best_value:
            break  # the rest is worth less even if certainly on time
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
        reason = Reason.LIMIT if chance >= situation.target else Reason.NONE_FITS
        return Decision(best, best.p50_ms * outlook.ratio, chance, reason)
    reason = Reason.MOST_ACCURATE
    better = _next_better(ladder, best)
    if better:
        free = [candidate for candidate in better if not bar(candidate)] or better
        fastest = min(free, key=lambda candidate: candidate.p50_ms)
        reason = bar(fastest) or _why(fastest, slack_for(fastest), situation.budget_ms)
    if previous is not None and previous is not best and not bar(previous):
        if not held_chance:
            held_chance = outlook.chance(previous, slack_for(previous))
        if held_chance and best_value - (previous.top1 + price) * held_chance < HOLD:
            best, best_chance, reason = previous, held_chance, Reason.HOLD
    if best_chance < situation.target and _none_fits(ladder, outlook, situation):
        reason = Reason.NONE_FITS
    return Decision(best, best.p50_ms * outlook.ratio, best_chance, reason)


def choose_by_cost(
    ladder: Sequence[Candidate], outlook: Slowdown, situation: Situation, terms: Terms
) -> Decision:
    """Decide for one frame as `choose`, but charge each run for its cost: energy where it is known
    of the whole ladder, else processor time.

    What costs less than the variant before replaces it only if the loss stays within its target,
    both the mean until now and that of this frame: otherwise two would take turns where nothing
    changes. The variant before is not held if it loses more than the target on this frame and the
    mean is far beyond it, as after a load that has ended. How large the picture was decoded, which
    follows from what ran last, is no part of what the budget allows; where it excludes what should
    run, the next picture will be larger.
    """
    previous, limits, price = situation.previous, situation.limits, situation.price
    others = limits._replace(resolution=None)
    allowing = situation._replace(previous=None, limits=others)
    best = choose(ladder, outlook, allowing)
    instead = Instead(best.candidate, situation.slack_for(best.candidate), outlook.level)

    def on_this_picture() -> Decision:
        """What the goal accuracy would run."""
        found = choose(ladder, outlook, allowing._replace(limits=limits))
        return found if found.candidate is best.candidate else found._replace(instead_of=instead)

    if not best.chance:
        return on_this_picture()
    longest_ms, charge = limits.run_ms / outlook.ratio, terms.charge * outlook.ratio
    costs = _costs(ladder)

    def option(place: int) -> _Option:
        candidate, cost = ladder[place], costs[place]
        chance = outlook.chance(candidate, situation.slack_for(candidate))
        worth = (candidate.top1 + price) * chance
        return _Option(candidate, chance, cost, worth, worth - charge * cost)

    def served(option: _Option) -> bool:
        return _bar(option.candidate, limits, math.inf) is not Reason.PICTURE

    at_best, at = _place(ladder, best.candidate), _place(ladder, previous)
    assert at_best is not None
    before = option(at_best if at is None or _bar(ladder[at], others, longest_ms) else at)
    highest = (best.candidate.top1 + price) * best.chance
    lowest = before.worth + max(terms.mean_loss, highest - before.worth) - terms.target_loss
    # `wanted` whatever the picture; what costs `free` or more need not be worth `lowest`.
    wanted, free = before._replace(value=before.value + HOLD), before.cost
    far_beyond = terms.mean_loss > BEYOND * terms.target_loss
    if far_beyond and before.worth < highest - terms.target_loss:
        wanted, free = option(at_best), math.inf
    chosen = wanted if served(wanted) else None
    for place, candidate in enumerate(ladder):
        least = -math.inf if chosen is None else chosen.value
        if candidate.top1 + price - charge * costs[place] <= least:
            continue  # not even if certainly on time
        if _bar(candidate, others, ROOM * longest_ms):
            continue
        found = option(place)
        if found.worth < lowest and found.cost < free:
            continue
        if found.value > wanted.value:
            wanted = found
        if found.value > least and served(found):
            chosen = found
    if chosen is None:
        return on_this_picture()
    candidate, chance = chosen.candidate, chosen.chance
    if candidate is best.candidate:
        return best
    spared_ms = (best.candidate.processor_ms - candidate.processor_ms) * outlook.ratio
    reason = Reason.POWER if chosen.cost < costs[at_best] else Reason.HOLD
    if chosen is not wanted:
        reason, spared_ms = Reason.PICTURE, 0.0
    if chance < situation.target and _none_fits(ladder, outlook, situation):
        reason = Reason.NONE_FITS
    return Decision(candidate, candidate.p50_ms * outlook.ratio, chance, reason, spared_ms, instead)


class _Option(NamedTuple):
    """worth: of its answer, accuracy times chance. value: that less the charge."""

    candidate: Candidate
    chance: float
    cost: float
    worth: float
    value: float


def _place(ladder: Sequence[Candidate], candidate: Candidate | None) -> int | None:
    return next((place for place, each in enumerate(ladder) if each is candidate), None)


def _costs(ladder: Sequence[Candidate]) -> list[float]:
    """Of each run, in parts of the highest."""
    joules = [candidate.joules for candidate in ladder]
    costs = joules if all(joules) else [candidate.processor_ms for candidate in ladder]
    highest = max(costs)
    return [cost / highest for cost in costs]


def _bar(candidate: Candidate, limits: Limits, longest_ms: float) -> Reason | None:
    """The limit that excludes it, if any."""
    if limits.resolution is not None and candidate.variant.resolution > limits.resolution:
        return Reason.PICTURE
    if limits.threads is not None and candidate.threads > limits.threads:
        return Reason.CORES
    return Reason.LIMIT if candidate.p50_ms > longest_ms else None


def _none_fits(ladder: Sequence[Candidate], outlook: Slowdown, situation: Situation) -> bool:
    """Whether the cheapest variant within the limits is not likely enough to be on time either."""
    longest_ms = situation.limits.run_ms / outlook.ratio
    possible = [each for each in ladder if not _bar(each, situation.limits, longest_ms)] or ladder
    cheapest = min(possible, key=lambda candidate: candidate.p50_ms)
    return outlook.chance(cheapest, situation.slack_for(cheapest)) < situation.target


def _next_better(ladder: Sequence[Candidate], best: Candidate) -> Sequence[Candidate]:
    """The next more accurate variants, at every thread count; empty at the top."""
    better: list[Candidate] = []
    for candidate in reversed(ladder):
        if better and candidate.top1 > better[0].top1:
            break
        if candidate.top1 > best.top1:
            better.append(candidate)
    return better


def _why(better: Candidate, slack_ms: float, budget_ms: float) -> Reason:
    """Why this one did not run although no limit excludes it."""
    if better.p50_ms > budget_ms:
        return Reason.BUDGET
    return Reason.FRAME_AGE if better.p50_ms > slack_ms else Reason.SLOWDOWN
