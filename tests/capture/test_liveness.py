"""How long a camera is waited for: by how its pictures come, and by whether its process works."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import pytest

from edged.capture.liveness import Liveness, TimeLimits
from edged.capture.messages import Failed
from edged.capture.source import CaptureRequest, Failure
from edged.effort import Effort

SECOND = 1_000_000_000
LIMITS = TimeLimits()


def stalls_at(
    arrivals: Iterable[float],
    until: float,
    *,
    fps: float | None = None,
    own: float | None = None,
    worked: float = 0.0,
    waited: float = 0.0,
) -> float | None:
    """Seconds after `opened` at which the camera counts as stalled, looked at four times a second.

    arrivals: of its frames. worked, waited: seconds of each second.
    """
    liveness = Liveness(LIMITS, 100, 50, 0, stalled_after_seconds=own)
    liveness.opened(fps, 0)
    moments = sorted(arrivals)
    for tick in range(1, round(until * 4) + 1):
        now = tick / 4
        came = sum(moment <= now for moment in moments)
        effort = Effort(worked * now, waited * now, 0)
        moment_ns = int(now * SECOND)
        if liveness.look(100 + came, 50 + came, moment_ns, partial(Effort, *effort)) is not None:
            return now
    return None


def every(seconds: float, until: float, begin: float = 0.0) -> list[float]:
    return [begin + n * seconds for n in range(int((until - begin) / seconds) + 1)]


def test_a_fast_camera_that_dies_is_noticed_after_two_seconds() -> None:
    for fps in (25.0, None):
        assert stalls_at(every(0.04, 60), 90, fps=fps) == pytest.approx(62.25, abs=0.25)


def test_patience_follows_what_comes_and_not_what_was_announced() -> None:
    assert stalls_at(every(3, 600), 600, fps=25.0) is None
    assert stalls_at(every(12, 1200), 1200) is None
    assert stalls_at(every(12, 1200), 1400, fps=25.0) == pytest.approx(1320.25, abs=0.5)


def test_bursts_are_no_stall() -> None:
    bursts = [moment for begin in range(0, 600, 3) for moment in every(0.001, begin + 0.07, begin)]
    assert stalls_at(bursts, 599, fps=25.0) is None
    on_and_off = [m for begin in range(0, 600, 20) for m in every(0.04, begin + 10, begin)]
    assert stalls_at(on_and_off[:100] + on_and_off[250:], 30, fps=25.0) == 6.25  # not known yet


def test_one_pause_is_forgotten_after_some_minutes() -> None:
    times = every(0.04, 20) + every(0.04, 400, 21.5)
    assert stalls_at(times, 500) == pytest.approx(402.25, abs=0.25)
    times = every(0.04, 20) + every(0.04, 25, 21.5)
    assert stalls_at(times, 60) == pytest.approx(29.25, abs=0.5)


def test_until_the_pace_is_known_it_has_half_a_minute() -> None:
    assert stalls_at([], 60, fps=25.0) == pytest.approx(30.25)
    assert stalls_at([1.0], 60, fps=25.0) == pytest.approx(31.25)
    assert stalls_at([1.0], 200, fps=0.1) == pytest.approx(101.25)


def test_the_users_own_limit_goes_before_all_that() -> None:
    assert stalls_at(every(0.04, 60), 200, own=60.0) == pytest.approx(120.25, abs=0.25)
    assert stalls_at(every(3, 60), 200, own=1.0) == pytest.approx(1.5, abs=0.5)


def test_time_without_a_core_is_not_the_cameras_and_work_counts_a_tenth() -> None:
    assert stalls_at([], 300, waited=1.0) is None
    assert stalls_at([], 300, waited=0.9) is None or stalls_at([], 300, waited=0.9) > 290
    assert stalls_at([], 400, worked=1.0) == pytest.approx(300, abs=5)  # it works for ever
    assert stalls_at(every(0.04, 60), 120, worked=1.0) == pytest.approx(80, abs=3)


def opens_for(seconds: float, **about: bool) -> Failed | None:
    liveness = Liveness(LIMITS, 0, 0, 0, **about)
    found = (liveness.look(0, 0, n * SECOND // 4) for n in range(1, int(4 * seconds)))
    return next((fault for fault in found if fault is not None), None)


def test_a_camera_in_the_network_is_given_time_to_answer() -> None:
    assert opens_for(15) is None
    assert opens_for(16) == Failed(Failure.STALLED, "no frame for 15.0 s")
    assert opens_for(45, remote=True) is None
    assert opens_for(46, remote=True) == Failed(Failure.STALLED, "no frame for 45.0 s")


def test_a_supervisor_that_was_held_up_blames_nobody() -> None:
    liveness = Liveness(LIMITS, 0, 0, 0)
    assert liveness.look(0, 0, 100 * SECOND) is None
    assert liveness.look(0, 0, 110 * SECOND) is None


def test_first_the_opening_then_the_first_frames_then_every_frame() -> None:
    liveness = Liveness(LIMITS, captured=100, delivered=50, now_ns=0)
    liveness.opened(30.0, 16 * SECOND)
    assert liveness.look(101, 50, 25 * SECOND) is None
    assert not liveness.streaming
    assert liveness.look(102, 51, 26 * SECOND) is None
    assert liveness.streaming
    assert liveness.frames == 2


def test_a_frozen_picture_counts_as_good_frames_only_until_it_froze() -> None:
    liveness = Liveness(TimeLimits(good_frames=100), captured=0, delivered=0, now_ns=0)
    assert liveness.look(99, 99, SECOND) is None
    assert not liveness.good_for(0, SECOND)
    assert liveness.look(100, 100, 2 * SECOND) is None
    assert not liveness.good_for(10, 12 * SECOND)
    assert liveness.good_for(10, 12 * SECOND + 1)
    assert liveness.good_for(0, 3 * SECOND)


def test_pauses_before_a_restart_double_up_to_a_limit_and_are_jittered() -> None:
    pauses = [
        LIMITS.before_restart(Failure.STALLED, failures, 0.0)
        for failures in (1, 2, 3, 7, 8, 10_000)
    ]
    assert pauses == [0.5, 1.0, 2.0, 30.0, 30.0, 30.0]
    assert LIMITS.before_restart(Failure.KILLED, 2, 0.999) == pytest.approx(0.5, 0.01)


def test_a_wrong_password_is_not_hammered() -> None:
    assert LIMITS.before_restart(Failure.UNAUTHORIZED, 1, 0.999) > 100


def test_a_source_waits_as_long_as_the_user_says() -> None:
    assert CaptureRequest("rtsp://camera/live").silent_seconds == 30
    request = CaptureRequest("rtsp://camera/live", stalled_after_seconds=90.0)
    assert CaptureRequest.from_json(request.to_json()).silent_seconds == 90
