"""Probes over hours of made-up streams: the small version of tests/benchmarks/agreement.py."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from edged.variants.variant import Variant
from tests.rig.outcomes import VIEW, Shown, Watched

LARGE, GOOD, MIDDLE, SMALL = (
    Variant(1.0, 224), Variant(0.75, 192), Variant(0.5, 160), Variant(0.25, 128)
)  # fmt: skip
TABLE = {LARGE: 0.79, GOOD: 0.77, MIDDLE: 0.73, SMALL: 0.54}
LASTS_SECONDS = 3.0
"""How long an answer stays the same: a bottle passes."""


class Stream:
    """agreements: with the large one. level: of the picture. Answers last for a while."""

    def __init__(self, agreements: Mapping[Variant, float], level: int, seed: int = 1) -> None:
        random = np.random.default_rng(seed)
        count = 5000
        self.classes = np.zeros((count, len(TABLE)), np.int16)
        for place, variant in enumerate(TABLE):
            differs = random.random(count) >= agreements.get(variant, 1.0)
            self.classes[:, place] = differs * (place + 1)
        self.levels = random.integers(level - 8, level + 8, (count, 48)).astype(np.uint8)

    def __call__(self, seconds: float) -> Shown:
        place = int(seconds / LASTS_SECONDS) % len(self.classes)
        return Shown(self.classes[place], self.levels[place])


BELT = {GOOD: 0.9, MIDDLE: 0.64, SMALL: 0.08}


def watched(**more: float | None) -> Watched:
    return Watched(list(TABLE), list(TABLE.values()), every=6, **more)  # type: ignore[arg-type]


def runs(view: Watched) -> Variant:
    return view.variants[view.outcome.ran[-1]]


@pytest.mark.parametrize("budget_ms", [33.0, 6.0])
def test_intervals_hold_the_truth_after_little_time(budget_ms: float) -> None:
    held = total = 0
    for seed in range(3):
        stream, view = Stream(BELT, 90, seed), watched(budget_ms=budget_ms)
        begin = view.seconds
        for _ in range(4):
            view.run(600, stream)
            first, last = (int(at / LASTS_SECONDS) for at in (begin, view.seconds))
            truth = (stream.classes[first:last] == 0).mean(axis=0)
            for variant in view.agreement.variants:
                told = view.agreement.estimate(variant)
                assert told is not None
                held += told.low <= truth[view.variants.index(variant)] <= told.high
                total += 1
        assert view.queue.evidence.seconds <= 0.02 * (view.seconds - begin)
        assert view.agreement.breaks == 0
    assert held >= 0.9 * total


def test_ranks_that_the_scene_swaps_are_put_right() -> None:
    """The budget excludes the large one; the table prefers the good one, the scene the small."""
    stream = Stream({GOOD: 0.3, MIDDLE: 0.5, SMALL: 0.97}, 90)
    view, by_table = watched(budget_ms=11.0), watched(budget_ms=11.0, share=0.0)
    for each in (view, by_table):
        each.run(900, stream)
    assert (runs(by_table), runs(view)) == (GOOD, SMALL)
    assert len(view.outcome.switches) <= 4


def test_what_the_budget_excludes_is_compared_last() -> None:
    """A gap has time for one of the two large variants, and a moment for one gap."""
    table = {**TABLE, Variant(0.75, 160): 0.75}
    classes, levels = np.zeros(len(table), np.int16), np.full(48, 90, np.uint8)
    view = Watched(list(table), list(table.values()), budget_ms=5.5, share=0.005, fps=38.0, every=6)
    view.run(60, lambda _: Shown(classes, levels))
    probes = {}
    for variant in view.agreement.variants:
        told = view.agreement.estimate(variant)
        probes[variant] = told and told.probes
    assert view.times_ms[GOOD] > 5.5
    assert probes[GOOD] == 0
    assert probes[Variant(0.75, 160)] == probes[MIDDLE] == probes[SMALL] != 0


def test_power_costs_little_where_all_agree_and_probes_become_rarer() -> None:
    stream = Stream({}, 90)
    view, accurate = watched(give_up=0.01), watched()
    for each in (view, accurate):
        each.run(1200, stream)
    assert runs(view) == SMALL
    before_ms, spent = view.outcome.cpu_ms, view.queue.evidence.seconds
    accurate_ms = accurate.outcome.cpu_ms
    for each in (view, accurate):
        each.run(600, stream)
    probes_ms = 1000 * (view.queue.evidence.seconds - spent)
    assert probes_ms < 1000 * spent / 2
    used_ms = view.outcome.cpu_ms - before_ms + probes_ms
    assert used_ms < (accurate.outcome.cpu_ms - accurate_ms) / 5


def test_another_scene_changes_what_runs_and_a_still_one_does_not() -> None:
    """All agree, then another clip is spliced in, in which few do."""
    view = watched(give_up=0.015)
    view.run(1500, Stream({}, 60))
    assert runs(view) == SMALL
    switched = len(view.outcome.switches)
    begin = view.seconds
    view.run(60, Stream(BELT, 160))
    assert view.agreement.breaks == 1
    assert runs(view) == LARGE
    assert view.outcome.switches[switched] - begin <= 60
    still = len(view.outcome.switches)
    view.run(1200, Stream(BELT, 160))
    assert len(view.outcome.switches) == still
    assert view.profiler.ladders[VIEW][0].variant == LARGE


HALL = {GOOD: 0.6, MIDDLE: 0.55, SMALL: 0.5}


def test_a_scene_in_which_none_agrees_costs_no_accuracy_after_a_minute() -> None:
    """By the table the good one is within what may be given up. A minute has few moments: by chance
    it may take a little longer."""
    right = []
    for seed in range(6):
        view = watched(give_up=0.03)
        view.run(1500, Stream({}, 60))
        assert runs(view) == SMALL
        view.run(60, Stream(HALL, 160, seed))
        assert view.agreement.breaks == 1
        right.append(runs(view) == LARGE)
        view.run(30, Stream(HALL, 160, seed))
        first = len(view.outcome.ran)
        view.run(270, Stream(HALL, 160, seed))
        assert set(view.outcome.ran[first:]) == {view.variants.index(LARGE)}
    assert sum(right) >= 5
