"""The account of misses: what a miss costs, and that the share is kept."""

from __future__ import annotations

import random

import pytest

from edged.control.share import CREDIT_FRAMES, MOST_FRAMES, UNAVOIDABLE_PRICE, OnTimeShare


def test_a_camera_that_keeps_its_promise_pays_nothing() -> None:
    share = OnTimeShare(0.95)
    for number in range(2000):
        share.observe(number % 20 != 0)  # one in twenty late: just what is allowed
        assert share.price < 0.05
    assert share.owed == pytest.approx(0.0, abs=1.0)


def test_misses_above_the_allowed_ones_raise_the_price() -> None:
    share = OnTimeShare(0.95)
    prices = []
    for _ in range(50):
        share.observe(False)
        prices.append(share.price)
    assert prices == sorted(prices)
    owed = share.owed
    assert owed == pytest.approx(50 * 0.95)
    share.observe(True)
    assert share.owed == pytest.approx(owed - 0.05)
    assert share.price < prices[-1]


def test_debt_and_credit_are_bounded() -> None:
    share = OnTimeShare(0.9)
    for _ in range(5000):
        share.observe(True)
    assert share.owed == pytest.approx(-0.1 * CREDIT_FRAMES)
    for _ in range(5000):
        share.observe(False)
    assert share.owed == pytest.approx(0.1 * MOST_FRAMES)
    assert share.price > 1000
    frames = 0
    while share.price > 0:
        share.observe(True)
        frames += 1
    assert frames == pytest.approx(MOST_FRAMES, abs=2)


def test_unavoidable_misses_are_counted_but_do_not_end_all_choice() -> None:
    share = OnTimeShare(0.95)
    for _ in range(5000):
        share.observe(False, avoidable=False)
    assert share.owed > 10
    assert UNAVOIDABLE_PRICE <= share.price < 1.5 * UNAVOIDABLE_PRICE
    for _ in range(10):
        share.observe(False)
    dear = share.price
    assert dear > 1.5 * UNAVOIDABLE_PRICE
    share.observe(False, avoidable=False)
    assert share.price == dear


def test_the_account_goes_on_from_what_it_owed() -> None:
    share = OnTimeShare(0.95)
    for number in range(100):
        share.observe(number % 4 != 0)
    again = OnTimeShare(0.95, share.owed)
    assert (again.owed, again.price) == (share.owed, share.price)


@pytest.mark.parametrize("target", [0.8, 0.9, 0.95, 0.99])
def test_whatever_the_chances_the_share_is_kept_if_it_can_be(target: float) -> None:
    """Two choices whose chances nobody knows: the price alone makes the account come out."""
    draw = random.Random(1)
    share, misses, frames = OnTimeShare(target), 0, 60_000
    for _ in range(frames):
        risky = 0.7 + share.price > (0.5 + share.price) * 1.05  # so the predictions say
        on_time = draw.random() < (2 * target - 1 if risky else (1 + target) / 2)
        share.observe(on_time)
        misses += not on_time
    allowed = (1 - target) * frames
    assert misses <= allowed + (1 - target) * MOST_FRAMES
    assert misses >= 0.9 * allowed  # nor is more given away than need be
