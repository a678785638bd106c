"""The pipeline in simulated time: minimum rate and accuracy, and the heat that views share."""

from __future__ import annotations

import numpy as np
import pytest

from edged.capture.mailbox import Mailbox, MailboxWriter
from edged.control.thermal import Allowance
from edged.pipeline.output import Output
from edged.pipeline.queue import Intake, ViewQueue
from edged.variants.variant import Variant
from tests.rig.camera import FakeTime, publish
from tests.rig.simulated_pipeline import LARGE as BEST
from tests.rig.simulated_pipeline import MIDDLE, Lens, SimulatedPipeline
from tests.rig.simulated_pipeline import SMALL as CHEAPEST

TIMES_MS = {BEST: 30.0, MIDDLE: 14.0, CHEAPEST: 4.0}


def ran(simulated: SimulatedPipeline, view: str = "door") -> list[tuple[Variant, str]]:
    results = simulated.observed.results
    return [(each.variant, each.reason) for each in results if each.view == view]


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
    queue = simulated.pipeline.queues[0]
    assert (queue.late, queue.results) == (20, 20)


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


def test_a_share_too_small_for_the_cheapest_that_is_allowed_runs_some_frames() -> None:
    """The cheapest of all would fit into it."""
    simulated = SimulatedPipeline([Lens(min_top1=0.75)], TIMES_MS)
    simulated.frame()
    simulated.frame()
    simulated.pipeline.allowance = Allowance(0.07)  # 7 ms of 100: half a run of 14 ms
    before = len(simulated.observed.results)
    for _ in range(100):
        simulated.frame()
    simulated.close()
    assert {variant for variant, _ in ran(simulated)[before:]} == {MIDDLE}
    assert len(simulated.observed.results) - before == pytest.approx(50, abs=2)


def test_a_frame_that_came_too_late_is_a_miss_whatever_the_temperature() -> None:
    simulated = SimulatedPipeline([Lens()], TIMES_MS)
    for _ in range(3):
        simulated.frame()
    simulated.pipeline.allowance = Allowance(0.02)
    queue = simulated.pipeline.queues[0]
    simulated.frame(age_ms=150.0)
    assert (queue.results, queue.stale, queue.shed) == (3, 1, 0)
    simulated.frame()
    simulated.close()
    assert (queue.results, queue.stale, queue.shed) == (3, 1, 1)


def test_frames_left_out_as_quiet_do_not_slow_the_rhythm_that_is_counted_on() -> None:
    clock = FakeTime()
    mailbox = Mailbox.create(64, clock=clock.clock)
    writer = MailboxWriter.attach(mailbox.memfd, mailbox.wake_fd)
    queue = ViewQueue("door", mailbox, Output(("thing",), 1, 0.5), 100.0, 0.95)
    (intake,) = Intake.each([queue])

    def send() -> None:
        now_ns = clock.clock()
        publish(writer, np.zeros((8, 8, 3), np.uint8), now_ns, now_ns, clock=clock.clock)
        assert intake.take(())

    send()
    for _ in range(2):
        for _ in range(149):  # five seconds at 30 a second
            clock.sleep(1 / 30)
            writer.count_for(0, quiet=1)
        clock.sleep(1 / 30)
        send()
    assert queue.interval_ns == pytest.approx(1e9 / 30, rel=1e-3)
    assert queue.period_ms == pytest.approx(1000 / 30, rel=1e-3)
    # The next one may be any of those to come, not the last that was left out.
    for _ in range(30):
        clock.sleep(1 / 30)
        writer.count_for(0, quiet=1)
    due_ns = queue.due_ns()
    assert due_ns is not None
    assert (due_ns - clock.clock()) / 1e9 == pytest.approx(1 / 30, rel=0.05)
    mailbox.close()
