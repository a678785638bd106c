from __future__ import annotations

import pytest

from edged.control.profile import (
    CONFIRMED_RUNS,
    Candidate,
    Spread,
    Timing,
    dominated,
    ladder,
    quantile,
    timed,
)
from edged.variants.variant import Choice, Precision, Variant


def candidate(
    alpha: float, resolution: int, top1: float, p50: float, p95: float, threads: int = 1
) -> Candidate:
    return Candidate(Variant(alpha, resolution), threads, top1, p50, p95)


def timing(service_ms: float, runs: int = CONFIRMED_RUNS) -> Timing:
    spread = Spread(service_ms, service_ms)
    return Timing(spread, Spread(0, 0), spread, runs)


@pytest.mark.parametrize(
    ("share", "expected"), [(0.5, 5), (0.95, 10), (0.9, 9), (0.01, 1), (1.0, 10), (0.0, 1)]
)
def test_quantile_is_the_smallest_value_that_covers_the_share(share: float, expected: int) -> None:
    assert quantile([10, 9, 8, 7, 6, 5, 4, 3, 2, 1], share) == expected


def test_a_sample_becomes_its_median_and_its_tail() -> None:
    made = timed(Choice(Variant(0.5, 160), 2), 0.6, Spread.of([1.0] * 18 + [4.0] * 2))
    assert (made.p50_ms, made.p95_ms, made.threads) == (1.0, 4.0, 2)


def test_dominated_variants_leave_the_ladder() -> None:
    good = candidate(1.0, 224, 0.70, 14, 15)
    slow_and_worse = candidate(0.75, 224, 0.68, 14.5, 16)
    cheap = candidate(0.25, 128, 0.41, 0.5, 0.6)
    assert ladder([cheap, slow_and_worse, good]) == (good, cheap)


def test_of_equal_accuracy_the_faster_stays() -> None:
    slow = candidate(0.5, 192, 0.6, 3, 4)
    fast = candidate(0.75, 128, 0.6, 2, 3)
    assert ladder([slow, fast]) == (fast,)


def test_int8_that_is_slower_than_float_leaves_the_ladder() -> None:
    """So it is on processors without dot products; where it is faster, it stays."""
    float_ = candidate(0.25, 128, 0.41, 0.5, 0.6)
    slower = Candidate(Variant(0.25, 128, Precision.INT8), 1, 0.40, 0.55, 0.7)
    faster = Candidate(Variant(0.25, 128, Precision.INT8), 1, 0.40, 0.3, 0.4)
    assert ladder([slower, float_]) == (float_,)
    assert ladder([faster, float_]) == (float_, faster)


def test_each_thread_count_that_is_best_somewhere_stays() -> None:
    one = candidate(1.0, 224, 0.7, 14, 15, threads=1)
    two = candidate(1.0, 224, 0.7, 8, 30, threads=2)
    three = candidate(1.0, 224, 0.7, 8.5, 25, threads=3)
    four = candidate(1.0, 224, 0.7, 7, 28, threads=4)
    assert set(ladder([one, two, three, four])) == {one, three, four}


def test_several_threads_drive_out_no_single_one_and_are_driven_out_by_it() -> None:
    """Their tail is good only as long as the device is idle, as it is when it is measured."""
    large = candidate(1.0, 224, 0.7, 14, 15, threads=1)
    large_by_two = candidate(1.0, 224, 0.7, 7, 8, threads=2)
    small = candidate(0.5, 224, 0.6, 8, 9, threads=1)
    small_by_two = candidate(0.5, 224, 0.6, 8.5, 8.6, threads=2)
    assert ladder([small_by_two, small, large_by_two, large]) == (large_by_two, large, small)


def test_the_faster_figures_stay() -> None:
    busy = Timing.of([(1.0, 9.0), (2.0, 30.0)])
    calm = Timing.of([(1.5, 7.0), (1.5, 7.0)])
    assert busy == Timing(Spread(10, 32), Spread(1, 2), Spread(9, 30), 2)
    for both in (busy.with_more(calm), calm.with_more(busy)):
        assert both == Timing(Spread(8.5, 8.5), Spread(1, 1.5), Spread(7, 7), 4)


def test_only_what_is_known_well_is_known_to_be_dominated() -> None:
    fast, slow, other = Variant(1.0, 128), Variant(0.75, 224), Variant(0.25, 128)
    slow_choice = Choice(slow, 1)
    top1 = {Choice(fast, 1): 0.65, slow_choice: 0.6}
    known = {Choice(fast, 1): timing(5), slow_choice: timing(9), Choice(other, 1): timing(9)}
    assert dominated(known, [top1]) == {slow_choice}  # of the other one nothing is asked
    assert dominated({**known, slow_choice: timing(9, CONFIRMED_RUNS - 1)}, [top1]) == frozenset()
    assert dominated({}, [top1]) == frozenset()
    elsewhere = {Choice(fast, 1): 0.65, slow_choice: 0.7}
    assert dominated(known, [top1, elsewhere]) == frozenset()  # another view needs it
