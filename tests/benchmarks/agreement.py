"""What probes learn, and what it is worth: `python -m tests.benchmarks.agreement`, with EDGED_DATA.

Every variant's answers to every frame are recorded once and kept in EDGED_CACHE (ten minutes); then
hours pass in simulated time (agreement_hours.py). Writes agreement.md.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from edged.atomic_file import write_whole
from edged.variants.published import published_top1
from edged.variants.variant import Variant
from tests.benchmarks.agreement_hours import (
    HOUR,
    Stream,
    coverage,
    load,
    reached,
    splice,
    switches,
)
from tests.benchmarks.agreement_record import STREAMS, Recorded, recorded

LOADS = ("idle", "one-neighbour", "two-neighbours", "come-and-go")
BUDGETS_MS = (3.0, 5.0, 8.0, 12.0)
FORTY_MINUTES = 2 / 3
"""Hours: each light as often as in the long run."""

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


def _short(variant: Variant) -> str:
    return f"{variant.alpha:g}@{variant.resolution}"


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
        yield f"| {_short(variant)} | {100 * first.top1[place]:.1f} | " + " | ".join(found) + " |"


def _coverage(streams: Mapping[str, Recorded]) -> Iterator[str]:
    yield "\n## Intervals that hold the truth\n"
    yield (
        "Every five minutes of ninety, for every variant: is its agreement on all frames of "
        "that time, or since the evidence was last forgotten, in the 95 % "
        "interval? *budget*: 33 ms runs the reference itself, 6 ms never. *worst*: share covered "
        "of the variant that is covered least. *width*: mean of the intervals. *probes*: their "
        "time. *forgotten*: how often; nine times the light changes where it does every ten "
        "minutes.\n"
    )
    yield "| stream | light | budget | windows | covered | worst | width | probes | forgotten |"
    yield "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for name, each in streams.items():
        for lights in ("x 1", "every 10 min", "every 20 s") if name != "hall" else ():
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
        for lights in ("x 1", "every 10 min"):
            for budget_ms in BUDGETS_MS:
                stream = Stream(each, lights)
                table, by_table = reached(stream, FORTY_MINUTES, budget_ms=budget_ms, share=0.0)
                used, by_use = reached(stream, FORTY_MINUTES, budget_ms=budget_ms)
                yield (
                    f"| {name} | {lights} | {budget_ms:g} | {100 * table:.1f} "
                    f"| {100 * used:.1f} | {100 * (used - table):+.1f} "
                    f"| {_short(each.variants[by_table])} | {_short(each.variants[by_use])} |"
                )


def _power(streams: Mapping[str, Recorded]) -> Iterator[str]:
    yield "\n## Goal power\n"
    yield (
        "The view *gate* at 30 frames a second, budget 33 ms, `give_up: 0.01`. *judged*: the table "
        "has the estimates of teaching, all within 0.002 of 0.995, by which goal accuracy runs a "
        "cheap variant as well. *not judged*: a classifier taught from too few moments; then the "
        "order of ImageNet is the table. *processor*: preprocessing and inference with probes, in "
        "parts of what running the most accurate variant on every frame takes. Nothing is "
        "decoded.\n"
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
                yield (
                    f"| {table} | {goal} | {hour} | {spent_ms / full_ms:.3f} "
                    f"| {probes_ms / full_ms:.4f} | {100 * right:.2f} "
                    f"| {_short(one.variants[ran[-1]])} |"
                )
        best = stream.right[0, :, stream.reference].mean()
        yield f"| {table} | the most accurate | | 1.000 | | {100 * best:.2f} | |"


def _splices(streams: Mapping[str, Recorded]) -> Iterator[str]:
    yield "\n## Another scene\n"
    yield (
        "Half an hour of one stream, then the other. *forgotten*: until the evidence was. "
        "*settled*: until a variant runs, and goes on to, that is within half a point of what "
        "runs after half an hour. *60 probes*: until a variant has been probed so often, the "
        "median of those that the budget allows. "
        "*short*: by how many points (percent of frames) what runs then is right less often than "
        "the best that the budget allows, with goal power less what may be given up; *at 60 s*: "
        "the same after a minute; right as above. *apart*: how far two variants must be apart for "
        "60 probes to tell: 1.96 standard errors of the paired difference between these two, at "
        "the moments that the evidence then rests on, and at least half a point. *told*: until "
        "what runs is, and stays, no further short than that. *switches*: in the second hour of "
        "the first stream alone. *photos*: the labelled photos of ImageNet, ten a second, each "
        "another scene. The constants were chosen on *belt* and *hall*, in all lights; not on "
        "*photos*.\n"
    )
    yield (
        "| from | to | light | goal | budget | ran | runs then | forgotten | settled | at 60 s "
        "| 60 probes | short | apart | told | switches |"
    )
    yield (
        "| --- | --- | --- | --- | ---: | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: "
        "| ---: | ---: |"
    )
    data, cache = Path(os.environ["EDGED_DATA"]), Path(os.environ["EDGED_CACHE"])
    scenes = {**streams, "photos": recorded(data, cache, "imagenet")}
    pairs = [
        (old, new, lights)
        for lights in ("x 1", "x 0.5", "x 1.5")
        for old, new in (("hall", "belt"), ("belt", "hall"))
    ]
    for clip in ("belt", "hall"):
        pairs += [(clip, "photos", "x 1"), ("photos", clip, "x 1")]
    for old, new, lights in pairs:
        for goal, give_up, budget_ms in (("accuracy", None, 6.0), ("power", 0.03, 33.0)):
            one, other = Stream(scenes[old], lights), Stream(scenes[new], lights)
            found = splice(one, other, budget_ms=budget_ms, give_up=give_up)
            variants = scenes[new].variants
            broke = f"{found.broke:.0f} s" if found.broke >= 0 else "never"
            yield (
                f"| {old} | {new} | {lights} | {goal} | {budget_ms:g} "
                f"| {_short(variants[found.before])} | {_short(variants[found.ran])} "
                f"| {broke} | {found.settled:.0f} s "
                f"| {100 * found.at_first:.1f} | {found.known:.0f} s | {100 * found.lost:.1f} "
                f"| {100 * found.apart:.1f} | {found.told:.0f} s "
                f"| {switches(one, budget_ms=budget_ms, give_up=give_up)} |"
            )


def _load(_: Mapping[str, Recorded]) -> Iterator[str]:
    yield "\n## Frames beside probes on a loaded machine\n"
    yield (
        "The real pipeline on two simulated cores (overload.py), two cameras at 30 frames a "
        "second, budgets of 20 and 33 ms, the first two minutes, in which probes are densest; runs "
        "and probes take what they took in the trace of that name. Share on time in percent, of "
        "each camera.\n"
    )
    yield "| trace | without probes | with | difference, points | probes |"
    yield "| --- | --- | --- | ---: | ---: |"
    for name in LOADS:
        without, _ = load(name, 0.0)
        found, probes = load(name, 0.02)
        differs = max(one - other for one, other in zip(without, found, strict=True))
        cells = [", ".join(f"{each:.2f}" for each in row) for row in (without, found)]
        yield f"| {name} | {cells[0]} | {cells[1]} | {differs:.2f} | {probes} |"


Part = Callable[[Mapping[str, Recorded]], Iterator[str]]
PARTS: tuple[Part, ...] = (_agreements, _coverage, _power, _splices, _load, _reached)


def _streams() -> dict[str, Recorded]:
    data, cache = Path(os.environ["EDGED_DATA"]), Path(os.environ["EDGED_CACHE"])
    return {name: recorded(data, cache, name) for name in STREAMS}


def _lines(part: Part) -> list[str]:
    return list(part(_streams()))


def main() -> None:
    _streams()  # recorded once, before the parts
    lines = [INTRODUCTION]
    with ProcessPoolExecutor(len(PARTS)) as pool:
        for found in pool.map(_lines, PARTS):
            print("\n".join(found), flush=True)
            lines += found
    write_whole(Path(__file__).parent / "agreement.md", "\n".join([*lines, ""]).encode())


if __name__ == "__main__":
    main()
