"""How much slower than its profile the device is now, learnt from the runs that happen anyway.

One factor is shared by all variants (observed / profiled, the xi of ALERT, arXiv 1911.00119), so
that variants which are not running need no probing. A busy neighbour does two different things,
and they are kept apart: it *scales* every run (shared caches, lower clocks), and it *pre-empts*
some of them, which adds a scheduler slice of a few milliseconds, the likelier the longer the run.
So a run is split into its bulk, a ratio to the profile, and, now and then, an interruption in
milliseconds whose rate is counted per millisecond of run. One slow run is an interruption; several
in a row are a new regime, and become the bulk.

Knows no clock, no budget and no camera: the same observations give the same answers.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import deque

from edged.control.profile import Candidate

BULK_RUNS = 48
"""Ratios remembered: about two seconds of a camera, so that a calmer device is believed soon."""
INTERRUPTION_DECAY = 0.98
"""Per run: interruptions are remembered for some fifty runs, longer than the bulk for rarity."""
INTERRUPTIONS_KEPT = 24
REGIME_RUNS = 3
"""So many interruptions in a row are not interruptions but a slower device."""


class Slowdown:
    """The state of one backend's estimate. `observe` a run, ask the `chance` of another."""

    __slots__ = (
        "_exposure_ms",
        "_in_a_row",
        "_interrupted",
        "_interruptions_ms",
        "_order",
        "_ratios",
        "_sorted_interruptions_ms",
    )

    def __init__(self) -> None:
        self._order: deque[float] = deque()  # ratios, oldest first
        self._ratios: list[float] = []  # the same, ascending
        self._in_a_row: list[float] = []  # ratios of the latest runs, if all were interrupted
        self._interrupted = 0.0  # discounted number of interruptions ...
        self._exposure_ms = 0.0  # ... in this much discounted running time
        self._interruptions_ms: deque[float] = deque(maxlen=INTERRUPTIONS_KEPT)
        self._sorted_interruptions_ms: list[float] = []

    @property
    def ratio(self) -> float:
        """Observed / profiled, the median of the bulk: 1 is an undisturbed device."""
        return self._ratios[len(self._ratios) // 2] if self._ratios else 1.0

    def observe(self, candidate: Candidate, service_ms: float) -> None:
        """Learn from one run of `candidate` that took `service_ms`."""
        nominal_ms = candidate.p50_ms
        ratio = service_ms / nominal_ms
        expected = self.ratio
        excess_ms = service_ms - expected * nominal_ms
        spread_ms = max(2 * (candidate.p95_ms - nominal_ms), 0.25 * expected * nominal_ms)
        self._interrupted *= INTERRUPTION_DECAY
        self._exposure_ms = self._exposure_ms * INTERRUPTION_DECAY + min(
            service_ms, expected * nominal_ms
        )
        if not self._ratios or excess_ms <= max(spread_ms, 0.3):
            self._in_a_row.clear()
            self._remember(ratio)
            return
        self._in_a_row.append(ratio)
        self._interrupted += 1
        self._interruptions_ms.append(excess_ms)
        self._sorted_interruptions_ms = sorted(self._interruptions_ms)
        if len(self._in_a_row) >= REGIME_RUNS:
            self._begin_regime()

    def chance(self, candidate: Candidate, slack_ms: float) -> float:
        """Probability that a run of `candidate` begun now takes at most `slack_ms`."""
        nominal_ms = candidate.p50_ms
        if not self._ratios:
            return 1.0 if candidate.p95_ms <= slack_ms else 0.0
        count = len(self._ratios)
        fitting = bisect_right(self._ratios, slack_ms / nominal_ms)
        uninterrupted = (fitting + 0.5) / (count + 0.5) if fitting else 0.0
        if not self._sorted_interruptions_ms or not uninterrupted:
            return uninterrupted
        run_ms = self.ratio * nominal_ms
        interrupted = min(1.0, run_ms * self._interrupted / (self._exposure_ms + run_ms))
        absorbed = bisect_right(self._sorted_interruptions_ms, slack_ms - run_ms)
        harmful = 1 - absorbed / len(self._sorted_interruptions_ms)
        return uninterrupted * (1 - interrupted * harmful)

    def _remember(self, ratio: float) -> None:
        self._order.append(ratio)
        insort(self._ratios, ratio)
        if len(self._order) > BULK_RUNS:
            del self._ratios[bisect_right(self._ratios, self._order.popleft()) - 1]

    def _begin_regime(self) -> None:
        """What looked like interruptions is how the device runs now: forget the old bulk."""
        for _ in self._in_a_row:
            self._interruptions_ms.pop()
        self._sorted_interruptions_ms = sorted(self._interruptions_ms)
        self._interrupted = max(0.0, self._interrupted - len(self._in_a_row))
        self._order.clear()
        self._ratios.clear()
        for ratio in self._in_a_row:
            self._remember(ratio)
        self._in_a_row.clear()
