"""The choice for one frame, with chances that the test sets."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from edged.control.profile import Candidate
from edged.control.selector import (
    HOLD,
    NO_LIMITS,
    ROOM,
    Decision,
    Limits,
    Reason,
    Situation,
    Terms,
    allowed,
    choose,
    choose_by_cost,
)
from edged.variants.variant import Variant


def candidate(alpha: float, top1: float, p50_ms: float) -> Candidate:
    return Candidate(Variant(alpha, 224), 1, top1, p50_ms, 1.1 * p50_ms)


LARGE, MIDDLE, SMALL = candidate(1.0, 0.70, 14), candidate(0.75, 0.68, 8), candidate(0.5, 0.60, 4)
LADDER = (LARGE, MIDDLE, SMALL)


class Outlook:
    """A device as slow as `ratio` says, where a run that should fit does so with this chance."""

    def __init__(self, ratio: float = 1.0, chances: Callable[[float], float] | None = None) -> None:
        self.ratio = self.level = ratio
        self.chances = chances or (lambda margin: 1.0 if margin >= 1 else 0.0)
        self.asked: list[Candidate] = []

    def chance(self, candidate: Candidate, slack_ms: float) -> float:
        self.asked.append(candidate)
        return self.chances(slack_ms / (candidate.p50_ms * self.ratio))


def decide(
    outlook: Outlook | None = None,
    *,
    slack_ms: float = 30.0,
    budget_ms: float = 33.0,
    price: float = 0.0,
    previous: Candidate | None = None,
    limit_ms: float = math.inf,
) -> Decision:
    situation = Situation(slack_ms, budget_ms, 0.95, price, previous, Limits(limit_ms))
    return choose(LADDER, outlook or Outlook(), situation)


@pytest.mark.parametrize(
    ("slack_ms", "budget_ms", "ratio", "expected", "reason"),
    [
        (30, 33, 1.0, LARGE, Reason.MOST_ACCURATE),
        (14, 33, 1.0, LARGE, Reason.MOST_ACCURATE),
        (13, 33, 1.0, MIDDLE, Reason.FRAME_AGE),
        (11, 12, 1.0, MIDDLE, Reason.BUDGET),
        (30, 33, 3.0, MIDDLE, Reason.SLOWDOWN),
        (30, 33, 6.0, SMALL, Reason.SLOWDOWN),
        (30, 33, 9.0, SMALL, Reason.NONE_FITS),
        (0.1, 33, 1.0, SMALL, Reason.NONE_FITS),
    ],
)
def test_the_most_accurate_that_fits_and_why(
    slack_ms: float, budget_ms: float, ratio: float, expected: Candidate, reason: Reason
) -> None:
    decision = decide(Outlook(ratio), slack_ms=slack_ms, budget_ms=budget_ms)
    assert (decision.candidate, decision.reason) == (expected, reason)
    assert decision.predicted_ms == expected.p50_ms * ratio


def test_a_likely_result_is_worth_more_than_a_better_one_that_may_be_late() -> None:
    outlook = Outlook(chances=lambda margin: 0.96 if margin < 3 else 0.999)
    decision = decide(outlook, slack_ms=24.0)
    assert decision.candidate is MIDDLE  # 0.68 x 0.999 > 0.70 x 0.96
    assert decision.chance == 0.999
    outlook = Outlook(chances=lambda margin: 0.985 if margin < 3 else 0.999)
    assert decide(outlook, slack_ms=24.0).candidate is LARGE


def test_the_price_of_a_miss_buys_certainty() -> None:
    outlook = Outlook(chances=lambda margin: 0.98 if margin < 3 else 1.0)
    assert decide(outlook, slack_ms=24.0).candidate is LARGE
    assert decide(outlook, slack_ms=24.0, price=1.0).candidate is MIDDLE
    steep = Outlook(chances=lambda margin: min(1.0, 0.9 + margin / 100))
    chosen = [decide(steep, price=price).candidate for price in (0.0, 10.0, 1e6)]
    assert chosen == [LARGE, SMALL, SMALL]


def test_what_cannot_win_is_not_asked() -> None:
    outlook = Outlook()
    decide(outlook)
    assert outlook.asked == [LARGE]


def test_small_gains_do_not_change_the_variant() -> None:
    gain = HOLD / 2
    outlook = Outlook(chances=lambda margin: 1.0 if margin > 3 else (0.68 + gain) / 0.70)
    assert decide(outlook, slack_ms=24.5).candidate is LARGE
    held = decide(outlook, slack_ms=24.5, previous=MIDDLE)
    assert (held.candidate, held.reason, held.chance) == (MIDDLE, Reason.HOLD, 1.0)
    gain = HOLD * 2
    assert decide(outlook, slack_ms=24.5, previous=MIDDLE).candidate is LARGE


def test_a_limit_leaves_out_what_runs_too_long() -> None:
    decision = decide(limit_ms=10.0)
    assert (decision.candidate, decision.reason) == (MIDDLE, Reason.LIMIT)
    assert decide(Outlook(2.0), limit_ms=10.0, previous=MIDDLE).candidate is SMALL
    decision = decide(limit_ms=1.0)
    assert (decision.candidate, decision.reason, decision.chance) == (SMALL, Reason.LIMIT, 1.0)
    decision = decide(limit_ms=1.0, slack_ms=3.0)
    assert (decision.candidate, decision.reason) == (SMALL, Reason.NONE_FITS)


def test_what_runs_may_come_closer_to_the_limit_than_what_does_not() -> None:
    at_the_limit_ms = LARGE.p50_ms / (0.5 + ROOM / 2)
    assert decide(limit_ms=at_the_limit_ms, previous=LARGE).candidate is LARGE
    other = decide(limit_ms=at_the_limit_ms, previous=MIDDLE)
    assert (other.candidate, other.reason) == (MIDDLE, Reason.LIMIT)
    assert decide(limit_ms=LARGE.p50_ms / ROOM, previous=MIDDLE).candidate is LARGE
    assert decide(limit_ms=0.999 * LARGE.p50_ms, previous=LARGE).candidate is MIDDLE


def test_the_fastest_where_nothing_has_a_chance() -> None:
    decision = decide(slack_ms=0.0, previous=LARGE)
    assert (decision.candidate, decision.chance) == (SMALL, 0.0)
    assert decision.reason is Reason.NONE_FITS


def test_none_fits_only_where_the_cheapest_does_not() -> None:
    """The large one is worth most at 0.94, though only the others reach 0.95."""
    outlook = Outlook(chances=lambda margin: 0.94 if margin < 1.5 else 0.96)
    situation = Situation(14.5, 33.0, 0.95)
    by_goal = (
        choose(LADDER, outlook, situation),
        choose_by_cost(LADDER, outlook, situation, Terms(0.0, 0.0, 0.01)),
    )
    for decision in by_goal:
        assert (decision.candidate, decision.chance) == (LARGE, 0.94)
        assert decision.reason is Reason.MOST_ACCURATE
    outlook = Outlook(chances=lambda margin: 0.94)
    assert choose(LADDER, outlook, situation).reason is Reason.NONE_FITS


def test_min_top1_rather_late_than_worse() -> None:
    assert allowed(LADDER, 0.0) is LADDER
    assert list(allowed(LADDER, 0.65)) == [LARGE, MIDDLE]
    assert list(allowed(LADDER, 0.9)) == [LARGE]


SIDES = tuple(
    Candidate(Variant(0.5, side), threads, top1, p50_ms, p50_ms)
    for side, threads, top1, p50_ms in (
        (224, 1, 0.7, 14.0),
        (224, 2, 0.7, 8.0),
        (160, 1, 0.6, 8.0),
        (160, 2, 0.6, 4.5),
        (128, 1, 0.5, 4.0),
    )
)


def decide_sides(limits: Limits, slack_ms: float = 30.0, **options: Any) -> Decision:
    return choose(SIDES, Outlook(), Situation(slack_ms, 33.0, 0.95, limits=limits, **options))


def test_a_picture_that_was_decoded_too_small_bars_the_larger_variants() -> None:
    assert decide_sides(Limits()).candidate is SIDES[0]
    small = decide_sides(Limits(resolution=160))
    assert (small.candidate, small.reason) == (SIDES[2], Reason.PICTURE)
    assert decide_sides(Limits(resolution=100)).candidate.variant.resolution == 128


def test_threads_that_others_need_are_not_used() -> None:
    hurried = decide_sides(Limits(), slack_ms=10.0)
    assert (hurried.candidate, hurried.reason) == (SIDES[1], Reason.MOST_ACCURATE)
    single = decide_sides(Limits(threads=1), slack_ms=10.0)
    assert (single.candidate, single.reason) == (SIDES[2], Reason.FRAME_AGE)


def test_the_reason_looks_past_the_same_variant_at_another_thread_count() -> None:
    decision = decide_sides(Limits(), slack_ms=5.0)
    assert decision.candidate is SIDES[3]
    assert decision.reason is Reason.FRAME_AGE  # of 224 x2, not of 160 x1
    slow = choose(SIDES, Outlook(1.0), Situation(5.0, 7.0, 0.95))
    assert (slow.candidate, slow.reason) == (SIDES[3], Reason.BUDGET)


def test_dearer_decoding_takes_its_time_off_the_slack() -> None:
    assert decide_sides(Limits(), 15.0, dearer_ms={224: 0.5}).candidate is SIDES[0]
    assert decide_sides(Limits(), 15.0, dearer_ms={224: 2.0}).candidate is SIDES[1]
    assert decide_sides(Limits(), 15.0, dearer_ms={224: 8.0}).candidate is SIDES[2]
    assert decide_sides(Limits(), 3.0, dearer_ms={128: -2.0}).candidate is SIDES[4]


ALIKE = Candidate(Variant(0.5, 192), 1, 0.695, 4, 4.4)
CHEAP = candidate(0.25, 0.55, 1)


def by_cost(
    ladder: tuple[Candidate, ...] = (LARGE, ALIKE, SMALL),
    *,
    charge: float = 1.0,
    mean: float = 0.0,
    target: float = 0.01,
    slack_ms: float = 30.0,
    previous: Candidate | None = None,
    limits: Limits = NO_LIMITS,
    outlook: Outlook | None = None,
) -> Decision:
    situation = Situation(slack_ms, 33.0, 0.95, previous=previous, limits=limits)
    return choose_by_cost(ladder, outlook or Outlook(), situation, Terms(charge, mean, target))


def test_power_first_takes_the_cheapest_within_what_may_be_given_up() -> None:
    decision = by_cost()
    assert (decision.candidate, decision.reason) == (ALIKE, Reason.POWER)
    assert decision.spared_ms == LARGE.p50_ms - ALIKE.p50_ms
    assert decision.instead_of == (LARGE, 30.0, 1.0)
    assert by_cost(target=0.0).candidate is LARGE
    assert by_cost(target=0.0).instead_of is None
    assert by_cost((LARGE, ALIKE, CHEAP), target=0.2).candidate is CHEAP


def test_a_run_is_charged_for_what_it_costs() -> None:
    """Of the accuracy that it has more; the costliest one is charged all of it."""
    saved = 1 - ALIKE.p50_ms / LARGE.p50_ms
    worth = (LARGE.top1 - ALIKE.top1) / saved
    assert by_cost(target=1.0, charge=0.9 * worth, previous=LARGE).candidate is LARGE
    assert by_cost(target=1.0, charge=1.9 * worth, previous=LARGE).candidate is ALIKE
    # Twice as slow, each run costs twice as much.
    assert by_cost(charge=0.95 * worth, outlook=Outlook(2.0), previous=LARGE).candidate is ALIKE


def test_nothing_cheaper_runs_if_it_loses_more_than_is_left_to_give_up() -> None:
    assert by_cost(charge=5.0, target=0.004, previous=LARGE).candidate is LARGE
    assert by_cost(charge=5.0, target=0.006, previous=LARGE).candidate is ALIKE
    assert by_cost(charge=5.0, target=0.006, previous=ALIKE).candidate is ALIKE
    # What costs more may always run.
    assert by_cost(charge=0.001, target=-1.0, previous=SMALL).candidate is LARGE


def test_what_has_lost_far_too_much_is_not_kept_whatever_the_charge() -> None:
    """After a load that has ended, the charge is still high."""
    ladder = (LARGE, ALIKE, CHEAP)

    def after(mean: float, target: float) -> Candidate:
        return by_cost(ladder, charge=2.0, target=target, mean=mean, previous=CHEAP).candidate

    assert after(mean=0.0114, target=0.01) is CHEAP
    assert after(mean=0.0116, target=0.01) is ALIKE
    assert after(mean=0.0047, target=0.004) is LARGE  # the other loses 0.005
    assert after(mean=0.3, target=0.2) is CHEAP  # it loses 0.15


def test_power_costs_what_was_measured() -> None:
    """Energy, as soon as it is known of all of them."""
    large, alike = replace(LARGE, joules=1.0), replace(ALIKE, joules=2.0)
    assert by_cost((large, alike, replace(SMALL, joules=0.1))).candidate is large
    assert by_cost((large, alike, SMALL)).candidate is alike


def test_power_compares_with_the_best_that_the_budget_allows() -> None:
    """Too little time for the large one: then what is given up counts from the next."""
    assert by_cost(LADDER, slack_ms=10, target=0.01).candidate is MIDDLE
    assert by_cost(LADDER, slack_ms=10, target=0.081).candidate is SMALL
    assert by_cost(LADDER, slack_ms=10, target=0.081).instead_of == (MIDDLE, 10, 1.0)


def test_power_does_not_step_down_with_the_picture_that_it_asked_for() -> None:
    """The picture was decoded for what ran last: that is no reason to give up more."""
    small = Candidate(Variant(0.25, 128), 1, 0.695, 2, 2.2)
    tiny = Candidate(Variant(0.25, 96), 1, 0.688, 1, 1.1)
    ladder = (LARGE, small, tiny)
    first = by_cost(ladder, target=0.006, limits=Limits(resolution=128), previous=small)
    assert first.candidate is small
    # The picture serves what should run: what the large one would have had more is given up.
    same = by_cost((LARGE, ALIKE, tiny), charge=0.01, limits=Limits(resolution=192), previous=ALIKE)
    assert (same.candidate, same.reason, same.spared_ms) == (ALIKE, Reason.POWER, 10.0)
    assert same.instead_of == (LARGE, 30.0, 1.0)
    # It does not serve the one that should: it is to blame, and the loss counts as well.
    large = by_cost((LARGE, ALIKE, tiny), charge=1e-3, limits=Limits(resolution=192))
    assert (large.candidate, large.reason, large.spared_ms) == (ALIKE, Reason.PICTURE, 0.0)
    assert large.instead_of == (LARGE, 30.0, 1.0)
    # None of those that may run is good enough: the best that the picture serves, for now.
    later = by_cost((LARGE, ALIKE, tiny), limits=Limits(resolution=96), previous=LARGE)
    assert (later.candidate, later.reason) == (tiny, Reason.PICTURE)
    assert later.instead_of == (LARGE, 30.0, 1.0)


def test_power_is_as_surely_on_time() -> None:
    """Two threads cost more and have the worse tail; the cheaper one is not surer."""

    class Risky(Outlook):
        def chance(self, candidate: Candidate, slack_ms: float) -> float:
            return 0.5 if candidate is ALIKE else 0.99

    assert by_cost(outlook=Risky()).candidate is LARGE


def test_power_keeps_what_is_worth_hardly_less() -> None:
    nearly = candidate(0.75, 0.6955, 4.02)
    ladder = (LARGE, nearly, ALIKE)
    assert by_cost(ladder, charge=0.05, previous=nearly).candidate is nearly
    assert by_cost(ladder, charge=2.0, previous=nearly).candidate is ALIKE


def test_min_top1_means_the_table() -> None:
    moved = Candidate(Variant(0.5, 160), 1, 0.69, 4, 4.4, table_top1=0.5)
    worse = Candidate(Variant(0.75, 160), 1, 0.4, 8, 8.8, table_top1=0.66)
    assert allowed((LARGE, moved, worse), 0.6) == [LARGE, worse]
    assert allowed((moved, worse), 0.9) == [worse]
