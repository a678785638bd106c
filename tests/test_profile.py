from __future__ import annotations

import pytest

from edged.control.profile import Candidate, ladder, quantile, timed
from edged.variants.variant import Variant


def candidate(
    alpha: float, resolution: int, top1: float, p50: float, p95: float, threads: int = 1
) -> Candidate:
    return Candidate(Variant(alpha, resolution), threads, top1, p50, p95)


@pytest.mark.parametrize(
    ("share", "expected"), [(0.5, 5), (0.95, 10), (0.9, 9), (0.01, 1), (1.0, 10), (0.0, 1)]
)
def test_quantile_is_the_smallest_value_that_covers_the_share(share: float, expected: int) -> None:
    assert quantile([10, 9, 8, 7, 6, 5, 4, 3, 2, 1], share) == expected


def test_a_sample_becomes_its_median_and_its_tail() -> None:
    made = timed(Variant(0.5, 160), 2, 0.6, [1.0] * 18 + [4.0] * 2)
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


def test_each_thread_count_that_is_best_somewhere_stays() -> None:
    one = candidate(1.0, 224, 0.7, 14, 15, threads=1)
    two = candidate(1.0, 224, 0.7, 8, 30, threads=2)
    four = candidate(1.0, 224, 0.7, 9, 31, threads=4)
    assert set(ladder([one, two, four])) == {one, two}
