"""The policies for the goal power, the recorded answers, and what is asked of a cell."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edged.tracing.replay import run
from edged.tracing.trace import FullTrace, TracedFrame, TracedVariant
from tests.benchmarks.control_outcomes import NONE, UNKNOWN, Stream, streams
from tests.benchmarks.control_power import (
    ALERT,
    BEST,
    EDGED,
    Cell,
    Ran,
    ran,
    repeated,
    summary,
    verdict,
)
from tests.benchmarks.control_traces import measured
from tests.benchmarks.power_policies import AlertEnergy, Probed, clairvoyant

LARGE, MIDDLE, SMALL = range(3)
VARIANTS = (
    TracedVariant("large", 0.7, 10.0),
    TracedVariant("middle", 0.695, 5.0),
    TracedVariant("small", 0.4, 1.0),
)


def traced(*times_ms: tuple[float, ...]) -> FullTrace:
    frames = tuple(TracedFrame(33.0 * i, 1.0, times) for i, times in enumerate(times_ms))
    return FullTrace(VARIANTS, frames)


@pytest.mark.parametrize(
    ("slack_ms", "give_up", "chosen"),
    [
        (100.0, 0.0, LARGE),
        (100.0, 0.01, MIDDLE),
        (100.0, 0.31, SMALL),
        (20.0, 0.0, LARGE),
        (16.0, 0.0, MIDDLE),  # the large one is late too often to be right as often
        (15.0, 0.0, MIDDLE),  # and here to be on time
        (1.0, 0.31, SMALL),
    ],
)
def test_alerts_energy_mode(slack_ms: float, give_up: float, chosen: int) -> None:
    policy = AlertEnergy(traced((10.0, 5.0, 1.0)), 100.0, 0.95, give_up)
    assert policy.choose(0, slack_ms) == chosen


def test_the_clairvoyant_spends_least() -> None:
    """Half of the frames on the second variant: 0.05 are given up, no more."""
    worth = np.array([0.7, 0.6, 0.0])
    times = [(10.0, 5.0, 1.0)] * 5 + [(10.0, 8.0, 1.0)] * 5
    assert clairvoyant(traced(*times), 20.0, 0.051, worth) == [MIDDLE] * 5 + [LARGE] * 5
    assert clairvoyant(traced(*times), 20.0, 0.0, worth) == [LARGE] * 10
    # What cannot be on time is not paid for.
    assert clairvoyant(traced(*times), 9.5, 0.0, worth) == [MIDDLE] * 10


def test_the_recorded_answers_are_those_of_the_traces_variants() -> None:
    """The table was measured on the same photos."""
    shown = streams()
    assert {name: len(each.classes) for name, each in shown.items()} == {
        "photos": 1963,
        "drawn": 300,
        "belt": 1189,
        "hall": 1394,
    }
    for trace in measured().values():
        table = [variant.top1 for variant in trace.variants]
        assert shown["photos"].right.mean(axis=0) == pytest.approx(table, abs=0.002)
    for clip in ("belt", "hall"):
        right = shown[clip].right.mean(axis=0)
        assert right[shown[clip].reference] == 1 > right.max(where=right < 1, initial=0)


def test_right_is_the_label_or_the_references_answer() -> None:
    classes = np.array([[1, 2, 1], [NONE, NONE, 3]], np.int8)
    labelled = Stream(30.0, classes, np.array([2, 3], np.int8), reference=0)
    assert labelled.right.tolist() == [[False, True, False], [False, False, True]]
    unlabelled = Stream(30.0, classes, np.array([UNKNOWN] * 2, np.int8), reference=0)
    assert unlabelled.right.tolist() == [[True, False, True], [True, True, False]]


@pytest.mark.parametrize(("stream", "cheapest"), [("drawn", True), ("belt", False)])
def test_probes_tell_what_the_cheapest_variant_is_worth(stream: str, cheapest: bool) -> None:
    """Before the drawn scene all agree; before the belt a cheap one hardly ever does."""
    trace = repeated(measured()["idle"], 2)
    policy = Probed(trace, 7.5, 0.95, 0.01, streams()[stream])
    steps = run(trace, policy, 7.5)
    ran_last = [step.variant for step in steps[-1000:]]
    assert (ran_last.count(len(trace.variants) - 1) > 900) == cheapest
    seconds = trace.frames[-1].captured_ms / 1000
    assert 0 < policy.probe_ms / 1000 < 0.02 * seconds
    assert len(policy.late_ms) < 10


def test_a_policys_time_has_its_probes() -> None:
    trace = replace(measured()["idle"], frames=measured()["idle"].frames[:600])
    policy = Probed(trace, 7.5, 0.95, 0.01, streams()["drawn"])
    found = ran(trace, policy, 7.5)
    again = Probed(trace, 7.5, 0.95, 0.01, streams()["drawn"])
    runs_ms = sum(step.service_ms for step in run(trace, again, 7.5))
    assert policy.probe_ms > 0
    assert found.cpu_ms == pytest.approx((runs_ms + policy.probe_ms) / 600)


def cell(**other: Ran) -> Cell:
    rans = {
        BEST: Ran(np.array([0.96, 0.0]), 10.0),
        ALERT: Ran(np.array([0.0, 0.96]), 4.0),
        EDGED: Ran(np.array([0.0, 0.96]), 3.0),
    }
    return Cell("idle", 4.0, "photos", 0.01, np.array([0.8, 0.795]), rans | other)


def test_what_a_cell_asks() -> None:
    assert list(cell().failures(EDGED)) == []
    late = cell(edged=Ran(np.array([0.94, 0.0]), 3.0))
    assert list(late.failures(EDGED)) == ["94.00 % on time", "0.60 points too few"]
    dear = cell(edged=Ran(np.array([0.0, 0.96]), 5.0))
    assert list(dear.failures(EDGED)) == ["+25.00 % processor"]
    careless = cell(edged=dear.ran[EDGED], alert=late.ran[EDGED])
    assert list(careless.failures(EDGED)) == []
    assert "keeps 2 of 2 cells, *alert* 1; both keep 1, and in 1 of them" in verdict(
        [dear, careless], EDGED
    )


def test_cells_that_nothing_keeps_do_not_count() -> None:
    hopeless = cell(**{BEST: Ran(np.array([0.9, 0.0]), 10.0)})
    assert not hopeless.asked
    rows = list(summary([cell(**{"always cheapest": cell().ran[EDGED]}), hopeless]))
    values = ("1 of 1; -0.48; 0.300", "1 of 1; -0.48; 0.400", "1 of 1; -0.48; 0.300", "")
    assert rows[2:] == ["| photos | 0.01 | " + " | ".join(values) + " |"]
