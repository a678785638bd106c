"""Times the shipped family in rotation while the machine is idle or busy, and keeps the traces.

All variants are timed once on the idle machine; those that nothing dominates there, the ladder that
the daemon would choose from, are then timed for the traces. One frame of a trace is one turn: each
of them runs once with one thread, preprocessing included, in an order that is drawn anew, each
after a short rest, as the daemon rests between frames; and a 320x240 JPEG picture is decoded,
whose time is the frame's wait. A trace is made of parts, each taken while nothing else was busy on
the machine; a part that strangers disturbed is taken again. Parts are kept until all are there, so
that a collection can be interrupted. Linux.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import statistics
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import cv2
import numpy as np

from edged.backends.loaded import LoadedNetworks
from edged.backends.onnxruntime import OrtBackend
from edged.control.profile import Spread, ladder, timed
from edged.tracing.trace import FullTrace, TracedFrame, TracedVariant
from edged.variants.family import load_family
from edged.variants.variant import Choice, Variant
from tests.rig.full_traces import write_full_trace

if TYPE_CHECKING:
    from numpy.typing import NDArray

TRACES = Path(__file__).parent / "traces"
PARTS = TRACES / "parts"
INTERVAL_MS = 1000 / 30
FAMILY = "imagenette"
LADDER_TURNS, SETTLING_TURNS = 80, 10
CONDITIONS: dict[str, tuple[str, ...]] = {
    "idle": (),
    "one neighbour": ("compute",),
    "two neighbours": ("compute", "compute 2"),
    "memory": ("memory",),
    "come and go": ("compute", "memory", "compute 2"),
}
"""The processes that run beside; in the last, the first so many of them, for a spell each."""
SPELL_FRAMES = 150
"""Mean length of a spell: five seconds of a camera."""
PART_FRAMES, PART_COUNT = 60, 100
REST_SECONDS = 0.0003
"""Before each run. The scheduler treats who wakes up otherwise than who never slept."""
STRANGERS_CORES, STRANGERS_BESIDE = 0.05, 0.3
"""A part is kept if strangers kept so few cores busy in it: of an idle machine, of a busy one."""
DIGITS = 3
"""Significant ones that are kept: half a percent, where runs scatter by five."""

Row = tuple[float, list[float]]
"""wait_ms, and the service_ms of each variant."""


def collect_all() -> None:
    PARTS.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    rotation = Rotation()
    ladder_path = PARTS / "ladder.json"
    if ladder_path.exists():
        rotation.variants = [Variant.parse(name) for name in json.loads(ladder_path.read_text())]
    else:
        rotation.keep_ladder()
        ladder_path.write_text(json.dumps([variant.name for variant in rotation.variants]))
    waiting = deque(
        (condition, part)
        for part in range(PART_COUNT)
        for condition in CONDITIONS
        if not part_path(condition, part).exists()
    )
    with Neighbours() as neighbours:
        while waiting:
            condition, part = waiting.popleft()
            rows, strangers = collect(rotation, neighbours, condition, part)
            kept = strangers <= (STRANGERS_BESIDE if CONDITIONS[condition] else STRANGERS_CORES)
            if kept:
                part_path(condition, part).write_text(json.dumps(rows))
            else:
                waiting.append((condition, part))
            print(
                f"{condition} {part}: {strangers:.2f} cores busy with strangers, kept: {kept}, "
                f"{len(waiting)} parts left",
                flush=True,
            )
    assemble(rotation)


def part_path(condition: str, part: int) -> Path:
    return PARTS / f"{condition}-{part}.json"


def assemble(rotation: Rotation) -> None:
    """Write the traces. The profile of all of them is the median of the idle one."""
    rows = {
        condition: [
            row
            for part in range(PART_COUNT)
            for row in json.loads(part_path(condition, part).read_text())
        ]
        for condition in CONDITIONS
    }
    idle_ms = [service_ms for _, service_ms in rows["idle"]]
    variants = tuple(
        TracedVariant(
            variant.name, rotation.family.top1(variant), rounded(statistics.median(times))
        )
        for variant, times in zip(rotation.variants, zip(*idle_ms, strict=True), strict=True)
    )
    for condition in CONDITIONS:
        frames = tuple(
            TracedFrame(index * INTERVAL_MS, rounded(wait_ms), tuple(map(rounded, service_ms)))
            for index, (wait_ms, service_ms) in enumerate(rows[condition])
        )
        name = condition.replace(" ", "-") + ".jsonl.gz"
        write_full_trace(TRACES / name, FullTrace(variants, frames))
    shutil.rmtree(PARTS)


def rounded(time_ms: float) -> float:
    return float(f"{time_ms:.{DIGITS}g}")


def spells(frames: int) -> list[int]:
    """How many of the neighbours run in each frame of come and go."""
    schedule = random.Random(1)
    wanted: list[int] = []
    while len(wanted) < frames:
        running = schedule.randint(0, len(CONDITIONS["come and go"]))
        wanted += [running] * (1 + int(schedule.expovariate(1 / SPELL_FRAMES)))
    return wanted[:frames]


def collect(
    rotation: Rotation, neighbours: Neighbours, condition: str, part: int
) -> tuple[list[Row], float]:
    """One part, and how many cores strangers kept busy meanwhile."""
    kinds = CONDITIONS[condition]
    wanted = [len(kinds)] * PART_FRAMES
    if condition == "come and go":
        wanted = spells(PART_FRAMES * PART_COUNT)[part * PART_FRAMES :][:PART_FRAMES]
    rows: list[Row] = []
    try:
        neighbours.run(kinds[: wanted[0]])
        for _ in range(2):
            rotation.turn()
        begun, busy, used = time.monotonic(), _busy_seconds(), neighbours.used_seconds()
        for count in wanted:
            neighbours.run(kinds[:count])
            rows.append(rotation.turn())
        strangers = (_busy_seconds() - busy) - (neighbours.used_seconds() - used)
    finally:
        neighbours.run(())
    return rows, strangers / (time.monotonic() - begun)


class Rotation:
    """The family in memory, and one turn over some of its variants: all at first."""

    def __init__(self) -> None:
        self.family = load_family(FAMILY, Path.cwd())
        self._loaded = LoadedNetworks([self.family], [OrtBackend()])
        self.variants = list(self.family.variants())
        noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
        _, self._jpeg = cv2.imencode(".jpg", cv2.GaussianBlur(noise, (0, 0), 3))
        self._random = random.Random(0)

    def keep_ladder(self) -> None:
        """Time all variants here and now; those that are dominated leave the rotation."""
        rows = [self.turn()[1] for _ in range(LADDER_TURNS)][SETTLING_TURNS:]
        candidates = [
            timed(Choice(variant, 1), self.family.top1(variant), Spread.of(service_ms))
            for variant, service_ms in zip(self.variants, zip(*rows, strict=True), strict=True)
        ]
        self.variants = [candidate.variant for candidate in ladder(candidates)]

    def turn(self) -> Row:
        begun = time.perf_counter()
        picture = cv2.imdecode(self._jpeg, cv2.IMREAD_COLOR)
        wait_ms = (time.perf_counter() - begun) * 1e3
        service_ms = [0.0] * len(self.variants)
        order = list(range(len(self.variants)))
        self._random.shuffle(order)
        for position in order:
            time.sleep(REST_SECONDS)
            service_ms[position] = self._run(self.variants[position], picture)
        return wait_ms, service_ms

    def cheapest_inference_ms(self, runs: int = 500) -> float:
        """The median of the family's cheapest variant, here and now."""
        cheapest = min(self.variants, key=lambda each: (each.alpha, each.resolution))
        side = cheapest.resolution
        picture = np.zeros((side, side, 3), np.uint8)
        return statistics.median(self._run(cheapest, picture) for _ in range(runs))

    def _run(self, variant: Variant, picture: NDArray[np.uint8]) -> float:
        """How long it takes, in ms."""
        begun = time.perf_counter()
        self._loaded.infer(self.family.choice(variant, 1), picture)
        return (time.perf_counter() - begun) * 1e3


def _compute() -> None:
    """Integer work in the core's own caches."""
    value = 1
    while True:
        value = value * 3 % 1_000_003


def _memory() -> None:
    """Copies 32 MB to and fro: wants the memory, not the core's units."""
    source = np.zeros(32 << 20, np.uint8)
    target = np.empty_like(source)
    while True:
        np.copyto(target, source)


class Neighbours:
    """Busy processes that are stopped and continued; they end with the context."""

    KINDS: ClassVar = {"compute": _compute, "compute 2": _compute, "memory": _memory}

    def __enter__(self) -> Neighbours:
        context = multiprocessing.get_context("spawn")
        self._processes = {
            kind: context.Process(target=work, daemon=True) for kind, work in self.KINDS.items()
        }
        for process in self._processes.values():
            process.start()
        self._pids = {kind: process.pid or 0 for kind, process in self._processes.items()}
        while any(_used_seconds([pid]) < 1 for pid in self._pids.values()):  # they have imported
            time.sleep(0.05)
        self._running = set(self.KINDS)
        self.run(())
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes.values():
            process.kill()
            process.join()

    def run(self, kinds: tuple[str, ...]) -> None:
        """These run, the others wait."""
        for kind in self._running.symmetric_difference(kinds):
            os.kill(self._pids[kind], signal.SIGCONT if kind in kinds else signal.SIGSTOP)
        self._running = set(kinds)

    def used_seconds(self) -> float:
        """CPU time of this process and theirs."""
        return _used_seconds([os.getpid(), *self._pids.values()])


def _busy_seconds() -> float:
    """CPU time of all processes since the boot."""
    fields = Path("/proc/stat").read_text().split(maxsplit=9)
    return sum(map(int, fields[1:4])) / os.sysconf("SC_CLK_TCK")


def _used_seconds(pids: list[int]) -> float:
    """CPU time of these processes; 0 for one that is gone."""
    ticks = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")
