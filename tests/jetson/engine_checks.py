"""Each network's engine: built, loaded and proved; recorded as CUDA graphs; what it takes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from statistics import median
from typing import Any

import numpy as np

from edged.backends.onnxruntime import OrtBackend
from edged.backends.tensorrt.build_worker import logger_class
from edged.backends.tensorrt.cuda import Cuda, GpuError
from edged.backends.tensorrt.engine import Engine
from edged.backends.tensorrt.tensorrt import TensorRtBackend
from edged.errors import EdgedError
from edged.variants.family import Family, Network
from tests.jetson.checks import Row, free_bytes

RUNS = 200
MOST_RATIO = 1.5
"""A run by its graph over one without: a graph must not be the slower way."""
SAME = 1e-3
"""How far scores with and without a graph may lie apart."""
ALIKE = 0.98
"""Cosine of the pooled features and those of ONNX Runtime on the CPU, at least: heads are taught on
either."""


class CountingCuda(Cuda):
    """Counts recorded graphs; with `records` off, none can be recorded."""

    def __init__(self, cudart: Any, records: bool) -> None:
        super().__init__(cudart)
        self.recorded = 0
        self._records = records

    def begin_capture(self, stream: Any) -> None:
        if not self._records:
            raise GpuError("for comparison")
        super().begin_capture(stream)

    def end_capture(self, stream: Any) -> Any:
        graph = super().end_capture(stream)
        self.recorded += 1
        return graph


def engines(family: Family, gpu: TensorRtBackend, trt: Any, cudart: Any) -> list[Row]:
    return [_row(network, gpu, trt, cudart) for network in family.networks]


def _row(network: Network, gpu: TensorRtBackend, trt: Any, cudart: Any) -> Row:
    try:
        return _engine(network, gpu, trt, cudart)
    except EdgedError as error:
        return Row(network.path.name, {"graphs": f"failed: {error}"}, False)


def _engine(network: Network, gpu: TensorRtBackend, trt: Any, cudart: Any) -> Row:
    gpu.load(network, network.read(), 1)  # builds it, and compares the golden scores
    built = gpu.engines.build_seconds.get(network.path.name)
    plan = gpu.plan(network)
    if plan is None:
        raise EdgedError("the engine was not kept", fix="set CACHE_DIRECTORY to a writable folder")
    loaded: dict[bool, Engine] = {}
    counting = {records: CountingCuda(cudart, records) for records in (True, False)}
    free, start = free_bytes(cudart), time.monotonic()
    loaded[True] = Engine(trt, counting[True], logger_class(trt)(), plan, network.resolutions)
    seconds = time.monotonic() - start
    taken = free - free_bytes(cudart)
    loaded[False] = Engine(trt, counting[False], logger_class(trt)(), plan, network.resolutions)
    sides = [_compared(loaded, side) for side in network.resolutions]
    cosine = min(_alike(network, loaded[True], side) for side in network.resolutions)
    apart = max(each[0] for each in sides)
    ratio = max(each[1] for each in sides)
    values = {
        "built": "earlier" if built is None else f"{built:.0f} s",
        "plan MB": round(len(plan) / 1e6, 1),
        "loaded": f"{seconds:.1f} s",
        "GPU memory MB": round(taken / 2**20, 1),
        "graphs": f"{counting[True].recorded} of {len(sides)}",
        "time with graph / without": round(ratio, 2),
        "scores apart": round(apart, 6),
        "features' cosine": round(cosine, 4),
    }
    good = counting[True].recorded == len(sides) and apart <= SAME and ratio <= MOST_RATIO
    good = good and cosine >= ALIKE
    return Row(network.path.name, values, good)


def _alike(network: Network, engine: Engine, side: int) -> float:
    """The cosine of its pooled features and the CPU's."""
    image = np.random.default_rng(side).integers(0, 256, (1, side, side, 3), dtype=np.uint8)
    ours = engine.features(image)
    theirs = OrtBackend().load(network, network.read(), 1).features(image)
    return float(ours @ theirs / np.linalg.norm(ours) / np.linalg.norm(theirs))


def _compared(loaded: Mapping[bool, Engine], side: int) -> tuple[float, float]:
    """(how far the scores with and without a graph lie apart, the one's time over the other's),
    of runs in turn."""
    image = np.random.default_rng(side).integers(0, 256, (1, side, side, 3), dtype=np.uint8)
    times: dict[bool, list[float]] = {True: [], False: []}
    scores = {}
    for _ in range(RUNS):
        for records, engine in loaded.items():
            start = time.perf_counter()
            scores[records] = engine.run(image)
            times[records].append(time.perf_counter() - start)
    with_graph, without = (median(times[each][RUNS // 4 :]) for each in (True, False))
    return float(np.abs(scores[True] - scores[False]).max()), with_graph / without
