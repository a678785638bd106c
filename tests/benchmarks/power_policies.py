"""Policies that spend no more than they must, and references for them (control_power.py)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from edged.capture.frame import Frame
from edged.control.controller import Controller, ViewSettings
from edged.control.profile import Candidate, Spread, Timing
from edged.control.profiler import Profiler
from edged.control.selector import Decision
from edged.pipeline.probes import Probes
from edged.pipeline.queue import ViewQueue
from edged.result import Score
from edged.tracing.policies import Alert
from edged.tracing.trace import FullTrace
from edged.variants.variant import Choice, Variant
from tests.benchmarks.control_outcomes import Stream
from tests.rig.camera import FakeTime
from tests.rig.outcomes import VIEW, Camera, Networks, Said, Shown

PROBE = 0.02
"""Share of the time for probes: the default of edged.yaml."""
FPS = 30.0
"""Of the traces."""
LEVELS = np.zeros((4, 4, 3), np.uint8)


class AlertEnergy(Alert):
    """ALERT's energy mode (arXiv 1911.00119): the least predicted energy that reaches an accuracy
    goal by the deadline.

    The slow-down xi is normal, with the mean and the variance of its Kalman filter. A variant with
    the profiled time t and accuracy q is on time with the chance p = P(xi t <= slack), its expected
    accuracy is p q (a late result counts 0), and its expected energy E[xi] t, because here all
    variants take the same power and the device's own does not count. The latency goal is
    p >= target, the accuracy goal the highest expected accuracy of those that reach it, less
    give_up. Where none reaches the latency goal, the fastest runs: ALERT puts latency first.
    """

    def __init__(
        self,
        trace: FullTrace,
        budget_ms: float,
        target: float,
        give_up: float,
        least_noise: float = 0.1,
    ) -> None:
        super().__init__(trace, budget_ms, target, least_noise)
        self._target, self._give_up = target, give_up

    def choose(self, frame: int, slack_ms: float) -> int:
        slow_down = NormalDist(self._mean, math.sqrt(self._variance))
        expected = {}
        for place, variant in enumerate(self._variants):
            chance = slow_down.cdf(slack_ms / variant.p50_ms)
            if chance >= self._target:
                expected[place] = chance * variant.top1
        times_ms = [variant.p50_ms for variant in self._variants]
        if not expected:
            return times_ms.index(min(times_ms))
        goal = max(expected.values()) - self._give_up
        return min((each for each in expected if expected[each] >= goal), key=times_ms.__getitem__)


class Probed:
    """edged with probes: what they say of a stream counts, and so does the time that they take.

    The daemon's own probes, evidence, ladder and choice. A probe that takes longer than the gap
    delays the next frame; `late_ms` has the captures of those that it made late. All pictures have
    the same levels: no break of the evidence comes from them.
    """

    def __init__(
        self, trace: FullTrace, budget_ms: float, target: float, give_up: float, stream: Stream
    ) -> None:
        self._trace, self._budget_ms, self._stream = trace, budget_ms, stream
        self._variants = [Variant.parse(each.name) for each in trace.variants]
        self._places = {each: place for place, each in enumerate(self._variants)}
        choices = [Choice(each, 1) for each in self._variants]
        spreads = [Spread(each.p50_ms, 1.1 * each.p50_ms) for each in trace.variants]
        self._cheapest_ms = min(each.p95_ms for each in spreads)
        self._profiler = Profiler(
            choices,
            {VIEW: {c: each.top1 for c, each in zip(choices, trace.variants, strict=True)}},
            {v: round(1000 * s.p50_ms) for v, s in zip(self._variants, spreads, strict=True)},
            known={c: Timing(s, s, s, 100) for c, s in zip(choices, spreads, strict=True)},
        )
        self._controller = Controller({VIEW: ViewSettings(budget_ms, target, give_up=give_up)})
        self._time = FakeTime()
        self._begun_ns = self._time.now_ns
        self._networks = Networks(self._time, self._places, {})
        self._queue = ViewQueue(VIEW, Camera(), Said((), 1, 0.0), budget_ms, target)  # type: ignore[arg-type]
        self._probes = Probes(
            [self._queue],
            self._networks,  # type: ignore[arg-type]
            self._profiler,
            self._controller,
            self._time.clock,
            PROBE,
        )
        self._frame, self._slack_ms = 0, 0.0
        self._ladder: Sequence[Candidate] = ()
        self._decision: Decision | None = None
        self.late_ms = set[float]()

    @property
    def probe_ms(self) -> float:
        """That all probes together took."""
        return 1000 * self._queue.evidence.seconds

    def choose(self, frame: int, slack_ms: float) -> int:
        age_ms = self._budget_ms - slack_ms
        planned_ns = self._at_ns(self._trace.frames[frame].captured_ms + age_ms)
        self._time.now_ns = max(self._time.now_ns, planned_ns)
        self._frame = frame
        self._slack_ms = slack_ms - (self._time.now_ns - planned_ns) / 1e6
        self._ladder = self._profiler.ladders[VIEW]
        self._decision = self._controller.decide(VIEW, self._ladder, self._slack_ms)
        return self._places[self._decision.candidate.variant]

    def observe(self, chosen: int, service_ms: float, on_time: bool) -> None:
        assert self._decision is not None
        if on_time and service_ms > self._slack_ms:
            on_time = False
            self.late_ms.add(self._trace.frames[self._frame].captured_ms)
        self._controller.observe(VIEW, self._ladder, self._decision, service_ms, on_time)
        self._time.sleep(service_ms / 1000)
        if self._frame + 1 < len(self._trace.frames):
            self._probe(chosen)

    def dropped(self) -> None:
        self._controller.dropped(VIEW)

    def _probe(self, ran: int) -> None:
        place = int(self._frame * self._stream.fps / FPS) % len(self._stream.classes)
        classes, now_ns = self._stream.classes[place], self._time.now_ns
        self._networks.shown = Shown(classes, LEVELS)
        traced = self._trace.frames[self._frame]
        self._networks.times_ms = dict(zip(self._variants, traced.service_ms, strict=True))
        frame = Frame(LEVELS, self._frame + 1, now_ns, now_ns, now_ns)
        self._queue.mailbox.latest = frame
        said = int(classes[ran])
        top = () if said < 0 else (Score(str(said), 1.0),)
        self._queue.evidence.answered(frame, self._variants[ran], top)
        following = self._trace.frames[self._frame + 1]
        due_ns = self._at_ns(following.captured_ms + following.wait_ms)
        spare_ms = self._budget_ms - following.wait_ms - 1.5 * self._cheapest_ms
        while (gap_ms := (due_ns - self._time.now_ns) / 1e6) > 0:
            if not self._probes.use(gap_ms, gap_ms + max(0.0, spare_ms)):
                break

    def _at_ns(self, trace_ms: float) -> int:
        return self._begun_ns + round(trace_ms * 1e6)


def clairvoyant(
    trace: FullTrace, budget_ms: float, give_up: float, worth: NDArray[np.float64]
) -> list[int]:
    """The variant for each frame that together take the least time of all choices whose accuracy is
    at most give_up below the highest possible one. worth: accuracy of each variant. It knows every
    time, but not which picture a variant is right about. Frames are taken one by one, as if none
    had to wait for another."""
    times_ms = np.array([frame.service_ms for frame in trace.frames])
    slack_ms = budget_ms - np.array([frame.wait_ms for frame in trace.frames])
    value = worth * (times_ms <= slack_ms[:, None])
    needed = value.max(axis=1).mean() - give_up
    low, high = 0.0, 1e6
    for _ in range(60):
        price = (low * high) ** 0.5 if low else high / 1e3
        found = (times_ms - price * value).argmin(axis=1)
        enough = np.take_along_axis(value, found[:, None], axis=1).mean() >= needed
        low, high = (low, price) if enough else (price, high)
    chosen: list[int] = (times_ms - high * value).argmin(axis=1).tolist()
    return chosen
