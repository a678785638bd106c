"""What the quiet mode saves, and what it misses, on real clips.

    EDGED_DATA=… python tests/benchmarks/quiet.py    # some two minutes; writes quiet.md

Every frame of each clip goes the way it goes in the daemon: decoded, cropped, looked at for motion,
run. Each step's processor time is measured on every frame. What quiet saves is worked out from the
same measurements: without it all steps but the motion, with it all steps but the runs of frames
that it leaves out. What it misses is told by the person network and one event rule: events of all
frames beside events of those that are delivered.

One scene is the empty floor of the first five seconds, shown there and back for a hundred: real
noise and compression, but nobody. Left out is what a result costs beside its run (sinks, metrics),
which quiet saves as well.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TypeAlias

import av
import numpy as np
from numpy.typing import NDArray

from edged.backends.loaded import LoadedNetworks
from edged.backends.onnxruntime import OrtBackend
from edged.capture.decode.video import VideoTrack
from edged.capture.motion import Motion
from edged.capture.source import CaptureRequest, Quiet
from edged.events.events import AWAY_SECONDS, Watch
from edged.events.options import EventConfig
from edged.variants.family import Family, load_family
from edged.variants.variant import Variant
from tests.rig.imports import import_person
from tests.rig.pictures import prepared

PERSON = Variant(0.25, 96)
OTHERS = (Variant(0.25, 128), Variant(0.5, 160), Variant(1.0, 224))
RULE = EventConfig("visitor", ("person",), ("hall",), 0.6, 0.4, 1.0, 3.0, 0.5)
"""With the defaults of the configuration."""
MS = 1e-6
EMPTY_FRAMES, EMPTY_TURNS = 50, 10
Shown: TypeAlias = "tuple[int, NDArray[np.uint8]]"


@dataclass
class Spent:
    """Processor time of one clip and network, in nanoseconds."""

    frames: int = 0
    delivered: int = 0
    decoding: int = 0
    motion: int = 0
    runs: int = 0
    delivered_runs: int = 0

    @property
    def ratio(self) -> float:
        """With quiet to without."""
        without = self.decoding + self.runs
        return (self.decoding + self.motion + self.delivered_runs) / without


@dataclass
class Seen:
    """What the rule says of some of the frames. active: of every frame, that of the last seen."""

    watch: Watch = field(
        default_factory=lambda: Watch.of(
            [RULE], {"hall": ("nobody", "person")}, {"hall": AWAY_SECONDS}
        )
    )
    active: list[bool] = field(default_factory=list)
    told_ns: list[int] = field(default_factory=list)

    def frame(self, scores: NDArray[np.float32] | None, captured_ns: int) -> None:
        if scores is not None:
            events = self.watch.observe("hall", scores, captured_ns, captured_ns)
            self.told_ns += [captured_ns for event in events if event.ended_unix_ns is None]
        self.active.append(self.watch.counts()[0].active)


def decoded(clip: Path, wanted: int, spent: Spent) -> Iterator[Shown]:
    """(time of the frame in ns, picture as it lies in the mailbox)."""
    request = CaptureRequest(str(clip))
    with av.open(str(clip)) as container:
        track = VideoTrack(container, where=str(clip))
        packets = track.packets()
        while True:
            begun = time.thread_time_ns()
            packet = next(packets, None)
            if packet is None:
                return
            frames, _ = track.decode(packet)
            pictures = [
                (frame, prepared(picture, request, wanted))
                for frame in frames
                if (picture := track.rgb(frame, wanted)) is not None
            ]
            spent.decoding += time.thread_time_ns() - begun
            for frame, picture in pictures:
                yield track.stamp_ns(frame.pts) or 0, picture


def there_and_back(clip: Path, wanted: int, spent: Spent) -> Iterator[Shown]:
    """The empty floor for minutes, from the clip's first seconds: before the first visitor."""
    floor = list(islice(decoded(clip, wanted, spent), EMPTY_FRAMES))
    once, spent.decoding = spent.decoding, 0
    interval_ns = floor[1][0] - floor[0][0]
    turn = floor + floor[-2:0:-1]
    for number in range(EMPTY_TURNS * len(turn)):
        spent.decoding += once // EMPTY_FRAMES
        yield number * interval_ns, turn[number % len(turn)][1]


def measure(
    shown: Iterator[Shown], spent: Spent, family: Family, loaded: LoadedNetworks, variant: Variant
) -> tuple[Seen, Seen]:
    """What all pictures show, and what those show that are delivered."""
    every, some = Seen(), Seen()
    motion = Motion(Quiet())
    watched = len(family.labels) == 2
    for moment_ns, picture in shown:
        captured_ns = 10**12 + moment_ns
        begun = time.thread_time_ns()
        delivers = motion.delivers(picture, captured_ns)
        looked = time.thread_time_ns()
        scores, _, _ = loaded.infer(family.choice(variant), picture)
        run = time.thread_time_ns() - looked
        spent.frames += 1
        spent.delivered += delivers
        spent.motion += looked - begun
        spent.runs += run
        spent.delivered_runs += run * delivers
        if watched:
            every.frame(scores, captured_ns)
            some.frame(scores if delivers else None, captured_ns)
    return every, some


def cost_row(scene: str, family: str, variant: Variant, spent: Spent) -> str:
    per_frame = [each * MS / spent.frames for each in (spent.decoding, spent.motion, spent.runs)]
    figures = " | ".join(f"{each:.2f}" for each in per_frame)
    delivered = f"{100 * spent.delivered / spent.frames:.0f} %"
    name = f"{family} {variant.name.removeprefix('mobilenet_v1_')}"
    return f"| {scene} | {name} | {figures} | {delivered} | {spent.ratio:.2f} |"


def accounts(every: Seen, some: Seen) -> str:
    """What of the events was missed, in words."""
    during = sum(every.active)
    missed = sum(full and not seen for full, seen in zip(every.active, some.active, strict=True))
    delays = [
        min((told - moment for told in some.told_ns if told >= moment), default=-1) / 1e9
        for moment in every.told_ns
    ]
    found = [delay for delay in delays if 0 <= delay < RULE.gone_seconds]
    late = f"{max(found):.2f} s at most" if found else "never"
    return (
        f"Of {len(every.told_ns)} events that all frames show, the delivered ones show "
        f"{len(found)}, told later by {late}; of the {during} frames during events "
        f"{100 * missed / max(1, during):.1f} % pass while quiet knows of none. "
        f"With quiet {len(some.told_ns)} events are told."
    )


SCENES = (
    ("people, one after another", "one-by-one-person-detection.mp4", decoded),
    ("bottles, moved all the time", "bottle-detection.mp4", decoded),
    ("the empty floor between people", "one-by-one-person-detection.mp4", there_and_back),
)


def main() -> int:
    if "EDGED_DATA" not in os.environ:
        print("set EDGED_DATA to the folder with the weights and clips", file=sys.stderr)
        return 2
    data = Path(os.environ["EDGED_DATA"])
    rows, words = [], []
    with tempfile.TemporaryDirectory() as folder:
        import_person(data, Path(folder) / "person")
        person, shipped = (load_family(name, Path(folder)) for name in ("./person", "imagenette"))
        loaded = LoadedNetworks([person, shipped], [OrtBackend()])
        for scene, name, way in SCENES:
            clip = data / "video" / name
            for family, variant in ((person, PERSON), *((shipped, each) for each in OTHERS)):
                spent = Spent()
                shown = way(clip, variant.resolution, spent)
                every, some = measure(shown, spent, family, loaded, variant)
                rows.append(cost_row(scene, family.name, variant, spent))
                if every.told_ns:
                    words.append(f"{scene}: {accounts(every, some)}")
    settings = Quiet()
    text = "\n".join(
        [
            "# The quiet mode",
            "",
            "Made by `tests/benchmarks/quiet.py`, whose head says how. Milliseconds of processor",
            "time a frame; the ratio is all that with quiet to all that without. Quiet at its",
            f"defaults: a frame every {settings.at_least_every_seconds:g} s, all for",
            f"{settings.hold_seconds:g} s after motion, threshold {settings.threshold:g}.",
            "",
            "| scene | variant | decoding | looking for motion | run | delivered | ratio |",
            "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
            *rows,
            "",
            *words,
            "",
        ]
    )
    (Path(__file__).parent / "quiet.md").write_text(text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
