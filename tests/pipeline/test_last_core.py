"""A run on the last free core leaves it in time for the next frame of a tight view."""

from __future__ import annotations

import heapq
from collections import Counter

import pytest

from edged.pipeline.run import Run
from edged.result import Result
from tests.rig.simulated_pipeline import LARGE, MIDDLE, SMALL, Lens, SimulatedPipeline

TIMES_MS = {LARGE: 30.0, MIDDLE: 14.0, SMALL: 4.0}
INTERVAL_MS = 100.0
ROUNDS = 30


class Cores:
    """Each run takes the time of its variant, while pictures come."""

    def __init__(self, lenses: list[Lens], cores: int = 1) -> None:
        self.simulated = SimulatedPipeline(lenses, TIMES_MS, cores=cores)
        # The time of a run passes between its start and its end, not in the call that ends it.
        self.simulated.device.times_ms = dict.fromkeys(TIMES_MS, 0.0)
        self._clock = self.simulated.clock
        self._running: list[tuple[int, int, Run]] = []
        self._begun = 0

    def rounds(self, count: int, arrivals_ms: dict[str, float]) -> list[Result]:
        """The results of that many intervals. arrivals_ms: when each view's picture comes, after
        the beginning of the interval."""
        before = len(self.simulated.observed.results)
        for _ in range(count):
            begun_ns = self._clock.now_ns
            for at_ms in sorted(set(arrivals_ms.values())):
                self._pass_until(begun_ns + round(at_ms * 1e6))
                self.simulated.send(*(view for view in arrivals_ms if arrivals_ms[view] == at_ms))
                self._begin()
            self._pass_until(begun_ns + round(INTERVAL_MS * 1e6))
        return self.simulated.observed.results[before:]

    def _pass_until(self, end_ns: int) -> None:
        while self._running and self._running[0][0] <= end_ns:
            self._clock.now_ns, _, run = heapq.heappop(self._running)
            self.simulated.pipeline.carry_out(run)
            self._begin()
        self._clock.now_ns = end_ns

    def _begin(self) -> None:
        while (run := self.simulated.pipeline.begin()) is not None:
            end_ns = run.taken_ns + round(TIMES_MS[run.decision.candidate.variant] * 1e6)
            self._begun += 1
            heapq.heappush(self._running, (end_ns, self._begun, run))


def used(results: list[Result], view: str) -> Counter[tuple[str, str]]:
    return Counter((each.variant.name, each.reason) for each in results if each.view == view)


def on_time(results: list[Result], view: str) -> set[bool]:
    return {each.on_time for each in results if each.view == view}


LOOSE, TIGHT = Lens("yard/bin", budget_ms=1000.0), Lens("door", budget_ms=20.0)


def test_a_loose_view_does_not_run_into_the_deadline_of_a_tight_one() -> None:
    cores = Cores([LOOSE, TIGHT])
    arrivals_ms = {LOOSE.view: 0.0, TIGHT.view: 5.0}
    cores.rounds(ROUNDS, arrivals_ms)  # until the intervals are known
    stale = cores.simulated.observed.stale_frames
    results = cores.rounds(ROUNDS, arrivals_ms)
    # Its best would take 30 ms; the other one's frame must run 21 ms after the beginning.
    assert used(results, LOOSE.view) == {(MIDDLE.name, "limit"): ROUNDS}
    assert on_time(results, TIGHT.view) == {True}
    assert cores.simulated.observed.stale_frames == stale
    # The tight one falls silent.
    cores.rounds(ROUNDS, {LOOSE.view: 0.0})
    results = cores.rounds(ROUNDS, {LOOSE.view: 0.0})
    assert used(results, LOOSE.view) == {(LARGE.name, "most_accurate"): ROUNDS}
    cores.simulated.close()


@pytest.mark.parametrize(
    ("cores", "after_ms", "budget_ms"),
    [
        (1, 40.0, 20.0),  # the next frame comes when the best has ended
        (1, 5.0, 60.0),  # it can wait for the best
        (1, 5.0, 3.0),  # its cheapest takes longer than its budget: it is late anyway
        (2, 5.0, 20.0),  # another core is free
    ],
)
def test_a_run_that_costs_no_other_view_its_deadline_is_not_cut_short(
    cores: int, after_ms: float, budget_ms: float
) -> None:
    other = Lens("door", budget_ms=budget_ms)
    simulated = Cores([LOOSE, other], cores)
    arrivals_ms = {LOOSE.view: 0.0, other.view: after_ms}
    simulated.rounds(ROUNDS, arrivals_ms)
    results = simulated.rounds(ROUNDS, arrivals_ms)
    assert used(results, LOOSE.view) == {(LARGE.name, "most_accurate"): ROUNDS}
    simulated.simulated.close()


@pytest.mark.parametrize(
    ("second_ms", "expected"),
    [
        (0.0, (MIDDLE.name, "limit")),  # both cores would be busy for 30 ms
        (20.0, (LARGE.name, "most_accurate")),  # the first one ends in 10 ms
    ],
)
def test_what_ends_first_on_another_core_serves_the_tight_view(
    second_ms: float, expected: tuple[str, str]
) -> None:
    first, second = Lens("yard/bin", budget_ms=1000.0), Lens("lane", budget_ms=2000.0)
    cores = Cores([first, second, TIGHT], cores=2)
    arrivals_ms = {first.view: 0.0, second.view: second_ms, TIGHT.view: second_ms + 5.0}
    cores.rounds(ROUNDS, arrivals_ms)
    results = cores.rounds(ROUNDS, arrivals_ms)
    assert used(results, first.view) == {(LARGE.name, "most_accurate"): ROUNDS}
    assert used(results, second.view) == {expected: ROUNDS}
    assert on_time(results, TIGHT.view) == {True}
    cores.simulated.close()


def test_views_of_one_picture_with_different_budgets_are_all_on_time() -> None:
    """They come at once; each leaves the next one the time for its cheapest variant."""
    lenses = [Lens(f"yard/b{budget}", budget_ms=budget) for budget in (1000.0, 33.5, 33.0)]
    cores = Cores(lenses)
    arrivals_ms = dict.fromkeys((each.view for each in lenses), 0.0)
    cores.rounds(ROUNDS, arrivals_ms)
    results = cores.rounds(ROUNDS, arrivals_ms)
    assert len(results) == len(lenses) * ROUNDS
    assert all(each.on_time for each in results)
    assert used(results, lenses[0].view) == {(LARGE.name, "most_accurate"): ROUNDS}
    cores.simulated.close()
