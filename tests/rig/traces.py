"""A daemon that decides and records, on paper, and the trace of it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from edged.control.controller import Controller, ViewSettings
from edged.control.profile import Candidate
from edged.control.selector import NO_LIMITS, Decision, Limits
from edged.tracing.recorder import Recorder
from edged.tracing.recording import Header, RecordedFrame
from edged.variants.variant import Variant

LADDER = tuple(
    Candidate(Variant(alpha, 224), threads, top1, p50_ms, 1.3 * p50_ms, network=f"imagenet {alpha}")
    for alpha, threads, top1, p50_ms in (
        (1.0, 2, 0.709, 8.0),
        (1.0, 1, 0.709, 14.0),
        (0.75, 1, 0.684, 8.6),
        (0.5, 1, 0.633, 4.4),
        (0.25, 1, 0.498, 1.6),
    )
)
BIN = tuple(
    Candidate(Variant(alpha, 224), 1, top1, p50_ms, 1.3 * p50_ms, network=f"bin {alpha}")
    for alpha, top1, p50_ms in ((1.0, 0.99, 21.0), (0.5, 0.97, 6.2), (0.25, 0.96, 2.3))
)
"""Of another family, whose networks have the same names."""
BIN_SLOWNESS = 1.2
"""Its networks take so much longer than their profile says."""
SETTINGS = {
    "door": ViewSettings(33.0, 0.95),
    "yard/gate": ViewSettings(12.0, 0.9, min_top1=0.6),
    "yard/lane": ViewSettings(25.0, 0.9, give_up=0.02),
    "yard/bin": ViewSettings(50.0, 0.95),
}
Ladders = Mapping[str, tuple[Candidate, ...]]
LADDERS: Ladders = {"door": LADDER, "yard/gate": LADDER, "yard/lane": LADDER, "yard/bin": BIN}
SHORTER: Ladders = {view: ladder[1:] for view, ladder in LADDERS.items()}
ABOUT = {"device": "test", "backend": "none 1", "family": "0123"}


class Daemon:
    """What the pipeline does with controller and recorder, with times that are drawn."""

    def __init__(self, recorder: Recorder, seed: int = 0) -> None:
        self.controller = Controller(SETTINGS)
        self.random = random.Random(seed)
        self.recorder = recorder
        self.lines = 0

    def frame(self, *views: str, ladders: Ladders = LADDERS) -> None:
        """A picture of these views, which all decide before the first result. Those that choose
        the same candidate share its run."""
        if self.recorder.header_due(ladders):
            self.recorder.begin(Header.of(self.controller, ladders, ABOUT), ladders)
        decided = [frame for view in views if (frame := self._decided(view, ladders[view]))]
        slow_down = self.random.choice((1.0, 1.1, 1.7, 3.0)) * self.random.uniform(0.9, 1.2)
        ran = list[Candidate]()
        for frame, decision, lines in decided:
            ladder = ladders[frame.view]
            candidate = ladder[frame.chosen or 0]
            shared = candidate in ran
            ran.append(candidate)
            service_ms = candidate.p50_ms * slow_down * (BIN_SLOWNESS if ladder[-1] in BIN else 1)
            on_time = service_ms <= frame.slack_ms
            self.controller.observe(
                frame.view, ladder, decision, service_ms, on_time, shared=shared
            )
            self._record(
                replace(
                    frame,
                    overtaken=self.lines - lines,
                    service_ms=service_ms,
                    on_time=on_time,
                    stages={"inference": service_ms},
                    sensors={"temperature_c": 51.5},
                    shared=shared,
                )
            )

    def _decided(
        self, view: str, ladder: tuple[Candidate, ...]
    ) -> tuple[RecordedFrame, Decision, int] | None:
        """The frame, its decision and how many lines came before it; None if it is dropped."""
        interval_ms = 33 + self.random.random()
        wait_ms = self.random.expovariate(1 / 4)
        slack_ms = self.controller.views[view].settings.budget_ms - wait_ms
        frame = RecordedFrame(
            view, interval_ms, wait_ms, slack_ms, NO_LIMITS, 0, None, "", 0.0, False, {}, {}
        )
        if slack_ms <= 0:
            self.controller.dropped(view)
            self._record(frame)
            return None
        limits = self.random.choice((NO_LIMITS, Limits(12.5)))
        decision = self.controller.decide(view, ladder, slack_ms, limits)
        chosen, reason = ladder.index(decision.candidate), decision.reason.value
        return replace(frame, limits=limits, chosen=chosen, reason=reason), decision, self.lines

    def _record(self, frame: RecordedFrame) -> None:
        self.recorder.record(frame)
        self.lines += 1


def recorded(path: Path, frames: int, **options: int) -> Daemon:
    """A trace of the views by turns; before its fiftieth frame the ladders lack a variant."""
    recorder = Recorder(path, **options)
    daemon = Daemon(recorder)
    for number in range(frames):
        view = ("door", "yard/gate", "yard/bin")[number % 3]
        daemon.frame(view, ladders=LADDERS if number >= 50 else SHORTER)
        while recorder.written + recorder.dropped + 100 < number:
            pass  # the writer keeps up, as it does at a camera's pace
    recorder.close(10)
    assert recorder.written == frames
    return daemon
