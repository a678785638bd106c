"""Whether a capture process still does what it should, judged by the frames that come. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edged.capture.messages import Failed
from edged.capture.source import SILENT_SECONDS, Failure
from edged.effort import Effort, Silence

PACE_ARRIVALS = 3
"""After so many it is known how frames come."""
PAUSE_HALF_LIFE_SECONDS = 60.0
"""In this time the longest pause counts for half of what it was."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for what, in seconds."""

    tick: float = 0.25
    """How often the frame counter is looked at; a child's words and end are noticed at once."""
    open: float = 15.0
    """From the start to `opened`, of which a camera in the network may take `first_frame` more to
    answer. Sources give up earlier by themselves, and say why."""
    first_frame: float = SILENT_SECONDS
    """For each frame until it is known how they come."""
    stall: float = 2.0
    stall_frames: int = 10
    stall_pauses: int = 3
    """Stalled = no frame for `stall_frames` times their usual distance and for `stall_pauses` times
    the longest one of late, and at least `stall`."""
    turn: float = 10.0
    """For other cameras' processes to be loaded first, on a device that is busy with them."""
    stop: float = 1.0
    end_of_daemon: float = 0.2
    pause: float = 0.5
    """Before the first restart; it doubles with each failure up to pause_longest."""
    pause_longest: float = 30.0
    pause_unauthorized: float = 300.0
    """Cameras lock accounts after a few wrong passwords."""
    good_frames: int = 300
    """After this many frames the failures before are forgotten."""

    def for_first_frames(self, fps: float | None) -> float:
        """fps: as announced; a slow rate is believed, a fast one is not."""
        return max(self.first_frame, self.stall_frames / fps if fps else 0)

    def before_restart(self, reason: Failure, failures: int, chance: float) -> float:
        """failures: 1 for the first in a row. chance: uniform in [0, 1); it takes off up to half,
        so that cameras which failed together do not come back together.
        """
        if reason is Failure.UNAUTHORIZED:
            longest = self.pause_unauthorized
        else:
            longest = min(self.pause_longest, self.pause * 2.0 ** min(failures - 1, 30))
        return longest * (1 - chance / 2)


class Pace:
    """How a camera's frames come: in time with each other, in bursts, faster by day than by night.
    Pure. What it announces is another matter."""

    def __init__(self) -> None:
        self.known = False
        self._arrivals = 0
        self._came_ns = 0
        self._usual = 0.0
        self._longest = 0.0

    def came(self, frames: int, now_ns: int) -> None:
        """So many frames since the last time."""
        seconds, self._came_ns = (now_ns - self._came_ns) / 1e9, now_ns
        if self._arrivals:
            self._usual += (seconds / frames - self._usual) / min(self._arrivals, PACE_ARRIVALS)
            fading = 0.5 ** (seconds / PAUSE_HALF_LIFE_SECONDS)
            self._longest = max(seconds, self._longest * fading)
        self._arrivals += 1
        self.known = self._arrivals > PACE_ARRIVALS

    def seconds(self, patience: Patience) -> float:
        """How long the next frame may be waited for."""
        usual, longest = patience.stall_frames * self._usual, patience.stall_pauses * self._longest
        return max(patience.stall, usual, longest)


class Vigil:
    """Judges by the frame counter whether one life of a capture process goes on. No clock, no I/O.

    captured: frames that the driver handed over; delivered: pictures made of them. Both count
    from earlier lives on. stalled_after_seconds: instead of what the pace says. remote: the camera
    is asked over a network.
    """

    def __init__(
        self,
        patience: Patience,
        captured: int,
        delivered: int,
        now_ns: int,
        *,
        stalled_after_seconds: float | None = None,
        remote: bool = False,
    ) -> None:
        self.streaming = False
        self.frames = 0
        self._patience = patience
        self._captured_at_start = captured
        self._delivered_at_start = delivered
        self._own_seconds = stalled_after_seconds
        self._first_seconds = stalled_after_seconds or patience.first_frame
        self._limit_seconds = patience.open + (self._first_seconds if remote else 0)
        self._silence = Silence(now_ns)
        self._pace = Pace()
        self._good_ns: int | None = None

    def opened(self, fps: float | None, now_ns: int) -> None:
        self._silence.end(now_ns)
        if self._own_seconds is None:
            self._first_seconds = self._patience.for_first_frames(fps)
        self._limit_seconds = self._first_seconds

    def look(
        self,
        captured: int,
        delivered: int,
        now_ns: int,
        effort: Callable[[], Effort | None] = lambda: None,
    ) -> Failed | None:
        """A failure, once the next frame is overdue. Call it a few times a second. effort: what
        the process has done."""
        frames = captured - self._captured_at_start
        if frames != self.frames:
            self._pace.came(frames - self.frames, now_ns)
            self.frames = frames
            self._silence.end(now_ns)
        if self._good_ns is None and frames >= self._patience.good_frames:
            self._good_ns = now_ns
        if delivered != self._delivered_at_start:
            self.streaming = True
            if self._own_seconds is None and self._pace.known:
                self._limit_seconds = self._pace.seconds(self._patience)
        if self._silence.look(now_ns, effort) <= self._limit_seconds:
            return None
        return Failed(Failure.STALLED, f"no frame for {self._limit_seconds:.1f} s")

    def good_for(self, seconds: float, now_ns: int) -> bool:
        """Whether patience.good_frames came more than that ago."""
        return self._good_ns is not None and now_ns - self._good_ns > seconds * 1e9
