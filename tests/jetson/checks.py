"""Of all variants: scores against the CPU's, times against trtexec's, an hour without a failure."""

from __future__ import annotations

import re
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from edged.backends.loaded import LoadedNetworks
from edged.backends.onnxruntime import OrtBackend
from edged.backends.tensorrt.cuda import GpuError
from edged.backends.tensorrt.tensorrt import TensorRtBackend
from edged.variants.evaluation.evaluate import rank
from edged.variants.family import Family
from edged.variants.golden import golden_picture
from edged.variants.runtime import Backend
from edged.variants.variant import Precision, Variant

DRAWN = 200
POINTS: Mapping[Precision, float] = {Precision.FLOAT: 0.3, Precision.INT8: 1.0}
"""How many points of top-1 the GPU may differ from the CPU."""
MOST_RATIO = 1.5
"""Ours, with the picture's way in and the scores' way out, over trtexec's."""

MEMORY_MB = 16
"""How much memory may be missing at the end."""

Shown = tuple[Any, int | None]
"""A picture (height, width, 3), and its class where it has one."""


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    values: Mapping[str, object]
    good: bool


def free_bytes(cudart: Any) -> int:
    """Of the GPU's memory. Raises GpuError."""
    code, *values = cudart.cudaMemGetInfo()
    if code != cudart.cudaError_t.cudaSuccess:
        raise GpuError("the GPU refused cudaMemGetInfo", got=getattr(code, "name", code))
    return int(values[0])


def drawn_pictures() -> list[Shown]:
    return [(golden_picture(seed), None) for seed in range(DRAWN)]


def accuracy(family: Family, gpu: Backend, pictures: Iterable[Shown]) -> list[Row]:
    """Each variant on the GPU and on the CPU, on the same pictures."""
    variants = family.variants()
    sides = {each: LoadedNetworks([family], [each]) for each in (gpu, OrtBackend())}
    right = {each: dict.fromkeys(variants, 0) for each in sides}
    agreed = dict.fromkeys(variants, 0)
    furthest = dict.fromkeys(variants, 0.0)
    total = labelled = 0
    for picture, label in pictures:
        total += 1
        labelled += label is not None
        for variant in variants:
            scores = [
                loaded.infer(family.choice(variant, 1, side.name), picture)[0]
                for side, loaded in sides.items()
            ]
            agreed[variant] += int(scores[0].argmax() == scores[1].argmax())
            furthest[variant] = max(furthest[variant], float(np.abs(scores[0] - scores[1]).max()))
            for each, found in zip(sides, scores, strict=True):
                right[each][variant] += label is not None and rank(found, label) == 0
    rows = []
    for variant in variants:
        ours, theirs = (100 * counts[variant] / max(1, labelled) for counts in right.values())
        values: dict[str, object] = {
            "pictures": total,
            "same class %": round(100 * agreed[variant] / total, 1),
            "largest difference": round(furthest[variant], 4),
        }
        good = agreed[variant] >= 0.97 * total
        if labelled:
            values |= {"top-1 GPU": round(ours, 2), "top-1 CPU": round(theirs, 2)}
            good = abs(ours - theirs) <= POINTS[variant.precision]
        rows.append(Row(variant.name, values, good))
    return rows


def latency(
    family: Family, gpu: TensorRtBackend, trtexec: Sequence[str], runs: int = 500
) -> list[Row]:
    """Ours over trtexec's, of the same plan, one after the other."""
    rows = []
    help_text = _said([*trtexec, "--help"])
    for network in family.networks:
        runner = gpu.load(network, network.read(), 1)
        plan = gpu.plan(network)
        assert plan is not None, f"{network.path.name} has no engine: see the log"
        with tempfile.NamedTemporaryFile(suffix=".plan") as file:
            file.write(plan)
            file.flush()
            for profile, side in enumerate(network.resolutions):
                if profile and "--optProfile" not in help_text:
                    break  # TensorRT 8.6's trtexec runs the first profile alone
                ours_ms = _ours_ms(runner, side, runs)
                command = [*trtexec, f"--loadEngine={file.name}", "--useCudaGraph"]
                command += [f"--shapes=image:1x{side}x{side}x3", f"--iterations={runs}"]
                command += [f"--optProfile={profile}"] if profile else []
                theirs_ms = parsed_ms(_said(command))
                ratio = ours_ms / theirs_ms
                values = {
                    "edged p50 ms": round(ours_ms, 3),
                    "trtexec p50 ms": round(theirs_ms, 3),
                    "ratio": round(ratio, 2),
                }
                name = Variant(network.alpha, side, network.precision).name
                rows.append(Row(name, values, ratio <= MOST_RATIO))
    return rows


def parsed_ms(said: str) -> float:
    """The median of `Latency: min = …, median = 0.51 ms, …`, which has the copies in it."""
    found = re.search(r"\bLatency: .*?median = ([\d.]+) ms", said)
    if found is None:
        raise SystemExit(f"trtexec tells no latency:\n{said[-2000:]}")
    return float(found[1])


def soak(
    family: Family,
    gpu: TensorRtBackend,
    seconds: float,
    gpu_free: Callable[[], int] = lambda: 0,
    clock: Callable[[], float] = time.monotonic,
) -> list[Row]:
    """All variants in turn. Good when the GPU never failed and memory does not grow.

    gpu_free: the GPU's free memory in bytes, if it has its own.
    """
    loaded = LoadedNetworks([family], [gpu])
    picture = golden_picture(0)
    begun = told = clock()
    times: list[float] = []
    minutes: list[float] = []
    memory: list[int] = []
    free: list[int] = []
    runs = 0
    while clock() - begun < seconds or not memory:
        for variant in family.variants():
            start = time.perf_counter()
            loaded.infer(family.choice(variant, 1, gpu.name), picture)
            times.append(1000 * (time.perf_counter() - start))
            runs += 1
        if clock() - told >= seconds / 60 or not memory:
            minutes.append(median(times))
            memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
            free.append(gpu_free() >> 20)
            times.clear()
            told = clock()
    grown = memory[-1] - memory[len(memory) // 6]
    taken = free[len(free) // 6] - free[-1]
    values = {
        "seconds": round(clock() - begun),
        "runs": runs,
        "GPU failures": gpu.engines.failures,
        "p50 ms first, last": f"{minutes[0]:.2f}, {minutes[-1]:.2f}",
        "memory grown MB": grown,
        "GPU memory grown MB": taken,
    }
    good = gpu.engines.failures == 0 and max(grown, taken) <= MEMORY_MB
    return [Row("all variants in turn", values, good)]


def _ours_ms(runner: Any, side: int, runs: int) -> float:
    image = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), dtype=np.uint8)
    times = []
    for _ in range(runs + 50):
        start = time.perf_counter()
        runner.run(image)
        times.append(1000 * (time.perf_counter() - start))
    return median(times[50:])


def _said(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout + done.stderr


def labelled(photos: Path, family: Family, every: int = 1) -> Iterable[Shown]:
    """A folder or tar with a folder for each class; of its photos every second, third, …"""
    from edged.variants.evaluation.photos import Photos

    for photo in islice(Photos(photos, family), 0, None, every):
        yield photo.picture, photo.class_index
