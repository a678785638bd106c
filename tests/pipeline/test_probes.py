"""Probes beside the frames of a view, in simulated time."""

from __future__ import annotations

from pathlib import Path

import pytest

from edged.control.controller import Controller
from edged.pipeline.pipeline import Pipeline
from edged.tracing.recorder import Recorder
from edged.tracing.recording import RecordedTrace, read_trace
from edged.tracing.reproduce import reproduce
from tests.rig.camera import wait_until
from tests.rig.simulated_pipeline import LARGE, MIDDLE, SMALL, Lens, SimulatedPipeline

TIMES_MS = {LARGE: 20.0, MIDDLE: 8.0, SMALL: 2.0}


def run(simulated: SimulatedPipeline, seconds: float) -> None:
    for _ in range(round(seconds * 10)):
        simulated.frame()


def spent(pipeline: Pipeline) -> float:
    return sum(queue.evidence.seconds for queue in pipeline.queues)


def agreements(simulated: SimulatedPipeline) -> dict[str, float]:
    agreement = simulated.pipeline.queues[0].evidence.agreement
    assert agreement is not None
    told = {each: agreement.estimate(each) for each in agreement.variants}
    return {each.name: found.agreement for each, found in told.items() if found and found.probes}


def test_variants_are_compared_and_the_time_is_bounded_and_counted() -> None:
    simulated = SimulatedPipeline([Lens()], TIMES_MS, probe=0.02)
    simulated.device.scores = {MIDDLE: 0.9, SMALL: 0.1}  # the small one sees no class
    run(simulated, 200)
    found = agreements(simulated)
    assert found[MIDDLE.name] > 0.9
    assert found[SMALL.name] < 0.2
    frames_ms = sum(
        result.stages.preprocess + result.stages.inference for result in simulated.observed.results
    )
    assert spent(simulated.pipeline) == pytest.approx(
        (simulated.device.busy_ms - frames_ms) / 1000, rel=0.01
    )
    assert 0 < spent(simulated.pipeline) <= 0.02 * 200
    assert simulated.observed.results[-1].on_time
    simulated.close()


def test_without_a_share_nothing_is_probed() -> None:
    simulated = SimulatedPipeline([Lens()], TIMES_MS, probe=1e-9)
    run(simulated, 60)
    assert {choice.variant for choice in simulated.device.runs} == {LARGE}
    simulated.close()


def test_the_evidence_changes_what_runs() -> None:
    """The table prefers the middle one where the budget excludes the large one; here the small one
    agrees and the middle one does not."""
    simulated = SimulatedPipeline([Lens(budget_ms=12)], TIMES_MS, probe=0.02)
    simulated.device.scores = {MIDDLE: 0.1}
    run(simulated, 5)
    assert simulated.observed.results[-1].variant == MIDDLE
    run(simulated, 250)
    assert simulated.observed.results[-1].variant == SMALL
    ladder = simulated.pipeline.profiler.ladders["door"]
    assert [each.variant for each in ladder] == [LARGE, SMALL]
    assert ladder[1].table_top1 == 0.6 < ladder[1].top1
    simulated.close()


def test_probes_make_no_frame_late() -> None:
    """Frames leave 4 ms, in which only the small one fits. Others run once in five seconds, when
    the next frame can wait for them."""
    simulated = SimulatedPipeline([Lens(budget_ms=30)], TIMES_MS, interval_ms=24.0, probe=0.2)
    for _ in range(2000):
        simulated.frame()
    stages = [result.stages for result in simulated.observed.results]
    assert sum(each.queue > 0.5 for each in stages) <= 2000 * 0.024 / 5 + 1
    assert all(result.on_time for result in simulated.observed.results)
    assert SMALL.name in agreements(simulated)
    simulated.close()


def test_a_reference_that_never_fits_gives_way() -> None:
    """The large one takes longer than the frames are apart; the middle one takes its place."""
    times_ms = {LARGE: 60.0, MIDDLE: 8.0, SMALL: 2.0}
    simulated = SimulatedPipeline([Lens(budget_ms=20)], times_ms, interval_ms=30.0, probe=0.05)
    for _ in range(round(200 / 0.03)):
        simulated.frame()
    agreement = simulated.pipeline.queues[0].evidence.agreement
    assert agreement is not None
    assert agreement.reference == MIDDLE
    assert agreement.variants == [SMALL]
    simulated.close()


def test_goal_power_runs_what_agrees_and_counts_what_it_spares() -> None:
    simulated = SimulatedPipeline([Lens(give_up=0.05)], TIMES_MS, probe=0.02)
    run(simulated, 5)
    assert simulated.observed.results[-1].variant == LARGE  # the table is all that is known
    run(simulated, 250)
    last = simulated.observed.results[-1]
    assert (last.variant, last.reason) == (SMALL, "power")
    queue = simulated.pipeline.queues[0]
    assert queue.spared_ms > 500
    assert queue.late == 0
    simulated.close()


def test_a_trace_carries_the_evidence_and_replays(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "trace.jsonl")
    lens = Lens(budget_ms=40, give_up=0.05)
    simulated = SimulatedPipeline([lens], TIMES_MS, recorder=recorder, probe=0.02)
    simulated.device.scores = {MIDDLE: 0.1}
    for part in range(1, 6):
        run(simulated, 50)
        assert wait_until(lambda: recorder.written == 500 * part)  # noqa: B023
    recorder.close(10)
    trace = read_trace(tmp_path / "trace.jsonl")
    assert isinstance(trace, RecordedTrace)
    found = reproduce(trace)
    assert found.decisions > 1000
    assert found.different == 0
    last = trace.segments[-1].header
    assert isinstance(last.controller(), Controller)
    assert last.settings["door"].give_up == 0.05
    assert any(each.top1 != each.table_top1 for each in last.ladders["door"])
    probed_ms = sum(frame.probe_ms for segment in trace.segments for frame in segment.frames)
    assert probed_ms / 1000 == pytest.approx(spent(simulated.pipeline), rel=0.1)
    simulated.close()


def test_the_evidence_survives_a_new_pipeline_of_the_same_view() -> None:
    simulated = SimulatedPipeline([Lens(budget_ms=12)], TIMES_MS, probe=0.02)
    simulated.device.scores = {MIDDLE: 0.1}
    run(simulated, 250)
    before = simulated.pipeline
    parts = {"sinks": [], "observer": simulated.observed, "clock": simulated.clock.clock}
    made = (before.queues, before.loaded, before.profiler)
    after = Pipeline(*made, **parts, probe=0.02)  # type: ignore[arg-type]
    after.take_over(before)
    assert [each.variant for each in after.profiler.ladders["door"]] == [LARGE, SMALL]
    without = Pipeline(*made, **parts)  # type: ignore[arg-type]
    assert [each.variant for each in without.profiler.ladders["door"]] == [LARGE, MIDDLE, SMALL]
    simulated.close()
