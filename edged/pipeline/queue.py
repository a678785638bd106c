"""One camera in the pipeline: the frame that waits, how urgent it is, what came of all."""

from __future__ import annotations

from dataclasses import dataclass, field

from edged.capture.frame import Frame
from edged.capture.mailbox import Mailbox
from edged.control.decode_times import DecodeTimes
from edged.control.thermal import Pace
from edged.variants.variant import Variant

FRAMES_TO_WAIT = 2
"""After so many frame intervals without a result a camera is served, whatever its budget."""
SILENT_NS = 2_000_000_000
"""A camera that is silent for longer, and for two of its intervals, needs no share of the time."""
PERIOD_GAIN = 0.05
"""Weight of the newest interval in the mean one: arrivals jitter, a limit should not."""


@dataclass(slots=True)
class Lane:
    """What the pipeline keeps for one camera."""

    camera: str
    mailbox: Mailbox
    budget_ms: float
    on_time: float
    min_fps: float = 0.0
    """Results a second that there must be time for; 0 for no such wish."""
    min_top1: float = 0.0
    waiting: Frame | None = None
    waiting_since_ns: int = 0
    """Capture of the oldest frame that came since the last result; newer ones do not move it."""
    recorded_ns: int = 0
    """Capture of the frame that a trace had last."""
    results: int = 0
    late: int = 0
    stale: int = 0
    shed: int = 0
    """Frames left out for the sake of the temperature."""
    pace: Pace = field(default_factory=Pace)
    by_variant: dict[Variant, int] = field(default_factory=dict)
    last_result_ns: int = 0
    last_ready_ns: int = 0
    last_sequence: int = 0
    last_quiet: int = 0
    """Frames that the camera had left out, because nothing moved, when the last one came."""
    interval_ns: int = 0
    period_ms: float = 0.0
    """Mean interval; 0 before it is known."""
    age_ms: float = 0.0
    """Of the newest frame, when it came into the mailbox."""
    decode_times: DecodeTimes = field(default_factory=DecodeTimes)

    def take(self) -> None:
        """Look into the mailbox; a newer frame replaces the one that waits."""
        frame = self.mailbox.take()
        if frame is None:
            return
        quiet = self.mailbox.quiet
        if self.last_ready_ns:
            passed = max(1, frame.sequence - self.last_sequence + quiet - self.last_quiet)
            self.interval_ns = (frame.ready_ns - self.last_ready_ns) // passed
            self._note_period(self.interval_ns / 1e6)
        self.last_ready_ns, self.last_sequence = frame.ready_ns, frame.sequence
        self.last_quiet = quiet
        self.age_ms = (frame.ready_ns - frame.captured_ns) / 1e6
        if self.waiting is None:
            self.waiting_since_ns = frame.captured_ns
        self.waiting = frame

    def _note_period(self, interval_ms: float) -> None:
        """A camera that was away counts as one that took twice its time, not minutes."""
        if self.period_ms:
            interval_ms = min(interval_ms, 2 * self.period_ms)
            interval_ms = self.period_ms + PERIOD_GAIN * (interval_ms - self.period_ms)
        self.period_ms = interval_ms

    def delivers(self, now_ns: int) -> bool:
        """It has sent a frame lately."""
        return now_ns - self.last_ready_ns < max(SILENT_NS, 2 * self.interval_ns)

    @property
    def urgency_ns(self) -> int:
        """When the lane wants to be served: at its deadline; or, with a budget of many frames,
        FRAMES_TO_WAIT later, so that a tight budget cannot starve a loose one."""
        patience_ns = int(self.budget_ms * 1e6)
        if self.interval_ns:
            patience_ns = min(patience_ns, FRAMES_TO_WAIT * self.interval_ns)
        return self.waiting_since_ns + patience_ns

    def is_overdue(self, now_ns: int) -> bool:
        """It is time for a result, though a late one: the budget is hopeless for this source."""
        interval_ns = self.interval_ns or int(self.budget_ms * 1e6)
        return now_ns - self.last_result_ns > FRAMES_TO_WAIT * interval_ns

    def due_ns(self) -> int | None:
        """When the next frame is expected; None before the rate is known. Where nothing moves, any
        of those that are left out may be the one that comes."""
        if not self.interval_ns:
            return None
        left_out = self.mailbox.quiet - self.last_quiet
        return self.last_ready_ns + (left_out + 1) * self.interval_ns
