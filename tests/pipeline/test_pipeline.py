from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from edged.capture.mailbox import Mailbox, MailboxWriter
from edged.clock import Clock, monotonic_ns
from edged.control.profile import MEASURED_RUNS, Candidate
from edged.control.profiler import Profiler
from edged.control.thermal import Allowance
from edged.events.events import AWAY_SECONDS, Watch
from edged.events.options import EventConfig
from edged.pipeline.output import Output
from edged.pipeline.pipeline import Pipeline
from edged.pipeline.queue import Lane
from edged.result import Event, Result
from edged.tracing.recorder import Recorder as TraceRecorder
from edged.tracing.recording import RecordedTrace, read_trace
from edged.tracing.reproduce import reproduce
from edged.variants.variant import Variant
from tests.rig.camera import FakeTime
from tests.rig.simulated_pipeline import LARGE as BEST
from tests.rig.simulated_pipeline import MIDDLE, Lens, SimulatedPipeline
from tests.rig.simulated_pipeline import SMALL as CHEAPEST

SMALL, LARGE = Variant(0.25, 128), Variant(1.0, 224)
LABELS = ("dark", "light")


class Device:
    """Stands in for the loaded family: each variant takes its time; scores tell the brightness."""

    threads = (1,)

    def __init__(self, small_ms: float = 1.0, large_ms: float = 12.0) -> None:
        self.times_ms = {SMALL: small_ms, LARGE: large_ms}
        self.kept: list[tuple[Variant, int]] = []

    def keep(self, wanted: list[tuple[Variant, int]]) -> None:
        self.kept = wanted

    def infer(
        self, variant: Variant, threads: int, pixels: np.ndarray
    ) -> tuple[np.ndarray, int, int]:
        preprocessed_ns = monotonic_ns()
        time.sleep(self.times_ms[variant] / 1000)
        light = float(pixels.mean()) / 255
        return np.array([1 - light, light], np.float32), preprocessed_ns, monotonic_ns()


class Recorder:
    """Sink and observer in one."""

    def __init__(self) -> None:
        self.results: list[Result] = []
        self.observed = 0
        self.stale_cameras: list[str] = []
        self.switches: list[str] = []

    def publish(self, result: Result) -> None:
        self.results.append(result)

    def observe(self, result: Result) -> None:
        self.observed += 1

    def stale(self, camera: str) -> None:
        self.stale_cameras.append(camera)

    def shed(self, camera: str) -> None: ...

    def switched(self, camera: str, reason: str) -> None:
        self.switches.append(reason)


class Feed:
    """A camera's mailbox and the child's end of it, in one process."""

    def __init__(self, name: str, budget_ms: float) -> None:
        self.mailbox = Mailbox.create(64)
        self.writer = MailboxWriter.attach(self.mailbox.memfd, self.mailbox.wake_fd)
        self.lane = Lane(name, self.mailbox, budget_ms, on_time=0.95)

    def send(self, value: int = 255, age_ms: float = 0.0, wanted: int = 0) -> None:
        now_ns = monotonic_ns()
        pixels = np.full((32, 32, 3), value, np.uint8)
        self.writer.publish(pixels, now_ns - int(age_ms * 1e6), now_ns, wanted)


class Measured:
    """Stands in for the profiler when it has done its work."""

    complete, waiting = True, ()

    def __init__(self, cheap_ms: float = 1.0, dear_ms: float = 1.0) -> None:
        self.ladder = (
            Candidate(LARGE, 1, 0.7, dear_ms, dear_ms),
            Candidate(SMALL, 1, 0.4, cheap_ms, cheap_ms),
        )

    def measure_cheapest(self, measure: object) -> None: ...

    def observe(self, key: object, times_ms: object) -> None: ...


def make(feeds: list[Feed], seen: Recorder, **more: object) -> Pipeline:
    profiler = Profiler({SMALL: 0.4, LARGE: 0.7}, {SMALL: 10, LARGE: 100}, [1])
    return Pipeline(
        lanes=[feed.lane for feed in feeds],
        loaded=more.pop("device", Device()),  # type: ignore[arg-type]
        profiler=more.pop("profiler", profiler),  # type: ignore[arg-type]
        output=Output(LABELS, top_k=1, min_score=0.5),
        sinks=[seen],  # type: ignore[list-item]
        observer=seen,
        **more,  # type: ignore[arg-type]
    )


@contextmanager
def running(pipeline: Pipeline) -> Iterator[threading.Thread]:
    thread = threading.Thread(target=pipeline.run)
    thread.start()
    try:
        yield thread
    finally:
        pipeline.stop()
        thread.join(5)
        assert not thread.is_alive()


def wait_for(condition: object, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.005)


def test_a_frame_becomes_a_result_whose_stages_add_up() -> None:
    feed, recorder = Feed("door", 500), Recorder()
    with running(make([feed], recorder)):
        feed.send(255, age_ms=20)
        wait_for(lambda: recorder.results)
    result = recorder.results[0]
    stages = result.stages
    assert stages.capture == pytest.approx(20, abs=1)
    assert min(stages) >= 0
    assert result.latency_ms == pytest.approx(sum(stages))
    assert result.on_time
    assert (result.camera, result.budget_ms, result.sequence) == ("door", 500, 1)
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
        wait_for(lambda: recorder.results)
        feed.send(age_ms=60)
        wait_for(lambda: recorder.stale_cameras)
    assert recorder.stale_cameras == ["door"]
    assert len(recorder.results) == 1
    assert feed.lane.stale == 1


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
        wait_for(lambda: pipeline.profiler.ladder)
        while not pipeline.profiler.rounds:
            feed.send()
            time.sleep(0.04)
        for _ in range(3):
            feed.send()
            time.sleep(0.04)
        wait_for(lambda: recorder.results[-1].variant == LARGE)
    assert recorder.results[0].variant == SMALL
    assert recorder.switches == ["most_accurate"]
    assert feed.writer.wanted == 224


def test_only_what_the_complete_profile_finds_worth_a_run_stays_loaded() -> None:
    feed, recorder, device = Feed("door", 2000), Recorder(), Device(3.0, 12.0)
    top1 = {SMALL: 0.7, LARGE: 0.6}  # the larger one is slower and no better
    profiler = Profiler(top1, {SMALL: 10, LARGE: 100}, [1], rest_gaps=0)
    pipeline = make([feed], recorder, device=device, profiler=profiler)
    with running(pipeline):
        while not pipeline.profiled:
            feed.send()
            time.sleep(0.04)
        assert device.kept == [(SMALL, 1)]
        count = len(recorder.results)
        feed.send()
        wait_for(lambda: len(recorder.results) > count)
    assert {result.variant for result in recorder.results} == {SMALL}
    assert all(timing.runs > MEASURED_RUNS for timing in profiler.profile.values())


def test_a_budget_that_only_the_cheapest_meets_keeps_to_it() -> None:
    feed, recorder = Feed("door", 60), Recorder()
    # Too slow even for an estimate that takes the profile for one of a busy time (LOWEST).
    pipeline = make([feed], recorder, device=Device(0.5, 170))
    with running(pipeline):
        wait_for(lambda: pipeline.profiler.rounds)
        for _ in range(10):
            feed.send()
            time.sleep(0.02)
        wait_for(lambda: len(recorder.results) >= 5)
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
        self, variant: Variant, threads: int, pixels: np.ndarray
    ) -> tuple[np.ndarray, int, int]:
        self.runs.append(variant)
        return np.array([0.0, 1.0], np.float32), self._clock(), self._clock()


def test_an_idle_device_is_kept_warm_on_the_cheapest_and_nobody_counts_it() -> None:
    feed, recorder, device = Feed("door", 2000), Recorder(), Counting()
    pipeline = make([feed], recorder, device=device, profiler=Measured(0.5), keep_warm=True)
    with running(pipeline):
        feed.send()
        wait_for(lambda: recorder.results and device.runs.count(SMALL) >= 3)
        feed.send()
        wait_for(lambda: len(recorder.results) == 2)
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
                feed.lane.last_ready_ns = time.now_ns
                feed.lane.interval_ns = int(camera_ms * 1e6)
            assert not pipeline.use_gap()
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


def test_a_tight_camera_does_not_starve_a_loose_one() -> None:
    tight, loose, recorder = Feed("tight", 30), Feed("loose", 400), Recorder()
    pipeline = make([tight, loose], recorder, device=Device(10, 10))
    with running(pipeline):
        wait_for(lambda: pipeline.profiler.rounds)
        for _ in range(60):
            tight.send()
            loose.send()
            time.sleep(0.01)
    by_camera = [result.camera for result in recorder.results]
    assert min(by_camera.count("tight"), by_camera.count("loose")) >= len(by_camera) / 5


class Gate(Device):
    """A device on which every run waits until so many are under way at once."""

    def __init__(self, runs: int) -> None:
        super().__init__(1, 1)
        self.barrier = threading.Barrier(runs, timeout=30)

    def infer(
        self, variant: Variant, threads: int, pixels: np.ndarray
    ) -> tuple[np.ndarray, int, int]:
        self.barrier.wait()
        return super().infer(variant, threads, pixels)


def test_frames_of_several_cameras_run_side_by_side() -> None:
    feeds, recorder = [Feed(name, 5000) for name in ("a", "b", "c")], Recorder()
    pipeline = make(feeds, recorder, device=Gate(2), profiler=Measured(), cores=2)
    with running(pipeline):
        for pair in range(1, 4):
            feeds[0].send()
            feeds[1].send()
            wait_for(lambda count=2 * pair: len(recorder.results) == count)
    assert {result.camera for result in recorder.results} == {"a", "b"}
    assert pipeline.turn.at_ns > 0


def test_one_camera_never_runs_beside_itself() -> None:
    feed, other, recorder = Feed("a", 5000), Feed("b", 5000), Recorder()
    pipeline = make([feed, other], recorder, device=Device(20, 20), profiler=Measured(), cores=2)
    with running(pipeline):
        for value in range(20):
            feed.send(value)
            time.sleep(0.004)
        wait_for(lambda: feed.mailbox.overwritten + len(recorder.results) == 20)
    sequences = [result.sequence for result in recorder.results]
    assert sequences == sorted(set(sequences))


def test_a_failure_beside_ends_the_run_and_is_raised() -> None:
    class Broken(Device):
        def infer(
            self, variant: Variant, threads: int, pixels: np.ndarray
        ) -> tuple[np.ndarray, int, int]:
            raise RuntimeError("the runtime is lost")

    feeds = [Feed("a", 5000), Feed("b", 5000)]
    pipeline = make(feeds, Recorder(), device=Broken(), profiler=Measured(), cores=2)
    for feed in feeds:
        feed.send()
    with pytest.raises(RuntimeError, match="the runtime is lost"):
        pipeline.run()


def test_decisions_made_while_others_ran_are_reproduced(tmp_path: Path) -> None:
    feeds, recorder = [Feed(name, 60) for name in ("a", "b", "c")], Recorder()
    trace = TraceRecorder(tmp_path / "trace")
    profiler = Measured(cheap_ms=2.0, dear_ms=9.0)
    device = Device(2, 9)
    pipeline = make(
        feeds, recorder, device=device, profiler=profiler, cores=2, recorder=trace, about={"x": "y"}
    )
    with running(pipeline):
        for number in range(150):
            for feed in feeds:
                feed.send(age_ms=(7 * number) % 70)  # at times too old for the dear one, or at all
            time.sleep(0.004)
        wait_for(lambda: len(recorder.results) > 30)
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
        wait_for(lambda: feed.writer.wanted == 224)
        feed.send(wanted=224)
        wait_for(lambda: len(recorder.results) == 2)
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


# In simulated time


TIMES_MS = {BEST: 30.0, MIDDLE: 14.0, CHEAPEST: 4.0}


def ran(simulated: SimulatedPipeline, camera: str = "door") -> list[tuple[Variant, str]]:
    results = simulated.observed.results
    return [(each.variant, each.reason) for each in results if each.camera == camera]


@pytest.mark.parametrize(
    ("min_fps", "expected"),
    [
        (0.0, (BEST, "most_accurate")),
        (20.0, (BEST, "most_accurate")),
        (40.0, (MIDDLE, "limit")),
        (200.0, (CHEAPEST, "limit")),
        (240.0, (CHEAPEST, "limit")),
    ],
)
def test_min_fps_bounds_the_service_time(min_fps: float, expected: tuple[Variant, str]) -> None:
    simulated = SimulatedPipeline([Lens(min_fps=min_fps)], TIMES_MS)
    for _ in range(3):
        simulated.frame()
    simulated.close()
    assert set(ran(simulated)) == {expected}


def test_all_runs_together_fit_into_the_interval_of_the_most_demanding_camera() -> None:
    lenses = [Lens("door", min_fps=10.0), Lens("yard", min_fps=20.0), Lens("roof")]
    simulated = SimulatedPipeline(lenses, TIMES_MS)
    for _ in range(3):
        simulated.frame()
    for name in ("door", "yard", "roof"):  # three runs of 14 ms in 50 ms
        assert set(ran(simulated, name)) == {(MIDDLE, "limit")}
    # The demanding camera is gone: three runs in 100 ms do for the others, and soon two.
    for _ in range(40):
        simulated.frame("yard")
    simulated.close()
    assert ran(simulated, "door")[-1] == (BEST, "most_accurate")


def test_min_top1_rather_late_than_worse_and_counted() -> None:
    simulated = SimulatedPipeline([Lens(budget_ms=10.0, min_top1=0.75)], TIMES_MS)
    for _ in range(20):
        simulated.frame()
    simulated.close()
    assert {variant for variant, _ in ran(simulated)} == {MIDDLE}
    lane = simulated.pipeline.lanes[0]
    assert (lane.late, lane.results) == (20, 20)


def test_what_the_temperature_allows_is_parted_among_the_cameras_that_deliver() -> None:
    simulated = SimulatedPipeline([Lens("door"), Lens("yard")], TIMES_MS)
    simulated.frame()
    simulated.frame()
    simulated.pipeline.allowance = Allowance(0.35)  # of 100 ms: 17.5 ms for each
    simulated.frame()
    for name in ("door", "yard"):
        assert ran(simulated, name)[-1] == (MIDDLE, "limit")
    simulated.pipeline.allowance = Allowance(0.04)  # 2 ms for each: every other frame
    before = len(simulated.observed.results)
    for _ in range(100):
        simulated.frame()
    assert len(simulated.observed.results) - before == pytest.approx(100, abs=2)
    assert simulated.observed.shed_frames == pytest.approx(100, abs=2)
    assert simulated.observed.stale_frames == 0
    simulated.close()


def test_a_frame_that_came_too_late_is_a_miss_whatever_the_temperature() -> None:
    simulated = SimulatedPipeline([Lens()], TIMES_MS)
    for _ in range(3):
        simulated.frame()
    simulated.pipeline.allowance = Allowance(0.02)
    lane = simulated.pipeline.lanes[0]
    simulated.frame(age_ms=150.0)
    assert (lane.results, lane.stale, lane.shed) == (3, 1, 0)
    simulated.frame()
    simulated.close()
    assert (lane.results, lane.stale, lane.shed) == (3, 1, 1)


# Events


LIT = EventConfig("lit", ("light",), ("door",), 0.6, 0.4, 0.0, 0.0, smooth_seconds=0.0)


class Announced(list[tuple[Event, float | None]]):
    """Events, each with the brightness of the picture that came along."""

    def announce(self, event: Event, pixels: np.ndarray | None) -> None:
        self.append((event, None if pixels is None else float(pixels.mean())))


def watching(feeds: list[Feed], seen: Recorder, told: Announced, *rules: EventConfig) -> Pipeline:
    away = {feed.lane.camera: AWAY_SECONDS for feed in feeds}
    watch = Watch.of(rules, LABELS, away)
    return make(feeds, seen, watch=watch, announce=told.announce)


def test_an_event_is_told_with_the_picture_that_began_it() -> None:
    feed, seen, told = Feed("door", 500), Recorder(), Announced()
    with running(watching([feed], seen, told, LIT)):
        for number, value in enumerate((10, 250, 240, 20), 1):
            feed.send(value)
            wait_for(lambda count=number: len(seen.results) == count)
        wait_for(lambda: len(told) == 2)
    (begun, brightness), (ended, _) = told
    assert (begun.camera, begun.name, begun.ended_unix_ns) == ("door", "lit", None)
    assert brightness == 250
    assert begun.started_unix_ns == seen.results[1].captured_unix_ns
    assert ended.peak == pytest.approx(250 / 255)
    assert ended.ended_unix_ns == pytest.approx(seen.results[2].captured_unix_ns, abs=1e6)


def test_an_event_goes_on_in_the_next_pipeline() -> None:
    feed, seen, told = Feed("door", 500), Recorder(), Announced()
    before = watching([feed], seen, told, LIT)
    with running(before):
        feed.send(250)
        wait_for(lambda: len(told) == 1)
    after = watching([feed], seen, told, LIT)
    after.take_over(before)
    assert len(told) == 1
    with running(after):
        feed.send(250)
        wait_for(lambda: len(seen.results) == 2)
        feed.send(0)
        wait_for(lambda: len(told) == 2)
    gone = watching([feed], seen, told)
    gone.take_over(after)
    assert len(told) == 2


def test_what_nobody_watches_any_more_has_ended() -> None:
    feed, seen, told = Feed("door", 500), Recorder(), Announced()
    before = watching([feed], seen, told, LIT)
    with running(before):
        feed.send(250)
        wait_for(lambda: len(told) == 1)
    after = watching([feed], seen, told)
    after.take_over(before)
    (begun, _), (ended, _) = told
    assert ended.ended_unix_ns == begun.started_unix_ns


# Quiet cameras


def test_frames_left_out_as_quiet_do_not_slow_the_rhythm_that_is_counted_on() -> None:
    clock = FakeTime()
    mailbox = Mailbox.create(64, clock=clock.clock)
    writer = MailboxWriter.attach(mailbox.memfd, mailbox.wake_fd)
    lane = Lane("door", mailbox, 100.0, 0.95)

    def send() -> None:
        now_ns = clock.clock()
        writer.publish(np.zeros((8, 8, 3), np.uint8), now_ns, now_ns, clock=clock.clock)
        lane.take()

    send()
    for _ in range(2):
        for _ in range(149):  # five seconds at 30 a second
            clock.sleep(1 / 30)
            writer.count(quiet=1)
        clock.sleep(1 / 30)
        send()
    assert lane.interval_ns == pytest.approx(1e9 / 30, rel=1e-3)
    assert lane.period_ms == pytest.approx(1000 / 30, rel=1e-3)
    # The next one may be any of those to come, not the last that was left out.
    for _ in range(30):
        clock.sleep(1 / 30)
        writer.count(quiet=1)
    due_ns = lane.due_ns()
    assert due_ns is not None
    assert (due_ns - clock.clock()) / 1e9 == pytest.approx(1 / 30, rel=0.05)
    mailbox.close()
