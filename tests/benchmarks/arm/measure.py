"""The counts, one by one: what there is to count, and how a count comes of what the guest dumps."""

from __future__ import annotations

import hashlib
import inspect
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from edged.atomic_file import write_whole
from edged.variants.family import load_family
from edged.variants.variant import Precision, Variant
from tests.benchmarks.arm import guest
from tests.benchmarks.arm.guest import RUNTIMES
from tests.benchmarks.arm.root import (
    PROCESSORS,
    WHEELS,
    Counts,
    between,
    one_maker,
    run_counted,
)
from tests.benchmarks.arm.slots import Slot
from tests.device.step import step
from tests.rig.paths import PROJECT

HERE = Path(__file__).resolve().parent
COMMITTED = HERE / "counts.json"
DAEMON = "daemon, "
"""The runtime follows."""
MJPEG = "MJPEG, 100 KB"
CLIPS = {
    MJPEG: "mjpeg100.jpg",
    "MJPEG, 220 KB": "mjpeg220.jpg",
    "H.264": "h264.mp4",
    "YUYV": "yuyv.raw",
}
"""All 1920x1080."""
RUNS = 4
"""Of a network: each costs the same but for some hundred instructions."""
SETTLING, RESULTS = 40, 60
"""Of a daemon: before the counting, until its profile is measured and stored; and counted."""
STAGES = {
    "decode": (Slot.DECODE, Slot.NATIVE),
    "capture": (Slot.CAPTURE,),
    "preprocess": (Slot.PREPROCESS,),
    "inference": (Slot.INFERENCE,),
    "pipeline": (Slot.PIPELINE,),
    "sinks": (Slot.SINK,),
    "ticks": (Slot.MAIN, Slot.CAMERA),
}
"""The first two are the capture process's, the others the daemon's own."""
CAPTURE_STAGES = ("decode", "capture")
FPS = 30
"""Results a second for which `ticks` are given."""
SECONDS = 1200.0
"""Most for one count; a busy machine needs six minutes for what takes one."""

Figures = Mapping[str, float]
"""Million instructions: `all` and `multiply_adds` of an inference, or by stage of a result."""
Store = dict[str, list[Figures]]
"""By key: one for each repeat."""


class Job(NamedTuple):
    """One start of the guest. subject: a runtime, or DAEMON and one; names: variants, or a clip."""

    processor: str
    subject: str
    names: tuple[str, ...]

    def keys(self) -> list[str]:
        return [f"{self.processor}/{self.subject}/{name}" for name in self.names]


def jobs() -> Iterator[Job]:
    family = load_family("imagenette", PROJECT)
    for processor in PROCESSORS:
        for subject, runtime in RUNTIMES.items():
            if processor not in runtime.processors or not _is_there(runtime.module):
                continue
            for network in family.networks:
                variants = sorted(network.variants())
                if processor in runtime.int8 or variants[0].precision is Precision.FLOAT:
                    yield Job(processor, subject, tuple(each.name for each in variants))
            if runtime.as_backend:
                # Only the inference depends on the runtime, not on the clip.
                for clip in CLIPS if subject == "onnxruntime" else (MJPEG,):
                    yield Job(processor, f"{DAEMON}{subject}", (clip,))


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def count(job: Job, root: Path, *, results: int = RESULTS) -> list[Figures]:
    """By name, as they stand in the job. Raises CannotCountError."""
    with tempfile.TemporaryDirectory(prefix="edged-arm-") as folder:
        work = Path(folder)
        if job.subject.startswith(DAEMON):
            runtime = job.subject.removeprefix(DAEMON)
            arguments = ["daemon", runtime, CLIPS[job.names[0]], str(SETTLING + results)]
            processes = run_counted(root, job.processor, work, *arguments, seconds=SECONDS)
            moments_ns = json.loads((work / guest.MOMENTS.name).read_text())
            return [_of_result(processes, results, moments_ns)]
        arguments = ["inference", job.subject, str(RUNS), *job.names]
        (dumps,) = run_counted(root, job.processor, work, *arguments, seconds=SECONDS)
    return [_of_inference(*pair) for pair in zip(dumps[::2], dumps[1::2], strict=True)]


def _of_inference(before: Counts, after: Counts) -> Figures:
    _, total, multiply_adds, *_ = between(before, after, Slot.INFERENCE)
    return {
        "all": round(total / RUNS / 1e6, 4),
        "multiply_adds": round(multiply_adds / RUNS / 1e6, 4),
    }


def _of_result(
    processes: Sequence[Sequence[Counts]], results: int, moments_ns: Sequence[int]
) -> Figures:
    """The last `results` of the daemon's dumps, and the same number of its capture process's.

    What is done by time is counted by time: a busy machine makes fewer results in it.
    """
    figures = dict.fromkeys(STAGES, 0.0)
    by_time = (moments_ns[-1] - moments_ns[-1 - results]) / 1e9 * FPS
    for dumps in processes:
        last = dumps[-1]
        first = dumps[-1 - results]
        own = Slot.PIPELINE in last
        if own and between(first, last, Slot.INFERENCE)[0] != results:
            raise AssertionError("networks ran that no result came of: let it settle for longer")
        for stage, slots in STAGES.items():
            if own == (stage not in CAPTURE_STAGES):
                total = sum(between(first, last, slot)[1] for slot in slots)
                frames = by_time if stage == "ticks" else results
                figures[stage] = round(total / frames / 1e6, 4)
    return figures


def whole(figures: Figures) -> float:
    """Of a result: the daemon's own process."""
    return sum(value for stage, value in figures.items() if stage not in CAPTURE_STAGES)


def make_clips(root: Path) -> None:
    """What cameras send, written in the root by what it decodes with."""
    written_by = f"{inspect.getsource(guest.frames)}{guest.JPEG_QUALITY}{guest.H264_FRAMES}"
    recipe = hashlib.sha256(WHEELS.read_bytes() + written_by.encode()).hexdigest()

    def build(target: Path) -> None:
        target.mkdir()
        with tempfile.TemporaryDirectory(prefix="edged-arm-") as folder:
            work = Path(folder)
            run_counted(root, "a76", work, "frames", seconds=SECONDS)
            for name in CLIPS.values():
                shutil.move(work / name, target / name)

    with one_maker(root.parent):
        step(root / "clips", recipe, build)


def store_of(cache: Path) -> Path:
    """Where counts are kept until all are there: of this edged, this family and these wheels."""
    digest = hashlib.sha256()
    tops = (PROJECT / "edged", PROJECT / "models" / "imagenette", HERE)
    for top in tops:
        for path in sorted(top.rglob("*")):
            if path.suffix in (".py", ".c", ".txt", ".onnx", ".yaml") and path.name != "report.py":
                digest.update(f"{path.relative_to(PROJECT)}\0".encode() + path.read_bytes())
    return cache / f"arm-counts-{digest.hexdigest()[:16]}.json"


def read(path: Path) -> Store:
    return dict(json.loads(path.read_text())) if path.exists() else {}


def write(store: Store, path: Path) -> None:
    lines = (f"  {json.dumps(key)}: {json.dumps(store[key])}" for key in sorted(store))
    write_whole(path, ("{\n" + ",\n".join(lines) + "\n}\n").encode())


def variants_of(store: Store, processor: str, subject: str) -> dict[Variant, Figures]:
    """The first count of each."""
    found = {}
    for key, repeats in store.items():
        of, about, name = key.split("/")
        if (of, about) == (processor, subject):
            found[Variant.parse(name)] = repeats[0]
    return found
