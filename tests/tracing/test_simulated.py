"""What the pipeline records with views of several families, and a replay of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

from edged.tracing.recorder import Recorder
from edged.tracing.recording import RecordedTrace, read_trace
from edged.tracing.reproduce import reproduce
from edged.tracing.trace import FullTrace
from tests.rig.paths import PROJECT
from tests.rig.simulated_cores import SimulatedCores, ladder_of

MEASURED = PROJECT / "tests/benchmarks/traces/one-neighbour.jsonl.gz"
BUDGETS_MS = {"door": 20.0, "yard/gate": 10.0, "yard/lane": 50.0, "yard/bin": 12.0}


def test_a_replay_repeats_every_decision_of_the_pipeline(tmp_path: Path) -> None:
    times = read_trace(MEASURED)
    assert isinstance(times, FullTrace)
    family = ladder_of(times)
    other_labels = tuple(replace(rung, top1=rung.top1 + 0.1) for rung in family)
    other_networks = tuple(
        replace(rung, p50_ms=rung.p50_ms / 1.15, network="bin") for rung in family
    )
    ladders = {
        "door": family,
        "yard/gate": family,
        "yard/lane": other_labels,
        "yard/bin": other_networks,
    }
    recorder = Recorder(tmp_path / "t", frames_per_file=1500, queue_frames=10_000)
    simulated = SimulatedCores(
        times, ladders, BUDGETS_MS, cores=2, fps=60, same_region=True, recorder=recorder
    )
    simulated.run(10)
    simulated.close()
    recorder.close(20)
    assert recorder.dropped == 0
    trace = read_trace(tmp_path / "t")
    assert isinstance(trace, RecordedTrace)
    frames = [frame for segment in trace.segments for frame in segment.frames]
    assert set(BUDGETS_MS) == {frame.view for frame in frames}
    assert len({frame.chosen for frame in frames if frame.view == "yard/bin"}) > 2
    shared = Counter(
        frame.service_ms for frame in frames if frame.view in ("yard/gate", "yard/lane")
    )
    assert max(shared.values()) >= 2
    again = reproduce(trace)
    assert again.decisions == sum(frame.chosen is not None for frame in frames) > 300
    assert again.different == 0
