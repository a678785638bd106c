"""What probes learn, and what it is worth: `python -m tests.benchmarks.agreement`, with EDGED_DATA.

Every variant's answers to every frame are recorded once and kept in EDGED_CACHE (ten minutes); then
hours pass in simulated time (tests/rig/outcomes.py). Writes agreement.md.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edged.atomic_file import write_whole
from edged.control.agreement import HALF_LIFE_SECONDS
from edged.tracing.recording import read_trace
from edged.tracing.trace import FullTrace
from edged.variants.published import published_top1
from tests.benchmarks.agreement_record import STREAMS, Recorded, recorded
from tests.rig.outcomes import Shown, Watched
from tests.rig.simulated_cores import SimulatedCores, ladder_of

HERE = Path(__file__).parent
FPS = 10
"""Of the recorded frames; the camera delivers 30, of which every third is simulated."""
HOUR = 3600.0
EVERY_SECONDS = 600.0
LIGHTS: dict[str, tuple[float, Sequence[int]]] = {
    "steady": (HOUR, (0,)),
    "every 10 min": (600.0, (0, 1, 0, 2)),
    "every 20 s": (20.0, (0, 1, 0, 2)),
}
"""Seconds of each light, and which ones, over and over."""
LOADS = ("idle", "one-neighbour", "two-neighbours", "come-and-go")
BUDGETS_MS = (3.0, 5.0, 8.0, 12.0)
LOOK = 2 / 3
"""Hours: each light as often as in the long run."""


@dataclass(frozen=True)
class Stream:
    recorded: Recorded
    lights: str = "steady"

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
        if (truth < 0).any():
            return self.agrees
        return self.recorded.classes == truth[None, :, None]

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
        watched.run(EVERY_SECONDS / 2, stream)
        now = watched.seconds
        if watched.agreement.breaks != breaks:
            breaks, broke = watched.agreement.breaks, now
        since = max(broke, now - HALF_LIFE_SECONDS)
        if now - since < EVERY_SECONDS / 2:
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


def reached(stream: Stream, hours: float = 2.0, **more: object) -> tuple[float, Watched]:
    """Share of frames answered rightly, from the first second on."""
    watched = stream.watched(**more)
    begin = watched.seconds
    watched.run(hours * HOUR, stream)
    ran = np.array(watched.outcome.ran)
    lights, frames = stream.places(begin, len(ran))
    return float(stream.right[lights, frames, ran].mean()), watched


@dataclass
class Splice:
    """Until the right variant runs and stays: seconds, and probes. broke: until the evidence of the
    old scene was forgotten."""

    broke: float
    seconds: float
    probes: int
    before: str
    right: str


def splice(old: Stream, new: Stream, seconds: float = 1800.0, **more: object) -> Splice:
    """Right: within half a point, in the new scene, of what is settled on in the end."""
    watched = old.watched(**more)
    watched.run(seconds, old)
    before, runs = watched.outcome.ran[-1], watched.networks.runs
    begin, breaks, first = watched.seconds, watched.agreement.breaks, len(watched.outcome.ran)
    broke, probes = -1.0, []
    while watched.seconds - begin < seconds:
        watched.run(1.0, new)
        probes.append(watched.networks.runs - runs)
        if broke < 0 and watched.agreement.breaks > breaks:
            broke = watched.seconds - begin
    ran = watched.outcome.ran[first:]
    worth = new.right.mean(axis=(0, 1)) if new.lights != "steady" else new.right[0].mean(axis=0)
    good = worth[ran[-1]] - 0.005
    wrong = [number for number, each in enumerate(ran) if worth[each] < good]
    since = (wrong[-1] + 1) / FPS if wrong else 0.0
    names = new.recorded.variants
    return Splice(
        broke,
        since,
        probes[min(int(since), len(probes) - 1)],
        names[before].name,
        names[ran[-1]].name,
    )


INTRODUCTION = """# What probes learn

Written by `python -m tests.benchmarks.agreement`, with EDGED_DATA. Every float variant answered
every recorded frame of four streams, in three lights (x 1, x 0.5, x 1.5); then the daemon's own
probes, evidence and choice ran over these answers in simulated time, 30 frames a second,
`probe: 0.02`. A run takes 14 ms for 1.0 at 224 pixels, others in proportion to their multiply-adds.
*belt*, *hall*: two clips under ImageNet, whose classes they do not show. *gate*: the second one
taught, empty or a person; right by its labels, on frames that were not taught. *drawn*: the scene
of `edged demo` under its ten classes, with noise; right by what was drawn. The clips are played
over and over: hours of them hold the moments of half a minute, so that intervals are tested less
hard than by new scenes."""


def _agreements(streams: Mapping[str, Recorded]) -> Iterator[str]:
    yield "\n## How often they agree with 1.0 at 224, all frames (percent)\n"
    yield "| variant | ImageNet | " + " | ".join(streams) + " |"
    yield "| --- | " + " ---: |" * (1 + len(streams))
    first = next(iter(streams.values()))
    for place, variant in enumerate(first.variants):
        found = []
        for each in streams.values():
            own = each.variants.index(variant)
            found.append(f"{100 * Stream(each).agrees[..., own].mean():.1f}")
        yield f"| {variant.alpha:g}@{variant.resolution} | {100 * first.top1[place]:.1f} | " + (
            " | ".join(found) + " |"
        )


def _coverage(streams: Mapping[str, Recorded]) -> Iterator[str]:
    yield "\n## Intervals that hold the truth\n"
    yield (
        "Every five minutes of ninety, for every variant: is its agreement on all frames of "
        "that time, or since the evidence was last forgotten, in the 95 % "
        "interval? *budget*: 33 ms runs the reference itself, 6 ms never. *worst*: share covered "
        "of the variant that is covered least. *width*: mean of the intervals. *probes*: their "
        "time.\n"
    )
    yield "| stream | light | budget | windows | covered | worst | width | probes | forgotten |"
    yield "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for name, each in streams.items():
        for lights in LIGHTS if name != "hall" else ():
            for budget_ms in (33.0, 6.0):
                found = coverage(Stream(each, lights), budget_ms=budget_ms)
                yield (
                    f"| {name} | {lights} | {budget_ms:g} | {found.windows} "
                    f"| {found.covered / found.windows:.3f} | {found.worst:.3f} "
                    f"| {found.width:.3f} "
                    f"| {100 * found.share:.2f} % | {found.breaks} |"
                )


def _reached(streams: Mapping[str, Recorded]) -> Iterator[str]:
    yield "\n## Accuracy reached\n"
    yield (
        "Forty minutes from the start, percent of frames: by the table (`probe: 0`), and by the "
        "evidence; against the labels (gate, drawn) or else the reference.\n"
    )
    yield "| stream | light | budget | table | in use | gain | ran at the end: table | in use |"
    yield "| --- | --- | ---: | ---: | ---: | ---: | --- | --- |"
    for name, each in streams.items():
        for lights in ("steady", "every 10 min"):
            for budget_ms in BUDGETS_MS:
                stream = Stream(each, lights)
                table, by_table = reached(stream, budget_ms=budget_ms, share=0.0, hours=LOOK)
                used, by_use = reached(stream, budget_ms=budget_ms, hours=LOOK)
                ran = [
                    f"{last.alpha:g}@{last.resolution}"
                    for run in (by_table, by_use)
                    for last in (each.variants[run.outcome.ran[-1]],)
                ]
                yield (
                    f"| {name} | {lights} | {budget_ms:g} | {100 * table:.1f} "
                    f"| {100 * used:.1f} "
                    f"| {100 * (used - table):+.1f} "
                    f"| {ran[0]} | {ran[1]} |"
                )


def _power(streams: Mapping[str, Recorded]) -> Iterator[str]:
    yield "\n## Goal power\n"
    yield (
        "The view *gate* at 30 frames a second, budget 33 ms, `give_up: 0.01`. *judged*: the table "
        "has the estimates of teaching, all within 0.002 of 0.995, by which goal accuracy runs a "
        "cheap variant as well. *not judged*: a classifier taught from too few moments; then the "
        "order of ImageNet is the table. *processor*: preprocessing and inference with probes, in "
        "parts of what running the most accurate variant on every frame takes. Simulated: nothing "
        "is decoded.\n"
    )
    yield "| table | goal | hour | processor | of which probes | right | ran at the end |"
    yield "| --- | --- | ---: | ---: | ---: | ---: | --- |"
    judged = streams["gate"]
    unjudged = replace(judged, top1=tuple(published_top1(each) for each in judged.variants))
    for table, one in (("judged", judged), ("not judged", unjudged)):
        stream = Stream(one)
        for goal, give_up in (("accuracy", None), ("power", 0.01)):
            watched = stream.watched(give_up=give_up)
            full_ms = watched.times_ms[one.variants[stream.reference]] * 30 * HOUR
            for hour in (1, 2):
                begin, first = watched.seconds, len(watched.outcome.ran)
                before = watched.outcome.cpu_ms, watched.queue.evidence.seconds
                watched.run(HOUR, stream)
                probes_ms = 1000 * (watched.queue.evidence.seconds - before[1])
                spent_ms = watched.outcome.cpu_ms - before[0] + probes_ms
                ran = np.array(watched.outcome.ran[first:])
                lights, frames = stream.places(begin, len(ran))
                right = stream.right[lights, frames, ran].mean()
                last = one.variants[ran[-1]]
                yield (
                    f"| {table} | {goal} | {hour} | {spent_ms / full_ms:.3f} "
                    f"| {probes_ms / full_ms:.4f} | {100 * right:.2f} "
                    f"| {last.alpha:g}@{last.resolution} |"
                )
        best = stream.right[0, :, stream.reference].mean()
        yield f"| {table} | the most accurate | | 1.000 | | {100 * best:.2f} | |"


def _splices(streams: Mapping[str, Recorded]) -> Iterator[str]:
    yield "\n## Another scene\n"
    yield (
        "Half an hour of one stream, then the other. *forgotten*: seconds until the evidence was; "
        "*right after*: until a variant runs, and goes on to, that is within half a point of what "
        "half an hour settles on; *probes*: runs until then. *switches*: in the second hour of the "
        "first stream alone, in steady light.\n"
    )
    yield (
        "| from | to | goal | budget | ran | runs then | forgotten | right after | probes "
        "| switches |"
    )
    yield "| --- | --- | --- | ---: | --- | --- | ---: | ---: | ---: | ---: |"
    for old, new in (("hall", "belt"), ("belt", "hall")):
        for goal, give_up, budget_ms in (("accuracy", None, 6.0), ("power", 0.03, 33.0)):
            one, other = Stream(streams[old]), Stream(streams[new])
            found = splice(one, other, budget_ms=budget_ms, give_up=give_up)
            still = one.watched(budget_ms=budget_ms, give_up=give_up)
            begin = still.seconds
            still.run(2 * HOUR, one)
            late = sum(at - begin >= HOUR for at in still.outcome.switches)
            yield (
                f"| {old} | {new} | {goal} | {budget_ms:g} | {found.before} | {found.right} "
                f"| {found.broke:.0f} s | {found.seconds:.0f} s | {found.probes} | {late} |"
            )


def _load(_: Mapping[str, Recorded]) -> Iterator[str]:
    yield "\n## Frames beside probes on a loaded machine\n"
    yield (
        "The real pipeline on two simulated cores (overload.py), two cameras at 30 frames a "
        "second, budgets of 20 and 33 ms, ten minutes; runs and probes take what they took in the "
        "trace of that name. Share on time in percent, of each camera.\n"
    )
    yield "| trace | without probes | with | difference, points | probes |"
    yield "| --- | --- | --- | ---: | ---: |"
    for name in LOADS:
        without, _ = load(name, 0.0)
        found, probes = load(name, 0.02)
        differs = max(one - other for one, other in zip(without, found, strict=True))
        cells = [", ".join(f"{each:.2f}" for each in row) for row in (without, found)]
        yield f"| {name} | {cells[0]} | {cells[1]} | {differs:.2f} | {probes} |"


def load(name: str, probe: float, seconds: float = 600.0) -> tuple[list[float], int]:
    """Share on time of each camera, and the number of probes."""
    trace = read_trace(HERE / f"traces/{name}.jsonl.gz")
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


def main() -> None:
    data, cache = Path(os.environ["EDGED_DATA"]), Path(os.environ["EDGED_CACHE"])
    streams = {name: recorded(data, cache, name) for name in STREAMS}
    lines = [INTRODUCTION]
    for part in (_agreements, _coverage, _power, _splices, _load, _reached):
        for line in part(streams):
            lines.append(line)
            print(line, flush=True)
    write_whole(HERE / "agreement.md", "\n".join([*lines, ""]).encode())


if __name__ == "__main__":
    main()
