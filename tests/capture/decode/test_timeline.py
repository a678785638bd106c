from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from edged.capture.decode.timeline import ArrivalClock, Backlog

MS = 1_000_000
SECOND = 1_000_000_000
FRAME = 40 * MS


def delays_ms(frames: list[tuple[int, int]]) -> list[float]:
    """Of frames (stamp_ns, arrived_ns): the delay that the clock sees for each."""
    clock = ArrivalClock()
    return [(arrived - clock.captured_ns(stamp, arrived)) / MS for stamp, arrived in frames]


def test_the_frame_with_the_least_delay_defines_none() -> None:
    jitter = random.Random(2)
    extra = [jitter.randint(0, 30) * MS for _ in range(200)]
    extra[20] = 0
    stamps = [n * FRAME for n in range(200)]
    seen = delays_ms([(s, 7 * SECOND + s + e) for s, e in zip(stamps, extra, strict=True)])
    for n in range(21, 200):
        assert extra[n] / MS - 8 <= seen[n] <= extra[n] / MS + 0.001


def test_a_burst_after_a_stall_shows_its_age() -> None:
    frames = [(n * FRAME, n * FRAME) for n in range(50)]
    stalled_until = 60 * FRAME
    frames += [(n * FRAME, stalled_until) for n in range(50, 60)]
    seen = delays_ms(frames)
    assert seen[49] == 0
    assert 395 <= seen[50] <= 400
    assert seen[59] <= 40


def test_a_sender_whose_clock_is_off_is_followed() -> None:
    for rate, seen_ms in ((0.999, 0.3), (1.001, 0.01), (0.99, 26), (1.01, 0.01)):
        frames = [(int(n * FRAME * rate), n * FRAME) for n in range(25 * 600)]
        assert max(delays_ms(frames)) < seen_ms


def test_time_stamps_that_start_anew_or_make_no_sense_are_believed_anew() -> None:
    frames = [(1000 * SECOND + n * FRAME, n * FRAME) for n in range(10)]
    frames += [(n * FRAME, (10 + n) * FRAME) for n in range(10)]  # back to zero
    frames += [(900 * SECOND + n * FRAME, (20 + n) * FRAME) for n in range(10)]  # far ahead
    assert max(delays_ms(frames)) == 0
    stuck = [(0, n * SECOND) for n in range(60)]
    assert max(delays_ms(stuck)) < 11_000


def test_a_frame_without_a_stamp_was_captured_on_arrival() -> None:
    clock = ArrivalClock()
    assert clock.captured_ns(None, 5) == 5


def test_time_stamps_that_count_frames_which_do_not_come_are_not_believed() -> None:
    """25 a second are announced and counted, one comes in 3 s, or half of them."""
    for seconds in (3.0, 0.08):
        frames = [(n * FRAME, int(n * seconds * SECOND)) for n in range(1, 200)]
        seen = delays_ms(frames)
        assert max(seen[3:]) == 0


def test_a_time_line_that_is_broken_begins_anew() -> None:
    clock = ArrivalClock()
    for n in range(50):
        clock.captured_ns(n * FRAME, n * FRAME)
    clock.restart()  # 0.9 s back
    stamps = [n * FRAME - 900 * MS for n in range(50, 100)]
    arrivals = [n * FRAME for n in range(50, 100)]
    assert [clock.captured_ns(*each) for each in zip(stamps, arrivals, strict=True)] == arrivals


@given(st.lists(st.tuples(st.integers(0, 2**60), st.integers(0, 10 * SECOND)), max_size=50))
def test_never_captured_after_its_arrival(frames: list[tuple[int, int]]) -> None:
    clock, arrived_ns = ArrivalClock(), 0
    for stamp_ns, gap_ns in frames:
        arrived_ns += gap_ns
        assert clock.captured_ns(stamp_ns, arrived_ns) <= arrived_ns


def test_a_little_behind_frames_are_decoded_but_not_converted() -> None:
    backlog = Backlog()
    assert backlog.decodes(0, key_frame=False)
    assert backlog.converts(200 * MS)
    assert backlog.decodes(300 * MS, key_frame=False)
    assert not backlog.converts(300 * MS)
    assert not backlog.converts(100 * MS)  # not before it has caught up
    assert backlog.converts(40 * MS)


def test_far_behind_nothing_is_decoded_until_a_key_frame_in_time() -> None:
    backlog = Backlog()
    assert not backlog.decodes(3 * SECOND, key_frame=True)
    assert not backlog.decodes(1 * SECOND, key_frame=True)
    assert not backlog.decodes(0, key_frame=False)
    assert backlog.decodes(0, key_frame=True)
    assert backlog.decodes(0, key_frame=False)
