from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from edged.control.profile import MEASURED_RUNS, Spread, Timing
from edged.control.profiler import REST_GAPS, ROUNDS, SETTLING_RUNS, Profiler
from edged.variants.variant import Choice, Precision, Variant

SMALL, LARGE = Variant(0.25, 128), Variant(1.0, 224)
INT8 = Variant(1.0, 224, Precision.INT8)
COSTS = {SMALL: 10, LARGE: 200}
TOP1 = {SMALL: 0.4, LARGE: 0.7}
TIMES_MS = {SMALL: 1.0, LARGE: 20.0, INT8: 5.0}
RUNS = SETTLING_RUNS + MEASURED_RUNS


def device(log: list[Variant]) -> Callable[[Choice], tuple[float, float]]:
    def measure(choice: Choice) -> tuple[float, float]:
        log.append(choice.variant)
        run_ms = TIMES_MS[choice.variant] / choice.threads
        return run_ms / 4, run_ms * 3 / 4

    return measure


def known(small_ms: float = 1.0, large_ms: float = 20.0) -> dict[Choice, Timing]:
    def timing(service_ms: float) -> Timing:
        return Timing(Spread(service_ms, service_ms), Spread(0, 0), Spread(1, 1), MEASURED_RUNS)

    return {Choice(SMALL, 1): timing(small_ms), Choice(LARGE, 1): timing(large_ms)}


def make(
    *threads: int,
    top1: Mapping[Variant, float] = TOP1,
    costs: Mapping[Variant, int] = COSTS,
    without: Collection[Choice] = (),
    **more: Any,
) -> Profiler:
    accuracy = {Choice(each, count): top1[each] for each in top1 for count in threads}
    choices = [choice for choice in accuracy if choice not in without]
    return Profiler(choices, {"door": accuracy}, costs, **more)


def rungs(profiler: Profiler, view: str = "door") -> list[tuple[Variant, float]]:
    """Of the view's ladder: what runs, and the median of its times."""
    return [(each.variant, each.p50_ms) for each in profiler.ladders[view]]


def test_the_cheapest_is_measured_first_and_alone() -> None:
    log: list[Variant] = []
    profiler = make(1)
    profiler.measure_cheapest(device(log))
    assert set(log) == {SMALL}
    assert [each.variant for each in profiler.ladders["door"]] == [SMALL]
    assert not profiler.complete


def test_the_others_wait_for_a_gap_that_is_long_enough() -> None:
    log: list[Variant] = []
    measure = device(log)
    profiler = make(1)
    profiler.measure_cheapest(measure)
    assert not profiler.use_gap(25, 25, measure)  # foretold: 20 times the cheapest, and a margin
    assert profiler.use_gap(27, 27, measure)
    for _ in range(RUNS - 2):
        assert profiler.use_gap(27, 27, measure)
    profiler.use_gap(27, 27, measure)
    assert [each.variant for each in profiler.ladders["door"]] == [LARGE, SMALL]


def test_what_outlasts_the_gap_may_run_where_the_next_frame_still_makes_it() -> None:
    log: list[Variant] = []
    measure = device(log)
    profiler = make(1)
    profiler.measure_cheapest(measure)
    assert not profiler.use_gap(-1, 40, measure)  # a frame is due already
    assert profiler.use_gap(5, 40, measure)


def test_a_second_round_after_start_up_keeps_the_faster_figures() -> None:
    busy = True

    def measure(choice: Choice) -> tuple[float, float]:
        return 0.0, TIMES_MS[choice.variant] * (5 if busy else 1)

    profiler = make(1, rest_gaps=10)
    profiler.measure_cheapest(measure)
    while profiler.use_gap(1000, 1000, measure):
        pass
    assert rungs(profiler) == [(LARGE, 100), (SMALL, 5)]
    assert not profiler.complete
    busy = False
    for _ in range(10 + 2 * RUNS):
        assert not profiler.complete
        assert not profiler.use_gap(1000, 1000, measure)  # one a gap
    assert profiler.complete
    assert rungs(profiler) == [(LARGE, 20), (SMALL, 1)]
    busy = True
    assert not profiler.use_gap(1000, 1000, measure)
    assert [each.p50_ms for each in profiler.ladders["door"]] == [20, 1]


def test_every_thread_count_is_measured() -> None:
    log: list[Variant] = []
    measure = device(log)
    profiler = make(1, 2)
    profiler.measure_cheapest(measure)
    while profiler.use_gap(1000, 1000, measure):
        pass
    assert {choice: timing.service.p50_ms for choice, timing in profiler.profile.items()} == {
        Choice(SMALL, 1): 1, Choice(SMALL, 2): 0.5, Choice(LARGE, 1): 20, Choice(LARGE, 2): 10,
    }  # fmt: skip
    assert profiler.profile[Choice(LARGE, 2)].preprocess == Spread(2.5, 2.5)
    assert len(profiler.ladders["door"]) == 4
    assert log.count(SMALL) == log.count(LARGE) == 2 * RUNS


def test_what_is_known_is_on_the_ladder_at_once_and_measured_once_more() -> None:
    log: list[Variant] = []
    measure = device(log)
    profiler = make(1, known=known(1.5, 15), rest_gaps=10)
    profiler.measure_cheapest(measure)
    assert rungs(profiler) == [(LARGE, 15), (SMALL, 1.5)]
    for _ in range(10):
        assert not profiler.use_gap(1000, 1000, measure)
    assert log == []  # start-up is a busy time
    for _ in range(2 * RUNS):
        assert not profiler.use_gap(1000, 1000, measure)
    assert profiler.complete
    assert [each.p50_ms for each in profiler.ladders["door"]] == [15, 1]
    assert profiler.profile[Choice(SMALL, 1)].runs == 2 * MEASURED_RUNS


def test_what_is_not_known_is_measured_at_once() -> None:
    log: list[Variant] = []
    measure = device(log)
    part = {Choice(LARGE, 1): known()[Choice(LARGE, 1)]}
    profiler = make(1, known=part)
    profiler.measure_cheapest(measure)
    assert log == []
    while profiler.use_gap(1000, 1000, measure):
        pass
    assert (log, profiler.rounds) == ([SMALL] * RUNS, 1)


def test_what_is_left_out_is_neither_measured_nor_on_the_ladder() -> None:
    log: list[Variant] = []
    profiler = make(1, known=known(), without={Choice(LARGE, 1)}, rest_gaps=0)
    while not profiler.complete:
        profiler.use_gap(1000, 1000, device(log))
    assert set(log) == {SMALL}
    assert [each.variant for each in profiler.ladders["door"]] == [SMALL]


def test_a_profile_of_a_disturbed_device_is_found_out_in_gaps_it_would_not_fit_into() -> None:
    """One right figure tells that the others cannot be as slow as they were stored."""
    log: list[Variant] = []
    profiler = make(1, known=known(30, 900), rest_gaps=0)
    for _ in range(2 * RUNS + 1):
        profiler.use_gap(30, 30, device(log), slowdown=0.5)
    assert profiler.complete
    assert [each.p50_ms for each in profiler.ladders["door"]] == [20, 1]


def test_nothing_is_foretold_from_the_other_precision() -> None:
    """INT8 may be several times as fast: a float run would not end in time."""
    log: list[Variant] = []
    profiler = make(
        1,
        top1=TOP1 | {INT8: 0.69},
        costs=COSTS | {INT8: 200},
        known=known() | {Choice(INT8, 1): known(large_ms=5)[Choice(LARGE, 1)]},
        without={Choice(SMALL, 1)},
        rest_gaps=0,
    )
    profiler.use_gap(10, 10, device(log))
    assert log == [INT8]


def test_a_slow_hour_is_no_time_to_measure() -> None:
    log: list[Variant] = []
    profiler = make(1, known=known(), without={Choice(SMALL, 1)}, rest_gaps=0)
    profiler.use_gap(30, 30, device(log), slowdown=2.0)
    assert log == []
    profiler.use_gap(30, 30, device(log), slowdown=1.0)
    assert log == [LARGE]


def test_runs_on_frames_count_when_they_are_wanted() -> None:
    log: list[Variant] = []
    profiler = make(1, known=known(9, 90), rest_gaps=1)
    for _ in range(RUNS):
        profiler.observe(Choice(SMALL, 1), (0.0, 1.0))
    assert profiler.ladders["door"][-1].p50_ms == 9  # too early
    profiler.use_gap(0, 0, device(log))
    for _ in range(2 * RUNS):
        profiler.observe(Choice(SMALL, 1), (0.25, 0.75))
    assert profiler.ladders["door"][-1].p50_ms == 1
    assert profiler.profile[Choice(SMALL, 1)].runs == 2 * MEASURED_RUNS
    assert profiler.waiting == [Choice(LARGE, 1)]


def test_what_never_fits_ends_no_round_and_is_tried_again() -> None:
    log: list[Variant] = []
    measure = device(log)
    profiler = make(1, rest_gaps=0)
    profiler.measure_cheapest(measure)
    for _ in range(ROUNDS * (REST_GAPS + 1 + RUNS)):
        profiler.use_gap(10, 10, measure)
    assert profiler.complete
    assert LARGE not in log
    assert profiler.waiting == [Choice(LARGE, 1)]
    for _ in range(RUNS):  # the cameras fall silent
        profiler.use_gap(1000, 1000, measure)
    assert [each.variant for each in profiler.ladders["door"]] == [LARGE, SMALL]
    assert (profiler.waiting, profiler.rounds) == ([], ROUNDS)


def test_what_does_not_fit_does_not_hold_up_what_does() -> None:
    log: list[Variant] = []
    measure = device(log)
    profiler = make(1, 4, rest_gaps=0)
    profiler.measure_cheapest(measure)
    while profiler.use_gap(20, 20, measure):
        pass
    assert set(profiler.profile) == {Choice(SMALL, 1), Choice(SMALL, 4), Choice(LARGE, 4)}


def test_networks_that_run_otherwise_now_are_measured_again_and_believed() -> None:
    """Faster or slower: what an engine does has nothing to do with what the CPU did."""
    profiler = make(1, known=known(), rest_gaps=0)
    while profiler.waiting:
        profiler.use_gap(1000, 0, lambda choice: (0.0, COSTS[choice.variant] / 10))
    assert profiler.complete
    profiler.measure_again()
    profiler.observe(Choice(SMALL, 1), (0.0, 3.0))
    assert not profiler.complete
    assert profiler.ladders["door"]  # there is always something to run
    for _ in range(200):
        profiler.use_gap(1000, 0, lambda choice: (0.0, 3.0))
    assert profiler.complete
    assert [timing.service.p50_ms for timing in profiler.profile.values()] == [3.0, 3.0]
    assert [timing.runs for timing in profiler.profile.values()] == [MEASURED_RUNS] * 2


def test_energies_are_compared_once_a_reading() -> None:
    class Reading(dict[Choice, float]):
        looks = 0

        def keys(self) -> Any:
            self.looks += 1
            return super().keys()

    def reading(small: float) -> Reading:
        return Reading({Choice(SMALL, 1): small, Choice(LARGE, 1): 3.0})

    def joules() -> set[float]:
        return {each.joules for each in profiler.ladders["door"]}

    profiler, first = make(1, known=known()), reading(0.5)
    for _ in range(3):
        profiler.weigh(first)
    assert first.looks == 1
    assert joules() == {0.5, 3.0}
    profiler.weigh(reading(0.52))  # a small change
    assert joules() == {0.5, 3.0}
    profiler.weigh(reading(0.6))
    assert joules() == {0.6, 3.0}
