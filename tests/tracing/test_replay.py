"""Replays with outcomes that can be worked out by hand, and the policies on simple traces."""

from __future__ import annotations

import math
import random

import pytest

from edged.errors import InputError
from edged.tracing.policies import Alert, Fixed
from edged.tracing.replay import PolicyName, Step, make_policy, outcome, replay, run
from edged.tracing.trace import FullTrace, TracedFrame, TracedVariant

LARGE, MIDDLE, SMALL = range(3)
VARIANTS = (
    TracedVariant("large", 0.7, 10.0),
    TracedVariant("middle", 0.6, 5.0),
    TracedVariant("small", 0.4, 1.0),
)


def trace(
    slow_downs: list[float], wait_ms: float = 1.0, interval_ms: float = 33.0, unit: float = 1.0
) -> FullTrace:
    variants = tuple(TracedVariant(v.name, v.top1 * unit, v.p50_ms) for v in VARIANTS)
    frames = tuple(
        TracedFrame(i * interval_ms, wait_ms, tuple(v.p50_ms * s for v in VARIANTS))
        for i, s in enumerate(slow_downs)
    )
    return FullTrace(variants, frames)


class Scripted:
    """Picks what it is told to, and notes what it was asked and told."""

    def __init__(self, choices: list[int]) -> None:
        self.choices = choices
        self.asked: list[tuple[int, float]] = []
        self.told: list[tuple[int, float, bool] | None] = []

    def choose(self, frame: int, slack_ms: float) -> int:
        self.asked.append((frame, slack_ms))
        return self.choices[len(self.asked) - 1]

    def observe(self, chosen: int, service_ms: float, on_time: bool) -> None:
        self.told.append((chosen, service_ms, on_time))

    def dropped(self) -> None:
        self.told.append(None)


def test_results_on_time_and_late() -> None:
    policy = Scripted([LARGE, LARGE, SMALL, MIDDLE])
    found = outcome(VARIANTS, run(trace([1, 2, 2, 1]), policy, 12.0))
    assert policy.asked == [(0, 11.0), (1, 11.0), (2, 11.0), (3, 11.0)]
    assert policy.told == [
        (LARGE, 10.0, True),
        (LARGE, 20.0, False),
        (SMALL, 2.0, True),
        (MIDDLE, 5.0, True),
    ]
    assert (found.frames, found.on_time, found.switches) == (4, 0.75, 2)
    assert found.accuracy == pytest.approx((0.7 + 0.4 + 0.6) / 4)
    assert found.accuracy_on_time == pytest.approx((0.7 + 0.4 + 0.6) / 3)
    assert found.processor_ms == pytest.approx((10 + 20 + 2 + 5) / 4)
    assert found.share == {"large": 0.5, "middle": 0.25, "small": 0.25}


def test_exactly_the_budget_is_on_time() -> None:
    assert run(trace([1]), Fixed([LARGE], 1), 11.0)[0].on_time
    assert not run(trace([1]), Fixed([LARGE], 1), math.nextafter(11.0, 0))[0].on_time


def test_the_newest_frame_is_taken_and_has_aged() -> None:
    # The first run ends at 1 + 40; frames of 10 and 20 ms are skipped, that of 40 is not ready.
    policy = Scripted([LARGE, SMALL, SMALL])
    run(trace([4, 1, 1, 1, 1], interval_ms=10.0), policy, 100.0)
    assert policy.asked == [(0, 99.0), (4, 99.0)]
    policy = Scripted([LARGE, SMALL, SMALL])
    steps = run(trace([3.5, 1, 1, 1, 1], interval_ms=10.0), policy, 100.0)
    assert policy.asked == [(0, 99.0), (3, 94.0), (4, 99.0)]
    assert steps == [
        Step(0.0, 100.0, 36.0, LARGE, True, 35.0),
        Step(30.0, 100.0, 7.0, SMALL, True, 1.0),
        Step(40.0, 100.0, 2.0, SMALL, True, 1.0),
    ]


def test_a_frame_older_than_the_budget_is_dropped_and_a_miss() -> None:
    frames = (
        TracedFrame(0.0, 1.0, (10.0, 5.0, 1.0)),
        TracedFrame(33.0, 20.0, (10.0, 5.0, 1.0)),
        TracedFrame(66.0, 1.0, (10.0, 5.0, 1.0)),
    )
    policy = Scripted([LARGE, LARGE])
    steps = run(FullTrace(VARIANTS, frames), policy, 20.0)
    assert policy.told == [(LARGE, 10.0, True), None, (LARGE, 10.0, True)]
    assert steps[1] == Step(33.0, 20.0, 20.0, None, False)
    found = outcome(VARIANTS, steps)
    assert (found.frames, found.on_time) == (3, pytest.approx(2 / 3))
    assert found.accuracy == pytest.approx(1.4 / 3)
    assert found.share == {"large": 1.0}
    assert found.switches == 0


def test_nothing_but_dropped_frames() -> None:
    found = replay(trace([1, 1], wait_ms=50.0), "edged", 20.0, 0.95)
    assert (found.frames, found.on_time, found.accuracy, found.share) == (2, 0, 0, {})


def test_policies_by_name() -> None:
    calm = trace([1.0] * 400)
    for policy in PolicyName:
        found = replay(calm, policy.value, 40.0, 0.95)
        assert found.on_time == 1, policy
        assert found.accuracy > 0.69, policy
    assert replay(calm, "small", 40.0, 0.95).share == {"small": 1.0}
    with pytest.raises(InputError, match=r"no such policy or variant \(got best\).*edged, alert"):
        replay(calm, "best", 40.0, 0.95)


def test_references() -> None:
    # Three stretches: only small keeps the target in the second.
    rough = trace([1.0] * 100 + [3.0] * 100 + [1.0] * 100)
    assert replay(rough, "static", 12.0, 0.95).share == {"small": 1.0}
    assert replay(rough, "window", 12.0, 0.95).share == {"large": 2 / 3, "small": 1 / 3}
    clairvoyant = replay(rough, "clairvoyant", 18.0, 0.95)
    assert clairvoyant.share == {"large": pytest.approx(2 / 3), "middle": pytest.approx(1 / 3)}
    assert clairvoyant.on_time == 1


def test_static_is_the_most_punctual_where_none_keeps_the_target() -> None:
    overloaded = trace([1.0] * 50 + [3.0] * 50)
    assert replay(overloaded, "static", 3.5, 0.95).share == {"small": 1.0}


def test_ladder_steps_down_on_a_miss_and_up_after_thirty_good_results() -> None:
    policy = make_policy(trace([1.0]), "ladder", 12.0, 0.95)
    assert policy.choose(0, 11.0) == LARGE
    policy.observe(LARGE, 20.0, False)
    assert policy.choose(0, 11.0) == MIDDLE
    policy.dropped()
    assert policy.choose(0, 11.0) == SMALL
    for _ in range(29):
        policy.observe(SMALL, 1.0, True)
    assert policy.choose(0, 11.0) == SMALL
    policy.observe(SMALL, 1.0, True)
    assert policy.choose(0, 11.0) == MIDDLE


def test_goal_power_runs_what_costs_least_within_give_up() -> None:
    variants = (
        TracedVariant("large x4", 0.7, 3.0, threads=4),
        TracedVariant("large x1", 0.7, 10.0),
        TracedVariant("middle", 0.69, 5.0),
        TracedVariant("small", 0.4, 1.0),
    )
    times = tuple(variant.p50_ms for variant in variants)
    frames = tuple(TracedFrame(33.0 * i, 1.0, times) for i in range(100))
    ran = {}
    for give_up in (None, 0.0, 0.011, 0.32):
        policy = make_policy(FullTrace(variants, frames), "edged", 30.0, 0.95, give_up)
        found = outcome(variants, run(FullTrace(variants, frames), policy, 30.0))
        ran[give_up] = (*found.share, found.processor_ms)
    assert ran == {
        None: ("large x4", 12.0),
        0.0: ("large x1", 10.0),
        0.011: ("middle", 5.0),
        0.32: ("small", 1.0),
    }


def test_goal_power_costs_energy_where_it_is_known() -> None:
    variants = (
        TracedVariant("frugal", 0.7, 6.0, joules=0.2),
        TracedVariant("hungry", 0.695, 5.0, joules=0.4),
        TracedVariant("small", 0.4, 1.0, joules=0.1),
    )
    frames = tuple(TracedFrame(33.0 * i, 1.0, (6.0, 5.0, 1.0)) for i in range(100))
    policy = make_policy(FullTrace(variants, frames), "edged", 30.0, 0.95, 0.01)
    found = outcome(variants, run(FullTrace(variants, frames), policy, 30.0))
    assert found.share == {"frugal": 1.0}


def test_approxdet_leaves_its_margin() -> None:
    policy = make_policy(trace([1.0]), "approxdet", 12.0, 0.95)
    assert policy.choose(0, 13.1) == LARGE
    assert policy.choose(0, 12.9) == MIDDLE
    policy.observe(MIDDLE, 10.0, True)  # twice its profile
    assert policy.choose(0, 25.9) == MIDDLE
    assert policy.choose(0, 26.1) == LARGE
    assert policy.choose(0, 0.5) == SMALL


def test_alert_follows_the_paper() -> None:
    """The filter, step by step, with the paper's constants, against numbers worked out apart."""
    policy = Alert(trace([1.0]), 12.0, 0.95)
    gain, variance, noise, mean, innovation = 0.5, 0.1, 0.1, 1.0, 0.0
    for observed in (1.5, 1.4, 3.0, 1.2):
        noise = max(0.1, 0.3 * noise + 0.7 * (gain * innovation) ** 2)
        before = (1 - gain) * variance
        gain = (before + noise) / (before + noise + 0.001)
        variance = before + noise
        innovation = observed - mean
        mean += gain * innovation
        policy.observe(MIDDLE, observed * 5.0, True)
    assert mean == pytest.approx(1.2, abs=0.01)  # it follows the last run: the gain is near 1
    needed = 10.0 * (mean + 1.6448536 * math.sqrt(variance))
    assert policy.choose(0, needed * 1.0001) == LARGE
    assert policy.choose(0, needed * 0.9999) == MIDDLE


def test_percentages_and_shares_give_the_same_choices() -> None:
    draw = random.Random(3)
    slow_downs = [draw.choice((1.0, 1.2, 2.0)) * draw.uniform(0.9, 1.1) for _ in range(500)]
    shares = replay(trace(slow_downs), "edged", 14.0, 0.95)
    percent = replay(trace(slow_downs, unit=100.0), "edged", 14.0, 0.95)
    assert percent.share == shares.share
    assert percent.accuracy == pytest.approx(100 * shares.accuracy)


def test_edged_keeps_the_target_and_beats_every_fixed_variant() -> None:
    draw = random.Random(5)
    slow_downs = [
        level * draw.lognormvariate(0, 0.06)
        for level in (1.0, 2.5, 1.4, 3.5, 1.0, 1.8)
        for _ in range(500)
    ]
    edged = replay(trace(slow_downs), "edged", 16.0, 0.95)
    static = replay(trace(slow_downs), "static", 16.0, 0.95)
    assert edged.on_time >= 0.95
    assert edged.accuracy > static.accuracy + 0.05
