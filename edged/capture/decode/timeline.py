"""When a frame of a stream was captured, and what to do when decoding falls behind. Pure.

A stream's own time stamps tell the distances between frames, not the moment of any of them. The
frame that arrives with the least delay is taken to have had none; a constant delay between the
sensor and the first arrival therefore stays unseen.
"""

from __future__ import annotations

from typing import Final

DRIFT: Final = 0.001
"""Seconds per second squared. When no frame was prompt for t seconds, a delay of t * t milliseconds
is taken for clocks that run apart: a sender 1 % off shows at most 25 ms of delay that it has not,
one 0.1 % off 0.25 ms; and a second of jitter is judged wrong by 1 ms."""
DISORDER_NS: Final = 1_000_000_000
"""Time stamps that go back further than frames can be reordered have started anew."""
BELIEVABLE_NS: Final = 10_000_000_000
"""A delay beyond this says that the time stamps mean nothing any more."""
SLOW_SHARE: Final = 0.6
SLOW_FRAMES: Final = 2
"""Time stamps that go on by less than this share of the time, so many frames in a row, are not the
sensor's: a camera that sends fewer frames than it announces may count them as if it did. Frames
that were held up on the way come the faster afterwards."""

LATE_NS: Final = 250_000_000
CAUGHT_UP_NS: Final = 50_000_000
LOST_NS: Final = 2_000_000_000


class ArrivalClock:
    """Maps a stream's time stamps onto the monotonic clock by when frames arrive."""

    def __init__(self) -> None:
        self._offset_ns: int | None = None
        self._prompt_offset_ns = 0
        self._prompt_ns = 0
        self._stamp_ns = 0
        self._arrived_ns = 0
        self._slow_frames = 0

    def begin_anew(self) -> None:
        """The stream's time line has been broken: the next frame is taken to have had no delay."""
        self._offset_ns = None

    def captured_ns(self, stamp_ns: int | None, arrived_ns: int) -> int:
        """Never later than arrived_ns. A frame without a stamp counts as captured on arrival."""
        if stamp_ns is None:
            return arrived_ns
        offset_ns = arrived_ns - stamp_ns
        seconds = (arrived_ns - self._prompt_ns) / 1e9
        allowed_ns = self._prompt_offset_ns + int(DRIFT * seconds * seconds * 1e9)
        passed_ns, self._arrived_ns = arrived_ns - self._arrived_ns, arrived_ns
        slow = stamp_ns - self._stamp_ns < SLOW_SHARE * passed_ns
        self._slow_frames = self._slow_frames + 1 if slow else 0
        started_anew = (
            self._offset_ns is None
            or stamp_ns < self._stamp_ns - DISORDER_NS
            or self._slow_frames >= SLOW_FRAMES
        )
        if started_anew or not 0 < offset_ns - allowed_ns < BELIEVABLE_NS:
            self._prompt_offset_ns = allowed_ns = offset_ns
            self._prompt_ns = arrived_ns
        self._offset_ns, self._stamp_ns = allowed_ns, stamp_ns
        return stamp_ns + allowed_ns


class Backlog:
    """What to leave out when frames come faster than they can be decoded.

    A little behind: decode, which others refer to, but do not convert. Far behind: decode nothing
    until a key frame that is in time. lag_ns: how far the frame at hand is behind the present.
    """

    def __init__(self) -> None:
        self._lost = False
        self._late = False

    def decodes(self, lag_ns: int, key_frame: bool) -> bool:
        if lag_ns > LOST_NS:
            self._lost = True
        elif self._lost and key_frame and lag_ns < LATE_NS:
            self._lost = False
        return not self._lost

    def converts(self, lag_ns: int) -> bool:
        if lag_ns > LATE_NS:
            self._late = True
        elif lag_ns < CAUGHT_UP_NS:
            self._late = False
        return not self._late
