from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.capture.admission import Admission, RateLimit
from tests.rig.camera import Notes

MS = 1_000_000


def admitted(max_fps: float | None, stamps_ns: list[int]) -> list[int]:
    limit = RateLimit(max_fps)
    return [stamp for stamp in stamps_ns if limit.admits(stamp)]


def test_without_a_limit_every_frame_is_admitted() -> None:
    assert len(admitted(None, [0, 1, 1, 0])) == 4


def test_a_jittery_camera_at_exactly_the_limit_loses_nothing() -> None:
    jitter = random.Random(1)
    stamps = [round(n * 1e9 / 30) + jitter.randint(-8 * MS, 8 * MS) for n in range(300)]
    assert admitted(30, stamps) == stamps


def test_the_rate_is_kept_in_the_long_run() -> None:
    stamps = [round(n * 1e9 / 30) for n in range(900)]  # half a minute
    for max_fps in (1, 7.5, 10, 20, 29):
        assert abs(len(admitted(max_fps, stamps)) - 30 * max_fps) <= 1


def test_after_a_gap_or_a_jump_back_it_goes_on_at_once() -> None:
    assert admitted(10, [0, 5_000 * MS, 5_010 * MS, 20 * MS]) == [0, 5_000 * MS, 20 * MS]


@given(st.lists(st.integers(0, 100 * MS), max_size=200), st.floats(0.5, 100))
def test_never_more_than_the_limit(gaps_ns: list[int], max_fps: float) -> None:
    now_ns, stamps = 0, []
    for gap_ns in gaps_ns:
        now_ns += gap_ns
        stamps.append(now_ns)
    seconds = now_ns / 1e9
    assert len(admitted(max_fps, stamps)) <= seconds * max_fps * 1.001 + 2


def test_what_the_next_frame_may_be_is_foreseen() -> None:
    """Also if it comes half an interval late. Only the first frames' interval is not known."""
    jitter = random.Random(1)
    stamps = [round(n * 1e9 / 30) + jitter.randint(-8 * MS, 8 * MS) for n in range(900)]
    for max_fps in (0.2, 1, 7.5, 20):
        limit = RateLimit(max_fps)
        foreseen = [(limit.soon(), limit.admits(stamp)) for stamp in stamps][2:]
        assert (False, True) not in foreseen
        soon = sum(soon for soon, _ in foreseen)
        assert soon <= 2 * sum(admitted for _, admitted in foreseen) + 1
    assert RateLimit(None).soon()


def test_what_comes_too_early_can_be_shown_when_it_is_due() -> None:
    notes = Notes(max_fps=10)
    assert notes.admission.wait_seconds(0) == 0
    wait_seconds = notes.admission.wait_seconds(40 * MS)
    assert 0 < wait_seconds <= 0.06
    assert notes.counts.skipped == 0  # a newer one would have it so
    notes.admission.admit_late(40 * MS + round(wait_seconds * 1e9))
    assert notes.admission.wait_seconds(120 * MS) > 0
    assert notes.admission.wait_seconds(200 * MS) == 0


def aged(admission: Admission, stamps_ns: list[int]) -> list[tuple[int, int]]:
    """Frames that a source shows, as (stamp, age at which it is shown): one that is too early waits
    for the next."""
    shown = []
    for stamp_ns, next_ns in pairwise([*stamps_ns, 1 << 62]):
        wait_ns = round(admission.wait_seconds(stamp_ns) * 1e9)
        if wait_ns == 0:
            shown.append((stamp_ns, 0))
        elif stamp_ns + wait_ns < next_ns:
            admission.admit_late(stamp_ns + wait_ns)
            shown.append((stamp_ns, wait_ns))
    return shown


@pytest.mark.parametrize("max_fps", [0.5, 3, 7, 12])
@pytest.mark.parametrize("fps", [10, 15, 25])
def test_of_a_steady_camera_no_frame_waits(fps: int, max_fps: float) -> None:
    jitter = random.Random(1)
    stamps_ns = [round(n * 1e9 / fps) + jitter.randint(-8 * MS, 8 * MS) for n in range(40 * fps)]
    shown = aged(Notes(max_fps).admission, stamps_ns)
    assert {age_ns for _, age_ns in shown[2:-1]} == {0}
    assert abs(len(shown) - 40 * min(fps, max_fps)) <= 2


def test_the_last_frame_of_each_burst_waits_and_the_rate_is_kept() -> None:
    stamps_ns = [(500 * burst + 20 * n) * MS for burst in range(60) for n in range(5)]
    shown = aged(Notes(max_fps=3).admission, stamps_ns)
    assert len(shown) <= 3 * 30 + 2
    assert sum(stamp_ns % (500 * MS) == 80 * MS for stamp_ns, _ in shown) > 30


def test_each_fate_is_counted() -> None:
    notes = Notes(max_fps=10)
    for stamp_ns in (0, 33 * MS, 66 * MS, 100 * MS):
        notes.admission.captured()
        notes.admission.admits(stamp_ns)
    notes.admission.broken()
    notes.admission.overwritten(3)
    notes.admission.note("something")
    counts = notes.counts
    assert (counts.captured, counts.skipped, counts.broken, counts.overwritten) == (4, 2, 1, 3)
    assert notes == ["something"]


def test_while_no_view_is_on_a_frame_is_decoded_every_ten_seconds() -> None:
    notes = Notes(max_fps=10)
    admission, counts = notes.admission, notes.counts
    admission.limit_to(10, on=False)
    stamps_ns = [n * 100 * MS for n in range(1, 302)]
    admitted_ns = [stamp_ns for stamp_ns in stamps_ns if admission.admits(stamp_ns)]
    assert admitted_ns == [100 * MS, 10_100 * MS, 20_100 * MS, 30_100 * MS]
    assert (counts.off, counts.skipped) == (297, 0)
    assert admission.interval_ns == 100 * MS  # what a camera is asked for stays the same
    admission.limit_to(10)
    assert all(admission.admits(stamp_ns) for stamp_ns in (30_200 * MS, 30_300 * MS))
    assert not admission.admits(30_310 * MS)
    assert (counts.off, counts.skipped) == (297, 1)


def test_a_camera_that_looks_seldom_does_not_look_more_often_while_off() -> None:
    admission = Notes(max_fps=0.01).admission
    admission.limit_to(0.01, on=False)
    assert admission.decoding_ns == admission.interval_ns == 100_000 * MS
