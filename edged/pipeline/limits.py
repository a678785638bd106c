"""What bounds a run besides its own slack: frame rates, temperature, other views, free cores."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from edged.capture.frame import Frame
from edged.clock import Clock
from edged.control.controller import Controller
from edged.control.profile import Candidate
from edged.control.selector import NOTHING_DEARER, allowed
from edged.pipeline.queue import ViewQueue
from edged.pipeline.run import Run

Ladders: TypeAlias = Mapping[str, tuple[Candidate, ...]]
"""By view."""


MARGIN = 1.2
"""Time to leave for another view's cheapest variant, in parts of what it is expected to take."""


@dataclass(slots=True)
class Bounds:
    """cores: how many inference may use. most_threads: of a run."""

    queues: Sequence[ViewQueue]
    controller: Controller
    cores: int
    most_threads: int
    clock: Clock
    _ladders: Ladders = field(default_factory=dict)
    _cheapest_ms: Mapping[str, float] = field(default_factory=dict)
    """Of these ladders, on an undisturbed device."""

    def _cheapest(self, queue: ViewQueue, ladders: Ladders) -> float:
        """Expected time (ms) of the cheapest variant that the view may use."""
        if ladders is not self._ladders:
            views = self.controller.views
            self._cheapest_ms = {
                view: min(each.p50_ms for each in allowed(ladder, views[view].settings.min_top1))
                for view, ladder in ladders.items()
            }
            self._ladders = ladders
        return self._cheapest_ms[queue.view] * self.controller.slowdown.ratio

    def run_ms(self, queue: ViewQueue, now_ns: int, share: float, ladders: Ladders) -> float | None:
        """How long the run may be expected to take; None to skip the frame.

        Delivering views share the cores: all their runs together must fit into the interval of
        the highest `min_fps`, and each gets an equal part of `share`, the share of the time that
        temperature and power allow.
        """
        delivering = [other for other in self.queues if other is queue or other.delivers(now_ns)]
        beside, views = min(self.cores, len(delivering)), len(delivering)
        most_fps = max(other.min_fps for other in delivering)
        limit_ms = 1000 / most_fps * beside / views if most_fps else math.inf
        if share < 1 and queue.period_ms:
            cool_ms = share * queue.period_ms * beside / views
            cheapest_ms = self._cheapest(queue, ladders)
            if not queue.pace.admits(cool_ms, cheapest_ms):
                return None
            limit_ms = min(limit_ms, cool_ms)
        return limit_ms

    def beside_others_ms(
        self, queue: ViewQueue, now_ns: int, runs: Iterable[Run], ladders: Ladders
    ) -> float:
        """How long a run on the last free core may take so that every other view that can still
        answer in time with its cheapest variant does. runs: those in progress."""
        core_ms = _core_ms(runs, now_ns)
        limit_ms, own_ms = math.inf, 0.0
        for other in self.queues:
            if other is queue or not other.delivers(now_ns):
                continue
            comes_ns = now_ns
            if other.waiting is not None:
                captured_ns = other.waiting.captured_ns
            elif (due_ns := other.due_ns()) is not None:
                comes_ns = max(due_ns, now_ns)
                captured_ns = comes_ns - int(other.age_ms * 1e6)
            else:
                continue
            own_ms = own_ms or self._cheapest(queue, ladders)
            left_ms = self._left_ms(other, captured_ns, now_ns, ladders)
            if max(own_ms, (comes_ns - now_ns) / 1e6) <= left_ms < core_ms:
                limit_ms = min(limit_ms, left_ms)
        return limit_ms

    def first(
        self, waiting: Sequence[ViewQueue], now_ns: int, runs: Iterable[Run], ladders: Ladders
    ) -> ViewQueue:
        """Whose frame the last free core serves: that of the most urgent view, the first, or one
        that even the first's cheapest variant would make late and that the first has time for."""
        first, *others = waiting
        taken_ms = min(MARGIN * self._cheapest(first, ladders), _core_ms(runs, now_ns))
        left_ms = self._waits_ms(first, now_ns, ladders)
        for other in others:
            fits = MARGIN * self._cheapest(other, ladders) <= left_ms
            if fits and 0 <= self._waits_ms(other, now_ns, ladders) < taken_ms:
                return other
        return first

    def _waits_ms(self, queue: ViewQueue, now_ns: int, ladders: Ladders) -> float:
        """How long its frame can still wait."""
        assert queue.waiting is not None
        return self._left_ms(queue, queue.waiting.captured_ns, now_ns, ladders)

    def _left_ms(self, queue: ViewQueue, captured_ns: int, now_ns: int, ladders: Ladders) -> float:
        """Until a frame must run with its cheapest variant."""
        return queue.slack_ms(captured_ns, now_ns) - MARGIN * self._cheapest(queue, ladders)

    def threads(
        self,
        waiting: Sequence[ViewQueue],
        slack_ms: float,
        free: int,
        ladders: Ladders,
    ) -> int | None:
        """How many threads the first queue's frame may use; None for no limit."""
        most = self.most_threads
        if most == 1:
            return None
        threads = free
        if len(waiting) > 1 and waiting[1].waiting is not None:
            first, second = waiting[:2]
            second_ms = second.slack_ms(waiting[1].waiting.captured_ns, self.clock())
            threads = self.controller.threads_for(
                (first.view, slack_ms, ladders[first.view]),
                (second.view, second_ms, ladders[second.view]),
                free=free,
                waiting=len(waiting) - 1,
            )
        return threads if threads < most else None

    def dearer_ms(self, run: Run) -> Mapping[int, float]:
        """How much longer pictures at other resolutions take to decode than the run's."""
        if not run.frame.leads:  # another view decides how large the camera's picture is
            return NOTHING_DEARER
        ratio = self.controller.slowdown.ratio
        return run.queue.decode_times.dearer_ms(run.frame.wanted, ratio)

    def next_side(self, run: Run, dearer_ms: Mapping[int, float]) -> int:
        """The resolution of the variant that would run on the view's next picture."""
        lead = run.decision
        if run.limits.resolution is not None or any(dearer_ms.values()):
            limits = run.limits._replace(resolution=None)
            view, slack_ms = run.queue.view, run.slack_ms
            lead = self.controller.decide(view, run.ladder, slack_ms, limits, dearer_ms)
        return lead.candidate.variant.resolution


def _core_ms(runs: Iterable[Run], now_ns: int) -> float:
    """Until another core is free."""
    return min((run.left_ms(now_ns) for run in runs), default=math.inf)


def largest_served(frame: Frame, ladder: Sequence[Candidate]) -> int | None:
    """The largest resolution that the picture serves; None if it serves the whole ladder."""
    serves = frame.serves
    if serves is None or all(candidate.variant.resolution <= serves for candidate in ladder):
        return None
    return serves
