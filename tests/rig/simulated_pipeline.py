"""The real pipeline in simulated time: cameras that deliver on the dot, a device with exact times.

Nothing sleeps and nothing runs beside it, so that minutes pass in a moment and every run is alike.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from edged.capture.mailbox import Mailbox, MailboxWriter
from edged.control.profile import Candidate
from edged.pipeline.output import Output
from edged.pipeline.pipeline import Pipeline
from edged.pipeline.queue import CameraQueue
from edged.result import Result
from edged.tracing.recorder import Recorder
from edged.variants.variant import Choice, Variant
from tests.rig.camera import FakeTime

LARGE, MIDDLE, SMALL = Variant(1.0, 224), Variant(0.5, 160), Variant(0.25, 128)
TOP1 = {LARGE: 0.9, MIDDLE: 0.8, SMALL: 0.6}


@dataclass
class Device:
    """Stands in for the loaded family."""

    clock: FakeTime
    times_ms: dict[Variant, float]
    threads: tuple[int, ...] = (1,)
    busy_ms: float = 0.0

    def infer(self, choice: Choice, pixels: np.ndarray) -> tuple[np.ndarray, int, int]:
        preprocessed_ns = self.clock.now_ns
        self.clock.sleep(self.times_ms[choice.variant] / 1000)
        self.busy_ms += self.times_ms[choice.variant]
        return np.array([1.0], np.float32), preprocessed_ns, self.clock.now_ns


@dataclass
class Profiled:
    """Stands in for the profiler when it has done its work."""

    ladder: tuple[Candidate, ...]

    def measure_cheapest(self, measure: object) -> None: ...

    def observe(self, key: object, times_ms: object) -> None: ...


@dataclass
class Observed:
    """Sink and observer in one."""

    results: list[Result] = field(default_factory=list)
    stale_frames: int = 0
    shed_frames: int = 0
    switches: int = 0

    def publish(self, result: Result) -> None:
        self.results.append(result)

    def observe(self, result: Result) -> None: ...

    def stale(self, camera: str) -> None:
        self.stale_frames += 1

    def shed(self, camera: str) -> None:
        self.shed_frames += 1

    def switched(self, camera: str, reason: str) -> None:
        self.switches += 1


@dataclass
class Lens:
    """What is said of a camera, as in CameraQueue."""

    name: str = "door"
    budget_ms: float = 95.0
    on_time: float = 0.95
    min_fps: float = 0.0
    min_top1: float = 0.0


class SimulatedPipeline:
    """`frame` is one frame interval of all cameras, in which each of them delivers one picture."""

    def __init__(
        self,
        lenses: list[Lens],
        times_ms: dict[Variant, float],
        interval_ms: float = 100.0,
        recorder: Recorder | None = None,
    ) -> None:
        self.clock = FakeTime()
        self.device = Device(self.clock, times_ms)
        self.observed = Observed()
        self._interval_ms = interval_ms
        self._writers: list[MailboxWriter] = []
        queues = []
        for lens in lenses:
            mailbox = Mailbox.create(64, clock=self.clock.clock)
            self._writers.append(MailboxWriter.attach(mailbox.memfd, mailbox.wake_fd))
            queues.append(
                CameraQueue(
                    lens.name,
                    mailbox,
                    lens.budget_ms,
                    lens.on_time,
                    min_fps=lens.min_fps,
                    min_top1=lens.min_top1,
                )
            )
        ladder = tuple(
            Candidate(variant, 1, TOP1[variant], time_ms, time_ms)
            for variant, time_ms in times_ms.items()
        )
        self.pipeline = Pipeline(
            queues=queues,
            loaded=self.device,  # type: ignore[arg-type]
            profiler=Profiled(ladder),  # type: ignore[arg-type]
            output=Output(("thing",), top_k=1, min_score=0.5),
            sinks=[self.observed],  # type: ignore[list-item]
            observer=self.observed,
            clock=self.clock.clock,
            finished=lambda: True,  # so that `run` returns when there is nothing more to do
            recorder=recorder,
        )

    def frame(self, *silent: str, age_ms: float = 0.0) -> None:
        """silent: cameras that deliver nothing this time. age_ms: of the others' pictures."""
        begun_ns = self.clock.now_ns
        for queue, writer in zip(self.pipeline.queues, self._writers, strict=True):
            if queue.camera not in silent:
                pixels = np.zeros((32, 32, 3), np.uint8)
                now_ns = self.clock.now_ns
                captured_ns = now_ns - round(age_ms * 1e6)
                writer.publish(pixels, captured_ns, now_ns, clock=self.clock.clock)
        self.pipeline.run()
        rest_ns = begun_ns + round(self._interval_ms * 1e6) - self.clock.now_ns
        if rest_ns > 0:
            self.clock.sleep(rest_ns / 1e9)

    def close(self) -> None:
        for queue in self.pipeline.queues:
            queue.mailbox.close()
