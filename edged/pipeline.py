"""The way of a frame: newest frame → slack → variant → scores → result → sinks.

One thread runs it for all cameras; the next frame to run is the one whose deadline is earliest.
What is kept for each of them is in lane.py.
Knows nothing of drivers (edged/capture) nor of how results leave the machine (edged/sinks).
"""

from __future__ import annotations

import math
import os
import selectors
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from edged.clock import Clock, monotonic_ns, unix_ns_of
from edged.control.controller import CameraSettings, Controller
from edged.control.recording import Header, RecordedFrame
from edged.control.selector import Decision
from edged.control.slowdown import Slowdown
from edged.control.thermal import Allowance
from edged.frame import Frame, Result, Score, Stages
from edged.lane import Lane

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edged.backends.loaded import LoadedFamily
    from edged.control.profile import Candidate
    from edged.control.profiler import Profiler
    from edged.control.recorder import Recorder
    from edged.sinks import Sink
    from edged.variants.variant import Variant

IDLE_SECONDS = 0.5
"""Without frames the loop still turns this often, so that its progress can be seen."""
NO_FRAME_SOON_MS = 1000.0
"""The gap to count on when no camera is delivering."""


class ResultObserver(Protocol):
    """What the pipeline tells the metrics."""

    def observe(self, result: Result) -> None: ...
    def stale(self, camera: str) -> None: ...
    def shed(self, camera: str) -> None: ...
    def switched(self, camera: str, reason: str) -> None: ...


@dataclass(slots=True)
class Output:
    """How much of the scores a result carries."""

    labels: tuple[str, ...]
    top_k: int
    min_score: float

    def top(self, scores: NDArray[np.float32]) -> tuple[Score, ...]:
        """The best labels, best first, with the scores that reach the minimum."""
        ranked = np.argsort(scores)[: -self.top_k - 1 : -1]
        return tuple(
            Score(self.labels[index], float(scores[index]))
            for index in ranked
            if scores[index] >= self.min_score
        )


@dataclass(frozen=True, slots=True)
class Run:
    """A decision, the limit_ms that it was told, and what came of it."""

    decision: Decision
    limit_ms: float
    result: Result
    service_ms: float


@dataclass(slots=True)
class Pipeline:
    """Call `run` in a thread; `stop` from any other ends it after the frame under way."""

    lanes: Sequence[Lane]
    loaded: LoadedFamily
    profiler: Profiler
    output: Output
    sinks: Sequence[Sink]
    observer: ResultObserver
    frames_wanted: int | None = None
    clock: Clock = monotonic_ns
    finished: Callable[[], bool] = lambda: False
    """True when no camera will ever deliver again."""

    recorder: Recorder | None = None
    about: Mapping[str, str] = field(default_factory=dict)
    """Device, backend and family, for the header of a trace."""

    controller: Controller = field(init=False)
    progress_ns: int = 0
    profiled: bool = False
    """The profile is complete, and sessions that it made needless are gone."""
    allowance: Allowance = field(default_factory=Allowance)
    """How much of the time may be spent computing; the main thread sets it."""
    _stopping: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.controller = Controller(
            {
                lane.camera: CameraSettings(lane.budget_ms, lane.on_time, lane.min_top1)
                for lane in self.lanes
            },
            Slowdown(self.loaded.threads),
        )

    @property
    def results(self) -> int:
        return sum(lane.results for lane in self.lanes)

    def stop(self) -> None:
        self._stopping.set()
        for lane in self.lanes:
            os.eventfd_write(lane.mailbox.wake_fd, 1)

    def run(self) -> None:
        """Until stopped, or the wanted number of results is out, or every source has ended."""
        self._measure_cheapest()
        with selectors.DefaultSelector() as selector:
            for lane in self.lanes:
                selector.register(lane.mailbox.wake_fd, selectors.EVENT_READ, lane)
            while not self._stopping.is_set():
                self.progress_ns = self.clock()
                finished = self.finished()  # asked first: the last frame comes before the end
                for lane in self.lanes:
                    lane.take()
                urgent = self._most_urgent()
                if urgent is not None:
                    self._process(urgent)
                    if self.frames_wanted is not None and self.results >= self.frames_wanted:
                        return
                elif finished:
                    return
                elif not self._use_gap():
                    for key, _ in selector.select(IDLE_SECONDS):
                        key.data.mailbox.clear_wake()

    def _most_urgent(self) -> Lane | None:
        waiting = [lane for lane in self.lanes if lane.waiting is not None]
        return min(waiting, key=lambda lane: lane.urgency_ns) if waiting else None

    def _process(self, lane: Lane) -> None:
        frame, lane.waiting = lane.waiting, None
        assert frame is not None
        taken_ns = self.clock()
        slack_ms = lane.budget_ms - (taken_ns - frame.captured_ns) / 1e6
        ladder = self.profiler.ladder
        if self.recorder is not None and self.recorder.header_due(ladder):
            self.recorder.begin(Header.of(self.controller, ladder, self.about), ladder)
        if slack_ms <= 0 and not lane.is_overdue(taken_ns):
            lane.stale += 1
            self._record(lane, frame, slack_ms, None)
            self.controller.dropped(lane.camera)
            self.observer.stale(lane.camera)
            return
        limit_ms = self._limit_ms(lane, taken_ns)
        if limit_ms is None:
            lane.shed += 1
            self.observer.shed(lane.camera)
            return
        decision = self.controller.decide(lane.camera, ladder, slack_ms, limit_ms)
        candidate = decision.candidate
        lane.decode_times.observe(frame.received_ns, frame.ready_ns)
        lane.mailbox.want(candidate.variant.resolution)
        lane.decode_times.want(candidate.variant.resolution, self.clock())
        scores, preprocessed_ns, inferred_ns = self.loaded.infer(
            candidate.variant, candidate.threads, frame.pixels
        )
        top = self.output.top(scores)
        published_ns = self.clock()
        result = Result(
            camera=lane.camera,
            sequence=frame.sequence,
            captured_unix_ns=unix_ns_of(frame.captured_ns, published_ns),
            budget_ms=lane.budget_ms,
            variant=candidate.variant,
            threads=candidate.threads,
            reason=decision.reason.value,
            stages=Stages(
                capture=(frame.received_ns - frame.captured_ns) / 1e6,
                decode=(frame.ready_ns - frame.received_ns) / 1e6,
                queue=(taken_ns - frame.ready_ns) / 1e6,
                preprocess=(preprocessed_ns - taken_ns) / 1e6,
                inference=(inferred_ns - preprocessed_ns) / 1e6,
                publish=(published_ns - inferred_ns) / 1e6,
            ),
            top=top,
        )
        for sink in self.sinks:
            sink.publish(result)
        self.observer.observe(result)
        service_ms = (published_ns - taken_ns) / 1e6
        self._record(lane, frame, slack_ms, Run(decision, limit_ms, result, service_ms))
        before = self.controller.cameras[lane.camera].previous
        self.controller.observe(lane.camera, ladder, candidate, service_ms, result.on_time)
        self._note(lane, before, decision, result)
        self.profiler.observe(  # last, because it may bring another ladder
            (candidate.variant, candidate.threads),
            (result.stages.preprocess, result.stages.inference),
        )

    def _limit_ms(self, lane: Lane, now_ns: int) -> float | None:
        """How long the run may be expected to take; None to leave the frame out.

        The cameras that deliver take turns. So that each comes round as often as the most
        demanding `min_fps` says, all their runs together must fit into its interval; and what the
        temperature allows is parted equally among them.
        """
        delivering = [other for other in self.lanes if other is lane or other.delivers(now_ns)]
        most_fps = max(other.min_fps for other in delivering)
        limit_ms = 1000 / most_fps / len(delivering) if most_fps else math.inf
        share = self.allowance.share
        if share < 1 and lane.period_ms:
            cool_ms = share * lane.period_ms / len(delivering)
            cheapest_ms = self.controller.cheapest_ms(lane.camera, self.profiler.ladder)
            if not lane.pace.admits(cool_ms, cheapest_ms):
                return None
            limit_ms = min(limit_ms, cool_ms)
        return limit_ms

    def _note(
        self, lane: Lane, before: Candidate | None, decision: Decision, result: Result
    ) -> None:
        lane.results += 1
        lane.last_result_ns = self.clock()
        lane.late += not result.on_time
        lane.by_variant[result.variant] = lane.by_variant.get(result.variant, 0) + 1
        if before is not None and before is not decision.candidate:
            self.observer.switched(lane.camera, decision.reason.value)

    def _record(
        self,
        lane: Lane,
        frame: Frame,
        slack_ms: float,
        run: Run | None,
    ) -> None:
        """Into the trace, if one is kept. run: None for a frame that was dropped as too old."""
        if self.recorder is None:
            return
        before_ns, lane.recorded_ns = lane.recorded_ns or frame.captured_ns, frame.captured_ns
        ladder = self.profiler.ladder
        chosen = None if run is None else ladder.index(run.decision.candidate)
        self.recorder.record(
            RecordedFrame(
                camera=lane.camera,
                interval_ms=(frame.captured_ns - before_ns) / 1e6,
                wait_ms=(frame.ready_ns - frame.captured_ns) / 1e6,
                slack_ms=slack_ms,
                limit_ms=run.limit_ms if run is not None and run.limit_ms < math.inf else None,
                chosen=chosen,
                reason="" if run is None else run.decision.reason.value,
                service_ms=0.0 if run is None else run.service_ms,
                on_time=run is not None and run.result.on_time,
                stages={} if run is None else asdict(run.result.stages),
                sensors=self.allowance.sensors,
            )
        )

    def _measure_cheapest(self) -> None:
        self.progress_ns = self.clock()
        self.profiler.measure_cheapest(self._measure)

    def _use_gap(self) -> bool:
        """Spend the time until the next frame on the profile, if there is enough of it."""
        if self.profiler.complete and not self.profiled:
            on_ladder = [(each.variant, each.threads) for each in self.profiler.ladder]
            self.loaded.keep([*on_ladder, *self.profiler.waiting])
            self.profiled = True
        if not self.profiler.waiting:
            return False
        now_ns = self.clock()
        due_ns = [due for lane in self.lanes if (due := lane.due_ns()) is not None]
        gap_ms = min(((due - now_ns) / 1e6 for due in due_ns), default=NO_FRAME_SOON_MS)
        if gap_ms < -NO_FRAME_SOON_MS:
            gap_ms = NO_FRAME_SOON_MS  # the cameras that delivered are silent
        cheapest_ms = min(candidate.p95_ms for candidate in self.profiler.ladder)
        spare_ms = min(lane.budget_ms - lane.age_ms for lane in self.lanes) - 1.5 * cheapest_ms
        tolerable_ms = gap_ms + max(0.0, spare_ms)
        slowdown = self.controller.slowdown.ratio
        return self.profiler.use_gap(gap_ms, tolerable_ms, self._measure, slowdown)

    def _measure(self, variant: Variant, threads: int) -> tuple[float, float]:
        pixels = self._latest_pixels()
        begun_ns = self.clock()
        _, preprocessed_ns, inferred_ns = self.loaded.infer(variant, threads, pixels)
        return (preprocessed_ns - begun_ns) / 1e6, (inferred_ns - preprocessed_ns) / 1e6

    def _latest_pixels(self) -> NDArray[np.uint8]:
        for lane in self.lanes:
            if lane.mailbox.latest is not None:
                return lane.mailbox.latest.pixels
        return np.zeros((480, 480, 3), np.uint8)
