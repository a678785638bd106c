"""When a frame of a stream was captured, and what to drop when decoding falls behind. Pure.

A stream's time stamps are relative. The frame that arrives with the least delay is assumed to have
had none, so a constant delay between sensor and arrival is not detected.
"""

from __future__ import annotations

from typing import Final

DRIFT: Final = 0.001
"""Seconds per second squared. After t seconds without a prompt frame, a delay of t * t milliseconds
is attributed to clock drift: the error is at most 25 ms for a sender that is 1 % off, 0.25 ms for
0.1 %, and 1 ms after a second of jitter."""
DISORDER_NS: Final = 1_000_000_000
"""Time stamps that jump back further than frames can be reordered have restarted."""
BELIEVABLE_NS: Final = 10_000_000_000
"""After a longer delay the time stamps are invalid."""
SLOW_SHARE: Final = 0.6
SLOW_FRAMES: Final = 2
"""Time stamps that advance by less than SLOW_SHARE of the time, SLOW_FRAMES in a row, are not the
sensor's: some cameras send fewer frames than announced but count them at the announced rate."""

KEYLESS_NS: Final = 10_000_000_000
"""How long to wait for a key frame. Then decode without: some streams refresh pictures in other
ways."""
LATE_NS: Final = 250_000_000
CAUGHT_UP_NS: Final = 50_000_000
LOST_NS: Final = 2_000_000_000


class ArrivalClock:
    """Maps a stream's time stamps to the monotonic clock by the arrival of frames."""

    def __init__(self) -> None:
        self._offset_ns: int | None = None
        self._prompt_offset_ns = 0
        self._prompt_ns = 0
        self._stamp_ns = 0
        self._arrived_ns = 0
        self._slow_frames = 0

    def restart(self) -> None:
        """After a break in the time stamps: assume that the next frame has no delay."""
        self._offset_ns = None

    def captured_ns(self, stamp_ns: int | None, arrived_ns: int) -> int:
        """Time of capture, at most arrived_ns, which a frame without a stamp gets."""
        if stamp_ns is None:
            return arrived_ns
        offset_ns = arrived_ns - stamp_ns
        seconds = (arrived_ns - self._prompt_ns) / 1e9
        allowed_ns = self._prompt_offset_ns + int(DRIFT * seconds * seconds * 1e9)
        passed_ns, self._arrived_ns = arrived_ns - self._arrived_ns, arrived_ns
        slow = stamp_ns - self._stamp_ns < SLOW_SHARE * passed_ns
        self._slow_frames = self._slow_frames + 1 if slow else 0
        restarted = (
            self._offset_ns is None
            or stamp_ns < self._stamp_ns - DISORDER_NS
            or self._slow_frames >= SLOW_FRAMES
        )
        if restarted or not 0 < offset_ns - allowed_ns < BELIEVABLE_NS:
            self._prompt_offset_ns = allowed_ns = offset_ns
            self._prompt_ns = arrived_ns
        self._offset_ns, self._stamp_ns = allowed_ns, stamp_ns
        return stamp_ns + allowed_ns


class Backlog:
    """What to drop when frames arrive faster than they can be decoded.

    A little behind: decode, for the frames that refer to it, but do not convert. Far behind: decode
    nothing until a key frame is in time. lag_ns: how late the frame is.
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
