from __future__ import annotations

import random

import pytest

from edged.control.profile import Candidate
from edged.control.slowdown import BULK_RUNS, Slowdown
from edged.variants.variant import Variant

SMALL = Candidate(Variant(0.25, 128), 1, 0.41, 0.5, 0.55)
LARGE = Candidate(Variant(1.0, 224), 1, 0.71, 14.0, 14.5)


def settled(ratio: float, runs: int = BULK_RUNS) -> Slowdown:
    slowdown = Slowdown()
    for _ in range(runs):
        slowdown.observe(LARGE, LARGE.p50_ms * ratio)
    return slowdown


def test_before_any_run_the_profile_speaks() -> None:
    slowdown = Slowdown()
    assert slowdown.ratio == 1.0
    assert slowdown.chance(LARGE, 14.5) == 1.0
    assert slowdown.chance(LARGE, 14.4) == 0.0


def test_one_variant_tells_of_all_others() -> None:
    slowdown = settled(2.0)
    assert slowdown.ratio == pytest.approx(2.0)
    assert slowdown.chance(SMALL, 1.01) > 0.95
    assert slowdown.chance(SMALL, 0.9) < 0.05


def test_one_slow_run_is_an_interruption_and_not_a_regime() -> None:
    slowdown = settled(1.0)
    slowdown.observe(LARGE, 28.0)
    assert slowdown.ratio == pytest.approx(1.0)
    assert 0.5 < slowdown.chance(LARGE, 20.0) < 1.0
    assert slowdown.chance(LARGE, 40.0) > 0.95  # what it adds is absorbed by the slack


def test_three_in_a_row_are_a_new_regime() -> None:
    slowdown = settled(1.0)
    for _ in range(3):
        slowdown.observe(LARGE, 28.0)
    assert slowdown.ratio == pytest.approx(2.0)
    assert slowdown.chance(LARGE, 20.0) < 0.05


def test_a_calmer_device_is_believed_within_two_seconds_of_a_camera() -> None:
    slowdown = settled(2.0)
    for _ in range(BULK_RUNS):
        slowdown.observe(SMALL, SMALL.p50_ms)
    assert slowdown.ratio == pytest.approx(1.0)
    assert slowdown.chance(LARGE, 14.6) > 0.95


def test_longer_runs_are_interrupted_more_often() -> None:
    randomness = random.Random(1)
    slowdown = Slowdown()
    for _ in range(500):
        interruption_ms = 4.0 if randomness.random() < 0.1 else 0.0
        slowdown.observe(LARGE, LARGE.p50_ms + interruption_ms)
    large = slowdown.chance(LARGE, LARGE.p50_ms + 2)
    small = slowdown.chance(SMALL, SMALL.p50_ms + 2)
    assert 0.8 < large < 0.97
    assert small > 0.98


def test_what_it_remembers_does_not_grow() -> None:
    slowdown = Slowdown()
    randomness = random.Random(2)
    for _ in range(5000):
        slowdown.observe(LARGE, LARGE.p50_ms * randomness.choice([1.0, 1.1, 1.2, 3.0]))
    sizes = [len(getattr(slowdown, name)) for name in ("_order", "_ratios", "_interruptions_ms")]
    assert max(sizes) <= BULK_RUNS
