"""A view's queue: the frame that waits, its urgency, and counts of what became of frames."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field

from edged.capture.frame import Frame
from edged.capture.mailbox import Mailbox
from edged.control.decode_times import DecodeTimes
from edged.control.thermal import Pace
from edged.pipeline.evidence import Evidence
from edged.pipeline.output import Output
from edged.variants.family import Fit
from edged.variants.variant import Variant
from edged.view import camera_of

FRAMES_TO_WAIT = 2
"""After this many frame intervals without a result a view is served, whatever its budget."""
SILENT_NS = 2_000_000_000
"""A view whose frames come more seldom gets no share of the others' time; nor does one that is
silent for longer, and for two of its intervals."""
PERIOD_GAIN = 0.05
"""Weight of the newest interval in the mean: arrivals jitter, a limit should not."""


@dataclass(slots=True)
class ViewQueue:
    """The pipeline's state of one view. A newer frame replaces the waiting one.

    index: of the view in the camera's mailbox. output: with the classes of its family; fit: of that
    family.
    """

    view: str
    mailbox: Mailbox
    output: Output
    budget_ms: float
    on_time: float
    min_fps: float = 0.0
    """Results per second that there must be time for; 0: no minimum."""
    min_top1: float = 0.0
    give_up: float | None = None
    """Accuracy that may be given up for less power; None where the goal is accuracy."""
    index: int = 0
    fit: Fit = Fit.CROP
    paced: bool = False
    """It takes fewer pictures than the camera delivers, because of its own max_fps."""
    on: bool = True
    """False: its frames are dropped. The main thread sets it."""
    waiting: Frame | None = None
    waiting_since_ns: int = 0
    """Capture of the oldest frame since the last result; newer frames do not change it."""
    recorded_ns: int = 0
    """Capture of the last frame in the trace."""
    results: int = 0
    late: int = 0
    stale: int = 0
    overwritten: int = 0
    """Frames that waited here until a newer one came."""
    spared_ms: float = 0.0
    """Processor time that `goal: power` has saved."""
    shed: int = 0
    """Frames skipped because of temperature or power."""
    off: int = 0
    """Frames dropped because the view was not on."""
    pace: Pace = field(default_factory=Pace)
    by_variant: dict[str, int] = field(default_factory=dict)
    """Results, by its name."""
    last_result_ns: int = 0
    last_ready_ns: int = 0
    last_sequence: int = 0
    last_quiet: int = 0
    """The view's count of frames without motion when the last frame came."""
    interval_ns: int = 0
    period_ms: float = 0.0
    """Mean interval; 0: not yet known."""
    age_ms: float = 0.0
    """Age of the newest frame when it reached the mailbox."""
    decode_times: DecodeTimes = field(default_factory=DecodeTimes)
    evidence: Evidence = field(default_factory=Evidence)

    def receive(self, frame: Frame) -> None:
        """Let a new frame wait, if the view is on."""
        if not self.on:
            self.off += 1 + (self.waiting is not None)
            self.waiting, self.last_ready_ns, self.interval_ns = None, 0, 0
            return
        quiet = self.mailbox.quiet(self.index)
        if self.last_ready_ns:
            pictures = 1 if self.paced else frame.sequence - self.last_sequence
            passed = max(1, pictures + quiet - self.last_quiet)
            self.interval_ns = (frame.ready_ns - self.last_ready_ns) // passed
            self._note_period(self.interval_ns / 1e6)
        self.last_ready_ns, self.last_sequence = frame.ready_ns, frame.sequence
        self.last_quiet = quiet
        self.age_ms = (frame.ready_ns - frame.captured_ns) / 1e6
        if self.waiting is None:
            self.waiting_since_ns = frame.captured_ns
        else:
            self.overwritten += 1
        self.waiting = frame

    def count(
        self, variant: Variant, now_ns: int, spared_ms: float = 0.0, *, on_time: bool
    ) -> None:
        """Count a result, published at `now_ns`."""
        self.results += 1
        self.spared_ms += spared_ms
        self.last_result_ns = now_ns
        self.late += not on_time
        name = variant.name
        self.by_variant[name] = self.by_variant.get(name, 0) + 1

    def computes_as(self, other: ViewQueue) -> bool:
        """Whether a run on the same pixels gives both views what they need."""
        kinds = self.output.takes_features, other.output.takes_features
        return self.fit == other.fit and kinds[0] == kinds[1]

    def _note_period(self, interval_ms: float) -> None:
        """Update the mean; an outage counts as two intervals, not as minutes."""
        if self.period_ms:
            interval_ms = min(interval_ms, 2 * self.period_ms)
            interval_ms = self.period_ms + PERIOD_GAIN * (interval_ms - self.period_ms)
        self.period_ms = interval_ms

    def slack_ms(self, captured_ns: int, now_ns: int) -> float:
        """What is left of the budget of a frame."""
        return self.budget_ms - (now_ns - captured_ns) / 1e6

    def delivers(self, now_ns: int) -> bool:
        """Whether other views must leave time for this one."""
        seldom = self.period_ms * 1e6 > SILENT_NS
        silent_ns = max(SILENT_NS, 2 * self.interval_ns)
        return not seldom and now_ns - self.last_ready_ns < silent_ns

    @property
    def urgency_ns(self) -> int:
        """When the frame must run: at its deadline, but at most FRAMES_TO_WAIT intervals after
        waiting_since_ns, so that a tight budget cannot starve a loose one."""
        patience_ns = int(self.budget_ms * 1e6)
        if self.interval_ns:
            patience_ns = min(patience_ns, FRAMES_TO_WAIT * self.interval_ns)
        return self.waiting_since_ns + patience_ns

    def is_overdue(self, now_ns: int) -> bool:
        """A late result is due: this source cannot meet the budget."""
        interval_ns = self.interval_ns or int(self.budget_ms * 1e6)
        return now_ns - self.last_result_ns > FRAMES_TO_WAIT * interval_ns

    def due_ns(self) -> int | None:
        """When the next frame is expected; None before the rate is known. Frames without motion
        count as well: any of them may be the next one delivered."""
        if not self.interval_ns:
            return None
        left_out = self.mailbox.quiet(self.index) - self.last_quiet
        return self.last_ready_ns + (left_out + 1) * self.interval_ns


@dataclass(slots=True)
class Intake:
    """A camera's mailbox and the queues of its views."""

    camera: str
    mailbox: Mailbox
    queues: Sequence[ViewQueue]
    views: Sequence[str] = ()
    """Which ones the last picture is for; of a camera with views of its own."""

    @classmethod
    def each(cls, queues: Iterable[ViewQueue]) -> list[Intake]:
        """One for each mailbox."""
        made: dict[int, list[ViewQueue]] = {}
        for queue in queues:
            made.setdefault(id(queue.mailbox), []).append(queue)
        return [cls(camera_of(each[0].view), each[0].mailbox, each) for each in made.values()]

    @property
    def has_views(self) -> bool:
        """More than the camera itself: then frames are copies, which outlive the picture."""
        return len(self.queues) > 1

    @property
    def whole(self) -> Frame | None:
        """All that a camera with views of its own sees, valid until the next picture is taken; None
        where the last picture shows less."""
        latest = self.mailbox.latest
        return latest if self._is_divided and latest is not None and latest.whole else None

    @property
    def _is_divided(self) -> bool:
        """Into views of its own, maybe a single one."""
        return self.queues[0].view != self.camera

    def take(self, running: Container[str]) -> bool:
        """Hand the newest picture to the views that it is for; False if there is none, or no view
        is on. running: views whose frames are in use."""
        if not self.has_views and self.queues[0].view in running:
            return False
        frames = self.mailbox.take()
        if not frames:
            return False
        if self._is_divided:
            due = (each for each in self.queues if each.on and frames[each.index] is not None)
            self.views = [each.view for each in due]
        for queue in self.queues:
            frame = frames[queue.index]
            if frame is not None:
                queue.receive(frame)
        return any(queue.on for queue in self.queues)
