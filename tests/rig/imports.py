"""Files that an import reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from edged.cli import main
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


def import_person(data: Path, into: Path) -> None:
    labels = into.parent / "labels.txt"
    labels.write_text("nobody\nperson\n")
    weights = str(data / "weights" / "vww_96_float.tflite")
    contract = ["--alpha", "0.25", "--resolution", "96", "--input-range", "unit"]
    arguments = [weights, *contract, "--labels", str(labels), "--into", str(into)]
    assert main(["models", "import", *arguments]) == 0
