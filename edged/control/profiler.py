"""Measures the profile while the daemon already works: in the gaps between frames, at their pace.

The cheapest variant is measured first, before any frame; each other one joins the ladder when it
has its runs. Start-up is a busy time, with drivers and libraries loading, so all are measured once
more when it is over, one run a gap, and the faster figures stay. A measurement only starts where
it is expected to end before the next frame comes, or, for variants that outlast the gap, where
that frame still makes its deadline on the cheapest.
Knows no cameras; is told how long nothing is expected to happen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from edged.control.profile import MEASURED_RUNS, Candidate, ladder, timed
from edged.variants.variant import Variant

SETTLING_RUNS = 2
"""The first runs after loading touch memory for the first time and are not counted."""
ROUNDS = 2
REST_GAPS = 150
"""Gaps between the two rounds: five seconds of a camera."""
MARGIN = 1.3
"""A run is given this much more room than it is expected to take."""

Measure = Callable[[Variant, int], float]
"""Runs a variant with a number of threads on the latest picture; milliseconds."""


class Profiler:
    """Owns the ladder until it is complete.

    costs: multiply-adds of each variant, which order the work and foretell its length.
    """

    def __init__(
        self,
        top1: dict[Variant, float],
        costs: dict[Variant, int],
        threads: Iterable[int],
        *,
        rest_gaps: int = REST_GAPS,
    ) -> None:
        self._top1 = top1
        self._costs = costs
        self._order = [
            (variant, count)
            for count in threads
            for variant in sorted(top1, key=lambda variant: costs[variant])
        ]
        self._waiting = list(self._order)
        self._rest_gaps = rest_gaps
        self.rounds = 0
        """Through all variants, finished."""
        self._runs_ms: list[float] = []
        self._measured: dict[tuple[Variant, int], Candidate] = {}
        self.ladder: tuple[Candidate, ...] = ()

    @property
    def complete(self) -> bool:
        return self.rounds == ROUNDS

    def measure_cheapest(self, measure: Measure) -> None:
        """Before the first frame: there must be something to run on it."""
        while not self._measured:
            self._run_once(measure)

    def use_gap(self, gap_ms: float, tolerable_ms: float, measure: Measure) -> bool:
        """Run one measurement if it is expected to fit; True when another may be tried at once.

        gap_ms: time until the next frame is due. tolerable_ms: how much later than that the
        backend may be free again without that frame missing its deadline on the cheapest variant.
        """
        if self.rounds and self._rest_gaps > 0:
            self._rest_gaps -= 1
            return False
        if not self._waiting:
            return False
        expected_ms = self._expected_ms() * MARGIN
        fits = expected_ms <= gap_ms or (expected_ms > gap_ms > 0 and expected_ms <= tolerable_ms)
        if fits:
            self._run_once(measure)
        return fits and not self.rounds

    def _expected_ms(self) -> float:
        variant, _ = self._waiting[0]
        counted = self._runs_ms[SETTLING_RUNS:] or self._runs_ms
        if counted:
            return max(counted)
        own = self._measured.get(self._waiting[0])
        if own is not None:
            return own.p50_ms
        known = max(self._measured.values(), key=lambda known: self._costs[known.variant])
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
        found = timed(variant, threads, self._top1[variant], counted)
        before = self._measured.get((variant, threads), found)
        self._measured[variant, threads] = replace(
            found,
            p50_ms=min(found.p50_ms, before.p50_ms),
            p95_ms=min(found.p95_ms, before.p95_ms),
        )
        self.ladder = ladder(self._measured.values())
        if not self._waiting:
            self.rounds += 1
            if not self.complete:
                self._waiting = list(self._order)
