from __future__ import annotations

import math
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edged.clock import Clock, monotonic_ns
from edged.control.profile import MEASURED_RUNS
from edged.control.profiler import Profiler
from edged.control.thermal import Allowance
from edged.pipeline.output import Output
from edged.tracing.recorder import Recorder as TraceRecorder
from edged.tracing.recording import RecordedTrace, read_trace
from edged.tracing.reproduce import reproduce
from edged.variants.family import Fit
from edged.variants.variant import Choice, Variant
from tests.rig.camera import FakeTime
from tests.rig.pipeline import LARGE, SMALL, Device, Feed, Measured, Recorder, make, running
from tests.rig.waiting import eventually


def test_a_frame_becomes_a_result_whose_stages_add_up() -> None:
    feed, recorder = Feed("door", 500), Recorder()
    with running(make([feed], recorder)):
        feed.send(255, age_ms=20)
        eventually(lambda: recorder.results)
    result = recorder.results[0]
    stages = result.stages
    assert stages.capture == pytest.approx(20, abs=1)
    assert min(stages) >= 0
    assert result.latency_ms == pytest.approx(sum(stages))
    assert result.on_time
    assert (result.view, result.budget_ms, result.sequence) == ("door", 500, 1)
    assert [(each.label, each.score) for each in result.top] == [("light", 1.0)]
    assert recorder.observed == 1


def test_scores_below_the_minimum_are_left_out() -> None:
    output = Output(("a", "b", "c"), top_k=2, min_score=0.3)
    top = output.top(np.array([0.1, 0.5, 0.4], np.float32))
    assert [each.label for each in top] == ["b", "c"]
    assert output.top(np.array([0.34, 0.33, 0.33], np.float32))[0].label == "a"
    for wrong in (math.nan, math.inf):
        assert output.top(np.array([wrong, 0.5, 0.4], np.float32)) == ()
    assert len(Output(("a",), 5, 0.0).top(np.array([1.0], np.float32))) == 1


def test_a_frame_older_than_its_budget_is_dropped_and_counted() -> None:
    feed, recorder = Feed("door", 50), Recorder()
    with running(make([feed], recorder)):
        feed.send()
        eventually(lambda: recorder.results)
        feed.send(age_ms=60)
        eventually(lambda: recorder.stale_views)
    assert recorder.stale_views == ["door"]
    assert len(recorder.results) == 1
    assert feed.queue.stale == 1


def test_a_hopeless_budget_still_gets_results_late_ones() -> None:
    feed, recorder = Feed("door", 1), Recorder()
    with running(make([feed], recorder)):
        for _ in range(30):
            feed.send(age_ms=5)
            time.sleep(0.01)
    assert len(recorder.results) >= 5
    assert not any(result.on_time for result in recorder.results)
    assert {result.variant for result in recorder.results} == {SMALL}
    assert {result.reason for result in recorder.results} == {"none_fits"}


def test_the_profile_grows_in_the_gaps_and_then_the_better_variant_runs() -> None:
    feed, recorder = Feed("door", 200), Recorder()
    pipeline = make([feed], recorder)
    with running(pipeline):
        eventually(lambda: pipeline.profiler.ladders["door"])
        while not pipeline.profiler.rounds:
            feed.send()
            time.sleep(0.04)
        for _ in range(3):
            feed.send()
            time.sleep(0.04)
        eventually(lambda: recorder.results[-1].variant == LARGE)
    assert recorder.results[0].variant == SMALL
    assert recorder.switches == ["most_accurate"]
    assert feed.writer.wanted() == 224


def test_only_what_the_complete_profile_finds_worth_a_run_stays_loaded() -> None:
    feed, recorder, device = Feed("door", 2000), Recorder(), Device(3.0, 12.0)
    top1 = {Choice(SMALL, 1): 0.7, Choice(LARGE, 1): 0.6}  # the larger is slower and no better
    profiler = Profiler(top1, {"door": top1}, {SMALL: 10, LARGE: 100}, rest_gaps=0)
    pipeline = make([feed], recorder, device=device, profiler=profiler)
    with running(pipeline):
        while not pipeline.profiled:
            feed.send()
            time.sleep(0.04)
        assert device.choices == {Choice(SMALL, 1)}
        count = len(recorder.results)
        feed.send()
        eventually(lambda: len(recorder.results) > count)
    assert {result.variant for result in recorder.results} == {SMALL}
    assert all(timing.runs > MEASURED_RUNS for timing in profiler.profile.values())


def test_a_budget_that_only_the_cheapest_meets_keeps_to_it() -> None:
    feed, recorder = Feed("door", 60), Recorder()
    # Too slow even for an estimate that takes the profile for one of a busy time (LOWEST).
    pipeline = make([feed], recorder, device=Device(0.5, 170))
    with running(pipeline):
        eventually(lambda: pipeline.profiler.rounds)
        for _ in range(10):
            feed.send()
            time.sleep(0.02)
        eventually(lambda: len(recorder.results) >= 5)
    assert {result.variant for result in recorder.results} == {SMALL}
    # On a busy machine not even the cheapest is sure to make it.
    assert {"budget"} <= {result.reason for result in recorder.results} <= {"budget", "none_fits"}


class Counting(Device):
    """Takes no time, and remembers what it was asked for."""

    def __init__(self, clock: Clock = monotonic_ns) -> None:
        super().__init__()
        self.runs: list[Variant] = []
        self._clock = clock

    def infer(
        self, choice: Choice, pixels: np.ndarray, fit: Fit = Fit.CROP, *, features: bool = False
    ) -> tuple[np.ndarray, int, int]:
        self.runs.append(choice.variant)
        return np.array([0.0, 1.0], np.float32), self._clock(), self._clock()


def test_an_idle_device_is_kept_warm_on_the_cheapest_and_nobody_counts_it() -> None:
    feed, recorder, device = Feed("door", 2000), Recorder(), Counting()
    pipeline = make([feed], recorder, device=device, profiler=Measured(0.5), keep_warm=True)
    with running(pipeline):
        feed.send()
        eventually(lambda: recorder.results and device.runs.count(SMALL) >= 3)
        feed.send()
        eventually(lambda: len(recorder.results) == 2)
    assert {result.variant for result in recorder.results} == {LARGE}
    assert device.runs.count(LARGE) == recorder.observed == pipeline.results == 2


def test_it_is_kept_warm_ten_times_a_second_when_that_is_in_nobodys_way() -> None:
    feed, time = Feed("door", 2000), FakeTime()
    device, profiler = Counting(time.clock), Measured(cheap_ms=5.0, dear_ms=50.0)
    more: dict[str, object] = {"device": device, "profiler": profiler, "clock": time.clock}
    pipeline = make([feed], Recorder(), keep_warm=True, **more)

    def runs_in_a_second(camera_ms: float = 0.0) -> int:
        device.runs.clear()
        for _ in range(100):
            time.sleep(0.01)
            if camera_ms:
                feed.queue.last_ready_ns = time.now_ns
                feed.queue.interval_ns = int(camera_ms * 1e6)
            assert not pipeline.use_idle()
        return len(device.runs)

    assert runs_in_a_second() == 10
    assert set(device.runs) == {SMALL}
    assert runs_in_a_second(camera_ms=6.0) == 10
    assert runs_in_a_second(camera_ms=4.0) == 0  # a frame would find it running
    pipeline.allowance = Allowance(0.9)
    assert runs_in_a_second() == 0
    pipeline.close()
    pipeline = make([feed], Recorder(), keep_warm=False, **more)
    assert runs_in_a_second() == 0
    pipeline.close()


def test_another_figure_of_the_same_variant_is_no_switch() -> None:
    feed, seen, profiler = Feed("door", 200), Recorder(), Measured()
    with running(make([feed], seen, profiler=profiler)):
        for number in range(1, 4):
            feed.send()
            eventually(lambda number=number: len(seen.results) == number)
            profiler.ladders["door"] = tuple(
                replace(each, p50_ms=2.0) for each in profiler.ladders["door"]
            )
    assert {result.variant for result in seen.results} == {LARGE}
    assert seen.switches == []


@pytest.mark.alone
def test_a_tight_camera_does_not_starve_a_loose_one() -> None:
    tight, loose, recorder = Feed("tight", 30), Feed("loose", 400), Recorder()
    pipeline = make([tight, loose], recorder, device=Device(10, 10))
    with running(pipeline):
        eventually(lambda: pipeline.profiler.rounds)
        for _ in range(60):
            tight.send()
            loose.send()
            time.sleep(0.01)
    by_camera = [result.view for result in recorder.results]
    assert min(by_camera.count("tight"), by_camera.count("loose")) >= len(by_camera) / 5


class Gate(Device):
    """A device on which every run waits until so many are under way at once."""

    def __init__(self, runs: int) -> None:
        super().__init__(1, 1)
        self.barrier = threading.Barrier(runs, timeout=30)

    def infer(
        self, choice: Choice, pixels: np.ndarray, fit: Fit = Fit.CROP, *, features: bool = False
    ) -> tuple[np.ndarray, int, int]:
        self.barrier.wait()
        return super().infer(choice, pixels, fit, features=features)


def test_frames_of_several_cameras_run_side_by_side() -> None:
    feeds, recorder = [Feed(name, 5000) for name in ("a", "b", "c")], Recorder()
    pipeline = make(
        feeds, recorder, device=Gate(2), profiler=Measured(views=("a", "b", "c")), cores=2
    )
    with running(pipeline):
        for pair in range(1, 4):
            feeds[0].send()
            feeds[1].send()
            eventually(lambda count=2 * pair: len(recorder.results) == count)
    assert {result.view for result in recorder.results} == {"a", "b"}
    assert pipeline.turn.at_ns > 0


def test_one_camera_never_runs_beside_itself() -> None:
    feed, other, recorder = Feed("a", 5000), Feed("b", 5000), Recorder()
    pipeline = make(
        [feed, other], recorder, device=Device(20, 20), profiler=Measured(views=("a", "b")), cores=2
    )
    with running(pipeline):
        for value in range(20):
            feed.send(value)
            time.sleep(0.004)
        eventually(lambda: feed.mailbox.counts().overwritten + len(recorder.results) == 20)
    sequences = [result.sequence for result in recorder.results]
    assert sequences == sorted(set(sequences))


def test_a_failure_beside_ends_the_run_and_is_raised() -> None:
    class Broken(Device):
        def infer(
            self, choice: Choice, pixels: np.ndarray, fit: Fit = Fit.CROP, *, features: bool = False
        ) -> tuple[np.ndarray, int, int]:
            raise RuntimeError("the runtime is lost")

    feeds = [Feed("a", 5000), Feed("b", 5000)]
    pipeline = make(
        feeds, Recorder(), device=Broken(), profiler=Measured(views=("a", "b")), cores=2
    )
    for feed in feeds:
        feed.send()
    with pytest.raises(RuntimeError, match="the runtime is lost"):
        pipeline.run()


def test_decisions_made_while_others_ran_are_reproduced(tmp_path: Path) -> None:
    feeds, recorder = [Feed(name, 60) for name in ("a", "b", "c")], Recorder()
    trace = TraceRecorder(tmp_path / "trace")
    profiler = Measured(2.0, 9.0, views=("a", "b", "c"))
    device = Device(2, 9)
    pipeline = make(
        feeds, recorder, device=device, profiler=profiler, cores=2, recorder=trace, about={"x": "y"}
    )
    with running(pipeline):
        for number in range(150):
            for feed in feeds:
                feed.send(age_ms=(7 * number) % 70)  # at times too old for the dear one, or at all
            time.sleep(0.004)
        eventually(lambda: len(recorder.results) > 30)
    trace.close(30)
    found = read_trace(tmp_path / "trace")
    assert isinstance(found, RecordedTrace)
    frames = [frame for segment in found.segments for frame in segment.frames]
    assert any(frame.overtaken for frame in frames)
    again = reproduce(found)
    assert again.decisions == len(recorder.results)
    assert again.different == 0, again.differences


def test_what_runs_next_decides_what_the_next_picture_is_decoded_for() -> None:
    feed, recorder = Feed("door", 5000), Recorder()
    feed.mailbox.want(128)
    with running(make([feed], recorder, profiler=Measured())):
        feed.send(wanted=128)  # decoded too small for the better variant
        eventually(lambda: feed.writer.wanted() == 224)
        feed.send(wanted=224)
        eventually(lambda: len(recorder.results) == 2)
    assert [result.variant for result in recorder.results] == [SMALL, LARGE]
    assert [result.reason for result in recorder.results] == ["picture", "most_accurate"]


def test_it_ends_after_the_wanted_results() -> None:
    feed, recorder = Feed("door", 500), Recorder()
    with running(make([feed], recorder, frames_wanted=3)) as thread:
        while thread.is_alive():
            feed.send()
            time.sleep(0.01)
    assert len(recorder.results) == 3


def test_it_ends_when_every_source_has_ended_and_the_last_frame_is_done() -> None:
    feed, recorder = Feed("door", 5000), Recorder()
    ended = threading.Event()
    with running(make([feed], recorder, finished=ended.is_set)) as thread:
        time.sleep(0.1)
        feed.send()
        ended.set()
        thread.join(5)
        assert not thread.is_alive()
    assert len(recorder.results) == 1
