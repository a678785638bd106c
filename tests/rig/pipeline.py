"""A pipeline in this process: a stand-in for the loaded family, feeds and a recorder."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from types import MappingProxyType

import numpy as np

from edged.capture.mailbox import Mailbox, MailboxWriter
from edged.clock import monotonic_ns
from edged.control.profile import Candidate, Profile
from edged.control.profiler import Profiler
from edged.pipeline.output import Output
from edged.pipeline.pipeline import Pipeline
from edged.pipeline.queue import CameraQueue
from edged.result import Result
from edged.variants.variant import Choice, Variant

SMALL, LARGE = Variant(0.25, 128), Variant(1.0, 224)
LABELS = ("dark", "light")


class Device:
    """Stands in for the loaded family: each variant takes its time; scores tell the brightness."""

    threads = (1,)

    def __init__(self, small_ms: float = 1.0, large_ms: float = 12.0) -> None:
        self.times_ms = {SMALL: small_ms, LARGE: large_ms}
        self.choices: Collection[Choice] = [Choice(SMALL, 1), Choice(LARGE, 1)]

    def adopt(self) -> Collection[Choice]:
        return ()

    def keep(self, wanted: Collection[Choice]) -> None:
        self.choices = wanted

    def infer(self, choice: Choice, pixels: np.ndarray) -> tuple[np.ndarray, int, int]:
        preprocessed_ns = monotonic_ns()
        time.sleep(self.times_ms[choice.variant] / 1000)
        light = float(pixels.mean()) / 255
        return np.array([1 - light, light], np.float32), preprocessed_ns, monotonic_ns()


class Recorder:
    """Sink and observer in one."""

    def __init__(self) -> None:
        self.results: list[Result] = []
        self.observed = 0
        self.stale_cameras: list[str] = []
        self.switches: list[str] = []

    def publish(self, result: Result) -> None:
        self.results.append(result)

    def observe(self, result: Result) -> None:
        self.observed += 1

    def stale(self, camera: str) -> None:
        self.stale_cameras.append(camera)

    def shed(self, camera: str) -> None: ...

    def switched(self, camera: str, reason: str) -> None:
        self.switches.append(reason)


class Feed:
    """A camera's mailbox and the child's end of it, in one process."""

    def __init__(self, name: str, budget_ms: float) -> None:
        self.mailbox = Mailbox.create(64)
        self.writer = MailboxWriter.attach(self.mailbox.memfd, self.mailbox.wake_fd)
        self.queue = CameraQueue(name, self.mailbox, budget_ms, on_time=0.95)

    def send(self, value: int = 255, age_ms: float = 0.0, wanted: int = 0) -> None:
        now_ns = monotonic_ns()
        pixels = np.full((32, 32, 3), value, np.uint8)
        self.writer.publish(pixels, now_ns - int(age_ms * 1e6), now_ns, wanted)


class Measured:
    """Stands in for the profiler when it has done its work."""

    complete, waiting = True, ()
    profile: Profile = MappingProxyType({})

    def __init__(self, cheap_ms: float = 1.0, dear_ms: float = 1.0) -> None:
        self.ladder = (
            Candidate(LARGE, 1, 0.7, dear_ms, dear_ms),
            Candidate(SMALL, 1, 0.4, cheap_ms, cheap_ms),
        )

    @property
    def useful(self) -> set[Choice]:
        return {candidate.choice for candidate in self.ladder}

    def limit_to(self, choices: object) -> None: ...

    def measure_cheapest(self, measure: object) -> None: ...

    def observe(self, key: object, times_ms: object) -> None: ...


def make(feeds: list[Feed], seen: Recorder, **more: object) -> Pipeline:
    profiler = Profiler(
        [Choice(SMALL, 1), Choice(LARGE, 1)], {SMALL: 0.4, LARGE: 0.7}, {SMALL: 10, LARGE: 100}
    )
    return Pipeline(
        queues=[feed.queue for feed in feeds],
        loaded=more.pop("device", Device()),  # type: ignore[arg-type]
        profiler=more.pop("profiler", profiler),  # type: ignore[arg-type]
        output=Output(LABELS, top_k=1, min_score=0.5),
        sinks=[seen],  # type: ignore[list-item]
        observer=seen,
        **more,  # type: ignore[arg-type]
    )


@contextmanager
def running(pipeline: Pipeline) -> Iterator[threading.Thread]:
    thread = threading.Thread(target=pipeline.run)
    thread.start()
    try:
        yield thread
    finally:
        pipeline.stop()
        thread.join(5)
        assert not thread.is_alive()
