"""A pipeline in this process: a stand-in for the loaded networks, feeds and a recorder."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from types import MappingProxyType

import numpy as np

from edged.capture.mailbox import Mailbox, MailboxWriter, Place
from edged.clock import Clock, monotonic_ns
from edged.control.profile import Candidate, Profile
from edged.control.profiler import Profiler
from edged.pipeline.output import Output
from edged.pipeline.pipeline import Pipeline
from edged.pipeline.queue import ViewQueue
from edged.result import Result
from edged.variants.family import Fit
from edged.variants.variant import Choice, Variant
from tests.rig.camera import publish

SMALL, LARGE = Variant(0.25, 128), Variant(1.0, 224)
LABELS = ("dark", "light")
OUTPUT = Output(LABELS, top_k=1, min_score=0.5)


class Device:
    """Stands in for the loaded networks: each variant takes its time, scores tell brightness."""

    threads = (1,)
    backends = ()

    def __init__(self, small_ms: float = 1.0, large_ms: float = 12.0) -> None:
        self.times_ms = {SMALL: small_ms, LARGE: large_ms}
        self.choices: Collection[Choice] = [Choice(SMALL, 1), Choice(LARGE, 1)]

    def adopt(self) -> Collection[Choice]:
        return ()

    def keep(self, wanted: Collection[Choice]) -> None:
        self.choices = wanted

    def infer(
        self, choice: Choice, pixels: np.ndarray, fit: Fit = Fit.CROP, *, features: bool = False
    ) -> tuple[np.ndarray, int, int]:
        preprocessed_ns = monotonic_ns()
        time.sleep(self.times_ms[choice.variant] / 1000)
        light = float(pixels.mean()) / 255
        return np.array([1 - light, light], np.float32), preprocessed_ns, monotonic_ns()


class Recorder:
    """Sink and observer in one."""

    def __init__(self) -> None:
        self.results: list[Result] = []
        self.observed = 0
        self.stale_views: list[str] = []
        self.switches: list[str] = []

    def publish(self, result: Result) -> None:
        self.results.append(result)

    def observe(self, result: Result) -> None:
        self.observed += 1

    def stale(self, view: str) -> None:
        self.stale_views.append(view)

    def shed(self, view: str, *, by_power: bool) -> None: ...

    def switched(self, view: str, reason: str) -> None:
        self.switches.append(reason)


class Feed:
    """A camera's mailbox and the child's end of it, in one process."""

    def __init__(self, name: str, budget_ms: float) -> None:
        self.mailbox = Mailbox.create(64)
        self.writer = MailboxWriter.attach(self.mailbox.memfd, self.mailbox.wake_fd)
        self.queue = ViewQueue(name, self.mailbox, OUTPUT, budget_ms, on_time=0.95)
        self.queues = [self.queue]

    def send(self, value: int = 255, age_ms: float = 0.0, wanted: int = 0) -> None:
        now_ns = monotonic_ns()
        pixels = np.full((32, 32, 3), value, np.uint8)
        publish(self.writer, pixels, now_ns - int(age_ms * 1e6), now_ns, wanted)


class Yard:
    """A camera with views, `yard/gate` and so on. budgets_ms, columns: by name; the columns are
    those of the picture at which the view's region begins."""

    def __init__(
        self,
        budgets_ms: Mapping[str, float],
        columns: Mapping[str, int] = MappingProxyType({}),
        clock: Clock = monotonic_ns,
    ) -> None:
        self.mailbox = Mailbox.create(64, len(budgets_ms), clock=clock)
        self.writer = MailboxWriter.attach(self.mailbox.memfd, self.mailbox.wake_fd)
        self.queues = [
            ViewQueue(f"yard/{name}", self.mailbox, OUTPUT, budget_ms, on_time=0.95, index=index)
            for index, (name, budget_ms) in enumerate(budgets_ms.items())
        ]
        self.by_name = dict(zip(budgets_ms, self.queues, strict=True))
        self._columns = columns
        self._clock = clock

    def send(self, value: int = 255, *names: str, age_ms: float = 0.0) -> None:
        """A picture for these views, or for all."""
        now_ns = self._clock()
        places = {
            queue.index: Place(self._columns.get(name, 0), 0, 32, 32, 0)
            for name, queue in self.by_name.items()
            if not names or name in names
        }
        pixels = np.full((32, 64, 3), value, np.uint8)
        captured_ns = now_ns - int(age_ms * 1e6)
        self.writer.publish(pixels, captured_ns, now_ns, places, clock=self._clock)


class Measured:
    """Stands in for the profiler when it has done its work."""

    complete, waiting = True, ()
    profile: Profile = MappingProxyType({})

    def __init__(
        self, cheap_ms: float = 1.0, dear_ms: float = 1.0, views: Iterable[str] = ("door",)
    ) -> None:
        ladder = (
            Candidate(LARGE, 1, 0.7, dear_ms, dear_ms),
            Candidate(SMALL, 1, 0.4, cheap_ms, cheap_ms),
        )
        self.ladders = dict.fromkeys(views, ladder)

    @property
    def useful(self) -> set[Choice]:
        return {each.choice for each in chain(*self.ladders.values())}

    def limit_to(self, choices: object) -> None: ...

    def rest(self, choices: object) -> None: ...

    def measure_cheapest(self, measure: object) -> None: ...

    def observe(self, key: object, times_ms: object) -> None: ...

    def use(self, in_use: object) -> None: ...

    def weigh(self, joules: object) -> None: ...


def make(feeds: Sequence[Feed | Yard], seen: Recorder, /, **more: object) -> Pipeline:
    queues = [queue for feed in feeds for queue in feed.queues]
    top1 = {Choice(SMALL, 1): 0.4, Choice(LARGE, 1): 0.7}
    views = dict.fromkeys((queue.view for queue in queues), top1)
    profiler = Profiler(list(top1), views, {SMALL: 10, LARGE: 100})
    return Pipeline(
        queues=queues,
        loaded=more.pop("device", Device()),  # type: ignore[arg-type]
        profiler=more.pop("profiler", profiler),  # type: ignore[arg-type]
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
