"""Measures the profile while the daemon runs, in the gaps between frames.

A stored profile puts its variants on the ladders from the first frame. Without one, the cheapest
variant is measured before any frame; the others join the ladders when they are measured. Start-up
is a busy time, so everything is measured once more afterwards, one run per gap, and the faster
figures stay: this also corrects a profile stored by a disturbed device. Runs on frames count too.

A measurement starts only if it is expected to end before the next frame or, for variants longer
than a gap, if that frame can still meet its deadline on the cheapest variant. Variants that never
fit are skipped and tried again later.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType

from edged.control.profile import (
    MEASURED_RUNS,
    Candidate,
    InUse,
    Profile,
    Timing,
    candidates,
    frontiers,
    ladder,
)
from edged.variants.variant import Choice, Variant

SETTLING_RUNS = 2
"""The first runs after loading touch memory for the first time and are not counted."""
ROUNDS = 2
REST_GAPS = 150
"""Gaps between the two rounds: five seconds of a camera. A round also ends after this many gaps in
which nothing fits."""
MARGIN = 1.3
"""Required room, relative to a run's expected time."""
WEIGHED = 0.1
"""Change of an energy that counts, in parts of it."""

Measure = Callable[[Choice], tuple[float, float]]
"""Runs a choice on the latest picture; preprocess and inference in ms."""


class Profiler:
    """Owns the profile and the ladders; replaces, never changes them: any thread may read.

    choices: those that can run. top1: for each view the accuracy of those that it may run. costs:
    multiply-adds of each variant, to order the work and predict times. known: a stored profile.
    """

    def __init__(
        self,
        choices: Iterable[Choice],
        top1: Mapping[str, Mapping[Choice, float]],
        costs: Mapping[Variant, int],
        *,
        known: Profile = MappingProxyType({}),
        rest_gaps: int = REST_GAPS,
    ) -> None:
        self._top1 = top1
        self._costs = costs
        self._known = known
        self._order = self._sorted(choices)
        self.profile: Profile = self._known_of(self._order)
        self._resting: frozenset[Choice] = frozenset()
        self._in_use: Mapping[str, InUse] = {}
        self._joules: Mapping[Choice, float] = {}
        self._weighed: Mapping[Choice, float] = self._joules
        """What `weigh` was given last."""
        self.ladders = self._ladders()
        """By view; views with the same accuracies have the same one."""
        self.waiting = [choice for choice in self._order if choice not in known]
        """Choices that are still to be measured."""
        self._runs_ms: dict[Choice, list[tuple[float, float]]] = {}
        self._rest_gaps = rest_gaps
        self._unfit_gaps = 0
        self._again = False
        self._outdated: set[Choice] = set()
        """Measured before `measure_again`; their figures are used until there are new ones."""
        self.rounds = 0
        """Completed measuring rounds."""
        if not self.waiting:
            self._finish_round()

    @property
    def complete(self) -> bool:
        return self.rounds == ROUNDS

    @property
    def usable(self) -> bool:
        """Every view has a choice that is not resting."""
        awake = [choice for choice in self._order if choice not in self._resting]
        return all(any(choice in top1 for choice in awake) for top1 in self._top1.values())

    @property
    def useful(self) -> frozenset[Choice]:
        """On a frontier by the table, resting or not, on a ladder, or still to be measured."""
        on_ladders = {each.choice for ladder in self.ladders.values() for each in ladder}
        return frontiers(self._present(), self._top1.values()).union(on_ladders, self.waiting)

    def runnable(self, view: str) -> list[Candidate]:
        """All that the view can run now, with the table's figures."""
        return candidates(self._awake(), self._top1[view])

    def use(self, in_use: Mapping[str, InUse]) -> None:
        """Rank the variants of these views by these figures, all others by the table."""
        if in_use != self._in_use:
            self._in_use = in_use
            self.ladders = self._ladders()

    def weigh(self, joules: Mapping[Choice, float]) -> None:
        """joules: of a result of each choice, where they are known; not changed afterwards. Small
        changes count for nothing."""
        if joules is self._weighed:
            return
        self._weighed, known = joules, self._joules
        if joules.keys() != known.keys() or any(
            abs(joules[each] - known[each]) > WEIGHED * known[each] for each in joules
        ):
            self._joules = joules
            self.ladders = self._ladders()

    def serve(self, top1: Mapping[str, Mapping[Choice, float]]) -> None:
        """Other views from now on, which may run the same choices."""
        self._top1 = top1
        self.ladders = self._ladders()

    def add(self, choices: Iterable[Choice]) -> None:
        """These can now run as well: measure them, also if they are known."""
        new = self._sorted(choices)
        self._order = self._sorted([*self._order, *new])
        self.waiting += new
        self.profile = {**self._known_of(new), **self.profile}
        self.ladders = self._ladders()

    def limit_to(self, choices: Collection[Choice]) -> None:
        """Only these can still run. The others stay in the profile."""
        self._order = [choice for choice in self._order if choice in choices]
        self.waiting = [choice for choice in self.waiting if choice in choices]

    def rest(self, choices: frozenset[Choice]) -> None:
        """Keep these off the ladders and unmeasured, until the next call."""
        self._resting = choices
        self.ladders = self._ladders()

    def measure_again(self) -> None:
        """Replace all figures by new ones from the next run on, because networks now run
        differently; from any thread."""
        self._again = True

    def measure_cheapest(self, measure: Measure) -> None:
        """Measure until every view has a variant for its next frame."""
        while view := next((view for view in self.ladders if not self.ladders[view]), None):
            possible = self._top1[view].keys() - self._resting
            choice = next(choice for choice in self.waiting if choice in possible)
            self._note(choice, measure(choice))

    def use_gap(
        self, gap_ms: float, tolerable_ms: float, measure: Measure, slowdown: float = 1.0
    ) -> bool:
        """Run one measurement if it is expected to fit; True if another may follow at once.

        gap_ms: time until the next frame is due. tolerable_ms: the longest run after which
        that frame still meets its deadline on the cheapest variant.
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
                self._note(choice, measure(choice))
                return not self.rounds
        self._unfit_gaps += 1
        if self._unfit_gaps > REST_GAPS and not self.complete:
            self._finish_round()
        return False

    def observe(self, choice: Choice, run_ms: tuple[float, float]) -> None:
        """Count a run on a frame (preprocess, inference) as a measurement."""
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
        """From its own runs, or else from similar variants in the profile; a cheaper variant is not
        expected to be faster than those."""
        runs = self._runs_ms.get(choice)
        if runs:
            return max(sum(run) for run in runs[SETTLING_RUNS:] or runs)
        cost = self._costs[choice.variant]
        alike = {
            other: timing for other, timing in self.profile.items() if _alike(other, choice)
        } or self.profile
        return slowdown * min(
            timing.service.p50_ms * max(1.0, cost / self._costs[other.variant])
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
        self.ladders = self._ladders()
        if not self.waiting and not self.complete:
            self._finish_round()

    def _ladders(self) -> Mapping[str, tuple[Candidate, ...]]:
        awake = self._awake()
        models = {id(top1): top1 for top1 in self._top1.values()}
        made = {
            key: ladder(candidates(awake, top1, joules=self._joules))
            for key, top1 in models.items()
        }
        own = {
            view: ladder(candidates(awake, self._top1[view], figures, self._joules))
            for view, figures in self._in_use.items()
            if figures and view in self._top1
        }
        return {view: own.get(view, made[id(top1)]) for view, top1 in self._top1.items()}

    def _awake(self) -> Profile:
        present = self._present()
        return {each: present[each] for each in present if each not in self._resting}

    def _present(self) -> Profile:
        """What is known of the choices that can run."""
        return {each: self.profile[each] for each in self._order if each in self.profile}

    def _known_of(self, choices: Iterable[Choice]) -> Profile:
        return {choice: self._known[choice] for choice in choices if choice in self._known}

    def _sorted(self, choices: Iterable[Choice]) -> list[Choice]:
        return sorted(choices, key=lambda each: (each.threads, self._costs[each.variant]))

    def _finish_round(self) -> None:
        self.rounds += 1
        self._unfit_gaps = 0
        self._runs_ms.clear()
        unknown = [choice for choice in self.waiting if choice not in self.profile]
        self.waiting = unknown if self.complete else list(self._order)


def _alike(one: Choice, other: Choice) -> bool:
    """Their times differ by what they compute, not by how."""
    return one[1:3] == other[1:3] and one.variant.precision is other.variant.precision
