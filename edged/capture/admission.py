"""Counts frames before decoding and drops those above max_fps, or while no view is on.

Every frame from a driver is counted as captured, and later, for each view of the camera, as exactly
one of: taken by the pipeline, overwritten, skipped, off, broken or quiet; at most one waits in the
mailbox. What is decided here is so for all views; views.py decides the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from edged.capture.source import SourceError

BROKEN_IN_A_ROW = 50
BROKEN_SECONDS = 5.0
UNSEEN_SECONDS = 30.0
OFF_NS = 10_000_000_000
"""Interval of the frames that are decoded while no view is on: so a broken camera is noticed, and
a stream with key frames about this often needs no other frame decoded."""
UNDECODABLE = "JPEG data that cannot be decoded"


class Tally(Protocol):
    """Counters that outlive this process (the mailbox)."""

    def count(
        self,
        *,
        captured: int = 0,
        overwritten: int = 0,
        skipped: int = 0,
        off: int = 0,
        broken: int = 0,
    ) -> None: ...


class RateLimit:
    """At most max_fps frames per second in the long run, by capture time.

    A frame may be early by half of the source's frame interval, so that a jittering camera at
    exactly max_fps loses nothing. The schedule moves by whole intervals, so that this does not
    accumulate.
    """

    def __init__(self, max_fps: float | None) -> None:
        self.limit_to(max_fps)
        self._due_ns = 0
        """0 before the first frame."""
        self._previous_ns = 0
        self._gap_ns = 0.0
        """Interval of the source's frames, smoothed."""

    def limit_to(self, max_fps: float | None) -> None:
        """Frames that were due much later by the former limit are due at once."""
        self.interval_ns = 0 if max_fps is None else round(1e9 / max_fps)

    def renew(self) -> None:
        """Where frames are admitted less than once a second, admit the next one."""
        if self.interval_ns > 1e9:
            self._due_ns = 0

    def due(self, now_ns: int) -> bool:
        """Whether a frame captured now would be admitted. Changes nothing."""
        return self.interval_ns == 0 or self._is_new(now_ns) or self._early_ns(now_ns) <= 0

    def soon(self) -> bool:
        """Whether the frame after the last one would be admitted if it came half an interval
        late."""
        return self.due(self._previous_ns + round(1.5 * self._gap_ns))

    def passed(self, captured_ns: int) -> None:
        """A frame that is not due has passed without being decoded."""
        gap_ns, self._previous_ns = captured_ns - self._previous_ns, captured_ns
        self._gap_ns += (gap_ns - self._gap_ns) / (8 if self._gap_ns else 1)

    def admits(self, captured_ns: int) -> bool:
        return self.wait_ns(captured_ns) == 0

    def wait_ns(self, captured_ns: int) -> int:
        """0 if the frame is admitted, else how much too early it is."""
        if self.interval_ns == 0:
            return 0
        if self._is_new(captured_ns):
            self._due_ns = self._previous_ns = captured_ns
        else:
            self.passed(captured_ns)
        early_ns = self._early_ns(captured_ns)
        if early_ns > 0:
            return early_ns
        self._due_ns += self.interval_ns
        return 0

    def _is_new(self, captured_ns: int) -> bool:
        """The first frame, or the first after a gap."""
        return not self._due_ns or abs(captured_ns - self._due_ns) > 2 * self.interval_ns

    def _early_ns(self, captured_ns: int) -> int:
        return self._due_ns - round(min(self._gap_ns, self.interval_ns) / 2) - captured_ns

    def next_is_missing_ns(self) -> int:
        """How long after a frame it is sure that the next one does not come at the usual pace."""
        return round(1.5 * self._gap_ns)

    def admit_late(self, due_ns: int) -> None:
        """Admit a frame that was too early, at the time when it is due."""
        self._due_ns = max(self._due_ns, due_ns) + self.interval_ns


class Admission:
    """Counts the frames of a source and decides which of them to decode.

    note: writes a line to the log, through the supervisor. decodes_with: reports the decoder of a
    compressed stream, and why it is not the one that was asked for, or "".
    """

    def __init__(
        self,
        tally: Tally,
        max_fps: float | None,
        note: Callable[[str], None] = lambda _: None,
        decodes_with: Callable[[str, str], None] = lambda decoder, why: None,
    ) -> None:
        self.note = note
        self.decodes_with = decodes_with
        self.renewed = False
        """`renew` was called; a source that sleeps until frames are admitted resets it."""
        self._tally = tally
        self._on = True
        self._limit = RateLimit(max_fps)
        self.interval_ns = self._limit.interval_ns
        """Shortest interval that max_fps permits; 0: no limit."""

    def limit_to(self, max_fps: float | None, *, on: bool = True) -> None:
        """From now on; from any thread. on: False while no view is on."""
        self._on = on
        self._limit.limit_to(max_fps)
        self.interval_ns = self._limit.interval_ns
        if not on:
            self._limit.interval_ns = max(OFF_NS, self.interval_ns)

    def renew(self) -> None:
        """Where frames are admitted less than once a second, admit the next one; from any
        thread."""
        self._limit.renew()
        self.renewed = True

    @property
    def decoding_ns(self) -> int:
        """Shortest interval of frames that are decoded: `interval_ns`, or longer while no view is
        on."""
        return self._limit.interval_ns

    def captured(self, frames: int = 1) -> None:
        self._tally.count(captured=frames)

    def due(self, now_ns: int) -> bool:
        """Whether a frame captured now would be decoded."""
        return self._limit.due(now_ns)

    def passed(self, captured_ns: int) -> None:
        """A frame that could be decoded is left out before decoding. Counts nothing."""
        self._limit.passed(captured_ns)

    def admits(self, captured_ns: int) -> bool:
        """Whether to decode this frame; if not, it is counted as skipped."""
        admitted = self._limit.admits(captured_ns)
        if not admitted:
            self.skipped()
        return admitted

    def wait_seconds(self, captured_ns: int, *, alone: bool = False) -> float:
        """0 if this frame is to be decoded, else the time until then. Counts nothing.

        If a newer frame arrives before then, call `skipped` for this one, otherwise `admit_late`:
        the last frame of a burst must not be lost. A frame that the next one follows at the usual
        pace is not worth its age, even if it is due before the next one comes. alone: the next
        one will not be decoded.
        """
        wait_ns = self._limit.wait_ns(captured_ns)
        if wait_ns and not alone:
            wait_ns = max(wait_ns, self._limit.next_is_missing_ns())
        return wait_ns / 1e9

    def admit_late(self, due_ns: int) -> None:
        """due_ns: time of capture plus the time waited."""
        self._limit.admit_late(due_ns)

    def skipped(self, frames: int = 1) -> None:
        """By max_fps, or because no view is on."""
        if self._on:
            self._tally.count(skipped=frames)
        else:
            self._tally.count(off=frames)

    def overwritten(self, frames: int = 1) -> None:
        """A newer frame has arrived, so these are not decoded."""
        self._tally.count(overwritten=frames)

    def broken(self) -> None:
        self._tally.count(broken=1)


class Decoding:
    """Detects a camera that sends only broken pictures.

    failed: makes the error, given what arrived instead of a picture. now_ns: time of the opening.
    """

    def __init__(
        self, admission: Admission, failed: Callable[[str], SourceError], now_ns: int
    ) -> None:
        self._admission = admission
        self._failed = failed
        self._whole_ns = now_ns
        self._broken_in_a_row = 0
        self._broken_since_ns = now_ns

    def whole(self, now_ns: int) -> None:
        self._broken_in_a_row = 0
        self._whole_ns = now_ns

    def broken(self, now_ns: int, got: str = UNDECODABLE) -> None:
        """Count a broken picture. Raises SourceError after BROKEN_IN_A_ROW of them, after
        BROKEN_SECONDS of them, or after UNSEEN_SECONDS without a good one.
        """
        self._admission.broken()
        if self._broken_in_a_row == 0:
            self._broken_since_ns = now_ns
        self._broken_in_a_row += 1
        if (
            self._broken_in_a_row >= BROKEN_IN_A_ROW
            or now_ns - self._broken_since_ns >= BROKEN_SECONDS * 1e9
            or now_ns - self._whole_ns >= UNSEEN_SECONDS * 1e9
        ):
            raise self._failed(got)
