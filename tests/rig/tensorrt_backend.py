"""The TensorRT backend over the stand-in for a GPU, and what the CPU answers to a picture."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np

from edged.backends.onnxruntime import OrtBackend
from edged.backends.tensorrt.cache import EngineCache
from edged.backends.tensorrt.tensorrt import TensorRtBackend
from edged.variants.family import Family
from tests.rig.gpu_stand_in import Device, fake_tensorrt
from tests.rig.tensorrt import starter

PICTURE = np.full((1, 64, 64, 3), 90, np.uint8)
PATIENCE_SECONDS = 60.0


class Bench:
    """A backend over the stand-in, with everything that a test may want to turn."""

    def __init__(self, folder: Path, device: Device | None = None, **choices: Any) -> None:
        self.device = device or Device()
        self.now_ns = 0
        self.starts = 0
        self.start = choices.pop("start", starter("fake"))
        self.cache = choices.pop("cache", None) or EngineCache(folder / "engines")
        self.backend = TensorRtBackend(
            import_tensorrt=lambda: fake_tensorrt(self.device),
            import_cudart=self.device.cudart,
            cache=self.cache,
            start=self._start,
            clock=lambda: self.now_ns,
            **choices,
        )

    def _start(self) -> subprocess.Popen[bytes]:
        self.starts += 1
        process: subprocess.Popen[bytes] = self.start()
        return process


def on_cpu(family: Family, image: Any = PICTURE) -> Any:
    network = family.networks[0]
    return OrtBackend().load(network, network.read(), 1).run(image)


def load(bench: Bench, family: Family, threads: int = 1) -> Any:
    network = family.networks[0]
    return bench.backend.load(network, network.read(), threads)
