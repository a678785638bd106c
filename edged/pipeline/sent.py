"""Pictures that people send, classified in the gaps between frames: cameras come first.

A picture runs as soon as no frame waits, with the best variant for its budget of those that almost
certainly end before the next frame is due. Where not even the cheapest one does, that one runs, at
most once in PATIENCE_NS, if the next frame can still be on time after it. Only the energy of such a
run is learnt, and no view's results, metrics or trace show it.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edged.backends.loaded import LoadedNetworks
from edged.clock import Clock
from edged.control.controller import Controller
from edged.control.profile import Candidate
from edged.control.selector import Decision, Limits, Reason, allowed
from edged.errors import EdgedError
from edged.pipeline.idle import Idle
from edged.pipeline.limits import Ladders
from edged.pipeline.output import Output
from edged.pipeline.queue import ViewQueue
from edged.pipeline.run import result_of
from edged.result import Result
from edged.variants.family import Fit

SURE = 0.98
"""Chance that a run must have to end before the next frame is due."""
PATIENCE_NS = 1_000_000_000
OUTCOMES = ("on_time", "late", "rejected", "busy")
"""What becomes of a picture: answered within its budget, or later; not decodable; no time for it
between the frames."""


@dataclass(slots=True, eq=False)
class SentPicture:
    """pixels: as a frame of the view would have. view: its id; the picture runs with its family,
    variants and settings. Times in ns: arrived, the whole picture was received; ready, it was
    decoded. done: the result; it may be cancelled until the picture runs."""

    view: str
    pixels: NDArray[np.uint8]
    budget_ms: float
    arrived_ns: int
    ready_ns: int
    done: Future[Result] = field(default_factory=Future)


class SentRun(NamedTuple):
    """A picture in progress. thread: the native id of the one that runs it."""

    picture: SentPicture
    output: Output
    fit: Fit
    decision: Decision
    taken_ns: int
    thread: int = 0

    def result(self, loaded: LoadedNetworks, clock: Clock) -> Result:
        """Run it. Raises RunError."""
        picture, candidate = self.picture, self.decision.candidate
        values, preprocessed_ns, inferred_ns = loaded.infer(
            candidate.choice, picture.pixels, self.fit, features=self.output.takes_features
        )
        rows = self.output.rows(values, candidate.network)
        top = self.output.top(rows)
        moments_ns = (
            *(picture.arrived_ns, picture.arrived_ns, picture.ready_ns, self.taken_ns),
            *(preprocessed_ns, inferred_ns, clock()),
        )
        return result_of(picture.view, 0, picture.budget_ms, self.decision, moments_ns, top)


class SentPictures:
    """Those that wait, in the order of their arrival. Each sender waits for its own, so their
    number is that of the senders. It outlives pipelines; wake_fd: see workers.Mailbox."""

    def __init__(self) -> None:
        self.wake_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        weakref.finalize(self, os.close, self.wake_fd)
        self._waiting: deque[SentPicture] = deque()
        self._lock = threading.Lock()
        self.counts = dict.fromkeys(OUTCOMES, 0)

    def count(self, outcome: str) -> None:
        """outcome: of a picture, one of OUTCOMES."""
        with self._lock:
            self.counts[outcome] += 1

    def clear_wake(self) -> None:
        os.eventfd_read(self.wake_fd)

    def put(self, picture: SentPicture) -> None:
        with self._lock:
            self._waiting.append(picture)
        os.eventfd_write(self.wake_fd, 1)

    @property
    def waiting(self) -> bool:
        return bool(self._waiting)

    def first(self) -> SentPicture | None:
        """The next one, which stays; those that nobody waits for any more are removed."""
        with self._lock:
            while self._waiting and self._waiting[0].done.cancelled():
                self._waiting.popleft()
            return self._waiting[0] if self._waiting else None

    def take(self, picture: SentPicture) -> bool:
        """Remove the first one, to run it; False if nobody waits for it any more."""
        with self._lock:
            self._waiting.popleft()
        return picture.done.set_running_or_notify_cancel()


@dataclass(slots=True)
class Gaps:
    """When a sent picture runs, and with which variant. Used by one thread at a time."""

    sent: SentPictures
    queues: Sequence[ViewQueue]
    controller: Controller
    idle: Idle
    clock: Clock
    runs: tuple[SentRun, ...] = ()
    """In progress: one at most."""
    _patient_from_ns: int = 0
    """When a picture last ran for which a frame may have had to wait."""

    @property
    def threads(self) -> int:
        """How many the picture in progress uses."""
        return sum(run.decision.candidate.threads for run in self.runs)

    def begin(self, free: int, ladders: Ladders) -> SentRun | None:
        """The next picture, if it may run now. free: cores."""
        if self.runs or free < 1 or any(each.waiting is not None for each in self.queues):
            return None
        while (picture := self.sent.first()) is not None:
            queue = next((each for each in self.queues if each.view == picture.view), None)
            if queue is None or queue.output.silent:
                if self.sent.take(picture):
                    what = "the configuration has just changed"
                    picture.done.set_exception(EdgedError(what, fix="send the picture again"))
                continue
            ladder = allowed(ladders[queue.view], queue.min_top1)
            decision = self._decide(picture, free, ladder)
            if decision is None:
                return None
            if self.sent.take(picture):
                return self._run(picture, queue, decision)
        return None

    def _decide(
        self, picture: SentPicture, free: int, ladder: Sequence[Candidate]
    ) -> Decision | None:
        """None if the cameras need the time."""
        now_ns, chance = self.clock(), self.controller.slowdown.chance
        gap_ms, tolerable_ms = self.idle.room_ms(self.controller.slowdown.ratio)
        fitting = [each for each in ladder if chance(each, gap_ms) >= SURE]
        if not fitting:
            cheapest = min(ladder, key=lambda each: each.p50_ms)
            since_ns = max(picture.ready_ns, self._patient_from_ns)
            if now_ns - since_ns < PATIENCE_NS or gap_ms <= 0:
                return None
            if chance(cheapest, tolerable_ms) < SURE:
                return None
            self._patient_from_ns, fitting = now_ns, [cheapest]
        decision = self.controller.decide_apart(
            picture.view,
            fitting,
            picture.budget_ms - (now_ns - picture.arrived_ns) / 1e6,
            picture.budget_ms,
            Limits(threads=free),
        )
        better = fitting[0] is not ladder[0]
        if better and decision.reason is Reason.MOST_ACCURATE:
            decision = decision._replace(reason=Reason.LIMIT)
        return decision

    def _run(self, picture: SentPicture, queue: ViewQueue, decision: Decision) -> SentRun:
        made = picture, queue.output, queue.fit, decision
        run = SentRun(*made, self.clock(), threading.get_native_id())
        self.runs = (run,)
        return run

    def carry_out(self, run: SentRun, loaded: LoadedNetworks) -> None:
        """Run it and hand the result to its sender, or the error."""
        try:
            result = run.result(loaded, self.clock)
        except Exception as error:  # of this picture alone: the cameras' frames go on
            self.runs = ()
            run.picture.done.set_exception(error)
            return
        self.idle.ran_ns = self.clock()
        self.runs = ()
        run.picture.done.set_result(result)
