"""Decides from the frame counters whether a capture process has stalled. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edged.capture.messages import Failed
from edged.capture.source import SILENT_SECONDS, Failure
from edged.effort import Effort, Silence

PACE_ARRIVALS = 3
"""Arrivals after which the frame interval is known."""
PAUSE_HALF_LIFE_SECONDS = 60.0
"""Half-life of the longest recent pause."""


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """Time limits, in seconds."""

    tick: float = 0.25
    """Interval of checks of the frame counter; output and exit of the child are handled at once."""
    open: float = 15.0
    """From the start to `opened`; a network camera has `first_frame` more to respond. Sources give
    up earlier by themselves, with a reason."""
    first_frame: float = SILENT_SECONDS
    """For each frame, until the frame interval is known."""
    stall: float = 2.0
    stall_frames: int = 10
    stall_pauses: int = 3
    """Stalled: no frame for `stall_frames` times the usual interval and `stall_pauses` times the
    longest recent one, and at least `stall`."""
    turn: float = 10.0
    """Longest wait for other cameras' processes to load their libraries."""
    stop: float = 1.0
    end_of_daemon: float = 0.2
    pause: float = 0.5
    """Before the first restart; doubles with each failure up to pause_longest."""
    pause_longest: float = 30.0
    pause_unauthorized: float = 300.0
    """Long, because cameras lock accounts after a few wrong passwords."""
    good_frames: int = 300
    """Frames after which earlier failures are forgotten."""

    def for_first_frames(self, fps: float | None) -> float:
        """fps: as announced; only a slow rate extends the limit."""
        return max(self.first_frame, self.stall_frames / fps if fps else 0)

    def before_restart(self, reason: Failure, failures: int, chance: float) -> float:
        """failures: in a row, from 1. chance: uniform in [0, 1); shortens the pause by up to half,
        so that cameras that failed together do not restart together.
        """
        if reason is Failure.UNAUTHORIZED:
            longest = self.pause_unauthorized
        else:
            longest = min(self.pause_longest, self.pause * 2.0 ** min(failures - 1, 30))
        return longest * (1 - chance / 2)


class Pace:
    """Learns the usual and the longest interval of a camera's frames, which may come in bursts or
    change speed, from their arrival alone."""

    def __init__(self) -> None:
        self.known = False
        self._arrivals = 0
        self._came_ns = 0
        self._usual = 0.0
        self._longest = 0.0

    def came(self, frames: int, now_ns: int) -> None:
        """`frames` have arrived since the last call."""
        seconds, self._came_ns = (now_ns - self._came_ns) / 1e9, now_ns
        if self._arrivals:
            self._usual += (seconds / frames - self._usual) / min(self._arrivals, PACE_ARRIVALS)
            fading = 0.5 ** (seconds / PAUSE_HALF_LIFE_SECONDS)
            self._longest = max(seconds, self._longest * fading)
        self._arrivals += 1
        self.known = self._arrivals > PACE_ARRIVALS

    def seconds(self, limits: TimeLimits) -> float:
        """How long to wait for the next frame."""
        usual, longest = limits.stall_frames * self._usual, limits.stall_pauses * self._longest
        return max(limits.stall, usual, longest)


class Liveness:
    """For one run of a capture process. No clock, no I/O.

    captured: frames from the driver; delivered: pictures made of them; both include earlier runs.
    stalled_after_seconds: overrides the learnt limit. remote: a network camera.
    """

    def __init__(
        self,
        limits: TimeLimits,
        captured: int,
        delivered: int,
        now_ns: int,
        *,
        stalled_after_seconds: float | None = None,
        remote: bool = False,
    ) -> None:
        self.streaming = False
        self.frames = 0
        self._limits = limits
        self._captured_at_start = captured
        self._delivered_at_start = delivered
        self._own_seconds = stalled_after_seconds
        self._first_seconds = stalled_after_seconds or limits.first_frame
        self._limit_seconds = limits.open + (self._first_seconds if remote else 0)
        self._silence = Silence(now_ns)
        self._pace = Pace()
        self._good_ns: int | None = None

    def opened(self, fps: float | None, now_ns: int) -> None:
        self._silence.end(now_ns)
        if self._own_seconds is None:
            self._first_seconds = self._limits.for_first_frames(fps)
        self._limit_seconds = self._first_seconds

    def look(
        self,
        captured: int,
        delivered: int,
        now_ns: int,
        effort: Callable[[], Effort | None] = lambda: None,
    ) -> Failed | None:
        """A failure, once the next frame is overdue. Call it a few times a second. effort: CPU time
        and I/O of the process so far."""
        frames = captured - self._captured_at_start
        if frames != self.frames:
            self._pace.came(frames - self.frames, now_ns)
            self.frames = frames
            self._silence.end(now_ns)
        if self._good_ns is None and frames >= self._limits.good_frames:
            self._good_ns = now_ns
        if delivered != self._delivered_at_start:
            self.streaming = True
            if self._own_seconds is None and self._pace.known:
                self._limit_seconds = self._pace.seconds(self._limits)
        if self._silence.look(now_ns, effort) <= self._limit_seconds:
            return None
        return Failed(Failure.STALLED, f"no frame for {self._limit_seconds:.1f} s")

    def good_for(self, seconds: float, now_ns: int) -> bool:
        """Whether limits.good_frames had arrived more than `seconds` ago."""
        return self._good_ns is not None and now_ns - self._good_ns > seconds * 1e9
