"""The path of a frame: newest frame → slack → variant → scores → result → sinks.

The frame with the earliest deadline runs next. Frames of several cameras run in parallel, one core
each; a frame that waits alone may use all cores. queue.py holds the state of each camera,
workers.py the threads.
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
from edged.pipeline.idle import Idle
from edged.pipeline.output import Output
from edged.pipeline.queue import CameraQueue
from edged.pipeline.run import Run
from edged.pipeline.workers import IDLE_SECONDS, Workers
from edged.result import Event, Result
from edged.sinks.sink import Sink
from edged.tracing.recorder import Recorder
from edged.tracing.recording import Header, RecordedFrame
from edged.variants.runtime import RunError
from edged.variants.variant import Choice

log = logging.getLogger("edged")


class ResultObserver(Protocol):
    """Receives what the metrics count."""

    def observe(self, result: Result) -> None: ...
    def stale(self, camera: str) -> None: ...
    def shed(self, camera: str) -> None: ...
    def switched(self, camera: str, reason: str) -> None: ...


@dataclass(slots=True)
class Pipeline:
    """Call `run` in a thread; `stop`, from any other, ends it after the frames in progress.

    cores: how many inference may use, and so how many cameras' frames run in parallel.
    """

    queues: Sequence[CameraQueue]
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
    """Receives an event and the picture of its start, which is valid until the call returns."""
    show: Callable[[Result, NDArray[np.uint8]], None] = lambda result, pixels: None
    """Receives every result and its picture, which is valid until the call returns."""

    recorder: Recorder | None = None
    about: Mapping[str, str] = field(default_factory=dict)
    """Device, backend and family, for the header of a trace."""

    controller: Controller = field(init=False)
    allowance: Allowance = field(default_factory=Allowance)
    """Share of the time that may be spent computing; the main thread sets it."""
    setbacks: Setbacks = field(default_factory=Setbacks)
    """Variants that failed on a picture."""
    _events: int = 0
    _runs: dict[str, Run] = field(default_factory=dict)
    """In progress, by camera."""
    _state: threading.Lock = field(default_factory=threading.Lock)
    """Guards what decisions depend on and results change."""
    _idle: Idle = field(init=False)
    _workers: Workers[Run] = field(init=False)

    def __post_init__(self) -> None:
        self.controller = Controller(
            {
                queue.camera: CameraSettings(queue.budget_ms, queue.on_time, queue.min_top1)
                for queue in self.queues
            },
            Slowdown(self.loaded.threads),
        )
        self._idle = Idle(self.queues, self.loaded, self.profiler, self.keep_warm, self.clock)
        mailboxes = [queue.mailbox for queue in self.queues]
        idle_seconds = KEEP_WARM_SECONDS if self.keep_warm else IDLE_SECONDS
        threads = min(self.cores, len(self.queues))
        self._workers = Workers(self, mailboxes, threads, self.clock, idle_seconds)

    @property
    def profiled(self) -> bool:
        """The profile is complete, and the sessions that it made unnecessary are released."""
        return self._idle.kept is self.profiler.profile

    @property
    def results(self) -> int:
        return sum(queue.results for queue in self.queues)

    @property
    def turn(self) -> Turn:
        """The start of the thread that has been busy for the longest time."""
        runs = tuple(self._runs.values())
        return min([self._workers.looked, *(Turn(run.taken_ns, run.thread) for run in runs)])

    def take_over(self, before: Pipeline) -> None:
        """Continue with the state of `before`, which has ended."""
        same_model = before.loaded is self.loaded
        self.controller.take_over(before.controller, same_model)
        if same_model:
            self._idle.kept = before._idle.kept
            self.setbacks = before.setbacks
        for event in self.watch.take_over(before.watch):
            self.announce(event, None)
        if self.recorder is not None:
            self.recorder.interrupt()

    def stop(self) -> None:
        self._workers.stop()

    def close(self) -> None:
        """Call it after the last `run` and `stop`."""
        self._workers.close()

    def run(self) -> None:
        """Run until stopped, frames_wanted results are published, or every source has ended."""
        self._workers.run(self._measure_cheapest)

    def over(self) -> bool:
        return not self._runs and (self._enough() or self.finished())

    def _enough(self) -> bool:
        """The runs in progress complete the wanted number of results."""
        wanted = self.frames_wanted
        return wanted is not None and self.results + len(self._runs) >= wanted

    def begin(self) -> Run | None:
        """Decide on the most urgent frame, if there is one and a free core."""
        with self._state:
            return None if self._enough() else self._begin()

    def _begin(self) -> Run | None:
        if self.setbacks.resting and self.setbacks.end_rests(self.clock()):
            self.profiler.rest(self.setbacks.resting)
        for queue in self.queues:
            if queue.camera not in self._runs:
                queue.take()
        ladder = self.profiler.ladder
        while waiting := [queue for queue in self.queues if queue.waiting is not None]:
            waiting.sort(key=lambda queue: queue.urgency_ns)
            free = self.cores - sum(run.decision.candidate.threads for run in self._runs.values())
            if free < 1:
                return None
            if self.recorder is not None and self.recorder.header_due(ladder):
                if self._runs:  # a header holds the state between runs
                    return None
                self.recorder.begin(Header.of(self.controller, ladder, self.about), ladder)
            run = self._decide(waiting, free, ladder)
            if run is not None:
                self._runs[run.queue.camera] = run
                return run
        return None

    def _decide(
        self, waiting: Sequence[CameraQueue], free: int, ladder: Sequence[Candidate]
    ) -> Run | None:
        """Decide on the frame of the first queue; None if it is dropped."""
        queue = waiting[0]
        frame, queue.waiting = queue.waiting, None
        assert frame is not None
        taken_ns = self.clock()
        slack_ms = queue.budget_ms - (taken_ns - frame.captured_ns) / 1e6
        if slack_ms <= 0 and not queue.is_overdue(taken_ns):
            queue.stale += 1
            self._record(queue, frame, slack_ms)
            self.controller.dropped(queue.camera)
            self.observer.stale(queue.camera)
            return None
        run_ms = self._limit_ms(queue, taken_ns)
        if run_ms is None:
            queue.shed += 1
            self.observer.shed(queue.camera)
            return None
        if frame.wanted:
            decode_ms = (frame.ready_ns - frame.received_ns) / 1e6
            queue.decode_times.observe(frame.wanted, decode_ms, self.controller.slowdown.ratio)
        limits = Limits(
            run_ms, _too_small_beyond(frame, ladder), self._threads(waiting, slack_ms, free, ladder)
        )
        if limits == NO_LIMITS:
            limits = NO_LIMITS
        decision = self.controller.decide(queue.camera, ladder, slack_ms, limits)
        thread = threading.get_native_id()  # the thread that finds a frame also runs it
        return Run(queue, frame, taken_ns, slack_ms, limits, ladder, decision, self._events, thread)

    def _threads(
        self,
        waiting: Sequence[CameraQueue],
        slack_ms: float,
        free: int,
        ladder: Sequence[Candidate],
    ) -> int | None:
        """How many threads the first queue's frame may use; None for no limit."""
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
        """Run the frame's variant, publish the result and learn from it."""
        queue, frame, decision = run.queue, run.frame, run.decision
        candidate = decision.candidate
        try:
            scores, preprocessed_ns, inferred_ns = self.loaded.infer(candidate.choice, frame.pixels)
        except RunError as error:
            with self._state:
                self._set_aside(error)
                self._measure_cheapest()
                queue.waiting = frame  # for another variant, unless a newer frame has come
                del self._runs[queue.camera]
            return
        self._idle.ran_ns = inferred_ns
        top = self.output.top(scores)
        published_ns = self.clock()
        result = run.result(top, preprocessed_ns, inferred_ns, published_ns)
        with self._state:
            self.observer.observe(result)
            service_ms = (published_ns - run.taken_ns) / 1e6
            self._record(queue, frame, run.slack_ms, run, result, service_ms)
            before = self.controller.cameras[queue.camera].previous
            self.controller.observe(queue.camera, run.ladder, candidate, service_ms, result.on_time)
            self._want(run)
            self._note(queue, before, decision, result)
            self.profiler.observe(  # last, because it may change the ladder
                candidate.choice,
                (result.stages.preprocess, result.stages.inference),
            )
            captured = frame.captured_ns, result.captured_unix_ns
            for event in self.watch.observe(queue.camera, scores, *captured):
                self.announce(event, frame.pixels)
            self.show(result, frame.pixels)
            del self._runs[queue.camera]  # its pixels may change from now on
            # Last: a sink's thread woken earlier would only wait for this one.
            for sink in self.sinks:
                sink.publish(result)

    def _set_aside(self, error: RunError) -> None:
        """Stop using the variant for a while; raise the error if no other is left."""
        seconds = self.setbacks.fail(error.choice, self.clock())
        self.profiler.rest(self.setbacks.resting)
        if not self.profiler.usable:
            raise error
        log.error("%s; other variants continue, retrying this one in %.0f s", error, seconds)

    def _measure_cheapest(self) -> None:
        try:
            self.profiler.measure_cheapest(self._measure)
        except RunError as error:
            self._set_aside(error)
            self._measure_cheapest()

    def _measure(self, choice: Choice) -> tuple[float, float]:
        self._workers.turned()
        return self._idle.measure(choice)

    def _want(self, run: Run) -> None:
        """Request the next picture at the resolution of the variant that would run on it."""
        side = run.decision.candidate.variant.resolution
        ratio = self.controller.slowdown.ratio
        dearer_ms = run.queue.decode_times.dearer_ms(run.frame.wanted, ratio)
        if run.limits.resolution is not None or any(dearer_ms.values()):
            limits = run.limits._replace(resolution=None)
            lead = self.controller.decide(
                run.queue.camera, run.ladder, run.slack_ms, limits, dearer_ms
            )
            side = lead.candidate.variant.resolution
        run.queue.mailbox.want(side)

    def _limit_ms(self, queue: CameraQueue, now_ns: int) -> float | None:
        """How long the run may be expected to take; None to skip the frame.

        Delivering cameras share the cores: all their runs together must fit into the interval of
        the highest `min_fps`, and each gets an equal part of what the temperature allows.
        """
        delivering = [other for other in self.queues if other is queue or other.delivers(now_ns)]
        beside, cameras = min(self.cores, len(delivering)), len(delivering)
        most_fps = max(other.min_fps for other in delivering)
        limit_ms = 1000 / most_fps * beside / cameras if most_fps else math.inf
        share = self.allowance.share
        if share < 1 and queue.period_ms:
            cool_ms = share * queue.period_ms * beside / cameras
            cheapest_ms = self.controller.cheapest_ms(queue.camera, self.profiler.ladder)
            if not queue.pace.admits(cool_ms, cheapest_ms):
                return None
            limit_ms = min(limit_ms, cool_ms)
        return limit_ms

    def _note(
        self, queue: CameraQueue, before: Candidate | None, decision: Decision, result: Result
    ) -> None:
        queue.results += 1
        queue.last_result_ns = self.clock()
        queue.late += not result.on_time
        queue.by_variant[result.variant] = queue.by_variant.get(result.variant, 0) + 1
        chosen = decision.candidate  # its figures in the profile may have changed
        if before and before.choice != chosen.choice:
            self.observer.switched(queue.camera, decision.reason.value)

    def _record(
        self,
        queue: CameraQueue,
        frame: Frame,
        slack_ms: float,
        run: Run | None = None,
        result: Result | None = None,
        service_ms: float = 0.0,
    ) -> None:
        """Add the frame to the trace, if there is one; run is None if it was dropped as too old."""
        if self.recorder is None:
            return
        before_ns, queue.recorded_ns = queue.recorded_ns or frame.captured_ns, frame.captured_ns
        self.recorder.record(
            RecordedFrame(
                camera=queue.camera,
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

    def use_idle(self) -> bool:
        ratio, cool = self.controller.slowdown.ratio, self.allowance.share == 1
        try:
            return not self._runs and self._idle.use(ratio, cool=cool)
        except RunError as error:
            self._set_aside(error)
            self._measure_cheapest()
            return True


def _too_small_beyond(frame: Frame, ladder: Sequence[Candidate]) -> int | None:
    """The largest resolution that the picture serves; None if it serves the whole ladder."""
    serves = frame.serves
    if serves is None or all(candidate.variant.resolution <= serves for candidate in ladder):
        return None
    return serves
