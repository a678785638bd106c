"""The path of a frame: newest frame → slack → variant → scores → result → sinks.

Of a taught view the run gives features, and its head the scores. A view that is not taught yet has
none: it is observed and shown, but publishes nothing.

The frame with the earliest deadline runs next. Frames of several views run in parallel, one core
each; a frame that waits alone may use all cores. Views with the same region share a run if the same
choice suits them, whatever their heads. queue.py holds the state of each view, workers.py the
threads.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from edged.backends.loaded import LoadedNetworks
from edged.capture.frame import Frame
from edged.clock import Clock, monotonic_ns
from edged.control.controller import Controller, ViewSettings
from edged.control.profile import Candidate
from edged.control.profiler import Profiler
from edged.control.selector import Decision, Limits
from edged.control.setbacks import Setbacks
from edged.control.slowdown import Slowdown
from edged.control.thermal import Allowance
from edged.device import KEEP_WARM_SECONDS
from edged.effort import Turn
from edged.events.events import Watch
from edged.pipeline.idle import Idle
from edged.pipeline.limits import Bounds, Ladders, largest_served
from edged.pipeline.observers import ResultObserver, Seen
from edged.pipeline.probes import Probes
from edged.pipeline.queue import Intake, ViewQueue
from edged.pipeline.run import Run
from edged.pipeline.sent import Gaps, SentPictures, SentRun
from edged.pipeline.trace import RunTrace
from edged.pipeline.workers import IDLE_SECONDS, Workers
from edged.result import Event, Result
from edged.sinks.sink import Sink
from edged.tracing.recorder import Recorder
from edged.variants.runtime import RunError
from edged.variants.variant import Choice

log = logging.getLogger("edged")


@dataclass(slots=True)
class Pipeline:
    """Call `run` in a thread; `stop`, from any other, ends it after the frames in progress. cores:
    how many inference may use, and so how many views' frames run in parallel."""

    queues: Sequence[ViewQueue]
    loaded: LoadedNetworks
    profiler: Profiler
    sinks: Sequence[Sink]
    observer: ResultObserver
    cores: int = 1
    keep_warm: bool = False
    probe: float = 0.0
    """Share of the time for probes."""
    joules: Mapping[Choice, float] = field(default_factory=dict)
    """Of a result, where they are known, for the goal `power`; the main thread sets it."""
    frames_wanted: int | None = None
    clock: Clock = monotonic_ns
    finished: Callable[[], bool] = lambda: False
    """True when no camera will ever deliver again."""

    watch: Watch = field(default_factory=lambda: Watch(()))
    announce: Callable[[Event, NDArray[np.uint8] | None], None] = lambda event, pixels: None
    """Receives an event and the picture of its start, which is valid until the call returns."""
    show: Callable[[Result, NDArray[np.uint8]], None] = lambda result, pixels: None
    """Receives every result and its picture, which is valid until the call returns."""
    show_camera: Callable[[str, Frame, Sequence[str]], None] = lambda camera, frame, views: None
    """Receives every whole picture of a camera with views, valid until the call returns, and the
    views that it is for."""
    seen: Seen = lambda result, features, rows, network, pixels: None
    least_side: Callable[[str], int] = lambda view: 0
    """The short side (pixels) that a view's next picture must have, whatever the variant."""

    sent: SentPictures = field(default_factory=SentPictures)
    recorder: Recorder | None = None
    about: Mapping[str, str] = field(default_factory=dict)
    """Device, backend and families, for the header of a trace."""

    controller: Controller = field(init=False)
    allowance: Allowance = field(default_factory=Allowance)
    """Share of the time that may be spent computing; the main thread sets it."""
    setbacks: Setbacks = field(default_factory=Setbacks)
    """Variants that failed on a picture."""
    _trace: RunTrace = field(init=False)
    _runs: dict[str, Run] = field(default_factory=dict)
    """In progress, by view; those beside another are in that one."""
    _state: threading.Lock = field(default_factory=threading.Lock)
    """Guards what decisions depend on and results change. The profiler also changes without it
    while nothing runs."""
    _idle: Idle = field(init=False)
    _intakes: Sequence[Intake] = field(init=False)
    _bounds: Bounds = field(init=False)
    _gaps: Gaps = field(init=False)
    _workers: Workers[Run | SentRun] = field(init=False)

    def __post_init__(self) -> None:
        self.controller = Controller(
            {
                queue.view: ViewSettings(
                    queue.budget_ms, queue.on_time, queue.min_top1, queue.give_up
                )
                for queue in self.queues
            },
            Slowdown(self.loaded.threads),
        )
        parts = self.queues, self.loaded, self.profiler
        probes = Probes(*parts, self.controller, self.clock, self.probe)
        self._idle = Idle(*parts, self.keep_warm, self.clock, probes)
        probes.begin()
        threads = max(self.loaded.threads)
        self._bounds = Bounds(self.queues, self.controller, self.cores, threads, self.clock)
        self._trace = RunTrace(self.recorder, self.about)
        self._intakes = Intake.each(self.queues)
        self._gaps = Gaps(self.sent, self.queues, self.controller, self._idle, self.clock)
        mailboxes = [intake.mailbox for intake in self._intakes]
        idle_seconds = KEEP_WARM_SECONDS if self.keep_warm else IDLE_SECONDS
        threads = min(self.cores, len(self.queues))
        self._workers = Workers(self, [*mailboxes, self.sent], threads, self.clock, idle_seconds)

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
        runs: list[Run | SentRun] = [*self._runs.values(), *self._gaps.runs]
        return min([self._workers.looked, *(Turn(run.taken_ns, run.thread) for run in runs)])

    def take_over(self, before: Pipeline) -> None:
        """Continue with the state of `before`, which has ended."""
        same_runtimes = before.loaded.backends == self.loaded.backends
        same_runtimes = same_runtimes and before.loaded.threads == self.loaded.threads
        if same_runtimes:
            self.setbacks = before.setbacks
            self.profiler.rest(self.setbacks.resting)
        if before.loaded is self.loaded:
            self._idle.kept = before._idle.kept
        ladders = self.profiler.ladders
        self.controller.take_over(before.controller, ladders, same_runtimes=same_runtimes)
        for event in self.watch.take_over(before.watch):
            self.announce(event, None)
        self._trace.interrupt()

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
        if wanted is None:
            return False
        return self.results + sum(len(run.all) for run in self._runs.values()) >= wanted

    def begin(self) -> Run | SentRun | None:
        """Decide on the most urgent frame, if there is one and a free core; else on a picture that
        somebody has sent, if the frames leave time for it."""
        with self._state:
            if self._enough():
                return None
            run = self._begin()
            if run is not None or self.allowance.share < 1 or not self.sent.waiting:
                return run
            return self._gaps.begin(self._free(), self.profiler.ladders)

    def _free(self) -> int:
        """Cores that nothing runs on."""
        taken = sum(run.decision.candidate.threads for run in self._runs.values())
        return self.cores - taken - self._gaps.threads

    def _begin(self) -> Run | None:
        self.profiler.weigh(self.joules)
        if self.setbacks.resting and self.setbacks.end_rests(self.clock()):
            self.profiler.rest(self.setbacks.resting)
        running = {each.queue.view for run in self._runs.values() for each in run.all}
        for intake in self._intakes:
            if intake.take(running) and (whole := intake.whole) is not None:
                self.show_camera(intake.camera, whole, intake.views)
        ladders = self.profiler.ladders
        while waiting := [
            queue
            for queue in self.queues
            if queue.waiting is not None and queue.view not in running
        ]:
            if len(waiting) > 1:
                waiting.sort(key=lambda queue: queue.urgency_ns)
            free = self._free()
            if free < 1:
                return None
            if self._trace.header_due(ladders):
                if self._runs:  # a header holds the state between runs
                    return None
                self._trace.begin(self.controller, ladders)
            if free == 1 and len(waiting) > 1:
                now_ns, runs = self.clock(), self._runs.values()
                first = self._bounds.first(waiting, now_ns, runs, ladders)
                waiting.sort(key=lambda queue: queue is not first)
            run = self._decide(waiting, free, ladders)
            if run is not None:
                self._runs[run.queue.view] = run
                return run
        return None

    def _decide(self, waiting: Sequence[ViewQueue], free: int, ladders: Ladders) -> Run | None:
        """Decide on the frame of the first queue; None if it is dropped."""
        queue = waiting[0]
        frame, queue.waiting = queue.waiting, None
        assert frame is not None
        taken_ns = self.clock()
        slack_ms = queue.slack_ms(frame.captured_ns, taken_ns)
        if slack_ms <= 0 and not queue.is_overdue(taken_ns):
            queue.stale += 1
            self._trace.record(queue, frame, slack_ms, self.allowance.sensors)
            self.controller.dropped(queue.view)
            self.observer.stale(queue.view)
            return None
        run_ms = self._bounds.run_ms(queue, taken_ns, self.allowance.share, ladders)
        if run_ms is None:
            queue.shed += 1
            self.observer.shed(queue.view, by_power=self.allowance.by_power)
            return None
        if frame.wanted and frame.leads:
            decode_ms = (frame.ready_ns - frame.received_ns) / 1e6
            queue.decode_times.observe(frame.wanted, decode_ms, self.controller.slowdown.ratio)
        if free == 1:
            run_ms = min(
                run_ms,
                self._bounds.beside_others_ms(queue, taken_ns, self._runs.values(), ladders),
            )
        threads = self._bounds.threads(waiting, slack_ms, free, ladders)
        run = self._run(queue, frame, taken_ns, run_ms, threads, ladders)
        run.beside = self._beside(run, waiting[1:], run_ms, threads, ladders)
        return run

    def _run(
        self,
        queue: ViewQueue,
        frame: Frame,
        taken_ns: int,
        run_ms: float,
        threads: int | None,
        ladders: Ladders,
    ) -> Run:
        ladder = ladders[queue.view]
        slack_ms = queue.slack_ms(frame.captured_ns, taken_ns)
        limits = Limits(run_ms, largest_served(frame, ladder), threads)
        decision = self.controller.decide(queue.view, ladder, slack_ms, limits)
        thread = threading.get_native_id()  # the thread that finds a frame also runs it
        return Run(
            queue, frame, taken_ns, slack_ms, limits, ladder, decision, self._trace.lines, thread
        )

    def _beside(
        self,
        run: Run,
        waiting: Sequence[ViewQueue],
        run_ms: float,
        threads: int | None,
        ladders: Ladders,
    ) -> tuple[Run, ...]:
        """Runs on the same pixels whose choice is the same: they share what it computes."""
        found = []
        for queue in waiting:
            frame = queue.waiting
            if frame is None or frame.pixels is not run.frame.pixels:
                continue
            if not queue.computes_as(run.queue):
                continue
            if queue.slack_ms(frame.captured_ns, run.taken_ns) <= 0:
                continue
            other = self._run(queue, frame, run.taken_ns, run_ms, threads, ladders)
            if other.decision.candidate.choice == run.decision.candidate.choice:
                queue.waiting, other.shared = None, True
                found.append(other)
        return tuple(found)

    def carry_out(self, run: Run | SentRun) -> None:
        """Run the frame's variant, publish the results and learn from them."""
        if isinstance(run, SentRun):
            self._gaps.carry_out(run, self.loaded)
            return
        queue, choice, pixels = run.queue, run.decision.candidate.choice, run.frame.pixels
        try:
            values, rows, results, published_ns = run.carry_out(self.loaded, self.clock)
        except RunError as error:
            with self._state:
                self._set_aside(error)
                self._measure_cheapest()
                for each in run.all:  # for another variant, unless a newer frame has come
                    each.queue.waiting = each.queue.waiting or each.frame
                del self._runs[queue.view]
            return
        self._idle.ran_ns = published_ns
        with self._state:
            for each, result, scores in zip(run.all, results, rows, strict=True):
                self._finish(each, result, scores, (published_ns - run.taken_ns) / 1e6)
                each.queue.evidence.answered(each.frame, result.variant, result.top)
                if queue.output.takes_features:
                    self.seen(result, values, scores, choice.network, pixels)
            stages = results[0].stages  # last, because it may change the ladders
            self.profiler.observe(choice, (stages.preprocess, stages.inference))
            del self._runs[queue.view]  # its pixels may change from now on
            # Last: a sink's thread woken earlier would only wait for this one.
            for each, result in zip(run.all, results, strict=True):
                for sink in () if each.queue.output.silent else self.sinks:
                    sink.publish(result)

    def _finish(
        self, run: Run, result: Result, rows: NDArray[np.float32], service_ms: float
    ) -> None:
        """Learn from a result, and let others see it."""
        queue, frame, decision, on_time = run.queue, run.frame, run.decision, result.on_time
        self.observer.observe(result)
        sensors = self.allowance.sensors
        self._trace.record(queue, frame, run.slack_ms, sensors, run, result, service_ms)
        before = self.controller.views[queue.view].previous
        self.controller.observe(
            queue.view, run.ladder, decision, service_ms, on_time, shared=run.shared
        )
        self._want(run)
        self._note(queue, before, decision, on_time)
        if not queue.output.silent:
            captured = frame.captured_ns, result.captured_unix_ns
            for event in self.watch.observe(queue.view, rows, *captured):
                self.announce(replace(event, cause=result), frame.pixels)
        self.show(result, frame.pixels)

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
        """Request the next picture as large as what would run on it needs, or a probe."""
        queue, dearer_ms = run.queue, self._bounds.dearer_ms(run)
        side = self._bounds.next_side(run, dearer_ms)
        side = max(side, self.least_side(queue.view), self._idle.probes.side_for(run, dearer_ms))
        queue.mailbox.want(side, queue.index)

    def _note(
        self, queue: ViewQueue, before: Candidate | None, decision: Decision, on_time: bool
    ) -> None:
        chosen = decision.candidate  # its figures in the profile may have changed
        queue.count(chosen.variant, self.clock(), decision.spared_ms, on_time=on_time)
        if before and before.choice != chosen.choice:
            self.observer.switched(queue.view, decision.reason.value)

    def use_idle(self) -> bool:
        ratio, cool = self.controller.slowdown.ratio, self.allowance.share == 1
        try:
            busy = self._runs or self._gaps.runs
            return not busy and self._idle.use(ratio, cool=cool)
        except RunError as error:
            self._set_aside(error)
            self._measure_cheapest()
            return True
