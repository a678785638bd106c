from __future__ import annotations

import pytest

from edged.control.decode_times import FRAMES_KEPT, DecodeTimes
from edged.control.profile import Spread


def test_a_picture_counts_for_the_resolution_it_was_decoded_for() -> None:
    times = DecodeTimes()
    times.observe(160, 6.0, 1.0)
    times.observe(160, 7.0, 1.0)
    assert times.spreads() == {160: Spread(6, 7)}
    times.observe(224, 17.0, 1.0)
    assert times.spreads() == {160: Spread(6, 7), 224: Spread(17, 17)}


def test_only_the_latest_pictures_count() -> None:
    times = DecodeTimes()
    for decode_ms in [9.0] * FRAMES_KEPT + [2.0] * FRAMES_KEPT:
        times.observe(160, decode_ms, 1.0)
    assert times.spreads() == {160: Spread(2, 2)}


def test_a_larger_picture_is_dearer_and_a_smaller_one_cheaper() -> None:
    times = DecodeTimes((128, 160, 192, 224))
    assert times.dearer_ms(224, 1.0) == {}
    times.observe(224, 6.0, 1.0)
    assert set(times.dearer_ms(224, 1.0).values()) == {0.0}
    times.observe(128, 2.0, 1.0)
    assert times.dearer_ms(128, 1.0) == {128: 0.0, 160: 4.0, 192: 4.0, 224: 4.0}
    assert times.dearer_ms(224, 1.0) == {128: -4.0, 160: 0.0, 192: 0.0, 224: 0.0}
    assert times.dearer_ms(128, 1.5)[224] == pytest.approx(6.0)  # on a device that is slow now


def test_a_slow_device_does_not_make_another_scale_look_cheap() -> None:
    times = DecodeTimes((128, 224))
    times.observe(224, 6.0, 1.0)
    for _ in range(1000):
        times.observe(128, 8.0, 4.0)  # 2 ms on an undisturbed device
    assert times.dearer_ms(128, 4.0)[224] == pytest.approx(16.0, rel=0.01)
    for _ in range(1000):
        times.observe(128, 12.0, 1.0)  # dearer than a larger one: not believed
    assert times.dearer_ms(128, 1.0)[224] == 0.0
