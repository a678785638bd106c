"""Pictures that people send: answered as frames, in the gaps that the cameras leave."""

from __future__ import annotations

import threading
import time
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path
from statistics import median

import numpy as np
import pytest

from edged.clock import monotonic_ns
from edged.control.thermal import Allowance
from edged.errors import EdgedError
from edged.pipeline.output import Output
from edged.pipeline.pipeline import Pipeline
from edged.pipeline.sent import SentPictures
from edged.tracing.recorder import Recorder as TraceRecorder
from edged.tracing.recording import RecordedTrace, read_trace
from edged.tracing.reproduce import reproduce
from edged.variants.family import Fit
from edged.variants.variant import Choice
from tests.rig.pipeline import LARGE, SMALL, Device, Feed, Measured, Recorder, make, running
from tests.rig.sent import send
from tests.rig.waiting import eventually


def test_a_sent_picture_is_answered_as_a_frame_of_the_view() -> None:
    feed, recorder, sent = Feed("door", 500), Recorder(), SentPictures()
    with running(make([feed], recorder, sent=sent)):
        feed.send(255)
        eventually(lambda: recorder.results)
        result = send(sent, value=255, budget_ms=300).done.result(10)
    (frame,) = recorder.results
    assert result.top == frame.top
    assert (result.view, result.budget_ms) == ("door", 300)
    assert result.stages.capture == 0
    assert min(result.stages) >= 0
    assert result.latency_ms == pytest.approx(sum(result.stages))


def test_it_is_answered_while_no_camera_delivers() -> None:
    feed, sent = Feed("door", 500), SentPictures()
    with running(make([feed], Recorder(), sent=sent)):
        assert send(sent).done.result(10).on_time


def test_the_variant_follows_its_own_budget() -> None:
    feed, sent = Feed("door", 500), SentPictures()
    measured = Measured(cheap_ms=1, dear_ms=40)
    pipeline = make([feed], Recorder(), sent=sent, profiler=measured, device=Device(1, 40))
    with running(pipeline):
        variants = [
            send(sent, budget_ms=budget_ms).done.result(10).variant for budget_ms in (400, 20, 0.1)
        ]
    assert variants == [LARGE, SMALL, SMALL]


def test_nothing_of_it_is_counted_learnt_or_traced(tmp_path: Path) -> None:
    feed, recorder, sent = Feed("door", 500), Recorder(), SentPictures()
    trace = TraceRecorder(tmp_path / "trace")
    pipeline = make([feed], recorder, sent=sent, recorder=trace, profiler=Measured())
    with running(pipeline):
        feed.send(0)
        eventually(lambda: recorder.results)
        state = pipeline.controller.slowdown.state()
        previous = pipeline.controller.views["door"].previous
        for _ in range(5):
            send(sent, value=255, budget_ms=0.001).done.result(10)
        assert pipeline.controller.slowdown.state() == state
        assert pipeline.controller.views["door"].previous is previous
        for value in range(10):  # and further frames are decided as they would have been
            send(sent, value=value)
            feed.send(value)
            eventually(lambda wanted=value + 2: len(recorder.results) == wanted)
    trace.close(30)
    assert (recorder.observed, len(recorder.results), pipeline.results) == (11, 11, 11)
    assert pipeline.queues[0].late == 0
    assert recorder.stale_views == recorder.switches == []
    found = read_trace(tmp_path / "trace")
    assert isinstance(found, RecordedTrace)
    again = reproduce(found)
    assert (again.decisions, again.different) == (11, 0), again.differences


class Camera:
    """Sends a frame every `period_ms` in a thread, `frames` of them."""

    def __init__(self, feed: Feed, period_ms: float, frames: int) -> None:
        self._thread = threading.Thread(target=self._send, args=(feed, period_ms / 1000, frames))

    def _send(self, feed: Feed, period: float, frames: int) -> None:
        due = time.monotonic()
        for _ in range(frames):
            feed.send()
            due += period
            time.sleep(max(0.0, due - time.monotonic()))

    def __enter__(self) -> Camera:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()


def busy_pipeline(
    dear_ms: float, sent: SentPictures, cheap_ms: float = 1.0
) -> tuple[Pipeline, Feed, Recorder]:
    """Its camera has time for the dear variant."""
    feed, recorder = Feed("door", 500), Recorder()
    pipeline = make(
        [feed],
        recorder,
        sent=sent,
        profiler=Measured(cheap_ms, dear_ms),
        device=Device(cheap_ms, dear_ms),
    )
    return pipeline, feed, recorder


def test_one_that_fits_into_no_gap_waits_for_the_cameras() -> None:
    """The dear variant takes 60 of 100 ms: a sent picture gets the cheap one meanwhile."""
    sent = SentPictures()
    pipeline, feed, recorder = busy_pipeline(60, sent)
    with running(pipeline), Camera(feed, 100, 30):
        eventually(lambda: len(recorder.results) >= 5)
        results = [send(sent).done.result(10) for _ in range(5)]
        after = send(sent)
    assert {result.variant for result in results} == {SMALL}
    assert {result.reason for result in results} == {"limit"}
    assert {result.variant for result in recorder.results} == {LARGE}
    assert after.done.result(0) is not None


def test_frames_wait_for_none_while_pictures_come_without_end() -> None:
    """The median wait of frames, with eight senders and without, in one run."""
    sent = SentPictures()
    pipeline, feed, recorder = busy_pipeline(4, sent)
    over = threading.Event()

    def storm() -> None:
        while not over.is_set():
            send(sent).done.result(10)
            answered.append(1)

    answered: list[int] = []
    senders = [threading.Thread(target=storm) for _ in range(8)]
    with running(pipeline), Camera(feed, 40, 120):
        eventually(lambda: len(recorder.results) >= 50)
        for sender in senders:
            sender.start()
        begun = len(recorder.results)
        eventually(lambda: len(recorder.results) >= begun + 50)
        ended = len(recorder.results)
        over.set()
        for sender in senders:
            sender.join()
    waits_ms = [result.stages.queue for result in recorder.results]
    assert len(answered) > 50  # one and more for each frame
    assert median(waits_ms[begun:ended]) < median(waits_ms[:begun]) + 2
    assert {result.variant for result in recorder.results} == {LARGE}
    assert all(result.on_time for result in recorder.results)
    assert feed.queue.overwritten == 0


@pytest.mark.alone
def test_cameras_without_gaps_give_a_moment_a_second() -> None:
    """Frames take 36 of 40 ms, so nothing fits between them; yet they have half a second."""
    sent = SentPictures()
    pipeline, feed, recorder = busy_pipeline(36, sent, cheap_ms=5)
    with running(pipeline):
        with Camera(feed, 40, 100):
            eventually(lambda: len(recorder.results) >= 10)
            pictures = [send(sent) for _ in range(4)]
            begun_ns = monotonic_ns()
            time.sleep(2.4)
            answered = [each for each in pictures if each.done.done()]
            assert 0 < len(answered) <= (monotonic_ns() - begun_ns) / 1e9
            assert {each.done.result(0).variant for each in answered} == {SMALL}
        for each in pictures:
            each.done.result(10)


def test_cameras_that_are_late_give_none() -> None:
    """Frames take longer than they are apart: the camera's next one always waits."""
    sent = SentPictures()
    pipeline, feed, recorder = busy_pipeline(45, sent, cheap_ms=45)
    with running(pipeline):
        with Camera(feed, 40, 60):
            eventually(lambda: len(recorder.results) >= 5)
            picture = send(sent)
            with pytest.raises(FutureTimeoutError):
                picture.done.result(1.5)
        picture.done.result(10)


def test_a_frame_that_waits_is_first() -> None:
    sent, order = SentPictures(), list[int]()

    class Slow(Device):
        def infer(
            self, choice: Choice, pixels: np.ndarray, fit: Fit = Fit.CROP, *, features: bool = False
        ) -> tuple[np.ndarray, int, int]:
            order.append(int(pixels[0, 0, 0]))
            if len(order) == 1:
                send(sent, value=7)
                feed.send(2)
            return super().infer(choice, pixels, fit, features=features)

    feed = Feed("door", 500)
    with running(make([feed], Recorder(), sent=sent, profiler=Measured(), device=Slow())):
        feed.send(1)
        eventually(lambda: len(order) == 3)
    assert order == [1, 2, 7]


def test_two_cameras_and_a_picture_share_two_cores() -> None:
    """The picture's core is not given to another frame's threads, and frames go on beside it."""
    doors, recorder, sent = [Feed("door", 500), Feed("yard", 500)], Recorder(), SentPictures()
    measured = Measured(cheap_ms=200, dear_ms=200, views=("door", "yard"))
    device = Device(200, 200)
    with running(make(doors, recorder, sent=sent, profiler=measured, device=device, cores=2)):
        picture = send(sent, budget_ms=1000)
        eventually(lambda: picture.done.running())
        doors[0].send()
        eventually(lambda: recorder.results)
        picture.done.result(10)
    assert recorder.results[0].stages.queue < 150


def test_while_work_is_shed_for_the_temperature_none_runs() -> None:
    feed, sent = Feed("door", 500), SentPictures()
    pipeline = make([feed], Recorder(), sent=sent, allowance=Allowance(0.5))
    with running(pipeline):
        picture = send(sent)
        with pytest.raises(FutureTimeoutError):
            picture.done.result(0.7)
        pipeline.allowance = Allowance()
        picture.done.result(10)


def test_one_that_nobody_waits_for_is_not_run() -> None:
    feed, sent = Feed("door", 500), SentPictures()
    left, kept = send(sent), send(sent)
    assert left.done.cancel()
    with running(make([feed], Recorder(), sent=sent)):
        kept.done.result(10)
    with pytest.raises(CancelledError):
        left.done.result(0)
    assert sent.first() is None


def test_those_that_wait_go_over_to_the_next_pipeline() -> None:
    sent = SentPictures()
    gone, stays = send(sent, "gone"), send(sent, "door")
    with running(make([Feed("door", 500)], Recorder(), sent=sent)):
        stays.done.result(10)
    with pytest.raises(EdgedError, match="configuration has just changed; send the picture again"):
        gone.done.result(0)


def test_a_view_that_is_not_taught_yet_has_no_answer() -> None:
    feed, sent = Feed("door", 500), SentPictures()
    feed.queue.output = Output(("a",), 1, 0.5, heads={})
    with running(make([feed], Recorder(), sent=sent)), pytest.raises(EdgedError):
        send(sent).done.result(10)


def test_one_that_fails_is_its_senders_alone() -> None:
    class Failing(Device):
        def infer(
            self, choice: Choice, pixels: np.ndarray, fit: Fit = Fit.CROP, *, features: bool = False
        ) -> tuple[np.ndarray, int, int]:
            if pixels[0, 0, 0] == 13:
                raise RuntimeError("thirteen")
            return super().infer(choice, pixels, fit, features=features)

    feed, recorder, sent = Feed("door", 500), Recorder(), SentPictures()
    with running(make([feed], recorder, sent=sent, profiler=Measured(), device=Failing())):
        with pytest.raises(RuntimeError, match="thirteen"):
            send(sent, value=13).done.result(10)
        feed.send(1)
        eventually(lambda: recorder.results)
        send(sent, value=1).done.result(10)
