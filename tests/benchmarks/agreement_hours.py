"""Hours of recorded streams in simulated time, and what probes make of them (agreement.py)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edged.control.agreement import HALF_LIFE_SECONDS, RIGHT_APART
from edged.tracing.recording import read_trace
from edged.tracing.trace import FullTrace
from tests.benchmarks.agreement_record import Recorded
from tests.rig.outcomes import Shown, Watched
from tests.rig.simulated_cores import SimulatedCores, ladder_of

FPS = 10
"""Of the recorded frames; the camera delivers 30, of which every third is simulated."""
HOUR = 3600.0
LOOK_SECONDS = 300.0
LIGHTS: dict[str, tuple[float, Sequence[int]]] = {
    "x 1": (HOUR, (0,)),
    "x 0.5": (HOUR, (1,)),
    "x 1.5": (HOUR, (2,)),
    "every 10 min": (600.0, (0, 1, 0, 2)),
    "every 20 s": (20.0, (0, 1, 0, 2)),
}
"""Seconds of each light, and which ones, over and over."""
HALF_A_POINT = 0.005
MINUTE, PROBES = 60.0, 60
"""Time, and probes of a variant, that another scene takes to be known."""


@dataclass(frozen=True)
class Stream:
    recorded: Recorded
    lights: str = "x 1"

    def at(self, seconds: float) -> tuple[int, int]:
        """Light and frame."""
        lasts, order = LIGHTS[self.lights]
        frames = self.recorded.classes.shape[1]
        return order[int(seconds / lasts) % len(order)], int(seconds * FPS) % frames

    def __call__(self, seconds: float) -> Shown:
        place = self.at(seconds)
        return Shown(self.recorded.classes[place], self.recorded.levels[place])

    @property
    def reference(self) -> int:
        return int(np.argmax(self.recorded.top1))

    @property
    def agrees(self) -> NDArray[np.bool_]:
        """(lights, frames, variants)"""
        classes = self.recorded.classes
        return classes == classes[..., self.reference, None]

    @property
    def right(self) -> NDArray[np.bool_]:
        """By the labels where there are some, else by the reference."""
        truth = self.recorded.truth
        return self.recorded.classes == truth[None, :, None] if self.labelled else self.agrees

    @property
    def labelled(self) -> bool:
        return bool((self.recorded.truth >= 0).all())

    def watched(self, **more: object) -> Watched:
        return Watched(self.recorded.variants, self.recorded.top1, every=3, **more)  # type: ignore[arg-type]

    def places(self, begin: float, count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Lights and frames of so many frames from a moment on."""
        pairs = [self.at(begin + number / FPS) for number in range(count)]
        lights, frames = zip(*pairs, strict=True)
        return np.array(lights), np.array(frames)


@dataclass
class Coverage:
    """windows, covered: of all variants together. worst: the lowest share of a variant."""

    windows: int
    covered: int
    worst: float
    width: float
    share: float
    breaks: int


def coverage(stream: Stream, hours: float = 1.5, **more: object) -> Coverage:
    """Estimates against the truth of all frames since the last break, at most of a half-life."""
    watched, agrees = stream.watched(**more), stream.agrees
    begin, broke, breaks = watched.seconds, watched.seconds, 0
    found: dict[int, list[bool]] = {}
    widths = []
    while watched.seconds - begin < hours * HOUR:
        watched.run(LOOK_SECONDS, stream)
        now = watched.seconds
        if watched.agreement.breaks != breaks:
            breaks, broke = watched.agreement.breaks, now
        since = max(broke, now - HALF_LIFE_SECONDS)
        if now - since < LOOK_SECONDS:
            continue
        lights, frames = stream.places(since, round((now - since) * FPS))
        truth = agrees[lights, frames].mean(axis=0)
        for place, variant in enumerate(stream.recorded.variants):
            told = watched.agreement.estimate(variant)
            if told is not None and told.probes:
                found.setdefault(place, []).append(told.low <= truth[place] <= told.high)
                widths.append(told.high - told.low)
    every = [each for row in found.values() for each in row]
    spent = watched.queue.evidence.seconds / (watched.seconds - begin)
    worst = min((sum(row) / len(row) for row in found.values()), default=1.0)
    return Coverage(len(every), sum(every), worst, float(np.mean(widths)), spent, breaks)


def reached(stream: Stream, hours: float, **more: object) -> tuple[float, int]:
    """Share of frames answered rightly, from the first second on; and what ran last."""
    watched = stream.watched(**more)
    begin = watched.seconds
    watched.run(hours * HOUR, stream)
    ran = np.array(watched.outcome.ran)
    lights, frames = stream.places(begin, len(ran))
    return float(stream.right[lights, frames, ran].mean()), watched.outcome.ran[-1]


class Splice(NamedTuple):
    """Times in seconds since the new scene. broke: the evidence of the old one was forgotten.
    settled: until what runs is, and stays, within half a point of what runs in the end. known:
    until there are 60 probes of a variant, the median, and a minute has passed. lost: what runs
    then falls short of the best, in shares of frames that are right.
    apart: how far two variants must be apart for what is known then to tell. told: until what runs
    falls short by no more than that, and stays so. before, ran: places."""

    broke: float
    settled: float
    known: float
    at_first: float
    lost: float
    apart: float
    told: float
    before: int
    ran: int


def splice(
    old: Stream, new: Stream, *, budget_ms: float, give_up: float | None, seconds: float = 1800.0
) -> Splice:
    """The best: of the variants that the budget allows, less what may be given up."""
    watched = old.watched(budget_ms=budget_ms, give_up=give_up)
    watched.run(seconds, old)
    before = watched.outcome.ran[-1]
    begin, breaks, first = watched.seconds, watched.agreement.breaks, len(watched.outcome.ran)
    allowed = [
        place
        for place, variant in enumerate(new.recorded.variants)
        if 1.1 * watched.times_ms[variant] <= budget_ms
    ]
    broke, known, moments = -1.0, seconds, 0.0
    while watched.seconds - begin < seconds:
        watched.run(1.0, new)
        passed = watched.seconds - begin
        if broke < 0 and watched.agreement.breaks > breaks:
            broke = passed
        told = [watched.agreement.estimate(new.recorded.variants[place]) for place in allowed]
        probes = np.median([each.probes for each in told if each])
        if not moments and broke >= 0 and passed >= MINUTE and probes >= PROBES:
            known, moments = passed, float(np.median([each.moments for each in told if each]))
    ran = np.array(watched.outcome.ran[first:])
    light = LIGHTS[new.lights][1][0]
    right = new.right[light]
    worth = right.mean(axis=0)
    best = max(allowed, key=lambda place: worth[place])
    given_up = give_up or 0.0
    if not new.labelled:  # in agreement
        given_up /= (1 - RIGHT_APART) * watched.agreement.worth
    lost = np.maximum(worth[best] - given_up - worth, 0.0)
    differ = (right != right[:, best, None]).mean(axis=0) - (worth[best] - worth) ** 2
    apart = np.maximum(1.96 * np.sqrt(differ / max(moments, 1.0)), HALF_A_POINT)
    then = min(int(known * FPS), len(ran) - 1)
    settled = _until(worth[ran] >= worth[ran[-1]] - HALF_A_POINT)
    return Splice(
        broke,
        settled,
        known,
        float(lost[ran[int(MINUTE * FPS)]]),
        float(lost[ran[then]]),
        float(apart[ran[then]]),
        _until(lost[ran] <= apart[ran]),
        before,
        int(ran[-1]),
    )


def _until(good: NDArray[np.bool_]) -> float:
    """Seconds until all frames are."""
    bad = np.flatnonzero(~good)
    return (int(bad[-1]) + 1) / FPS if len(bad) else 0.0


def switches(stream: Stream, *, budget_ms: float, give_up: float | None) -> int:
    """In the second hour of a steady scene."""
    watched = stream.watched(budget_ms=budget_ms, give_up=give_up)
    begin = watched.seconds
    watched.run(2 * HOUR, stream)
    return sum(at - begin >= HOUR for at in watched.outcome.switches)


def load(name: str, probe: float, seconds: float = 120.0) -> tuple[list[float], int]:
    """Share on time of each camera in percent, and the number of probes."""
    trace = read_trace(Path(__file__).parent / f"traces/{name}.jsonl.gz")
    assert isinstance(trace, FullTrace)
    budgets_ms = {"door": 20.0, "yard": 33.0}
    ladders = dict.fromkeys(budgets_ms, ladder_of(trace))
    simulated = SimulatedCores(trace, ladders, budgets_ms, cores=2, fps=30, probe=probe)
    simulated.run(seconds)
    simulated.close()
    shares = [
        100 * counts["on time"] / (counts["results"] + counts["stale"])
        for counts in (simulated.tally.views[view] for view in budgets_ms)
    ]
    return shares, simulated.device.probes
