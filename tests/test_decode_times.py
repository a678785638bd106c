from __future__ import annotations

from edged.control.decode_times import FRAMES_KEPT, DecodeTimes
from edged.control.profile import Spread

MS = 1_000_000


def test_a_picture_counts_for_the_resolution_it_was_decoded_for() -> None:
    times = DecodeTimes()
    times.observe(0, 5 * MS)  # nobody knows for which
    times.want(160, 10 * MS)
    times.observe(9 * MS, 20 * MS)  # begun before it was wanted
    times.observe(30 * MS, 36 * MS)
    times.want(160, 40 * MS)
    times.observe(39 * MS, 46 * MS)
    times.want(224, 50 * MS)
    assert times.spreads() == {160: Spread(6, 7)}
    times.observe(50 * MS, 67 * MS)
    assert times.spreads() == {160: Spread(6, 7), 224: Spread(17, 17)}


def test_only_the_latest_pictures_count() -> None:
    times = DecodeTimes()
    times.want(160, 0)
    for duration in [9] * FRAMES_KEPT + [2] * FRAMES_KEPT:
        times.observe(0, duration * MS)
    assert times.spreads() == {160: Spread(2, 2)}
