"""Measures the profile while the daemon already works: in the gaps between frames, at their pace.

The cheapest variant is measured first, before any frame; each other one joins the ladder when it
has its runs. A measurement only starts where it is expected to end before the next frame comes,
or, for variants that outlast the gap, where that frame still makes its deadline on the cheapest.
Knows no cameras; is told how long nothing is expected to happen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from edged.control.profile import MEASURED_RUNS, Candidate, ladder, timed
from edged.variants.variant import Variant

SETTLING_RUNS = 2
"""The first runs after loading touch memory for the first time and are not counted."""
MARGIN = 1.3
"""A run is given this much more room than it is expected to take."""

Measure = Callable[[Variant, int], float]
"""Runs a variant with a number of threads on the latest picture; milliseconds."""


class Profiler:
    """Owns the ladder until it is complete.

    costs: multiply-adds of each variant, which order the work and foretell its length.
    """

    def __init__(
        self, top1: dict[Variant, float], costs: dict[Variant, int], threads: Iterable[int]
    ) -> None:
        self._top1 = top1
        self._costs = costs
        self._waiting = [
            (variant, count)
            for count in threads
            for variant in sorted(top1, key=lambda variant: costs[variant])
        ]
        self._runs_ms: list[float] = []
        self._measured: list[Candidate] = []
        self.ladder: tuple[Candidate, ...] = ()

    @property
    def complete(self) -> bool:
        return not self._waiting

    @property
    def measured(self) -> tuple[Candidate, ...]:
        """Every candidate so far, dominated ones too."""
        return tuple(self._measured)

    def measure_cheapest(self, measure: Measure) -> None:
        """Before the first frame: there must be something to run on it."""
        while not self._measured:
            self._run_once(measure)

    def use_gap(self, gap_ms: float, tolerable_ms: float, measure: Measure) -> bool:
        """Run one measurement if it is expected to fit, and say whether it was run.

        gap_ms: time until the next frame is due. tolerable_ms: how much later than that the
        backend may be free again without that frame missing its deadline on the cheapest variant.
        """
        if not self._waiting:
            return False
        expected_ms = self._expected_ms() * MARGIN
        fits = expected_ms <= gap_ms or (expected_ms > gap_ms > 0 and expected_ms <= tolerable_ms)
        if fits:
            self._run_once(measure)
        return fits

    def _expected_ms(self) -> float:
        variant, _ = self._waiting[0]
        counted = self._runs_ms[SETTLING_RUNS:] or self._runs_ms
        if counted:
            return max(counted)
        known = max(self._measured, key=lambda candidate: self._costs[candidate.variant])
        growth = self._costs[variant] / self._costs[known.variant]
        return known.p50_ms * max(1.0, growth)

    def _run_once(self, measure: Measure) -> None:
        variant, threads = self._waiting[0]
        self._runs_ms.append(measure(variant, threads))
        if len(self._runs_ms) < SETTLING_RUNS + MEASURED_RUNS:
            return
        del self._waiting[0]
        counted = self._runs_ms[SETTLING_RUNS:]
        self._runs_ms = []
        self._measured.append(timed(variant, threads, self._top1[variant], counted))
        self.ladder = ladder(self._measured)
