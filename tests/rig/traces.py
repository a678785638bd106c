"""A daemon that decides and records, on paper, and the trace of it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from edged.control.controller import CameraSettings, Controller
from edged.control.profile import Candidate
from edged.control.selector import NO_LIMITS, Limits
from edged.tracing.recorder import Recorder
from edged.tracing.recording import Header, RecordedFrame
from edged.variants.variant import Variant

LADDER = tuple(
    Candidate(Variant(alpha, 224), threads, top1, p50_ms, 1.3 * p50_ms)
    for alpha, threads, top1, p50_ms in (
        (1.0, 2, 0.709, 8.0),
        (1.0, 1, 0.709, 14.0),
        (0.75, 1, 0.684, 8.6),
        (0.5, 1, 0.633, 4.4),
        (0.25, 1, 0.498, 1.6),
    )
)
SHORTER = LADDER[1:]
CAMERAS = {
    "door": CameraSettings(33.0, 0.95),
    "yard": CameraSettings(12.0, 0.9, min_top1=0.6),
}
ABOUT = {"device": "test", "backend": "none 1", "family": "0123"}


class Daemon:
    """What the pipeline does with controller and recorder, with times that are drawn."""

    def __init__(self, recorder: Recorder, seed: int = 0) -> None:
        self.controller = Controller(CAMERAS)
        self.random = random.Random(seed)
        self.recorder = recorder
        self.now_ms = dict.fromkeys(CAMERAS, 0.0)

    def frame(self, camera: str, ladder: Sequence[Candidate] = LADDER) -> None:
        if self.recorder.header_due(ladder):
            self.recorder.begin(Header.of(self.controller, ladder, ABOUT), ladder)
        interval_ms = 33 + self.random.random()
        wait_ms = self.random.expovariate(1 / 4)
        slack_ms = CAMERAS[camera].budget_ms - wait_ms
        frame = RecordedFrame(
            camera, interval_ms, wait_ms, slack_ms, NO_LIMITS, 0, None, "", 0.0, False, {}, {}
        )
        if slack_ms <= 0:
            self.controller.dropped(camera)
            self.recorder.record(frame)
            return
        limits = self.random.choice((NO_LIMITS, Limits(12.5)))
        decision = self.controller.decide(camera, ladder, slack_ms, limits)
        slow_down = self.random.choice((1.0, 1.1, 1.7, 3.0)) * self.random.uniform(0.9, 1.2)
        service_ms = decision.candidate.p50_ms * slow_down
        on_time = service_ms <= slack_ms
        self.controller.observe(camera, ladder, decision.candidate, service_ms, on_time)
        self.recorder.record(
            replace(
                frame,
                limits=limits,
                chosen=ladder.index(decision.candidate),
                reason=decision.reason.value,
                service_ms=service_ms,
                on_time=on_time,
                stages={"inference": service_ms},
                sensors={"temperature_c": 51.5},
            )
        )


def recorded(path: Path, frames: int, **options: int) -> Daemon:
    recorder = Recorder(path, **options)
    daemon = Daemon(recorder)
    for number in range(frames):
        daemon.frame("door" if number % 3 else "yard", LADDER if number >= 50 else SHORTER)
        while recorder.written + recorder.dropped + 100 < number:
            pass  # the writer keeps up, as it does at a camera's pace
    recorder.close(10)
    assert recorder.written == frames
    return daemon
