"""Times all sixteen variants in rotation while the machine is idle or busy, and keeps the trace.

One frame of the trace is one turn: each variant runs once, in an order that is drawn anew, and a
640x480 JPEG picture is decoded, whose time is the frame's wait. Turns follow each other without a
pause, so that 6,000 of them take eight minutes on an idle x86-64 core. Needs edged[models].
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import onnxruntime

from edged.control.trace import TracedFrame
from edged.variants.mobilenet import Architecture
from edged.variants.network import INPUT_NAME, OUTPUT_NAME, build_network, random_weights

ALPHAS = (1.0, 0.75, 0.5, 0.25)
RESOLUTIONS = (224, 192, 160, 128)
# ImageNet top-1 of the official float variants, alphas by resolutions as above. Times do not
# depend on the values of the weights, so random ones do.
TOP1 = (
    *(0.709, 0.700, 0.680, 0.652),
    *(0.684, 0.672, 0.653, 0.621),
    *(0.633, 0.617, 0.591, 0.563),
    *(0.498, 0.477, 0.455, 0.415),
)
INTERVAL_MS = 1000 / 30
WARM_UP_TURNS = 20
REST_SECONDS = 0.001
"""Before each run, as the daemon waits for a frame: the scheduler treats who wakes up otherwise
than who never slept."""


def _spin() -> None:
    """A neighbour that computes: integer work in the caches."""
    value = 1
    while True:
        value = value * 3 % 1_000_003


def _stream() -> None:
    """A neighbour that copies 32 MB back and forth: it wants the memory, not the core's units."""
    source = np.zeros(32 << 20, np.uint8)
    target = np.empty_like(source)
    while True:
        np.copyto(target, source)


NEIGHBOURS = {"compute": _spin, "memory": _stream}


@dataclass(slots=True)
class Neighbours:
    """Processes that are stopped and continued; all of them are ended with the context."""

    kinds: tuple[str, ...]
    processes: list[multiprocessing.Process] = field(default_factory=list)

    @contextlib.contextmanager
    def running(self) -> Iterator[Neighbours]:
        context = multiprocessing.get_context("spawn")
        try:
            for kind in self.kinds:
                process = context.Process(target=NEIGHBOURS[kind], daemon=True)
                process.start()
                self.processes.append(process)
            yield self
        finally:
            for process in self.processes:
                process.kill()
                process.join()

    def let_run(self, wanted: int) -> None:
        """The first `wanted` of them run, the others wait."""
        for index, process in enumerate(self.processes):
            assert process.pid is not None
            os.kill(process.pid, signal.SIGCONT if index < wanted else signal.SIGSTOP)


CONDITIONS: dict[str, tuple[str, ...]] = {
    "idle": (),
    "one-neighbour": ("compute",),
    "two-neighbours": ("compute", "compute"),
    "memory": ("memory",),
    "come-and-go": ("compute", "memory", "compute"),
}
COME_AND_GO_TURNS = 150
"""Mean length of a spell; five seconds of a camera."""


class Rotation:
    """The sessions, and one turn over them."""

    def __init__(self, seed: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._sessions = [
            onnxruntime.InferenceSession(_network(alpha), options, ["CPUExecutionProvider"])
            for alpha in ALPHAS
        ]
        generator = np.random.default_rng(0)
        self._pictures = [
            generator.integers(0, 256, (1, side, side, 3), np.uint8) for side in RESOLUTIONS
        ]
        blurred = cv2.GaussianBlur(generator.integers(0, 256, (480, 640, 3), np.uint8), (0, 0), 3)
        _, self._jpeg = cv2.imencode(".jpg", blurred)
        self._order = list(range(len(ALPHAS) * len(RESOLUTIONS)))
        self._random = random.Random(seed)

    def turn(self) -> TracedFrame:
        begun = time.perf_counter()
        cv2.imdecode(self._jpeg, cv2.IMREAD_COLOR)
        wait_ms = (time.perf_counter() - begun) * 1e3
        service_ms = [0.0] * len(self._order)
        self._random.shuffle(self._order)
        for index in self._order:
            session = self._sessions[index // len(RESOLUTIONS)]
            picture = self._pictures[index % len(RESOLUTIONS)]
            time.sleep(REST_SECONDS)
            begun = time.perf_counter()
            session.run([OUTPUT_NAME], {INPUT_NAME: picture})
            service_ms[index] = round((time.perf_counter() - begun) * 1e3, 3)
        return TracedFrame(round(wait_ms, 3), tuple(service_ms))


def _network(alpha: float) -> bytes:
    architecture = Architecture(alpha, 1000)
    weights = random_weights(architecture, 0)
    return build_network(architecture, weights, scale=1 / 127.5, offset=-1.0)


def _busy_seconds() -> float:
    """CPU time of all processes since the boot."""
    fields = Path("/proc/stat").read_text().split(maxsplit=9)
    return sum(map(int, fields[1:4])) / os.sysconf("SC_CLK_TCK")


def _used_seconds(pids: list[int]) -> float:
    total = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def spells(turns: int) -> list[int]:
    """How many of the neighbours run in each turn of come-and-go."""
    schedule = random.Random(1)
    wanted: list[int] = []
    while len(wanted) < turns:
        running = schedule.randint(0, len(CONDITIONS["come-and-go"]))
        wanted += [running] * (1 + int(schedule.expovariate(1 / COME_AND_GO_TURNS)))
    return wanted[:turns]


def collect(
    rotation: Rotation, condition: str, wanted: list[int] | None, turns: int, known: list[int]
) -> tuple[list[TracedFrame], float]:
    """Frames, and how many cores strangers kept busy meanwhile."""
    frames: list[TracedFrame] = []
    neighbours = Neighbours(CONDITIONS[condition])
    with neighbours.running():
        pids = [os.getpid(), *(p.pid for p in neighbours.processes)]
        for process in neighbours.processes:
            while _used_seconds([process.pid]) < 0.3:
                time.sleep(0.05)
        for _ in range(2):
            rotation.turn()
        begun, busy, used = time.monotonic(), _busy_seconds(), _used_seconds(pids + known)
        for turn in range(turns):
            if wanted is not None and (turn == 0 or wanted[turn] != wanted[turn - 1]):
                neighbours.let_run(wanted[turn])
            frames.append(rotation.turn())
        strangers = (_busy_seconds() - busy) - (_used_seconds(pids + known) - used)
        return frames, strangers / (time.monotonic() - begun)
