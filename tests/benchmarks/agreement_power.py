"""What goal power takes of the processor: `python -m tests.benchmarks.agreement_power`.

The pipeline, its probes and the CPU's runtimes run on a clip that is decoded as they ask; their
clock is the processor time of their thread, and jumps where they would wait, so that nothing beside
them counts. Needs EDGED_DATA and EDGED_CACHE; a quarter of an hour. Writes agreement-power.md.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from edged.atomic_file import write_whole
from edged.backends.auto import load_backends
from edged.backends.loaded import LoadedNetworks
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
from edged.variants.variant import Choice
from tests.benchmarks.agreement_record import MIN_SCORE, heads_of_gate
from tests.benchmarks.teach.backbone import backbone
from tests.benchmarks.teach.sets import CLIPS, read_set
from tests.rig.simulated_pipeline import Observed

VIEW = "gate"
FPS, MINUTES = 30, 15
BUDGET_MS = 33.0
PROFILED_SIDE = 224
GOALS = {"accuracy": None, "power": 0.01}
PROFILED_RUNS = 12
Picture = NDArray[np.uint8]
Clip = tuple[Path, Mapping[int, str]]
LONGEST_SIDE = 2048


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
    """The clip, over and over. truth: by frame. wanted: the short side of the next picture; 0 for
    the clip's own."""

    path: Path
    truth: Mapping[int, str]
    wanted: Callable[[], int]
    decoded_ns: int = 0

    def __iter__(self) -> Iterator[tuple[Picture, int, str | None]]:
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
                    self.decoded_ns += time.thread_time_ns() - begun_ns
                    for frame in decoded:
                        begun_ns, side = time.thread_time_ns(), self.wanted()
                        picture = track.rgb(frame, side)
                        self.decoded_ns += time.thread_time_ns() - begun_ns
                        assert picture is not None
                        yield picture, side, self.truth.get(number)
                        number += 1


@dataclass
class Row:
    """Of one minute. busy_ms: preprocessing and inference of frames. probes_ms: of probes."""

    busy_ms: float = 0.0
    probes_ms: float = 0.0
    decoding_ms: float = 0.0
    right: list[bool] = field(default_factory=list)
    late: int = 0
    ran: Counter[str] = field(default_factory=Counter)


class View:
    """A camera, its only view and its pipeline."""

    def __init__(
        self,
        clock: ProcessorClock,
        loaded: LoadedNetworks,
        profiler: Profiler,
        output: Output,
        clip: Clip,
        give_up: float | None,
    ) -> None:
        self._clock, self.observed, self.row = clock, Observed(), Row()
        self._ended_ns = self._probed_ms = self._decoded_ms = 0.0
        self._mailbox = Mailbox.create(LONGEST_SIDE, clock=clock)
        self._writer = MailboxWriter.attach(self._mailbox.memfd, self._mailbox.wake_fd)
        self._camera = Camera(*clip, self._writer.wanted)
        self._pictures = iter(self._camera)
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

    def frame(self, due_ns: int) -> None:
        picture, side, truth = next(self._pictures)
        self._clock.go_on_at(max(due_ns, round(self._ended_ns)))
        height, width, _ = picture.shape
        places = {0: Place(0, 0, width, height, side)}
        self._writer.publish(picture, due_ns, self._clock(), places, clock=self._clock)
        self._pipeline.run()
        while self._pipeline.use_idle():
            pass
        self._ended_ns = self._clock()
        for result in self.observed.results:
            self.row.busy_ms += result.stages.preprocess + result.stages.inference
            self.row.late += not result.on_time
            variant = result.variant
            self.row.ran[f"{variant.alpha:g}@{variant.resolution} {result.runtime}"] += 1
            if truth is not None:
                self.row.right.append([each.label for each in result.top] == [truth])
        self.observed.results.clear()

    def minute(self) -> Row:
        """What the last one took."""
        found, self.row = self.row, Row()
        spent_ms = 1000 * self._queue.evidence.seconds
        found.probes_ms, self._probed_ms = spent_ms - self._probed_ms, spent_ms
        decoded_ms = self._camera.decoded_ns / 1e6
        found.decoding_ms, self._decoded_ms = decoded_ms - self._decoded_ms, decoded_ms
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
networks (`backend: auto` of a CPU, one thread) and decoder on the clip of *gate*
([agreement.md](agreement.md)), played over and over at {FPS} frames a second, with the heads that
were taught on it and the order of ImageNet for a table, `probe: 0.02`, a budget of
{BUDGET_MS:g} ms, `give_up: 0.01`. Both goals have the same profile; each gets the pictures as large
as it asks for. The pipeline's clock is the processor time of its thread and jumps where it would
wait, so that other programs do not count.
No daemon ran: what a daemon takes besides is in [pipeline.md](pipeline.md).

All in parts of what preprocessing and inference of the frames take at goal accuracy in the first
minute, in which it knows no better than to run the most accurate variant: *frames and probes*, *of
which probes*, and *decoding*. *right*: by the labels, of frames that were not taught.

| minute | goal | frames and probes | of which probes | decoding | on time | right | ran most |
| ---: | --- | ---: | ---: | ---: | ---: | ---: | --- |"""


def measured(data: Path, cache: Path) -> Iterator[str]:
    clock, family, person = ProcessorClock(), backbone(data, cache), read_set(data, "person")
    heads, _ = heads_of_gate(data, cache, family)
    output = Output(
        person.classes, 1, MIN_SCORE, {each: HeadMatrix.of(row) for each, row in heads.items()}
    )
    backends, _ = load_backends("auto")
    loaded = [LoadedNetworks([family], backends, clock=clock) for _ in GOALS]
    truth = {int(each.name): person.classes[each.label] for each in person.test}
    clip = data / "video" / CLIPS["person"][0], truth
    first, _, _ = next(iter(Camera(*clip, lambda: PROFILED_SIDE)))
    known = profile(clock, loaded[0], first)
    table = {each: published_top1(each.variant) for each in known}
    costs = {
        each.variant: cost(
            Architecture(each.variant.alpha, 1000), each.variant.resolution
        ).multiply_adds
        for each in known
    }
    views = {}
    for (goal, give_up), networks in zip(GOALS.items(), loaded, strict=True):
        profiler = Profiler(known, {VIEW: table}, costs, known=known)
        views[goal] = View(clock, networks, profiler, output, clip, give_up)
    begun_ns, unit_ms = clock(), 0.0
    for minute in range(1, MINUTES + 1):
        for number in range(60 * FPS):
            due_ns = begun_ns + ((minute - 1) * 60 * FPS + number) * 1_000_000_000 // FPS
            for view in views.values():
                view.frame(due_ns)
        found = {goal: view.minute() for goal, view in views.items()}
        unit_ms = unit_ms or found["accuracy"].busy_ms
        for goal, row in found.items():
            ran, count = row.ran.most_common(1)[0]
            parts = (row.busy_ms + row.probes_ms, row.probes_ms, row.decoding_ms)
            shares = 1 - row.late / row.ran.total(), sum(row.right) / len(row.right)
            yield (
                f"| {minute} | {goal} | "
                + " | ".join(f"{part / unit_ms:.3f}" for part in parts)
                + " | "
                + " | ".join(f"{100 * share:.1f} %" for share in shares)
                + f" | {ran} ({100 * count / row.ran.total():.0f} %) |"
            )


def main() -> None:
    lines = [INTRODUCTION]
    for line in measured(Path(os.environ["EDGED_DATA"]), Path(os.environ["EDGED_CACHE"])):
        print(line, flush=True)
        lines.append(line)
    write_whole(Path(__file__).parent / "agreement-power.md", "\n".join([*lines, ""]).encode())


if __name__ == "__main__":
    main()
