"""What happens to a frame before anything is decoded: it is counted, and the surplus is let go.

Every frame that a driver hands over is counted as captured and later as exactly one of: taken by
the pipeline, overwritten, skipped, broken or quiet (or it is the one that waits in the mailbox).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from edged.capture.source import SourceError

BROKEN_IN_A_ROW = 50
BROKEN_SECONDS = 5.0
UNSEEN_SECONDS = 30.0
UNDECODABLE = "JPEG data that cannot be decoded"


class Tally(Protocol):
    """Counters that outlive this process: the mailbox."""

    def count(
        self, *, captured: int = 0, overwritten: int = 0, skipped: int = 0, broken: int = 0
    ) -> None: ...


class RateLimit:
    """At most max_fps frames a second in the long run, judged by capture times.

    A frame may be early by half a frame of the source: cameras jitter, and a camera at exactly
    max_fps must lose nothing. The schedule moves by whole intervals, so that earliness does not
    add up.
    """

    def __init__(self, max_fps: float | None) -> None:
        self._interval_ns = 0 if max_fps is None else round(1e9 / max_fps)
        self._due_ns: int | None = None
        self._previous_ns = 0
        self._gap_ns = 0.0
        """Between the source's frames, smoothed."""

    def admits(self, captured_ns: int) -> bool:
        return self.wait_ns(captured_ns) == 0

    def wait_ns(self, captured_ns: int) -> int:
        """0 where the frame is admitted, else by how much it is too early."""
        if self._interval_ns == 0:
            return 0
        gap_ns = captured_ns - self._previous_ns
        self._previous_ns = captured_ns
        if self._due_ns is None or abs(captured_ns - self._due_ns) > 2 * self._interval_ns:
            self._due_ns = captured_ns  # the first frame, or the first after a gap
        else:
            self._gap_ns += (gap_ns - self._gap_ns) / (8 if self._gap_ns else 1)
        early_ns = self._due_ns - round(min(self._gap_ns, self._interval_ns) / 2) - captured_ns
        if early_ns > 0:
            return early_ns
        self._due_ns += self._interval_ns
        return 0

    def admit_late(self, due_ns: int) -> None:
        """One that was too early, at the time until which it had to wait."""
        self._due_ns = due_ns + self._interval_ns


class Intake:
    """Given to each source: counts its frames and says which of them to decode."""

    def __init__(
        self, tally: Tally, max_fps: float | None, note: Callable[[str], None] = lambda _: None
    ) -> None:
        self.note = note
        """Tells the supervisor something worth one line in the log."""
        self._tally = tally
        self._limit = RateLimit(max_fps)

    def captured(self, frames: int = 1) -> None:
        """The driver handed a frame over."""
        self._tally.count(captured=frames)

    def admits(self, captured_ns: int) -> bool:
        """Whether max_fps leaves room for this frame; if not it is counted as skipped."""
        admitted = self._limit.admits(captured_ns)
        if not admitted:
            self._tally.count(skipped=1)
        return admitted

    def wait_seconds(self, captured_ns: int) -> float:
        """0 where max_fps leaves room for this frame, else after how long it will. Nothing is
        counted: if no newer one comes until then, the frame is shown after all (`admit_late`), for
        a camera that sends in bursts would else never show its newest; if one does, it is
        `skipped`."""
        return self._limit.wait_ns(captured_ns) / 1e9

    def admit_late(self, due_ns: int) -> None:
        """due_ns: when the frame was captured, and what it had to wait."""
        self._limit.admit_late(due_ns)

    def skipped(self) -> None:
        """max_fps left no room for the frame."""
        self._tally.count(skipped=1)

    def overwritten(self, frames: int = 1) -> None:
        """A newer frame is there already, so this one is not decoded to the end."""
        self._tally.count(overwritten=frames)

    def broken(self) -> None:
        """The frame could not be decoded."""
        self._tally.count(broken=1)


class Decoding:
    """Follows what comes of decoding: a camera that sends nothing but broken pictures has failed.

    failed: makes the error from what came instead of a picture. now_ns: of the opening.
    """

    def __init__(self, intake: Intake, failed: Callable[[str], SourceError], now_ns: int) -> None:
        self._intake = intake
        self._failed = failed
        self._whole_ns = now_ns
        self._broken_in_a_row = 0
        self._broken_since_ns = now_ns

    def whole(self, now_ns: int) -> None:
        self._broken_in_a_row = 0
        self._whole_ns = now_ns

    def broken(self, now_ns: int, got: str = UNDECODABLE) -> None:
        """Count it; SourceError when nothing else came: many in a row, for BROKEN_SECONDS, or, of
        a camera that sends few, since UNSEEN_SECONDS.
        """
        self._intake.broken()
        if self._broken_in_a_row == 0:
            self._broken_since_ns = now_ns
        self._broken_in_a_row += 1
        if (
            self._broken_in_a_row >= BROKEN_IN_A_ROW
            or now_ns - self._broken_since_ns >= BROKEN_SECONDS * 1e9
            or now_ns - self._whole_ns >= UNSEEN_SECONDS * 1e9
        ):
            raise self._failed(got)
