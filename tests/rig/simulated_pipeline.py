"""The real pipeline in simulated time: cameras that deliver on the dot, a device with exact times.

Nothing sleeps and nothing runs beside it, so that minutes pass in a moment and every run is alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from edged.capture.mailbox import Mailbox, MailboxWriter, Place
from edged.control.profile import Candidate, Spread, Timing
from edged.control.profiler import Profiler
from edged.pipeline.output import Output
from edged.pipeline.pipeline import Pipeline
from edged.pipeline.queue import ViewQueue
from edged.result import Result
from edged.tracing.recorder import Recorder
from edged.variants.family import Fit
from edged.variants.variant import Choice, Variant
from edged.view import camera_of
from tests.rig.camera import FakeTime

LARGE, MIDDLE, SMALL = Variant(1.0, 224), Variant(0.5, 160), Variant(0.25, 128)
TOP1 = {LARGE: 0.9, MIDDLE: 0.8, SMALL: 0.6}


@dataclass
class Device:
    """Stands in for the loaded networks."""

    clock: FakeTime
    times_ms: dict[Variant, float]
    threads: tuple[int, ...] = (1,)
    busy_ms: float = 0.0
    scores: Mapping[Variant, float] = field(default_factory=dict)
    """Of the only class, where it is not sure."""
    runs: list[Choice] = field(default_factory=list)
    backends: tuple[object, ...] = ()

    @property
    def choices(self) -> set[Choice]:
        return {Choice(each, 1) for each in self.times_ms}

    def adopt(self) -> frozenset[Choice]:
        return frozenset()

    def keep(self, wanted: object) -> None: ...

    def infer(
        self, choice: Choice, pixels: np.ndarray, fit: Fit, *, features: bool = False
    ) -> tuple[np.ndarray, int, int]:
        preprocessed_ns = self.clock.now_ns
        self.clock.sleep(self.times_ms[choice.variant] / 1000)
        self.busy_ms += self.times_ms[choice.variant]
        self.runs.append(choice)
        scores = np.array([self.scores.get(choice.variant, 1.0)], np.float32)
        return scores, preprocessed_ns, self.clock.now_ns


@dataclass
class Profiled:
    """Stands in for the profiler when it has done its work."""

    ladders: Mapping[str, tuple[Candidate, ...]]

    def measure_cheapest(self, measure: object) -> None: ...

    def observe(self, key: object, times_ms: object) -> None: ...

    def use(self, in_use: object) -> None: ...

    def weigh(self, joules: object) -> None: ...


@dataclass
class Observed:
    """Sink and observer in one."""

    results: list[Result] = field(default_factory=list)
    stale_frames: int = 0
    shed_frames: int = 0
    shed_for_power: int = 0
    switches: int = 0

    def publish(self, result: Result) -> None:
        self.results.append(result)

    def observe(self, result: Result) -> None: ...

    def stale(self, view: str) -> None:
        self.stale_frames += 1

    def shed(self, view: str, *, by_power: bool) -> None:
        self.shed_frames += 1
        self.shed_for_power += by_power

    def switched(self, view: str, reason: str) -> None:
        self.switches += 1


@dataclass
class Lens:
    """What is said of a view, as in ViewQueue."""

    view: str = "door"
    budget_ms: float = 95.0
    on_time: float = 0.95
    min_fps: float = 0.0
    min_top1: float = 0.0
    give_up: float | None = None


class SimulatedPipeline:
    """`frame` is one frame interval, in which each view gets one picture, of a region of its
    own. probe: share of the time; then the profiler is the real one, and knows all variants."""

    def __init__(
        self,
        lenses: list[Lens],
        times_ms: dict[Variant, float],
        interval_ms: float = 100.0,
        recorder: Recorder | None = None,
        cores: int = 1,
        probe: float = 0.0,
    ) -> None:
        self.clock = FakeTime()
        self.device = Device(self.clock, times_ms)
        self.observed = Observed()
        self._interval_ms = interval_ms
        views: dict[str, list[str]] = {}
        for lens in lenses:
            views.setdefault(camera_of(lens.view), []).append(lens.view)
        mailboxes = {
            camera: Mailbox.create(64, len(own), clock=self.clock.clock)
            for camera, own in views.items()
        }
        self._writers = {
            camera: MailboxWriter.attach(mailbox.memfd, mailbox.wake_fd)
            for camera, mailbox in mailboxes.items()
        }
        queues = [
            ViewQueue(
                lens.view,
                mailboxes[camera_of(lens.view)],
                Output(("thing",), top_k=1, min_score=0.5),
                lens.budget_ms,
                lens.on_time,
                min_fps=lens.min_fps,
                min_top1=lens.min_top1,
                give_up=lens.give_up,
                index=views[camera_of(lens.view)].index(lens.view),
            )
            for lens in lenses
        ]
        ladder = tuple(
            Candidate(variant, 1, TOP1[variant], time_ms, time_ms)
            for variant, time_ms in times_ms.items()
        )
        profiler: object = Profiled({lens.view: ladder for lens in lenses})
        if probe:
            profiler = _profiler([lens.view for lens in lenses], times_ms)
        self.pipeline = Pipeline(
            queues=queues,
            loaded=self.device,  # type: ignore[arg-type]
            profiler=profiler,  # type: ignore[arg-type]
            probe=probe,
            sinks=[self.observed],  # type: ignore[list-item]
            observer=self.observed,
            cores=cores,
            clock=self.clock.clock,
            finished=lambda: True,  # so that `run` returns when there is nothing more to do
            recorder=recorder,
        )

    def frame(self, *silent: str, age_ms: float = 0.0) -> None:
        """silent: views that get nothing this time. age_ms: of the others' pictures."""
        begun_ns = self.clock.now_ns
        self.send(
            *(each.view for each in self.pipeline.queues if each.view not in silent), age_ms=age_ms
        )
        self.pipeline.run()
        if self.pipeline.probe:
            self.gap()
        rest_ns = begun_ns + round(self._interval_ms * 1e6) - self.clock.now_ns
        if rest_ns > 0:
            self.clock.sleep(rest_ns / 1e9)

    def gap(self) -> None:
        """Use the time until the next frame, as the workers do."""
        while self.pipeline.use_idle():
            pass

    def send(self, *views: str, age_ms: float = 0.0) -> None:
        """A new picture for each of these views."""
        captured_ns = self.clock.now_ns - round(age_ms * 1e6)
        for camera, writer in self._writers.items():
            places = {
                queue.index: Place(queue.index, 0, 32, 32, 0)
                for queue in self.pipeline.queues
                if queue.view in views and camera_of(queue.view) == camera
            }
            if places:
                pixels = np.zeros((32, 64, 3), np.uint8)
                now_ns = self.clock.now_ns
                writer.publish(pixels, captured_ns, now_ns, places, clock=self.clock.clock)

    def close(self) -> None:
        for mailbox in {id(each.mailbox): each.mailbox for each in self.pipeline.queues}.values():
            mailbox.close()


def _profiler(views: list[str], times_ms: Mapping[Variant, float]) -> Profiler:
    """One that has measured everything."""
    top1 = {Choice(each, 1): TOP1[each] for each in times_ms}
    known = {}
    for choice in top1:
        spread = Spread(times_ms[choice.variant], times_ms[choice.variant])
        known[choice] = Timing(spread, Spread(0, 0), spread, 100)
    costs = {each: round(100 * time_ms) for each, time_ms in times_ms.items()}
    profiler = Profiler(top1, dict.fromkeys(views, top1), costs, known=known, rest_gaps=0)
    while not profiler.complete:
        profiler.use_gap(1e6, 1e6, lambda choice: (0.0, times_ms[choice.variant]))
    return profiler
