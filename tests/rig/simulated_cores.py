"""The real pipeline on simulated cores: cameras with several views, and runs beside each other.

A run takes what the chosen variant took on one of the frames of a full trace, drawn from a seed, so
that a minute passes in a second and every run is alike.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edged.capture.frame import Place
from edged.capture.mailbox.mailbox import Mailbox
from edged.capture.mailbox.writer import MailboxWriter
from edged.control.profile import Candidate, Spread, ladder, timed
from edged.pipeline.output import Output
from edged.pipeline.pipeline import Pipeline
from edged.pipeline.queue import ViewQueue
from edged.pipeline.run import Run
from edged.result import Result
from edged.tracing.recorder import Recorder
from edged.tracing.trace import FullTrace, TracedFrame
from edged.variants.variant import Choice, Variant
from edged.view import camera_of
from tests.rig.camera import FakeTime

DRIFT = 0.01
"""Cameras' rates differ by up to so much: their frames come in every order."""


@dataclass
class Device:
    """Stands in for the loaded networks; a run is over when it is asked for its scores."""

    clock: FakeTime
    takes_ms: Callable[[Choice], float] = lambda choice: 0.0
    """Of a probe: nothing else runs meanwhile."""
    threads: tuple[int, ...] = (1,)
    probing: bool = False
    probes: int = 0
    backends: tuple[object, ...] = ()

    @property
    def choices(self) -> frozenset[Choice]:
        return frozenset()

    def adopt(self) -> frozenset[Choice]:
        return frozenset()

    def keep(self, wanted: object) -> None: ...

    def infer(
        self, choice: Choice, *_: object, features: bool = False
    ) -> tuple[NDArray[np.float32], int, int]:
        if self.probing:
            self.probes += 1
            self.clock.sleep(self.takes_ms(choice) / 1000)
        return np.ones(1, np.float32), self.clock.now_ns, self.clock.now_ns


@dataclass
class Profiled:
    """Stands in for the profiler when it has done its work."""

    ladders: Mapping[str, tuple[Candidate, ...]]
    complete, waiting, profile, useful = True, (), None, frozenset[Choice]()

    def limit_to(self, _: object) -> None: ...

    def runnable(self, view: str) -> list[Candidate]:
        return list(self.ladders[view])

    def observe(self, *_: object) -> None: ...
    def use(self, _: object) -> None: ...
    def weigh(self, _: object) -> None: ...


@dataclass
class Tally:
    """Sink and observer in one: counts by view."""

    top1: Mapping[tuple[str, Variant], float]
    views: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def publish(self, result: Result) -> None:
        counts = self.views[result.view]
        counts["results"] += 1
        counts["on time"] += result.on_time
        counts["correct"] += self.top1[result.view, result.variant]  # type: ignore[assignment]

    def stale(self, view: str) -> None:
        self.views[view]["stale"] += 1

    def observe(self, _: Result) -> None: ...
    def shed(self, _: str, *, by_power: bool) -> None: ...
    def switched(self, *_: str) -> None: ...


def ladder_of(trace: FullTrace) -> tuple[Candidate, ...]:
    times = zip(*(frame.service_ms for frame in trace.frames), strict=True)
    return ladder(
        timed(Choice(Variant.parse(each.name), 1), each.top1, Spread.of(times_ms))
        for each, times_ms in zip(trace.variants, times, strict=True)
    )


class SimulatedCores:
    """ladders, budgets_ms: by view. same_region: of all views of a camera, instead of one each.
    probe: share of the time. Whatever the probes say, the ladders stay."""

    def __init__(
        self,
        trace: FullTrace,
        ladders: Mapping[str, tuple[Candidate, ...]],
        budgets_ms: Mapping[str, float],
        *,
        cores: int,
        fps: float,
        on_time: float = 0.95,
        same_region: bool = False,
        recorder: Recorder | None = None,
        probe: float = 0.0,
    ) -> None:
        self.clock = FakeTime()
        self.tally = Tally(
            {(view, rung.variant): rung.top1 for view in ladders for rung in ladders[view]}
        )
        self._trace, self._random = trace, random.Random(7)
        self._probe_random = random.Random(8)  # so that the frames' times are the same without
        self._columns = {each.name: column for column, each in enumerate(trace.variants)}
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._number = 0
        cameras: dict[str, list[str]] = {}
        for view in budgets_ms:
            cameras.setdefault(camera_of(view), []).append(view)
        output, queues = Output(("thing",), top_k=1, min_score=0.5), []
        for views in cameras.values():
            mailbox = Mailbox.create(64, views=len(views), clock=self.clock.clock)
            writer = MailboxWriter.attach(mailbox.memfd, mailbox.wake_fd)
            queues += [
                ViewQueue(view, mailbox, output, budgets_ms[view], on_time, index=index)
                for index, view in enumerate(views)
            ]
            interval_ms = 1000 / fps
            if len(cameras) > 1:
                interval_ms *= 1 + DRIFT * self._random.uniform(-1, 1)
            places = {i: Place(0 if same_region else i, 0, 1, 1, 0) for i in range(len(views))}
            self._after(
                self._random.uniform(0, interval_ms), self._camera(writer, places, interval_ms)
            )
        self.device = Device(self.clock, self._takes_ms)
        self.pipeline = Pipeline(
            queues=queues,
            loaded=self.device,  # type: ignore[arg-type]
            probe=probe,
            profiler=Profiled(ladders),  # type: ignore[arg-type]
            sinks=[self.tally],  # type: ignore[list-item]
            observer=self.tally,
            cores=cores,
            clock=self.clock.clock,
            recorder=recorder,
        )

    def run(self, seconds: float) -> None:
        end_ns = self.clock.now_ns + round(seconds * 1e9)
        while self._events[0][0] <= end_ns:
            at_ns, _, happen = heapq.heappop(self._events)
            self.clock.now_ns = max(self.clock.now_ns, at_ns)  # a probe may have taken longer
            happen()
            while (run := self.pipeline.begin()) is not None:
                self._begin(run)
            if self.pipeline.probe:
                self._gap()

    def _gap(self) -> None:
        """Probe, and look for frames after each, as a worker does."""
        self.device.probing = True
        while self._events and self._events[0][0] > self.clock.now_ns:
            if not self.pipeline.use_idle():
                break
        self.device.probing = False

    def _takes_ms(self, choice: Choice) -> float:
        return self._probe_random.choice(self._trace.frames).service_ms[
            self._columns[choice.variant.name]
        ]

    def close(self) -> None:
        for mailbox in {
            id(queue.mailbox): queue.mailbox for queue in self.pipeline.queues
        }.values():
            mailbox.close()
        self.pipeline.close()

    def _after(self, delay_ms: float, happen: Callable[[], None]) -> None:
        self._number += 1
        at_ns = self.clock.now_ns + round(delay_ms * 1e6)
        heapq.heappush(self._events, (at_ns, self._number, happen))

    def _camera(
        self, writer: MailboxWriter, places: Mapping[int, Place], interval_ms: float
    ) -> Callable[[], None]:
        pixels = np.zeros((1, writer.views, 3), np.uint8)

        def capture() -> None:
            captured_ns = self.clock.now_ns
            self._after(interval_ms, capture)
            self._after(
                self._frame().wait_ms,
                lambda: writer.publish(
                    pixels, captured_ns, captured_ns, places, clock=self.clock.clock
                ),
            )

        return capture

    def _begin(self, run: Run) -> None:
        column = self._columns[run.decision.candidate.variant.name]
        self._after(self._frame().service_ms[column], lambda: self.pipeline.carry_out(run))

    def _frame(self) -> TracedFrame:
        return self._random.choice(self._trace.frames)
