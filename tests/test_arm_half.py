"""What the benchmark of float16's accuracy computes from its counts."""

from __future__ import annotations

import math

import pytest

from tests.benchmarks.arm.half import Z, interval


@pytest.mark.parametrize("pairs", [50, 500, 1963])
def test_no_photo_told_apart_leaves_the_interval_that_the_number_of_photos_gives(
    pairs: int,
) -> None:
    bound = Z**2 / (pairs + Z**2)
    assert interval(0, 0, pairs) == pytest.approx((-bound, bound))


@pytest.mark.parametrize(("won", "lost"), [(3, 5), (0, 4), (20, 21)])
def test_the_interval_holds_the_difference_and_turns_round_with_it(won: int, lost: int) -> None:
    low, high = interval(won, lost, 500)
    assert low < (won - lost) / 500 < high
    assert interval(lost, won, 500) == pytest.approx((-high, -low))


@pytest.mark.parametrize(("won", "lost"), [(0, 3), (0, 4), (30, 12), (5, 14)])
def test_the_interval_leaves_out_zero_where_mcnemars_test_rejects_it(won: int, lost: int) -> None:
    low, high = interval(won, lost, 1000)
    assert (low > 0 or high < 0) == (abs(won - lost) / math.sqrt(won + lost) > Z)
