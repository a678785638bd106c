"""What goal power takes of the processor: `python -m tests.benchmarks.agreement_power`.

The pipeline, its probes and ONNX Runtime run on a decoded clip; their clock is the processor time
of their thread, and jumps where they would wait, so that nothing beside them counts. Needs
EDGED_DATA and EDGED_CACHE; a quarter of an hour. Writes agreement-power.md.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from edged.atomic_file import write_whole
from edged.backends.loaded import LoadedNetworks
from edged.backends.onnxruntime import OrtBackend
from edged.capture.decode.video import VideoTrack
from edged.capture.mailbox import Mailbox, MailboxWriter, Place
from edged.control.profile import Timing
from edged.control.profiler import Profiler
from edged.pipeline.output import Output
from edged.pipeline.pipeline import Pipeline
from edged.pipeline.queue import ViewQueue
from edged.variants.family import Fit
from edged.variants.heads import HeadMatrix
from edged.variants.mobilenet import Architecture, cost
from edged.variants.published import published_top1
from edged.variants.variant import Choice, Variant
from tests.benchmarks.agreement_record import MIN_SCORE, heads_of_gate
from tests.benchmarks.teach.backbone import backbone
from tests.benchmarks.teach.sets import CLIPS, read_set
from tests.rig.simulated_pipeline import Observed

VIEW = "gate"
FPS, MINUTES = 30, 15
BUDGET_MS = 33.0
SIDE = 224
"""Every picture is decoded for the largest variant."""
GOALS = {"accuracy": None, "power": 0.01}
PROFILED_RUNS = 12
Picture = NDArray[np.uint8]


@dataclass
class ProcessorClock:
    """ns: that of the calling thread's processor time, and what was jumped over."""

    jumped_ns: int = 0

    def __call__(self) -> int:
        return self.jumped_ns + time.thread_time_ns()

    def go_on_at(self, now_ns: int) -> None:
        self.jumped_ns = now_ns - time.thread_time_ns()


@dataclass
class Camera:
    """The clip, over and over; decoding takes nothing of the pipelines' time. truth: by frame."""

    path: Path
    truth: Mapping[int, str]
    decoded_ns: int = 0
    frames: int = 0

    def __iter__(self) -> Iterator[tuple[Picture, str | None]]:
        while True:
            with av.open(str(self.path)) as container:
                track = VideoTrack(container, where=str(self.path))
                packets, number = track.packets(), 0
                while True:
                    begun_ns = time.thread_time_ns()
                    packet = next(packets, None)
                    if packet is None:
                        break
                    decoded, _ = track.decode(packet)
                    pictures = [track.rgb(frame, SIDE) for frame in decoded]
                    self.decoded_ns += time.thread_time_ns() - begun_ns
                    for picture in pictures:
                        assert picture is not None
                        yield picture, self.truth.get(number)
                        number += 1
                        self.frames += 1


@dataclass
class Row:
    """Of one minute. busy_ms: preprocessing and inference of frames. probes_ms: of probes."""

    busy_ms: float = 0.0
    probes_ms: float = 0.0
    right: list[bool] = field(default_factory=list)
    late: int = 0
    ran: Counter[Variant] = field(default_factory=Counter)


class View:
    """A camera's only view and its pipeline."""

    def __init__(
        self,
        clock: ProcessorClock,
        loaded: LoadedNetworks,
        profiler: Profiler,
        output: Output,
        picture: Picture,
        give_up: float | None,
    ) -> None:
        self._clock, self.observed, self.row = clock, Observed(), Row()
        self._ended_ns = self._probed_ms = 0.0
        self._mailbox = Mailbox.create(max(picture.shape), clock=clock)
        self._writer = MailboxWriter.attach(self._mailbox.memfd, self._mailbox.wake_fd)
        self._queue = ViewQueue(
            VIEW, self._mailbox, output, BUDGET_MS, 0.95, give_up=give_up, fit=Fit.SQUASH
        )
        self._pipeline = Pipeline(
            queues=[self._queue],
            loaded=loaded,
            profiler=profiler,
            probe=0.02,
            sinks=[self.observed],  # type: ignore[list-item]
            observer=self.observed,
            cores=1,
            clock=clock,
            finished=lambda: True,
        )

    def frame(self, picture: Picture, truth: str | None, due_ns: int) -> None:
        self._clock.go_on_at(max(due_ns, round(self._ended_ns)))
        height, width, _ = picture.shape
        places = {0: Place(0, 0, width, height, 0)}
        self._writer.publish(picture, due_ns, self._clock(), places, clock=self._clock)
        self._pipeline.run()
        while self._pipeline.use_idle():
            pass
        self._ended_ns = self._clock()
        for result in self.observed.results:
            self.row.busy_ms += result.stages.preprocess + result.stages.inference
            self.row.late += not result.on_time
            self.row.ran[result.variant] += 1
            if truth is not None:
                self.row.right.append([each.label for each in result.top] == [truth])
        self.observed.results.clear()

    def minute(self) -> Row:
        """What the last one took."""
        found, self.row = self.row, Row()
        spent_ms = 1000 * self._queue.evidence.seconds
        found.probes_ms, self._probed_ms = spent_ms - self._probed_ms, spent_ms
        return found


def profile(
    clock: ProcessorClock, loaded: LoadedNetworks, picture: Picture
) -> dict[Choice, Timing]:
    """Both goals start with it."""
    found = {}
    for choice in loaded.choices:
        runs_ms = []
        for _ in range(PROFILED_RUNS):
            begun_ns = clock()
            _, ready_ns, done_ns = loaded.infer(choice, picture, Fit.SQUASH, features=True)
            runs_ms.append(((ready_ns - begun_ns) / 1e6, (done_ns - ready_ns) / 1e6))
        found[choice] = Timing.of(runs_ms[2:])
    return found


INTRODUCTION = f"""# What goal power takes of the processor

Written by `python -m tests.benchmarks.agreement_power`, with EDGED_DATA. The real pipeline, probes,
networks (ONNX Runtime, one thread) and decoder on the clip of *gate*
([agreement.md](agreement.md)), played over and over at {FPS} frames a second, with the heads that
were taught on it and the order of ImageNet for a table, `probe: 0.02`, a budget of
{BUDGET_MS:g} ms, `give_up: 0.01`. Both goals have the same profile and get the same pictures,
decoded for {SIDE} pixels. The pipeline's clock is the processor time of its thread and jumps where
it would wait, so that other programs do not count.
No daemon ran: what a daemon takes besides is in [pipeline.md](pipeline.md).

All in parts of what preprocessing and inference of the frames take at goal accuracy in the first
minute, in which it knows no better than to run the most accurate variant: *frames and probes*, *of
which probes*, and *decoding*, which is the same for both. *right*: by the labels, of frames that
were not taught.

| minute | goal | frames and probes | of which probes | decoding | on time | right | ran most |
| ---: | --- | ---: | ---: | ---: | ---: | ---: | --- |"""


def measured(data: Path, cache: Path) -> Iterator[str]:
    clock, family, person = ProcessorClock(), backbone(data, cache), read_set(data, "person")
    heads, _ = heads_of_gate(data, cache, family)
    output = Output(
        person.classes, 1, MIN_SCORE, {each: HeadMatrix.of(row) for each, row in heads.items()}
    )
    loaded = LoadedNetworks([family], [OrtBackend()], clock=clock)
    truth = {int(each.name): person.classes[each.label] for each in person.test}
    camera = Camera(data / "video" / CLIPS["person"][0], truth)
    pictures = iter(camera)
    first, _ = next(pictures)
    known = profile(clock, loaded, first)
    table = {each: published_top1(each.variant) for each in known}
    costs = {
        each.variant: cost(
            Architecture(each.variant.alpha, 1000), each.variant.resolution
        ).multiply_adds
        for each in known
    }
    views = {}
    for goal, give_up in GOALS.items():
        profiler = Profiler(known, {VIEW: table}, costs, known=known)
        views[goal] = View(clock, loaded, profiler, output, first, give_up)
    begun_ns, unit_ms = clock(), 0.0
    for minute in range(1, MINUTES + 1):
        decoded_ns = camera.decoded_ns
        for number in range(60 * FPS):
            picture, label = next(pictures)
            due_ns = begun_ns + ((minute - 1) * 60 * FPS + number) * 1_000_000_000 // FPS
            for view in views.values():
                view.frame(picture, label, due_ns)
        decoded_ms = (camera.decoded_ns - decoded_ns) / 1e6
        found = {goal: view.minute() for goal, view in views.items()}
        unit_ms = unit_ms or found["accuracy"].busy_ms
        for goal, row in found.items():
            variant, count = row.ran.most_common(1)[0]
            parts = (row.busy_ms + row.probes_ms, row.probes_ms, decoded_ms)
            shares = 1 - row.late / row.ran.total(), sum(row.right) / len(row.right)
            yield (
                f"| {minute} | {goal} | "
                + " | ".join(f"{part / unit_ms:.3f}" for part in parts)
                + " | "
                + " | ".join(f"{100 * share:.1f} %" for share in shares)
                + f" | {variant.alpha:g}@{variant.resolution}"
                + f" ({100 * count / row.ran.total():.0f} %) |"
            )


def main() -> None:
    lines = [INTRODUCTION]
    for line in measured(Path(os.environ["EDGED_DATA"]), Path(os.environ["EDGED_CACHE"])):
        print(line, flush=True)
        lines.append(line)
    write_whole(Path(__file__).parent / "agreement-power.md", "\n".join([*lines, ""]).encode())


if __name__ == "__main__":
    main()
