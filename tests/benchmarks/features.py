"""What pooled features cost in place of scores, and what a head takes to make scores of them.

python tests/benchmarks/features.py    every shipped network at its smallest resolution, all ways in
                                       turn in one process, one thread; ratios to the first way
alone: scores of the file as it is, without the description of the features (ONNX Runtime).
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edged.backends.ncnn.ncnn import NcnnBackend
from edged.backends.onnxruntime import OrtBackend
from edged.variants.family import Network, load_family
from edged.variants.heads import HeadMatrix
from edged.variants.runtime import Runner
from edged.variants.variant import Variant
from tests.rig.taught import head

SECONDS = 6.0
"""For each network."""
RUNS = 1000
CLASSES = (2, 3, 10, 100)


def main() -> None:
    family = load_family("imagenette", Path())
    print(f"{'network':26} {'runtime':11} {'way':8} {'p50 ms':>8}  ratio")
    for network in family.networks:
        _network(network)
    network = family.network(Variant(0.25, 128))
    runner = OrtBackend().load(network, network.read(), 1)
    print(f"\n{'classes':>7}  {'features':>8}  {'head, us':>8}  {'after an inference, us':>8}")
    for classes in CLASSES:
        for channels in (256, 1024):
            warm, cold = _head(runner, classes, channels)
            print(f"{classes:7}  {channels:8}  {warm:8.1f}  {cold:8.1f}")


def _network(network: Network) -> None:
    model, side = network.read(), network.resolutions[0]
    image = _picture(side)
    ort = OrtBackend()
    alone: Any = ort._runtime.InferenceSession(
        model, ort._options(1), providers=["CPUExecutionProvider"]
    )
    ways: dict[tuple[str, str], Callable[[], object]] = {
        ("onnxruntime", "alone"): lambda: alone.run(["scores"], {"image": image})
    }
    for backend in (ort, NcnnBackend(int8=True)):
        runner = backend.load(network, model, 1)
        ways[backend.name, "scores"] = lambda r=runner: r.run(image)
        ways[backend.name, "features"] = lambda r=runner: r.features(image)
    times = _in_turn(ways)
    first: dict[str, float] = {}
    for (runtime, way), median in times.items():
        ratio = median / first.setdefault(runtime, median)
        name = f"{network.path.stem}@{side}"
        print(f"{name:26} {runtime:11} {way:8} {1e3 * median:8.3f}  {ratio:5.3f}")


def _in_turn(ways: Mapping[Any, Callable[[], object]]) -> dict[Any, float]:
    """The median seconds of each; the order changes, as each leaves the caches to the next."""
    random = np.random.default_rng(0)
    taken: dict[Any, list[float]] = {way: [] for way in ways}
    begun = time.perf_counter()
    while time.perf_counter() - begun < SECONDS:
        for index in random.permutation(len(ways)):
            way = list(ways)[index]
            start = time.perf_counter()
            ways[way]()
            taken[way].append(time.perf_counter() - start)
    return {way: statistics.median(each[len(each) // 10 :]) for way, each in taken.items()}


def _head(runner: Runner, classes: int, channels: int) -> tuple[float, float]:
    """Median microseconds of a head that runs alone, and of one that follows an inference."""
    matrix = HeadMatrix.of(head(channels, classes + 1))
    features = np.random.default_rng(0).uniform(0, 3, channels).astype(np.float32)
    image = _picture(128)
    found = []
    for inferring in (False, True):
        times = []
        for _ in range(RUNS):
            if inferring:
                runner.features(image)
            start = time.perf_counter()
            matrix.scores(features)
            times.append(1e6 * (time.perf_counter() - start))
        found.append(statistics.median(times))
    return found[0], found[1]


def _picture(side: int) -> Any:
    return np.random.default_rng(0).integers(0, 256, (1, side, side, 3), dtype=np.uint8)


if __name__ == "__main__":
    main()
