"""Views of one camera: they do not wait for each other, and share runs where they can."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edged.events.events import AWAY_SECONDS, Watch
from edged.events.options import EventConfig
from edged.pipeline.output import Output
from edged.pipeline.pipeline import Pipeline
from edged.pipeline.run import Run
from edged.result import Event
from edged.tracing.recorder import Recorder as TraceRecorder
from edged.tracing.recording import RecordedTrace, read_trace
from edged.tracing.reproduce import reproduce
from edged.variants.family import Fit
from edged.variants.runtime import RunError
from edged.variants.variant import Choice, Variant
from tests.rig.camera import FakeTime
from tests.rig.pipeline import LABELS, LARGE, SMALL, Device, Measured, Recorder, Yard, make

GATE, BIN = "yard/gate", "yard/bin"
OTHER_LABELS = ("empty", "full")


class Timed(Device):
    """Each run takes run_ms of the simulated time. fails: variants that fail."""

    def __init__(self, clock: FakeTime, run_ms: float = 0.0) -> None:
        super().__init__()
        self.runs: list[tuple[Choice, float, Fit]] = []
        self.fails: set[Variant] = set()
        self._clock, self._run_ms = clock, run_ms

    def infer(
        self, choice: Choice, pixels: np.ndarray, fit: Fit = Fit.CROP, *, features: bool = False
    ) -> tuple[np.ndarray, int, int]:
        light = float(pixels.mean()) / 255
        self.runs.append((choice, light, fit))
        if choice.variant in self.fails:
            raise RunError(choice, MemoryError())
        begun_ns = self._clock.now_ns
        self._clock.sleep(self._run_ms / 1000)
        return np.array([1 - light, light], np.float32), begun_ns, self._clock.now_ns


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


def measured(yard: Yard, dear_ms: float = 1.0) -> Measured:
    return Measured(1.0, dear_ms, views=[queue.view for queue in yard.queues])


def run_all(pipeline: Pipeline) -> list[Run]:
    """What begins now, one after the other."""
    begun = []
    while (run := pipeline.begin()) is not None:
        pipeline.carry_out(run)
        begun.append(run)
    return begun


def test_one_run_gives_each_view_a_result_of_its_own(tmp_path: Path, time: FakeTime) -> None:
    """The same network at one region, asked by two families: other labels, budgets, rules."""
    yard = Yard({"gate": 500.0, "bin": 10.0}, clock=time.clock)
    yard.by_name["bin"].output = Output(OTHER_LABELS, top_k=1, min_score=0.5)
    rules = [
        EventConfig("lit", ("light",), (GATE,), 0.6, 0.4, 0.0, 0.0, smooth_seconds=0.0),
        EventConfig("bin_full", ("full",), (BIN,), 0.9, 0.4, 0.0, 0.0, smooth_seconds=0.0),
    ]
    labels = {GATE: LABELS, BIN: OTHER_LABELS}
    announced: list[tuple[Event, float]] = []

    def announce(event: Event, pixels: np.ndarray | None) -> None:
        assert pixels is not None
        announced.append((event, float(pixels.mean())))

    device, seen = Timed(time, run_ms=12.0), Recorder()
    trace = TraceRecorder(tmp_path / "trace")
    pipeline = make(
        [yard], seen,
        device=device,
        profiler=measured(yard),
        clock=time.clock,
        watch=Watch.of(rules, labels, dict.fromkeys(labels, AWAY_SECONDS)),
        announce=announce,
        recorder=trace,
    )  # fmt: skip
    yard.send(250)
    (run,) = run_all(pipeline)
    assert [each.queue.view for each in run.all] == [BIN, GATE]  # the most urgent one leads
    assert len(device.runs) == 1
    results = {result.view: result for result in seen.results}
    assert [result.view for result in seen.results] == [BIN, GATE]
    assert {view: result.top[0].label for view, result in results.items()} == {
        GATE: "light", BIN: "full",
    }  # fmt: skip
    assert {view: result.budget_ms for view, result in results.items()} == {GATE: 500, BIN: 10}
    assert {view: result.on_time for view, result in results.items()} == {GATE: True, BIN: False}
    assert results[GATE].stages == results[BIN].stages
    assert seen.observed == pipeline.results == 2
    assert [(queue.results, queue.late) for queue in yard.queues] == [(1, 0), (1, 1)]
    shares = {view: control.share.owed for view, control in pipeline.controller.views.items()}
    assert shares[GATE] < 0 < shares[BIN]
    assert [(event.view, event.name) for event, _ in announced] == [
        (BIN, "bin_full"),
        (GATE, "lit"),
    ]
    assert {brightness for _, brightness in announced} == {250}
    trace.close(30)
    found = read_trace(tmp_path / "trace")
    assert isinstance(found, RecordedTrace)
    frames = [frame for segment in found.segments for frame in segment.frames]
    assert [(each.view, each.on_time) for each in frames] == [(BIN, False), (GATE, True)]
    assert [each.service_ms for each in frames] == pytest.approx([12.0, 12.0])
    again = reproduce(found)
    assert (again.decisions, again.different) == (2, 0)


def _other_fit(yard: Yard, profiler: Measured) -> None:
    yard.by_name["bin"].fit = Fit.SQUASH


def _other_region(yard: Yard, profiler: Measured) -> None:
    yard._columns = {"bin": 1}


def _other_network(yard: Yard, profiler: Measured) -> None:
    ladder = profiler.ladders[BIN]
    profiler.ladders[BIN] = tuple(replace(each, network="of the bin") for each in ladder)


def _other_variant(yard: Yard, profiler: Measured) -> None:
    yard.by_name["bin"].min_top1 = 0.6  # rather late than with the cheap one


@pytest.mark.parametrize(
    ("change", "shared"),
    [
        (lambda yard, profiler: None, True),
        (_other_fit, False),
        (_other_region, False),
        (_other_network, False),
        (_other_variant, False),
    ],
)
def test_a_run_is_shared_where_it_computes_the_same(
    time: FakeTime, change: Callable[[Yard, Measured], None], shared: bool
) -> None:
    yard, device, seen = Yard({"gate": 9.0, "bin": 9.5}, clock=time.clock), Timed(time), Recorder()
    profiler = measured(yard, dear_ms=60.0)
    change(yard, profiler)
    pipeline = make([yard], seen, device=device, profiler=profiler, clock=time.clock)
    for _ in range(3):
        time.sleep(0.1)
        yard.send()
        run_all(pipeline)
    assert len(device.runs) == (3 if shared else 6)
    assert sorted(result.view for result in seen.results) == [BIN] * 3 + [GATE] * 3
    used = {result.view: (result.variant, result.on_time) for result in seen.results}
    assert used[GATE] == (SMALL, True)
    assert used[BIN][0] == (LARGE if change is _other_variant else SMALL)
    if change is _other_fit:
        assert {fit for _, _, fit in device.runs} == {Fit.CROP, Fit.SQUASH}


def test_of_three_views_the_two_that_are_alike_share(time: FakeTime) -> None:
    budgets_ms = {"gate": 500.0, "lane": 500.0, "bin": 500.0}
    yard = Yard(budgets_ms, {"lane": 32}, clock=time.clock)
    device, seen = Timed(time), Recorder()
    pipeline = make([yard], seen, device=device, profiler=measured(yard), clock=time.clock)
    yard.send()
    runs = run_all(pipeline)
    assert sorted(len(run.all) for run in runs) == [1, 2]
    assert len(device.runs) == 2
    assert {result.view for result in seen.results} == {GATE, "yard/lane", BIN}


def test_a_frame_that_is_too_old_for_one_view_is_dropped_there_alone(time: FakeTime) -> None:
    yard = Yard({"gate": 500.0, "bin": 20.0}, clock=time.clock)
    device, seen = Timed(time), Recorder()
    pipeline = make([yard], seen, device=device, profiler=measured(yard), clock=time.clock)
    for age_ms in (0.0, 30.0):
        time.sleep(0.1)
        yard.send(age_ms=age_ms)
        run_all(pipeline)
    assert [result.view for result in seen.results] == [BIN, GATE, GATE]
    assert seen.stale_views == [BIN]
    assert len(device.runs) == 2


def test_a_shared_run_that_fails_is_made_again_with_another_variant(time: FakeTime) -> None:
    yard, device, seen = (
        Yard({"gate": 500.0, "bin": 400.0}, clock=time.clock),
        Timed(time),
        Recorder(),
    )
    pipeline = make([yard], seen, device=device, clock=time.clock)
    profiler = pipeline.profiler
    profiler.measure_cheapest(device_times)
    while not profiler.rounds:
        profiler.use_gap(1e9, 1e9, device_times)
    device.fails = {LARGE}
    yard.send(200)
    run_all(pipeline)
    assert [choice.variant for choice, _, _ in device.runs] == [LARGE, SMALL]
    assert {(result.view, result.variant) for result in seen.results} == {
        (GATE, SMALL),
        (BIN, SMALL),
    }
    assert {light for _, light, _ in device.runs} == {200 / 255}


def device_times(choice: Choice) -> tuple[float, float]:
    return 0.0, 1.0 if choice.variant == SMALL else 2.0


def test_while_a_shared_run_lasts_none_of_its_views_runs_again(time: FakeTime) -> None:
    yard, seen = Yard({"gate": 500.0, "bin": 400.0}, clock=time.clock), Recorder()
    profiler = measured(yard)
    pipeline = make([yard], seen, device=Timed(time), profiler=profiler, clock=time.clock, cores=2)
    yard.send()
    first = pipeline.begin()
    assert first is not None
    time.sleep(0.3)
    yard.send()
    assert pipeline.begin() is None
    pipeline.carry_out(first)
    run_all(pipeline)
    assert [(result.view, result.sequence) for result in seen.results] == [
        (BIN, 1), (GATE, 1), (BIN, 2), (GATE, 2),
    ]  # fmt: skip


def test_a_view_gets_new_pictures_while_the_run_of_another_lasts(time: FakeTime) -> None:
    yard = Yard({"gate": 500.0, "bin": 900.0}, {"bin": 32}, clock=time.clock)
    device, seen = Timed(time), Recorder()
    profiler = measured(yard)
    pipeline = make([yard], seen, device=device, profiler=profiler, clock=time.clock, cores=2)
    yard.send(10, "bin")
    slow = pipeline.begin()
    assert slow is not None
    assert slow.queue.view == BIN
    for value in (100, 150, 200, 250):
        time.sleep(0.03)
        yard.send(value)
        assert [run.queue.view for run in run_all(pipeline)] == [GATE]
    assert [light for _, light, _ in device.runs] == [each / 255 for each in (100, 150, 200, 250)]
    assert yard.by_name["gate"].overwritten == 0
    # It computes on its own picture, and goes on with the newest one.
    pipeline.carry_out(slow)
    assert [run.queue.view for run in run_all(pipeline)] == [BIN]
    assert [light for _, light, _ in device.runs[4:]] == [10 / 255, 250 / 255]
    assert [each.sequence for each in seen.results if each.view == BIN] == [1, 5]
    assert yard.by_name["bin"].overwritten == 3


def test_a_picture_that_is_not_for_a_view_leaves_its_frame_waiting(time: FakeTime) -> None:
    """One view takes every picture, the other few of them."""
    yard = Yard({"gate": 500.0, "bin": 900.0}, {"bin": 32}, clock=time.clock)
    yard.by_name["bin"].paced = True
    device, seen = Timed(time), Recorder()
    pipeline = make([yard], seen, device=device, profiler=measured(yard), clock=time.clock)
    for number in range(20):
        time.sleep(0.1)
        yard.send(number, *(("gate", "bin") if number % 5 == 0 else ("gate",)))
        pipeline_runs = run_all(pipeline)
        assert len(pipeline_runs) == (2 if number % 5 == 0 else 1)
    gate, bin_ = yard.queues
    assert (gate.results, bin_.results) == (20, 4)
    assert gate.period_ms == pytest.approx(100, abs=0.1)
    assert bin_.period_ms == pytest.approx(500, abs=0.1)


def test_another_model_of_one_view_leaves_what_is_known_of_the_others(time: FakeTime) -> None:
    yard = Yard({"gate": 500.0, "bin": 900.0}, {"bin": 32}, clock=time.clock)
    device, seen = Timed(time, run_ms=3.0), Recorder()
    before = make([yard], seen, device=device, profiler=measured(yard), clock=time.clock)
    for _ in range(30):
        time.sleep(0.1)
        yard.send()
        run_all(before)
    assert before.controller.slowdown.ratio > 2
    profiler = measured(yard)
    _other_network(yard, profiler)
    after = make([yard], seen, device=device, profiler=profiler, clock=time.clock)
    after.take_over(before)
    controls = after.controller.views
    assert after.controller.slowdown is before.controller.slowdown
    assert controls[GATE].previous is profiler.ladders[GATE][0]
    assert controls[BIN].previous is None
    assert {view: control.share.owed for view, control in controls.items()} == {
        view: control.share.owed for view, control in before.controller.views.items()
    }
    yard.send()
    run_all(after)
    assert seen.switches == []
    assert {choice.network for choice, _, _ in device.runs[-2:]} == {"", "of the bin"}
