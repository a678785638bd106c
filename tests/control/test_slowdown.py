"""What the estimate makes of calm, slow and busy devices."""

from __future__ import annotations

import json
import math
import random
import tracemalloc

import pytest

from edged.control.loads import LOADS
from edged.control.profile import Candidate
from edged.control.slowdown import Slowdown
from edged.errors import InputError
from edged.variants.variant import Variant


def candidate(p50_ms: float, threads: int = 1) -> Candidate:
    return Candidate(Variant(1.0, 224), threads, 0.7, p50_ms, 1.1 * p50_ms)


LARGE, MIDDLE, SMALL = candidate(14.0), candidate(6.0), candidate(0.7)


def after(runs: int, slow_down: float, slowdown: Slowdown | None = None, seed: int = 0) -> Slowdown:
    """What is believed after runs of MIDDLE that scatter by 4 %."""
    slowdown, draw = slowdown or Slowdown(), random.Random(seed)
    for _ in range(runs):
        slowdown.observe(MIDDLE, 6.0 * slow_down * draw.lognormvariate(0, 0.04))
    return slowdown


def test_before_any_run_the_profile_is_believed() -> None:
    slowdown = Slowdown()
    assert slowdown.ratio == pytest.approx(1.0, abs=0.12)
    assert slowdown.chance(LARGE, 20.0) > 0.9
    assert slowdown.chance(LARGE, 10.0) < 0.1


def test_one_factor_for_all_variants() -> None:
    slowdown = after(30, 2.0)
    assert slowdown.ratio == pytest.approx(2.0, rel=0.1)
    for other in (LARGE, MIDDLE):
        assert slowdown.chance(other, 1.7 * other.p50_ms) < 0.1
        assert slowdown.chance(other, 2.5 * other.p50_ms) > 0.95


def test_a_variant_that_suffers_more_than_the_others_is_corrected() -> None:
    hit = Candidate(Variant(1.0, 192), 1, 0.7, 7.0, 7.5)
    spared = Candidate(Variant(0.5, 160), 1, 0.6, 3.0, 3.2)
    slowdown, draw = Slowdown(), random.Random(3)
    for _ in range(200):
        for each, stretch in ((hit, 1.3), (spared, 1.1)):
            slowdown.observe(each, each.p50_ms * stretch * draw.lognormvariate(0, 0.02))
    for each, stretch in ((hit, 1.3), (spared, 1.1)):
        assert slowdown.chance(each, 0.9 * stretch * each.p50_ms) < 0.2
        assert slowdown.chance(each, 1.1 * stretch * each.p50_ms) > 0.9
    measured_again = Candidate(hit.variant, 1, 0.7, 7.1, 7.5)
    assert slowdown.chance(measured_again, 0.9 * 1.3 * 7.1) < 0.2


def test_networks_of_one_variant_are_corrected_apart() -> None:
    hit, spared = (
        Candidate(Variant(1.0, 192), 1, 0.7, p50_ms, 1.1 * p50_ms, network=network)
        for p50_ms, network in ((7.0, "a"), (6.0, "b"))
    )
    slowdown, draw = Slowdown(), random.Random(3)
    for _ in range(200):
        for each, stretch in ((hit, 1.3), (spared, 1.1)):
            slowdown.observe(each, each.p50_ms * stretch * draw.lognormvariate(0, 0.02))
    restored = Slowdown.from_state(json.loads(json.dumps(slowdown.state())))
    for each, stretch in ((hit, 1.3), (spared, 1.1)):
        for state in (slowdown, restored):
            assert state.chance(each, 0.9 * stretch * each.p50_ms) < 0.2
            assert state.chance(each, 1.1 * stretch * each.p50_ms) > 0.9


def test_an_interruption_corrects_no_variant() -> None:
    slowdown = after(50, 1.0)
    before = slowdown.state()["corrections"]
    slowdown.observe(MIDDLE, 12.0)
    assert slowdown.state()["corrections"] == before


def test_chance_grows_with_slack_and_falls_with_work() -> None:
    slowdown = after(30, 1.4)
    by_slack = [slowdown.chance(MIDDLE, slack_ms / 4) for slack_ms in range(1, 200)]
    assert by_slack == sorted(by_slack)
    assert by_slack[0] == 0 and by_slack[-1] > 0.99
    by_work = [slowdown.chance(candidate(p50_ms), 10.0) for p50_ms in range(1, 30)]
    assert by_work == sorted(by_work, reverse=True)


def test_chances_do_not_depend_on_where_a_variant_falls_on_the_grid() -> None:
    slowdown = after(50, 1.3)
    chances = [slowdown.chance(candidate(6 * x), 8.5 * x) for x in (1.0, 1.01, 1.02, 1.03, 1.04)]
    assert max(chances) - min(chances) < 0.02


def test_several_slow_runs_are_a_regime() -> None:
    slowdown = after(100, 1.0)
    for _ in range(3):
        slowdown.observe(MIDDLE, 18.0)
    assert slowdown.chance(MIDDLE, 9.0) < 0.3
    assert slowdown.chance(LARGE, 21.0) < 0.3


def test_one_slow_run_is_soon_forgotten() -> None:
    slowdown = after(100, 1.0)
    slowdown.observe(MIDDLE, 18.0)
    after(15, 1.0, slowdown)
    assert slowdown.chance(MIDDLE, 9.0) > 0.95


def test_a_device_that_knows_interruptions_is_not_alarmed_by_one() -> None:
    slowdown = Slowdown()
    for number in range(600):
        after(1, 1.0, slowdown, seed=number)
        if number % 30 == 29:
            slowdown.observe(MIDDLE, 6.0 + 4.0)
    assert slowdown.chance(MIDDLE, 9.0) > 0.8


def test_a_calmer_device_is_believed_soon() -> None:
    slowdown = after(200, 3.0)
    assert slowdown.chance(LARGE, 21.0) < 0.01
    after(15, 1.0, slowdown)
    assert slowdown.chance(LARGE, 21.0) > 0.8
    assert slowdown.ratio < 1.3


def test_a_slow_ramp_is_followed() -> None:
    slowdown, draw = Slowdown(), random.Random(2)
    for number in range(1000):
        level = 1 + number / 1000
        slowdown.observe(MIDDLE, 6.0 * level * draw.lognormvariate(0, 0.04))
        if number % 100 == 99:
            assert slowdown.ratio == pytest.approx(level, rel=0.08)


def test_interruptions_hit_long_runs_more_than_short_ones() -> None:
    """A neighbour takes turns on the core: after each 3 ms of running it has 4 ms."""
    slowdown, draw = Slowdown(), random.Random(3)
    for _ in range(200):
        run = draw.choice((LARGE, MIDDLE, candidate(2.0)))
        pauses = int((run.p50_ms + draw.uniform(-1, 2)) / 4)
        slowdown.observe(run, run.p50_ms * draw.lognormvariate(0, 0.04) + 4 * pauses)
    assert slowdown.ratio > 1.3
    assert slowdown.chance(LARGE, 1.3 * 14.0) < 0.3  # it pauses several times
    assert slowdown.chance(SMALL, 1.3 * 0.7) > 0.6  # it seldom does


def test_more_threads_are_more_exposed() -> None:
    slowdown = Slowdown(threads=(1, 2))
    draw = random.Random(4)
    for _ in range(200):
        paused = draw.random() < 0.2
        slowdown.observe(MIDDLE, 6.0 * draw.lognormvariate(0, 0.04) + 4 * paused)
    assert slowdown.chance(candidate(6.0, 2), 7.5) < slowdown.chance(candidate(6.0, 1), 7.5) - 0.05


@pytest.mark.parametrize("interruption", [0.0, 0.03])
@pytest.mark.parametrize("scatter", [0.03, 0.1, 0.2])
def test_chances_come_true(scatter: float, interruption: float) -> None:
    """Among the frames that were given a chance of about p, a share of about p is on time."""
    slowdown, draw = Slowdown(), random.Random(5)
    expected = met = frames = 0.0
    for number in range(3000):
        run = draw.choice((LARGE, MIDDLE))
        slack_ms = run.p50_ms * draw.uniform(1.0, 2.0)
        time_ms = run.p50_ms * draw.lognormvariate(0.2, scatter)
        if draw.random() < interruption * run.p50_ms:
            time_ms += draw.uniform(3.0, 5.0)
        chance = slowdown.chance(run, slack_ms)
        if number >= 200 and 0.05 < chance < 0.95:
            expected, met, frames = expected + chance, met + (time_ms <= slack_ms), frames + 1
        slowdown.observe(run, time_ms)
    assert frames > 100
    assert met / frames == pytest.approx(expected / frames, abs=0.08)


def test_no_run_is_too_absurd() -> None:
    slowdown = Slowdown()
    for time_ms in (1e-9, 1e9, 6.0, 1e7, 1e-3, 3600e3):
        slowdown.observe(MIDDLE, time_ms)
        assert math.isfinite(slowdown.ratio)
        assert 0 <= slowdown.chance(SMALL, 5.0) <= 1
    after(20, 1.0, slowdown)
    assert slowdown.ratio == pytest.approx(1.0, abs=0.15)
    assert slowdown.chance(candidate(1e-6), 1.0) > 0.9
    assert slowdown.chance(candidate(1e6), 1.0) == 0


def test_a_run_without_length_is_taken_for_a_short_one() -> None:
    slowdown = after(10, 1.0)
    slowdown.observe(MIDDLE, 0.0)
    assert slowdown.chance(MIDDLE, 9.0) > 0.5


def test_no_slack_no_chance() -> None:
    assert after(10, 1.0).chance(SMALL, 0.0) == 0
    assert after(10, 1.0).chance(SMALL, -5.0) == 0


def test_the_state_goes_through_json_exactly() -> None:
    slowdown = after(50, 1.7)
    again = Slowdown.from_state(json.loads(json.dumps(slowdown.state())))
    for number in range(50):
        time_ms = 6.0 * (1 + number % 7)
        assert again.chance(MIDDLE, time_ms) == slowdown.chance(MIDDLE, time_ms)
        slowdown.observe(MIDDLE, time_ms)
        again.observe(MIDDLE, time_ms)
    assert again.state() == slowdown.state()


@pytest.mark.parametrize(
    "change",
    [
        {"weights": None},
        {"expected": [0.5]},
        {"expected": ["a"] * len(LOADS)},
        {"weights": [2.0] * 10},
        {"expected": [0.0] * len(LOADS)},
        {"corrections": None},
        {"corrections": {"mobilenet_v1_1.0_224 x1": 3.0}},
    ],
)
def test_another_state_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(InputError):
        Slowdown.from_state({**Slowdown().state(), **change})


def test_nothing_grows() -> None:
    slowdown = after(500, 1.2)
    tracemalloc.start()
    try:
        for number in range(600):  # profiles that are measured again
            slowdown.chance(candidate(5 + number / 100), 9.0)
        after(200, 1.2, slowdown)
        before = tracemalloc.get_traced_memory()[0]
        for number in range(1200):
            slowdown.chance(candidate(5 + number / 200), 9.0)
        after(1000, 1.2, slowdown)
        assert tracemalloc.get_traced_memory()[0] - before < 60_000
    finally:
        tracemalloc.stop()
