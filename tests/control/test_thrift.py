"""How much accuracy is given up, with times that the test sets."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest

from edged.control.controller import Controller, ViewSettings
from edged.control.profile import Candidate
from edged.control.selector import Decision, Instead, Reason
from edged.control.thrift import (
    FIRST_CHARGE,
    LEAST_CHARGE,
    MOST_CHARGE,
    MOST_MISSES,
    TARGET,
    Thrift,
)
from edged.variants.variant import Variant

LARGE, MIDDLE, SMALL = (
    Candidate(Variant(alpha, 224), 1, top1, p50_ms, 1.1 * p50_ms)
    for alpha, top1, p50_ms in ((1.0, 0.90, 10.0), (0.5, 0.88, 4.0), (0.25, 0.84, 1.0))
)
LADDER = (LARGE, MIDDLE, SMALL)
BUDGET_MS, SLACK_MS = 33.0, 14.0


def decided(
    ran: Candidate, accurate: Candidate | None = LARGE, slack_ms: float = 30.0, level: float = 1.0
) -> Decision:
    instead = None if accurate is None else Instead(accurate, slack_ms, level)
    return Decision(ran, ran.p50_ms, 1.0, Reason.POWER, 0.0, instead)


def lost(decision: Decision, service_ms: float, on_time: bool = True) -> float:
    """That it counts for one frame."""
    thrift = Thrift(0.1)
    thrift.observe(decision, service_ms, on_time)
    return thrift.terms.mean_loss


def test_a_frame_loses_what_the_goal_accuracy_would_have_had_more() -> None:
    assert lost(decided(LARGE, None), 10.0) == 0
    assert lost(decided(SMALL), 1.0) == pytest.approx(0.90 - 0.84)
    assert lost(decided(SMALL), 9.0, on_time=False) == pytest.approx(0.90)


@pytest.mark.parametrize(
    ("service_ms", "level", "on_time"),
    [
        (1.0, 1.0, True),
        (5.9, 1.0, True),  # paused for 4.9 ms
        (6.1, 1.0, False),
        (1.5, 1.5, True),
        (1.6, 1.5, False),  # 15 ms, and a pause of 0.1 ms
    ],
)
def test_whether_the_accurate_one_would_have_been_on_time(
    service_ms: float, level: float, on_time: bool
) -> None:
    """It has the same pause, and more of them, because it takes longer."""
    slack_ms = 15.0 if level == 1 else 15.05
    loss = lost(decided(SMALL, slack_ms=slack_ms, level=level), service_ms)
    assert loss == pytest.approx(0.90 * (1 - MOST_MISSES * (not on_time)) - 0.84)


def test_a_little_longer_run_meets_little_more() -> None:
    nearly = Candidate(Variant(0.75, 224), 1, 0.89, 8.0, 8.8)
    loss = lost(decided(nearly, slack_ms=15.0), 14.5)
    assert loss == pytest.approx(0.90 * (1 - 10.0 / 8.0) - 0.89)


def test_the_charge_rises_with_frames_that_lose_little_and_falls_with_others() -> None:
    thrift = Thrift(0.05)
    assert thrift.terms == (FIRST_CHARGE, 0.0, pytest.approx(TARGET * 0.05))
    thrift.observe(decided(MIDDLE), 4.0, True)  # 0.02
    assert thrift.terms.charge > FIRST_CHARGE
    for _ in range(4):
        thrift.observe(decided(SMALL), 1.0, True)  # 0.06
    assert thrift.terms.charge < FIRST_CHARGE
    for _ in range(10_000):
        thrift.observe(decided(SMALL), 1.0, True)
    assert thrift.terms.charge == LEAST_CHARGE
    for _ in range(10_000):
        thrift.observe(decided(LARGE, None), 10.0, True)
    assert thrift.terms.charge == MOST_CHARGE


def calm(number: int, candidate: Candidate) -> float:
    return candidate.p50_ms


def shared(number: int, candidate: Candidate) -> float:
    """Others take the processor: for some seconds now and then, and once in 100 ms for 6 ms."""
    draw = random.Random(f"{number} {candidate.name}")
    work_ms = candidate.p50_ms * (1.3 if number // 300 % 2 else 1.0)
    pauses = draw.random() < work_ms / 100
    return work_ms * draw.lognormvariate(0, 0.03) + 6.0 * pauses


def ran(
    give_up: float | None,
    service_ms: Callable[[int, Candidate], float],
    frames: int = 12_000,
    ladder: Sequence[Candidate] = LADDER,
) -> list[tuple[Candidate, bool]]:
    """What ran on each frame, and whether it was on time."""
    controller = Controller({"door": ViewSettings(BUDGET_MS, 0.95, give_up=give_up)})
    found = []
    for number in range(frames):
        decision = controller.decide("door", ladder, SLACK_MS)
        took_ms = service_ms(number, decision.candidate)
        controller.observe("door", ladder, decision, took_ms, took_ms <= SLACK_MS)
        found.append((decision.candidate, took_ms <= SLACK_MS))
    return found


def accuracy(found: list[tuple[Candidate, bool]]) -> float:
    return sum(candidate.top1 * on_time for candidate, on_time in found) / len(found)


def cost_ms(found: list[tuple[Candidate, bool]]) -> float:
    return sum(candidate.p50_ms for candidate, _ in found) / len(found)


@pytest.mark.parametrize(
    ("give_up", "expected"), [(0.0, LARGE), (0.01, LARGE), (0.03, MIDDLE), (0.05, MIDDLE)]
)
def test_where_nothing_changes_variants_do_not_take_turns(
    give_up: float, expected: Candidate
) -> None:
    """At first the speed of the device is not sure, and a cheaper one may run."""
    found = [candidate for candidate, _ in ran(give_up, calm)]
    assert sum(one is not other for one, other in pairwise(found)) <= 1
    assert set(found[2000:]) == {expected}


def test_small_steps_together_lose_no_more_than_may_be_given_up() -> None:
    """Each of them is affordable, all of them are not."""
    steps = [
        Candidate(Variant(1.0, 224 - 32 * place), 1, 0.9 - 0.012 * place, 10 - 2 * place, 11)
        for place in range(5)
    ]
    found = [candidate for candidate, _ in ran(0.03, calm, ladder=steps)]
    assert set(found[2500:]) == {steps[2]}
    assert len(set(found[500:])) <= 2


@pytest.mark.parametrize("give_up", [0.01, 0.03, 0.05])
def test_on_a_busy_device_as_much_is_lost_as_may_be_given_up(give_up: float) -> None:
    accurate, thrifty = ran(None, shared), ran(give_up, shared)
    lost = accuracy(accurate) - accuracy(thrifty)
    assert 0.25 * give_up <= lost <= give_up + 0.002
    assert cost_ms(thrifty) < (0.95, 0.6)[give_up >= 0.03] * cost_ms(accurate)
    changes = sum(one[0] is not other[0] for one, other in pairwise(thrifty))
    assert changes < len(thrifty) / 40


def test_it_goes_on_from_its_account() -> None:
    thrift = Thrift(0.05)
    for _ in range(100):
        thrift.observe(decided(SMALL), 1.0, True)
    assert Thrift(0.05, thrift.account).terms == thrift.terms


def test_what_disturbs_frames_however_long_they_run_costs_a_third_more_at_most() -> None:
    """Every hundredth frame stops for 40 ms. It is taken for what hits long runs more often."""

    def stopped(number: int, candidate: Candidate) -> float:
        return candidate.p50_ms + 40.0 * (number % 100 == 50)

    accurate, thrifty = ran(None, stopped), ran(0.03, stopped)
    assert 0.02 <= accuracy(accurate) - accuracy(thrifty) <= 0.04
