"""Probes of one view in simulated time, over what every variant said of every frame of a stream."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edged.capture.frame import Frame
from edged.control.agreement import Agreement
from edged.control.controller import Controller, ViewSettings
from edged.control.profile import Spread, Timing
from edged.control.profiler import Profiler
from edged.control.selector import Decision
from edged.pipeline.output import Output
from edged.pipeline.probes import Probes
from edged.pipeline.queue import ViewQueue
from edged.result import Score
from edged.variants.mobilenet import Architecture, cost
from edged.variants.variant import Choice, Variant
from tests.rig.camera import FakeTime

VIEW = "door"
SETTLING_FRAMES = 300
SLOWEST_MS, PREPROCESS_MS = 14.0, 0.3
"""Of 1.0 at 224 pixels; the others in proportion to their multiply-adds."""


def times_ms(variants: Sequence[Variant]) -> dict[Variant, float]:
    most = cost(Architecture(1.0, 1000), 224).multiply_adds
    return {
        each: PREPROCESS_MS
        + (SLOWEST_MS - PREPROCESS_MS)
        * cost(Architecture(each.alpha, 1000), each.resolution).multiply_adds
        / most
        for each in variants
    }


class Shown(NamedTuple):
    """A moment of a stream. classes: of each variant, -1 for none. levels: 48 bytes."""

    classes: NDArray[np.int16]
    levels: NDArray[np.uint8]


@dataclass
class Camera:
    """Stands in for a mailbox."""

    latest: Frame | None = None


@dataclass
class Networks:
    """Stands in for the loaded networks: they say what was recorded of the frame shown now."""

    time: FakeTime
    place: Mapping[Variant, int]
    times_ms: Mapping[Variant, float]
    shown: Shown | None = None
    runs: int = 0

    def infer(
        self, choice: Choice, *_: object, features: bool = False
    ) -> tuple[NDArray[np.float32], int, int]:
        assert self.shown is not None
        self.runs += 1
        self.time.sleep(self.times_ms[choice.variant] / 1000)
        said = self.shown.classes[self.place[choice.variant]]
        return np.array([said], np.float32), self.time.now_ns, self.time.now_ns


class Said(Output):
    """The class that the stand-in networks say."""

    def top(self, rows: NDArray[np.float32]) -> tuple[Score, ...]:
        return () if rows[0] < 0 else (Score(str(int(rows[0])), 1.0),)


@dataclass
class Outcome:
    """By frame shown: which variant ran, as its place; and the seconds of the switches."""

    ran: list[int] = field(default_factory=list)
    switches: list[float] = field(default_factory=list)
    cpu_ms: float = 0.0


class Watched:
    """variants, top1: of the table. fps: of the camera, whose frames leave the rest of their
    interval to probes; `every`: of how many only the first is simulated."""

    def __init__(
        self,
        variants: Sequence[Variant],
        top1: Sequence[float],
        *,
        budget_ms: float = 33.0,
        give_up: float | None = None,
        share: float = 0.02,
        fps: float = 30.0,
        every: int = 3,
    ) -> None:
        self.variants, self.time = tuple(variants), FakeTime()
        self._frame_seconds, self._every = 1 / fps, every
        choices = {each: Choice(each, 1) for each in variants}
        self.times_ms = times_ms(variants)
        spreads = {each: Spread(ms, 1.1 * ms) for each, ms in self.times_ms.items()}
        table = {choices[each]: share for each, share in zip(variants, top1, strict=True)}
        self.profiler = Profiler(
            choices.values(),
            {VIEW: table},
            {each: round(1000 * ms) for each, ms in self.times_ms.items()},
            known={
                choices[each]: Timing(spread, spread, spread, 100)
                for each, spread in spreads.items()
            },
        )
        settings = ViewSettings(budget_ms, 0.95, give_up=give_up)
        self.controller = Controller({VIEW: settings})
        self.networks = Networks(
            self.time, {each: place for place, each in enumerate(variants)}, self.times_ms
        )
        self.queue = ViewQueue(VIEW, Camera(), Said((), 1, 0.0), budget_ms, 0.95)  # type: ignore[arg-type]
        self.probes = Probes(
            [self.queue],
            self.networks,  # type: ignore[arg-type]
            self.profiler,
            self.controller,
            self.time.clock,
            share,
        )
        self.outcome = Outcome()
        self._chosen: tuple[object, Decision] | None = None
        self._sequence = 0

    @property
    def seconds(self) -> float:
        return self.time.now_ns / 1e9

    @property
    def agreement(self) -> Agreement:
        found = self.queue.evidence.agreement
        assert found is not None
        return found

    def run(self, seconds: float, stream: Callable[[float], Shown]) -> None:
        """stream: what is shown after so many seconds of the simulation."""
        end_ns = self.time.now_ns + round(seconds * 1e9)
        while self.time.now_ns < end_ns:
            self._frame(stream(self.seconds))
            self._skip(end_ns)

    def _skip(self, end_ns: int) -> None:
        """The frames until the next probe or look, on which the same variant runs."""
        found = self.queue.evidence.agreement
        if self._sequence < SETTLING_FRAMES or (found and found.due(self.seconds)):
            return
        place = self.outcome.ran[-1]
        run_ms = self.times_ms[self.variants[place]]
        until_ns: float = end_ns
        if found:
            until_seconds = min(found.due_seconds(found.variants[0]), found.looks_seconds())
            until_ns = min(1e9 * until_seconds - 1e6 * run_ms, end_ns)
        interval_ns = round(self._every * self._frame_seconds * 1e9)
        frames = math.ceil((until_ns - self.time.now_ns) / interval_ns)
        if frames > 0:
            self.outcome.ran += [place] * frames
            self.outcome.cpu_ms += run_ms * self._every * frames
            self.time.now_ns += frames * interval_ns
            assert self._chosen is not None
            self._count(self._chosen[1], run_ms, self._every * frames)

    def _frame(self, shown: Shown) -> None:
        begun_ns, self.networks.shown = self.time.now_ns, shown
        decision = self._decide()
        chosen = decision.candidate
        place, run_ms = self.networks.place[chosen.variant], self.times_ms[chosen.variant]
        self.outcome.ran.append(place)
        self.outcome.cpu_ms += run_ms * self._every
        self.time.sleep(run_ms / 1000)
        if self._sequence < SETTLING_FRAMES:  # then the estimate of the device's speed is sure
            self.controller.slowdown.observe(chosen, run_ms)
        self._sequence += 1
        self._count(decision, run_ms, self._every)
        frame = Frame(shown.levels.reshape(4, 4, 3), self._sequence, begun_ns, begun_ns, begun_ns)
        self.queue.mailbox.latest = frame
        said = int(shown.classes[place])
        self.queue.evidence.answered(
            frame, chosen.variant, () if said < 0 else (Score(str(said), 1.0),)
        )
        due_ns = begun_ns + round(self._frame_seconds * 1e9)
        while (gap_ms := (due_ns - self.time.now_ns) / 1e6) > 0:
            if not self.probes.use(gap_ms, gap_ms):
                break
        self.time.now_ns = begun_ns + round(self._every * self._frame_seconds * 1e9)

    def _decide(self) -> Decision:
        """In calm, the choice changes only with the ladder, and with what may be given up."""
        ladder, control = self.profiler.ladders[VIEW], self.controller.views[VIEW]
        before = None if self._chosen is None else self._chosen[1]
        if before is None or self._chosen[0] is not ladder or control.thrift is not None:
            decision = self.controller.decide(VIEW, ladder, control.settings.budget_ms)
            if before is not None and before.candidate.variant != decision.candidate.variant:
                self.outcome.switches.append(self.seconds)
            control.previous = decision.candidate
            self._chosen = ladder, decision
        return self._chosen[1]

    def _count(self, decision: Decision, run_ms: float, frames: int) -> None:
        """Results on time, as far as they count in calm."""
        thrift = self.controller.views[VIEW].thrift
        for _ in range(frames if thrift else 0):
            thrift.observe(decision, run_ms, True)
