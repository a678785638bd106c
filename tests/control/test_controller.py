"""Deciding, running and observing in turn, for views that share a backend."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from edged.control.controller import Controller, ViewSettings
from edged.control.profile import Candidate
from edged.control.selector import HOLD, Decision, Reason
from edged.control.share import UNAVOIDABLE_PRICE
from edged.control.slowdown import Slowdown
from edged.variants.variant import Variant

LADDER = tuple(
    Candidate(Variant(alpha, 224), 1, top1, p50_ms, 1.1 * p50_ms)
    for alpha, top1, p50_ms in (
        (1.0, 0.71, 14.0),
        (0.75, 0.68, 8.6),
        (0.5, 0.63, 4.4),
        (0.25, 0.5, 1.6),
    )
)
FASTEST = LADDER[-1]


def decided(candidate: Candidate) -> Decision:
    return Decision(candidate, candidate.p50_ms, 1.0, Reason.MOST_ACCURATE)


def test_views_share_the_slow_down_and_nothing_else() -> None:
    controller = Controller({"near": ViewSettings(20.0, 0.95), "far": ViewSettings(60.0, 0.95)})
    for _ in range(20):
        controller.observe("near", LADDER, decided(LADDER[1]), 3 * 8.6, False)
    assert controller.decide("far", LADDER, 30.0).candidate is not LADDER[0]
    assert controller.views["near"].share.owed > 10
    assert controller.views["far"].share.owed == 0
    assert controller.views["near"].previous is LADDER[1]
    assert controller.views["far"].previous is None


def test_what_ran_is_held_with_new_figures_while_it_is_on_the_ladder() -> None:
    controller = Controller({"door": ViewSettings(100.0, 0.95)})
    nearly = replace(LADDER[1], top1=LADDER[0].top1 - HOLD / 2)
    controller.observe("door", LADDER, decided(LADDER[1]), 8.6, True)
    held = controller.decide("door", (LADDER[0], nearly, FASTEST), 90.0)
    assert (held.candidate, held.reason) == (nearly, Reason.HOLD)
    assert controller.decide("door", (LADDER[0], FASTEST), 90.0).candidate is LADDER[0]


def test_a_run_that_views_share_is_one_run() -> None:
    settings = dict.fromkeys(("gate", "bin", "lane"), ViewSettings(20.0, 0.95))
    alone, together = Controller(settings), Controller(settings)
    for service_ms in (*[8.7] * 50, 15.0):  # the last is interrupted
        for view in settings:
            args = LADDER, decided(LADDER[1]), service_ms, service_ms < 12
            together.observe(view, *args, shared=view != "gate")
            if view == "gate":
                alone.observe(view, *args)
    assert together.slowdown.state() == alone.slowdown.state()
    assert together.slowdown.ratio < 1.2
    assert {control.previous for control in together.views.values()} == {LADDER[1]}
    assert len({control.share.owed for control in together.views.values()}) == 1


def test_dropped_frames_are_misses_that_no_choice_could_avoid() -> None:
    controller = Controller({"door": ViewSettings(20.0, 0.95)})
    for _ in range(2000):
        controller.dropped("door")
    share = controller.views["door"].share
    assert share.owed > 10
    dropped = share.owed
    for _ in range(100):
        controller.observe("door", LADDER, decided(FASTEST), 30.0, False)
    assert share.owed == dropped
    for _ in range(20):
        controller.observe("door", LADDER, decided(LADDER[0]), 30.0, False)
    assert share.owed > dropped


def test_min_top1_rules_out_what_is_worse() -> None:
    controller = Controller({"door": ViewSettings(20.0, 0.95, min_top1=0.6)})
    assert controller.decide("door", LADDER, 2.0).candidate is LADDER[2]
    controller.observe(
        "door", LADDER, decided(LADDER[2]), 30.0, False
    )  # the fastest that is allowed
    for _ in range(2000):
        controller.observe("door", LADDER, decided(LADDER[2]), 30.0, False)
    assert controller.views["door"].share.price < 2 * UNAVOIDABLE_PRICE


WIDE = tuple(
    Candidate(Variant(alpha, 224), threads, top1, p50_ms, 1.1 * p50_ms)
    for alpha, threads, top1, p50_ms in (
        (1.0, 1, 0.7, 14.0),
        (1.0, 2, 0.7, 8.0),
        (0.5, 1, 0.6, 4.0),
    )
)


@pytest.mark.parametrize(
    ("slack_ms", "next_slack_ms", "threads"),
    [
        (30, 30, 1),  # both make it side by side
        (11, 30, 2),  # in a hurry, and the other can wait for it
        (11, 12, 1),  # the other cannot: a cheaper one each is more than one good one
        (11, 3, 2),  # the other is lost anyway
    ],
)
def test_to_spread_over_the_cores_or_run_side_by_side(
    slack_ms: float, next_slack_ms: float, threads: int
) -> None:
    views = {name: ViewSettings(40.0, 0.95) for name in ("first", "second")}
    controller = Controller(views, Slowdown((1, 2)))
    first, second = ("first", slack_ms, WIDE), ("second", next_slack_ms, WIDE)
    assert controller.threads_for(first, second, free=2, waiting=1) == threads


@pytest.mark.parametrize(("next_p50_ms", "threads"), [(2.0, 2), (9.0, 1)])
def test_the_next_view_is_judged_by_its_own_ladder(next_p50_ms: float, threads: int) -> None:
    """Whether it can wait for a frame that takes all cores depends on what it runs itself."""
    views = {name: ViewSettings(40.0, 0.95) for name in ("first", "second")}
    controller = Controller(views, Slowdown((1, 2)))
    other = (Candidate(Variant(0.25, 128), 1, 0.97, next_p50_ms, 1.1 * next_p50_ms),)
    first, second = ("first", 11.0, WIDE), ("second", 14.0, other)
    assert controller.threads_for(first, second, free=2, waiting=1) == threads


@pytest.mark.parametrize("target", [0.9, 0.95, 0.99])
def test_the_promise_is_kept_on_a_device_unlike_any_model(target: float) -> None:
    """Times from a heavy-tailed distribution that hits every variant alike."""
    controller = Controller({"door": ViewSettings(20.0, target)})
    draw, late, frames = random.Random(6), 0, 12_000
    for _ in range(frames):
        slack_ms = draw.uniform(12.0, 18.0)
        decision = controller.decide("door", LADDER, slack_ms)
        service_ms = decision.candidate.p50_ms * draw.paretovariate(2.5)
        on_time = service_ms <= slack_ms
        controller.observe("door", LADDER, decision, service_ms, on_time)
        late += not on_time
    assert late / frames <= 1 - target + 0.005


def test_another_controller_goes_on_where_the_settings_are_the_same() -> None:
    kept, tighter = ViewSettings(20.0, 0.95), ViewSettings(10.0, 0.95)
    before = Controller({"kept": kept, "changed": kept, "gone": kept})
    for name in before.views:
        for _ in range(50):
            before.observe(name, LADDER, decided(LADDER[1]), 3 * 8.6, False)
    views = {"kept": kept, "changed": tighter, "new": kept}
    ladders = dict.fromkeys(views, LADDER)
    after = Controller(views)
    after.take_over(before, ladders, same_runtimes=True)
    assert after.decide("kept", LADDER, 30.0) == before.decide("kept", LADDER, 30.0)
    assert after.views["kept"].share.owed == before.views["kept"].share.owed > 0
    assert after.views["kept"].previous is LADDER[1]
    assert [after.views[name].share.owed for name in ("changed", "new")] == [0, 0]
    assert [after.views[name].previous for name in ("changed", "new")] == [None, None]
    other = Controller({"kept": kept})
    other.take_over(before, ladders, same_runtimes=False)
    assert other.slowdown.ratio == Slowdown().ratio != before.slowdown.ratio
    assert other.views["kept"].share.owed == before.views["kept"].share.owed


def test_what_ran_last_is_kept_where_the_ladder_still_has_it() -> None:
    """Other networks of the same names, after a reload, are not what ran."""
    views = {name: ViewSettings(20.0, 0.95) for name in ("same", "shorter", "retrained")}
    before = Controller(views)
    for name in views:
        before.observe(name, LADDER, decided(LADDER[1]), 8.6, True)
    ladders = {
        "same": tuple(replace(each) for each in LADDER),
        "shorter": (LADDER[0], LADDER[3]),
        "retrained": tuple(replace(each, network="new") for each in LADDER),
    }
    after = Controller(views)
    after.take_over(before, ladders, same_runtimes=True)
    previous = {name: control.previous for name, control in after.views.items()}
    assert previous == {"same": LADDER[1], "shorter": None, "retrained": None}
    # The selector knows it by identity.
    assert previous["same"] is ladders["same"][1]
