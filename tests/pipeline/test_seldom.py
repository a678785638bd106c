"""A camera that looks seldom disturbs neither the others nor what the device does when idle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest

from edged.capture.mailbox import Mailbox, MailboxWriter
from edged.control.profile import Candidate
from edged.control.thermal import Allowance
from edged.pipeline.idle import Idle
from edged.pipeline.output import Output
from edged.pipeline.queue import Intake, ViewQueue
from tests.rig.camera import FakeTime, publish
from tests.rig.simulated_pipeline import LARGE, MIDDLE, SMALL, Lens, SimulatedPipeline

TIMES_MS = {LARGE: 30.0, MIDDLE: 14.0, SMALL: 4.0}


def test_it_takes_no_share_of_the_time_of_others() -> None:
    lenses = [Lens("door", min_fps=40.0), Lens("meter", min_fps=40.0)]
    simulated = SimulatedPipeline(lenses, TIMES_MS)

    def looks(times: int) -> None:
        for _ in range(times):
            simulated.frame()
            for _ in range(49):
                simulated.frame("meter")

    looks(2)
    before = len(simulated.observed.results)
    looks(3)
    simulated.pipeline.allowance = Allowance(0.2)  # of 100 ms: 20 ms, not 10
    looks(3)
    results = simulated.observed.results[before:]
    simulated.close()
    alone = [each.variant for each in results if each.view == "door"]
    # In the interval in which both look, the first to run leaves time for the other.
    assert alone.count(MIDDLE) >= len(alone) - 8
    assert [each.view for each in results].count("meter") == 6


@dataclass
class Gaps:
    """Stands in for the profiler; records the gaps that it may use."""

    complete: bool = False
    waiting: tuple[str, ...] = ("more",)
    ladders: Mapping[str, tuple[Candidate, ...]] = field(
        default_factory=lambda: dict.fromkeys(
            ("door", "meter"), (Candidate(SMALL, 1, 0.6, 4.0, 4.0),)
        )
    )
    offered_ms: list[float] = field(default_factory=list)

    def use_gap(self, gap_ms: float, tolerable_ms: float, measure: object, slowdown: float) -> bool:
        self.offered_ms.append(gap_ms)
        return False


NO_PROBES = SimpleNamespace(share=0.0)


@pytest.fixture
def clock() -> FakeTime:
    return FakeTime()


def camera(clock: FakeTime, name: str) -> tuple[ViewQueue, Callable[[], None]]:
    mailbox = Mailbox.create(64, clock=clock.clock)
    writer = MailboxWriter.attach(mailbox.memfd, mailbox.wake_fd)
    queue = ViewQueue(name, mailbox, Output(("thing",), 1, 0.5), 100.0, 0.95)
    (intake,) = Intake.each([queue])

    def send() -> None:
        now_ns = clock.clock()
        publish(writer, np.zeros((8, 8, 3), np.uint8), now_ns, now_ns, clock=clock.clock)
        assert intake.take(())

    return queue, send


def test_a_gap_ends_with_the_next_frame_however_late_a_look_is(clock: FakeTime) -> None:
    door, frame = camera(clock, "door")
    meter, look = camera(clock, "meter")
    gaps, loaded = Gaps(), SimpleNamespace(adopt=lambda: ())
    idle = Idle([door, meter], loaded, gaps, False, clock.clock, NO_PROBES)  # type: ignore[arg-type]
    look()
    for number in range(1060):  # the second look after 100 s, the third would be 6 s late
        clock.sleep(0.2)
        frame()
        if number == 499:
            look()
        clock.sleep(0.05)
        idle.use(1.0, cool=True)
    door.mailbox.close()
    meter.mailbox.close()
    assert (clock.now_ns - (meter.due_ns() or 0)) / 1e9 > 6
    assert gaps.offered_ms[-1] == pytest.approx(200, abs=1)
    usable = [gap for gap in gaps.offered_ms[1:] if gap == pytest.approx(200, abs=1)]
    assert len(usable) >= len(gaps.offered_ms) - 10
    assert max(gaps.offered_ms[1:]) < 201  # never as if no camera delivered


def test_alone_it_leaves_the_device_free_until_it_is_due(clock: FakeTime) -> None:
    meter, look = camera(clock, "meter")
    gaps, loaded = Gaps(), SimpleNamespace(adopt=lambda: ())
    idle = Idle([meter], loaded, gaps, False, clock.clock, NO_PROBES)  # type: ignore[arg-type]
    for _ in range(2):
        look()
        clock.sleep(100)
    look()
    clock.sleep(40)
    idle.use(1.0, cool=True)
    clock.sleep(60.5)  # now it may come at any moment
    idle.use(1.0, cool=True)
    clock.sleep(20)  # it is silent, or waits for a key frame
    idle.use(1.0, cool=True)
    meter.mailbox.close()
    assert gaps.offered_ms == pytest.approx([60_000, -500, 1000])
