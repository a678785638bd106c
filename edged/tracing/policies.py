"""Policies that choose a variant per frame: edged's, published ones, and references.

They require a full trace: a policy gets the slack of a frame and afterwards the time of the chosen
variant. The references also use the times of future frames. Variants are positions in the trace.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from statistics import NormalDist
from typing import Protocol

from edged.control.controller import Controller, ViewSettings
from edged.control.profile import Candidate, ladder
from edged.control.selector import NO_LIMITS, Decision, Limits
from edged.tracing.trace import FullTrace, TracedVariant
from edged.variants.variant import Variant


class Policy(Protocol):
    def choose(self, frame: int, slack_ms: float) -> int:
        """The variant for this frame. slack_ms: the rest of its budget."""

    def observe(self, chosen: int, service_ms: float, on_time: bool) -> None: ...

    def dropped(self) -> None:
        """A frame exceeded its budget before it could run: a miss without a choice."""


class Edged:
    """The daemon's policy. give_up: accuracy, a share, that the goal `power` may give up; None for
    the goal `accuracy`."""

    VIEW = "trace"

    def __init__(
        self, trace: FullTrace, budget_ms: float, target: float, give_up: float | None = None
    ) -> None:
        self._frames = trace.frames
        self._candidates = _candidates(trace.variants)
        self._ladder = ladder(self._candidates)
        self._positions = {id(candidate): i for i, candidate in enumerate(self._candidates)}
        settings = ViewSettings(budget_ms, target, give_up=give_up)
        self.controller = Controller({self.VIEW: settings})
        self._decision: Decision | None = None

    def choose(self, frame: int, slack_ms: float) -> int:
        limit_ms = self._frames[frame].limit_ms
        limits = NO_LIMITS if limit_ms == math.inf else Limits(limit_ms)
        self._decision = self.controller.decide(self.VIEW, self._ladder, slack_ms, limits)
        return self._positions[id(self._decision.candidate)]

    def observe(self, chosen: int, service_ms: float, on_time: bool) -> None:
        assert self._decision is not None
        self.controller.observe(self.VIEW, self._ladder, self._decision, service_ms, on_time)

    def dropped(self) -> None:
        self.controller.dropped(self.VIEW)


class Alert:
    """ALERT (arXiv 1911.00119): a Kalman filter of the slow-down, and a normal quantile.

    least_noise: the paper's Q(0). The constants are the paper's.
    """

    GAIN, MEASUREMENT_NOISE, MEMORY = 0.5, 0.001, 0.3

    def __init__(
        self, trace: FullTrace, budget_ms: float, target: float, least_noise: float = 0.1
    ) -> None:
        self._variants = trace.variants
        self._quantile = NormalDist().inv_cdf(target)
        self._mean, self._variance = 1.0, 0.1
        self._gain, self._innovation = self.GAIN, 0.0
        self._least_noise = self._noise = least_noise

    def choose(self, frame: int, slack_ms: float) -> int:
        slow_down = self._mean + self._quantile * math.sqrt(self._variance)
        return _most_accurate(self._variants, slack_ms / max(slow_down, 1e-9))

    def observe(self, chosen: int, service_ms: float, on_time: bool) -> None:
        moved = (self._gain * self._innovation) ** 2
        noise = self.MEMORY * self._noise + (1 - self.MEMORY) * moved
        self._noise = max(self._least_noise, noise)
        self._variance = (1 - self._gain) * self._variance + self._noise
        self._gain = self._variance / (self._variance + self.MEASUREMENT_NOISE)
        self._innovation = service_ms / self._variants[chosen].p50_ms - self._mean
        self._mean += self._gain * self._innovation

    def dropped(self) -> None: ...


class Ladder:
    """One step down on a miss, one up after many good results."""

    GOOD_RESULTS = 30

    def __init__(self, trace: FullTrace, budget_ms: float, target: float) -> None:
        self._ladder = [rung.variant.resolution for rung in ladder(_candidates(trace.variants))]
        self._step = self._good = 0

    def choose(self, frame: int, slack_ms: float) -> int:
        return self._ladder[self._step]

    def observe(self, chosen: int, service_ms: float, on_time: bool) -> None:
        self._good = self._good + 1 if on_time else 0
        if not on_time:
            self._step = min(self._step + 1, len(self._ladder) - 1)
        elif self._good >= self.GOOD_RESULTS:
            self._step, self._good = max(self._step - 1, 0), 0

    def dropped(self) -> None:
        self.observe(0, 0.0, False)


class ApproxDet:
    """ApproxDet (SenSys 2020): keeps a margin of 1.3 over the predicted time.

    The prediction is the profile times the mean slow-down of the latest runs of one variant; a
    change of the variant discards the earlier runs.
    """

    MARGIN, RUNS = 1.3, 8

    def __init__(self, trace: FullTrace, budget_ms: float, target: float) -> None:
        self._variants = trace.variants
        self._ratios: deque[float] = deque([1.0], maxlen=self.RUNS)
        self._previous = -1

    def choose(self, frame: int, slack_ms: float) -> int:
        slow_down = sum(self._ratios) / len(self._ratios)
        return _most_accurate(self._variants, slack_ms / self.MARGIN / slow_down)

    def observe(self, chosen: int, service_ms: float, on_time: bool) -> None:
        if chosen != self._previous:
            self._ratios.clear()
        self._ratios.append(service_ms / self._variants[chosen].p50_ms)
        self._previous = chosen

    def dropped(self) -> None: ...


class Fixed:
    """Predetermined variants, one for each stretch of frames."""

    def __init__(self, variants: Sequence[int], stretch: int) -> None:
        self._variants, self._stretch = variants, stretch

    def choose(self, frame: int, slack_ms: float) -> int:
        return self._variants[frame // self._stretch]

    def observe(self, chosen: int, service_ms: float, on_time: bool) -> None: ...

    def dropped(self) -> None: ...


class Clairvoyant:
    """Knows each variant's time: the most accurate on time, otherwise the fastest."""

    def __init__(self, trace: FullTrace) -> None:
        self._trace = trace

    def choose(self, frame: int, slack_ms: float) -> int:
        times, variants = self._trace.frames[frame].service_ms, self._trace.variants
        in_time = [index for index, time_ms in enumerate(times) if time_ms <= slack_ms]
        if not in_time:
            return times.index(min(times))
        return max(in_time, key=lambda index: (variants[index].top1, -times[index]))

    def observe(self, chosen: int, service_ms: float, on_time: bool) -> None: ...

    def dropped(self) -> None: ...


def _most_accurate(variants: Sequence[TracedVariant], longest_ms: float) -> int:
    """The most accurate with a median of at most longest_ms; the fastest if there is none."""
    fitting = [index for index, variant in enumerate(variants) if variant.p50_ms <= longest_ms]
    if not fitting:
        return min(range(len(variants)), key=lambda index: variants[index].p50_ms)
    return max(fitting, key=lambda index: (variants[index].top1, -variants[index].p50_ms))


def _candidates(variants: Sequence[TracedVariant]) -> tuple[Candidate, ...]:
    """The selector's candidates, identified by position. Converts top-1 percentages to shares."""
    unit = 100.0 if any(variant.top1 > 1 for variant in variants) else 1.0
    return tuple(
        Candidate(
            Variant(1.0, position),
            variant.threads,
            variant.top1 / unit,
            variant.p50_ms,
            variant.p50_ms,
            joules=variant.joules,
        )
        for position, variant in enumerate(variants)
    )
