"""Measures the profile while the daemon already works: in the gaps between frames, at their pace.

What a stored profile knows is on the ladder from the first frame on. Otherwise the cheapest variant
is measured first, before any frame; each other one joins the ladder when it has its runs. Start-up
is a busy time, with drivers and libraries loading, so all are measured once more when it is over,
one run a gap, and the faster figures stay: that mends a profile stored by a disturbed device, too.
What runs on frames then needs no gaps, its runs count.

A measurement only starts where it is expected to end before the next frame comes, or, for variants
that outlast the gap, where that frame still makes its deadline on the cheapest. What never fits is
left out, and tried again as long as the daemon runs.
Knows no cameras and no files; is told how long nothing is expected to happen.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from types import MappingProxyType

from edged.control.profile import (
    MEASURED_RUNS,
    Candidate,
    Choice,
    Profile,
    Timing,
    candidates,
    ladder,
)
from edged.variants.variant import Variant

SETTLING_RUNS = 2
"""The first runs after loading touch memory for the first time and are not counted."""
ROUNDS = 2
REST_GAPS = 150
"""Gaps between the two rounds: five seconds of a camera. After so many in which nothing fits, a
round is over."""
MARGIN = 1.3
"""A run is given this much more room than it is expected to take."""

Measure = Callable[[Variant, int], tuple[float, float]]
"""Runs a variant with a number of threads on the latest picture; preprocess and inference in ms."""


class Profiler:
    """Owns the profile and the ladder, and replaces rather than changes them: any thread may read.

    costs: multiply-adds of each variant, which order the work and foretell its length.
    known: a stored profile. left_out: what is not loaded, and so not to be measured.
    """

    def __init__(
        self,
        top1: dict[Variant, float],
        costs: dict[Variant, int],
        threads: Iterable[int],
        *,
        known: Profile = MappingProxyType({}),
        left_out: Collection[Choice] = (),
        rest_gaps: int = REST_GAPS,
    ) -> None:
        self._top1 = top1
        self._costs = costs
        self._order = [
            (variant, count)
            for count in threads
            for variant in sorted(top1, key=lambda variant: costs[variant])
            if (variant, count) not in left_out
        ]
        self.profile: Profile = {choice: known[choice] for choice in self._order if choice in known}
        self.ladder: tuple[Candidate, ...] = ladder(candidates(self.profile, top1))
        self.waiting = [choice for choice in self._order if choice not in known]
        """What is to be measured still."""
        self._runs_ms: dict[Choice, list[tuple[float, float]]] = {}
        self._rest_gaps = rest_gaps
        self._unfit_gaps = 0
        self._again = False
        self._resting: frozenset[Choice] = frozenset()
        self._outdated: set[Choice] = set()
        """Measured before `measure_again`; their figures serve until there are new ones."""
        self.rounds = 0
        """Through all that could be measured, finished."""
        if not self.waiting:
            self._finish_round()

    @property
    def complete(self) -> bool:
        return self.rounds == ROUNDS

    @property
    def usable(self) -> bool:
        """There is something to run that does not rest."""
        return any(choice not in self._resting for choice in self._order)

    def rest(self, choices: frozenset[Choice]) -> None:
        """These are neither measured nor on the ladder, until the next call says otherwise."""
        self._resting = choices
        self.ladder = self._ladder()

    def measure_again(self) -> None:
        """Networks run otherwise than they did: new figures replace the old ones rather than join
        them. From the next run on; from any thread."""
        self._again = True

    def measure_cheapest(self, measure: Measure) -> None:
        """There must be something to run on the next frame."""
        while not self.ladder:
            choice = next(choice for choice in self.waiting if choice not in self._resting)
            self._note(choice, measure(*choice))

    def use_gap(
        self, gap_ms: float, tolerable_ms: float, measure: Measure, slowdown: float = 1.0
    ) -> bool:
        """Run one measurement if it is expected to fit; True when another may be tried at once.

        gap_ms: time until the next frame is due. tolerable_ms: how much later than that the
        backend may be free again without that frame missing its deadline on the cheapest variant.
        slowdown: how much slower than its profile the device is now.
        """
        if self._rests():
            self._rest_gaps -= 1
            return False
        for choice in self.waiting:
            if choice in self._resting:
                continue
            expected_ms = self._expected_ms(choice, slowdown) * MARGIN
            if expected_ms <= gap_ms or (gap_ms > 0 and expected_ms <= tolerable_ms):
                self._unfit_gaps = 0
                self._note(choice, measure(*choice))
                return not self.rounds
        self._unfit_gaps += 1
        if self._unfit_gaps > REST_GAPS and not self.complete:
            self._finish_round()
        return False

    def observe(self, choice: Choice, run_ms: tuple[float, float]) -> None:
        """A run on a frame, preprocess and inference: as good as a measurement."""
        if self._again:
            self._again = False
            self.rounds = min(self.rounds, ROUNDS - 1)
            self._runs_ms.clear()
            self.waiting = list(self._order)
            self._outdated = set(self._order)
        if self.rounds and not self._rests() and choice in self.waiting:
            self._note(choice, run_ms)

    def _rests(self) -> bool:
        return self.rounds > 0 and self._rest_gaps > 0

    def _expected_ms(self, choice: Choice, slowdown: float) -> float:
        """By its own runs, or by the figures of its like, which may be less disturbed than its own;
        what is cheaper than those is not expected to be faster."""
        runs = self._runs_ms.get(choice)
        if runs:
            return max(sum(run) for run in runs[SETTLING_RUNS:] or runs)
        (variant, threads), cost = choice, self._costs[choice[0]]
        alike = {
            other: timing
            for (other, count), timing in self.profile.items()
            if count == threads and other.precision is variant.precision
        } or {other: timing for (other, _), timing in self.profile.items()}
        return slowdown * min(
            timing.service.p50_ms * max(1.0, cost / self._costs[other])
            for other, timing in alike.items()
        )

    def _note(self, choice: Choice, run_ms: tuple[float, float]) -> None:
        runs = self._runs_ms.setdefault(choice, [])
        runs.append(run_ms)
        if len(runs) < SETTLING_RUNS + MEASURED_RUNS:
            return
        self.waiting.remove(choice)
        found = Timing.of(self._runs_ms.pop(choice)[SETTLING_RUNS:])
        before = None if choice in self._outdated else self.profile.get(choice)
        self._outdated.discard(choice)
        timing = found if before is None else before.with_more(found)
        self.profile = {**self.profile, choice: timing}
        self.ladder = self._ladder()
        if not self.waiting and not self.complete:
            self._finish_round()

    def _ladder(self) -> tuple[Candidate, ...]:
        awake = {
            choice: timing for choice, timing in self.profile.items() if choice not in self._resting
        }
        return ladder(candidates(awake, self._top1))

    def _finish_round(self) -> None:
        self.rounds += 1
        self._unfit_gaps = 0
        self._runs_ms.clear()
        unknown = [choice for choice in self.waiting if choice not in self.profile]
        self.waiting = unknown if self.complete else list(self._order)
