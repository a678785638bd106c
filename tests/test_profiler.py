from __future__ import annotations

from collections.abc import Callable

from edged.control.profile import MEASURED_RUNS
from edged.control.profiler import SETTLING_RUNS, Profiler
from edged.variants.variant import Variant

SMALL, LARGE = Variant(0.25, 128), Variant(1.0, 224)
COSTS = {SMALL: 10, LARGE: 200}
TOP1 = {SMALL: 0.4, LARGE: 0.7}
TIMES_MS = {SMALL: 1.0, LARGE: 20.0}


def device(log: list[Variant]) -> Callable[[Variant, int], float]:
    def measure(variant: Variant, threads: int) -> float:
        log.append(variant)
        return TIMES_MS[variant] / threads

    return measure


def test_the_cheapest_is_measured_first_and_alone() -> None:
    log: list[Variant] = []
    profiler = Profiler(TOP1, COSTS, [1])
    profiler.measure_cheapest(device(log))
    assert set(log) == {SMALL}
    assert [each.variant for each in profiler.ladder] == [SMALL]
    assert not profiler.complete


def test_the_others_wait_for_a_gap_that_is_long_enough() -> None:
    log: list[Variant] = []
    measure = device(log)
    profiler = Profiler(TOP1, COSTS, [1])
    profiler.measure_cheapest(measure)
    assert not profiler.use_gap(25, 25, measure)  # foretold: 20 times the cheapest, and a margin
    assert profiler.use_gap(27, 27, measure)
    for _ in range(SETTLING_RUNS + MEASURED_RUNS - 2):
        assert profiler.use_gap(27, 27, measure)
    profiler.use_gap(27, 27, measure)
    assert [each.variant for each in profiler.ladder] == [LARGE, SMALL]


def test_what_outlasts_the_gap_may_run_where_the_next_frame_still_makes_it() -> None:
    log: list[Variant] = []
    measure = device(log)
    profiler = Profiler(TOP1, COSTS, [1])
    profiler.measure_cheapest(measure)
    assert not profiler.use_gap(-1, 40, measure)  # a frame is due already
    assert profiler.use_gap(5, 40, measure)


def test_a_second_round_after_start_up_keeps_the_faster_figures() -> None:
    busy = True

    def measure(variant: Variant, threads: int) -> float:
        return TIMES_MS[variant] * (5 if busy else 1)

    profiler = Profiler(TOP1, COSTS, [1], rest_gaps=10)
    profiler.measure_cheapest(measure)
    while profiler.use_gap(1000, 1000, measure):
        pass
    assert {each.variant: each.p50_ms for each in profiler.ladder} == {SMALL: 5, LARGE: 100}
    assert not profiler.complete
    busy = False
    runs = 2 * (SETTLING_RUNS + MEASURED_RUNS)
    for _ in range(10 + runs):
        assert not profiler.complete
        assert not profiler.use_gap(1000, 1000, measure)  # one a gap
    assert profiler.complete
    assert {each.variant: each.p50_ms for each in profiler.ladder} == {SMALL: 1, LARGE: 20}
    busy = True
    assert not profiler.use_gap(1000, 1000, measure)
    assert [each.p50_ms for each in profiler.ladder] == [20, 1]


def test_every_thread_count_is_measured() -> None:
    log: list[Variant] = []
    measure = device(log)
    profiler = Profiler(TOP1, COSTS, [1, 2])
    profiler.measure_cheapest(measure)
    while profiler.use_gap(1000, 1000, measure):
        pass
    measured = [(each.variant, each.threads) for each in profiler.ladder]
    assert set(measured) == {(SMALL, 2), (LARGE, 2)}  # two threads are twice as fast here
    assert log.count(SMALL) == log.count(LARGE) == 2 * (SETTLING_RUNS + MEASURED_RUNS)
