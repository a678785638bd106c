"""The way of a frame: newest frame → slack → variant → scores → result → sinks.

The next frame to run is the one whose deadline is earliest. Frames of several cameras run side by
side, on a core each, when there are cores; a frame that waits alone may spread over all of them.
What is kept for each camera is in queue.py, the threads are in workers.py.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edged.backends.loaded import LoadedFamily
from edged.capture.frame import Frame
from edged.clock import Clock, monotonic_ns
from edged.control.controller import CameraSettings, Controller
from edged.control.profile import Candidate
from edged.control.profiler import Profiler
from edged.control.selector import NO_LIMITS, Decision, Limits
from edged.control.setbacks import Setbacks
from edged.control.slowdown import Slowdown
from edged.control.thermal import Allowance
from edged.device import KEEP_WARM_SECONDS
from edged.effort import Turn
from edged.events.events import Watch
from edged.pipeline.idle import Gap
from edged.pipeline.output import Output
from edged.pipeline.queue import Lane
from edged.pipeline.run import Run
from edged.pipeline.workers import IDLE_SECONDS, Crew
from edged.result import Event, Result
from edged.sinks.sink import Sink
from edged.tracing.recorder import Recorder
from edged.tracing.recording import Header, RecordedFrame
from edged.variants.runtime import RunError
from edged.variants.variant import Variant

log = logging.getLogger("edged")


class ResultObserver(Protocol):
    """What the pipeline tells the metrics."""

    def observe(self, result: Result) -> None: ...
    def stale(self, camera: str) -> None: ...
    def shed(self, camera: str) -> None: ...
    def switched(self, camera: str, reason: str) -> None: ...


@dataclass(slots=True)
class Pipeline:
    """Call `run` in a thread; `stop` from any other ends it after the frames under way.

    cores: that inference may use; so many frames, of as many cameras, run side by side.
    """

    lanes: Sequence[Lane]
    loaded: LoadedFamily
    profiler: Profiler
    output: Output
    sinks: Sequence[Sink]
    observer: ResultObserver
    cores: int = 1
    keep_warm: bool = False
    frames_wanted: int | None = None
    clock: Clock = monotonic_ns
    finished: Callable[[], bool] = lambda: False
    """True when no camera will ever deliver again."""

    watch: Watch = field(default_factory=lambda: Watch(()))
    announce: Callable[[Event, NDArray[np.uint8] | None], None] = lambda event, pixels: None
    """Takes what the watch sees, and the picture that it began with, which is valid until it
    returns."""
    show: Callable[[Result, NDArray[np.uint8]], None] = lambda result, pixels: None
    """Takes every result and its picture, valid until it returns, for whoever may be looking."""

    recorder: Recorder | None = None
    about: Mapping[str, str] = field(default_factory=dict)
    """Device, backend and family, for the header of a trace."""

    controller: Controller = field(init=False)
    allowance: Allowance = field(default_factory=Allowance)
    """How much of the time may be spent computing; the main thread sets it."""
    setbacks: Setbacks = field(default_factory=Setbacks)
    """Variants that failed on a picture."""
    _events: int = 0
    _runs: dict[str, Run] = field(default_factory=dict)
    """Under way, by camera."""
    _state: threading.Lock = field(default_factory=threading.Lock)
    """For what decisions depend on and results change."""
    _gap: Gap = field(init=False)
    _crew: Crew[Run] = field(init=False)

    def __post_init__(self) -> None:
        self.controller = Controller(
            {
                lane.camera: CameraSettings(lane.budget_ms, lane.on_time, lane.min_top1)
                for lane in self.lanes
            },
            Slowdown(self.loaded.threads),
        )
        self._gap = Gap(self.lanes, self.loaded, self.profiler, self.keep_warm, self.clock)
        mailboxes = [lane.mailbox for lane in self.lanes]
        idle_seconds = KEEP_WARM_SECONDS if self.keep_warm else IDLE_SECONDS
        threads = min(self.cores, len(self.lanes))
        self._crew = Crew(self, mailboxes, threads, self.clock, idle_seconds)

    @property
    def profiled(self) -> bool:
        """The profile is complete, and sessions that it made needless are gone."""
        return self._gap.profiled

    @property
    def results(self) -> int:
        return sum(lane.results for lane in self.lanes)

    @property
    def turn(self) -> Turn:
        """When the thread that has been busy for longest began."""
        runs = tuple(self._runs.values())
        return min([self._crew.looked, *(Turn(run.taken_ns, run.thread) for run in runs)])

    def take_over(self, before: Pipeline) -> None:
        """Go on from what `before`, which has ended, knew of cameras, networks, events and the
        device."""
        same_networks = before.loaded is self.loaded
        self.controller.take_over(before.controller, same_networks)
        self._gap.profiled = same_networks and before.profiled
        if same_networks:
            self.setbacks = before.setbacks
        for event in self.watch.take_over(before.watch):
            self.announce(event, None)
        if self.recorder is not None:
            self.recorder.interrupt()

    def stop(self) -> None:
        self._crew.stop()

    def close(self) -> None:
        """Give up its descriptor, after the last `run` and `stop`."""
        self._crew.close()

    def run(self) -> None:
        """Until stopped, or the wanted number of results is out, or every source has ended."""
        self._crew.run(self._measure_cheapest)

    def over(self) -> bool:
        return not self._runs and (self._enough() or self.finished())

    def _enough(self) -> bool:
        """With those under way, the wanted results will be out."""
        wanted = self.frames_wanted
        return wanted is not None and self.results + len(self._runs) >= wanted

    def begin(self) -> Run | None:
        """Decide on the most urgent frame, if there is one and a core to run it on."""
        with self._state:
            return None if self._enough() else self._begin()

    def _begin(self) -> Run | None:
        if self.setbacks.resting and self.setbacks.end_rests(self.clock()):
            self.profiler.rest(self.setbacks.resting)
        for lane in self.lanes:
            if lane.camera not in self._runs:
                lane.take()
        ladder = self.profiler.ladder
        while waiting := [lane for lane in self.lanes if lane.waiting is not None]:
            waiting.sort(key=lambda lane: lane.urgency_ns)
            free = self.cores - sum(run.decision.candidate.threads for run in self._runs.values())
            if free < 1:
                return None
            if self.recorder is not None and self.recorder.header_due(ladder):
                if self._runs:  # a header holds the state between runs
                    return None
                self.recorder.begin(Header.of(self.controller, ladder, self.about), ladder)
            run = self._decide(waiting, free, ladder)
            if run is not None:
                self._runs[run.lane.camera] = run
                return run
        return None

    def _decide(
        self, waiting: Sequence[Lane], free: int, ladder: Sequence[Candidate]
    ) -> Run | None:
        """Take the frame of the first lane; None when it is not to be run."""
        lane = waiting[0]
        frame, lane.waiting = lane.waiting, None
        assert frame is not None
        taken_ns = self.clock()
        slack_ms = lane.budget_ms - (taken_ns - frame.captured_ns) / 1e6
        if slack_ms <= 0 and not lane.is_overdue(taken_ns):
            lane.stale += 1
            self._record(lane, frame, slack_ms)
            self.controller.dropped(lane.camera)
            self.observer.stale(lane.camera)
            return None
        run_ms = self._limit_ms(lane, taken_ns)
        if run_ms is None:
            lane.shed += 1
            self.observer.shed(lane.camera)
            return None
        if frame.wanted:
            decode_ms = (frame.ready_ns - frame.received_ns) / 1e6
            lane.decode_times.observe(frame.wanted, decode_ms, self.controller.slowdown.ratio)
        limits = Limits(
            run_ms, _too_small_beyond(frame, ladder), self._threads(waiting, slack_ms, free, ladder)
        )
        if limits == NO_LIMITS:
            limits = NO_LIMITS
        decision = self.controller.decide(lane.camera, ladder, slack_ms, limits)
        thread = threading.get_native_id()  # who looks for a frame also runs it
        return Run(lane, frame, taken_ns, slack_ms, limits, ladder, decision, self._events, thread)

    def _threads(
        self, waiting: Sequence[Lane], slack_ms: float, free: int, ladder: Sequence[Candidate]
    ) -> int | None:
        """How many the frame of the first lane may use; None for as many as any variant has."""
        most = max(self.loaded.threads)
        if most == 1:
            return None
        threads = free
        if len(waiting) > 1 and waiting[1].waiting is not None:
            first, second = waiting[:2]
            age_ms = (self.clock() - waiting[1].waiting.captured_ns) / 1e6
            threads = self.controller.threads_for(
                first.camera,
                slack_ms,
                second.camera,
                second.budget_ms - age_ms,
                ladder,
                free=free,
                waiting=len(waiting) - 1,
            )
        return threads if threads < most else None

    def carry_out(self, run: Run) -> None:
        """Run the frame's variant; hand out the result, and learn from it."""
        lane, frame, decision = run.lane, run.frame, run.decision
        candidate = decision.candidate
        try:
            scores, preprocessed_ns, inferred_ns = self.loaded.infer(
                candidate.variant, candidate.threads, frame.pixels
            )
        except RunError as error:
            with self._state:
                self._set_aside(error)
                self._measure_cheapest()
                lane.waiting = frame  # for another variant, unless a newer one has come
                del self._runs[lane.camera]
            return
        self._gap.ran_ns = inferred_ns
        top = self.output.top(scores)
        published_ns = self.clock()
        result = run.result(top, preprocessed_ns, inferred_ns, published_ns)
        with self._state:
            self.observer.observe(result)
            service_ms = (published_ns - run.taken_ns) / 1e6
            self._record(lane, frame, run.slack_ms, run, result, service_ms)
            before = self.controller.cameras[lane.camera].previous
            self.controller.observe(lane.camera, run.ladder, candidate, service_ms, result.on_time)
            self._want(run)
            self._note(lane, before, decision, result)
            self.profiler.observe(  # last, because it may bring another ladder
                (candidate.variant, candidate.threads),
                (result.stages.preprocess, result.stages.inference),
            )
            captured = frame.captured_ns, result.captured_unix_ns
            for event in self.watch.observe(lane.camera, scores, *captured):
                self.announce(event, frame.pixels)
            self.show(result, frame.pixels)
            del self._runs[lane.camera]  # its pixels may change from now on
            # Last: a sink's thread that woke before would only wait for this one.
            for sink in self.sinks:
                sink.publish(result)

    def _set_aside(self, error: RunError) -> None:
        """The other variants go on; with none left, raise the error."""
        seconds = self.setbacks.fail(error.choice, self.clock())
        self.profiler.rest(self.setbacks.resting)
        if not self.profiler.usable:
            raise error
        log.error("%s; the others go on, it is tried again in %.0f s", error, seconds)

    def _measure_cheapest(self) -> None:
        try:
            self.profiler.measure_cheapest(self._measure)
        except RunError as error:
            self._set_aside(error)
            self._measure_cheapest()

    def _measure(self, variant: Variant, threads: int) -> tuple[float, float]:
        self._crew.turned()
        return self._gap.measure(variant, threads)

    def _want(self, run: Run) -> None:
        """Have the next picture decoded for what would run on it: a frame ahead of the choice."""
        side = run.decision.candidate.variant.resolution
        ratio = self.controller.slowdown.ratio
        dearer_ms = run.lane.decode_times.dearer_ms(run.frame.wanted, ratio)
        if run.limits.resolution is not None or any(dearer_ms.values()):
            limits = run.limits._replace(resolution=None)
            lead = self.controller.decide(
                run.lane.camera, run.ladder, run.slack_ms, limits, dearer_ms
            )
            side = lead.candidate.variant.resolution
        run.lane.mailbox.want(side)

    def _limit_ms(self, lane: Lane, now_ns: int) -> float | None:
        """How long the run may be expected to take; None to leave the frame out.

        The cameras that deliver share the cores. So that each comes round as often as the most
        demanding `min_fps` says, all their runs together must fit into its interval; and what the
        temperature allows is parted equally among them.
        """
        delivering = [other for other in self.lanes if other is lane or other.delivers(now_ns)]
        beside, cameras = min(self.cores, len(delivering)), len(delivering)
        most_fps = max(other.min_fps for other in delivering)
        limit_ms = 1000 / most_fps * beside / cameras if most_fps else math.inf
        share = self.allowance.share
        if share < 1 and lane.period_ms:
            cool_ms = share * lane.period_ms * beside / cameras
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
        chosen = decision.candidate  # the profile may have given the same one other figures since
        if before and (before.variant, before.threads) != (chosen.variant, chosen.threads):
            self.observer.switched(lane.camera, decision.reason.value)

    def _record(
        self,
        lane: Lane,
        frame: Frame,
        slack_ms: float,
        run: Run | None = None,
        result: Result | None = None,
        service_ms: float = 0.0,
    ) -> None:
        """Into the trace, if one is kept. No run for a frame that was dropped as too old."""
        if self.recorder is None:
            return
        before_ns, lane.recorded_ns = lane.recorded_ns or frame.captured_ns, frame.captured_ns
        self.recorder.record(
            RecordedFrame(
                camera=lane.camera,
                interval_ms=max(0, frame.captured_ns - before_ns) / 1e6,
                wait_ms=(frame.ready_ns - frame.captured_ns) / 1e6,
                slack_ms=slack_ms,
                limits=NO_LIMITS if run is None else run.limits,
                overtaken=0 if run is None else self._events - run.event,
                chosen=None if run is None else run.ladder.index(run.decision.candidate),
                reason="" if result is None else result.reason,
                service_ms=service_ms,
                on_time=result is not None and result.on_time,
                stages={} if result is None else result.stages._asdict(),
                sensors=self.allowance.sensors,
            )
        )
        self._events += 1

    def use_gap(self) -> bool:
        ratio, cool = self.controller.slowdown.ratio, self.allowance.share == 1
        try:
            return not self._runs and self._gap.use(ratio, cool=cool)
        except RunError as error:
            self._set_aside(error)
            self._measure_cheapest()
            return True


def _too_small_beyond(frame: Frame, ladder: Sequence[Candidate]) -> int | None:
    """The largest resolution that the picture can serve, where the ladder has larger ones."""
    serves = frame.serves
    if serves is None or all(candidate.variant.resolution <= serves for candidate in ladder):
        return None
    return serves
