"""Files that an import reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from edged.variants.mobilenet import Architecture
from tests.rig.tflite_files import tflite_file
from tests.rig.weights import lively_weights

LABELS = ("ant", "bee", "cat", "dog", "elk")


def write_labels(path: Path, labels: Sequence[str]) -> Path:
    path.write_text("".join(f"{label}\n" for label in labels), encoding="utf-8")
    return path


def write_tflite(path: Path, architecture: Architecture, seed: int = 0) -> Path:
    path.write_bytes(tflite_file(architecture, lively_weights(architecture, seed)))
    return path


def scores_of(model: bytes, side: int = 64) -> NDArray[np.float32]:
    rows, columns = np.mgrid[0:side, 0:side]
    planes = (rows * 3, columns * 2, rows + columns)
    picture = (np.stack(planes, axis=-1) % 256).astype(np.uint8)[np.newaxis]
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"image": picture})[0][0])
