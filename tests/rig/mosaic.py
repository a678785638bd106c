"""A scene of six parts, of which each has its own answer of a real network."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edged.backends.onnxruntime import OrtBackend
from edged.capture.source import Roi
from edged.variants.family import Family, load_family
from edged.variants.golden import golden_picture
from edged.variants.preprocess import Preprocessor
from tests.rig.board import Pixels, hung

COLUMNS, ROWS, SIDE = 3, 2, 240
SIZE = COLUMNS * SIDE, ROWS * SIDE
FPS = 10
MOVING, COMES = 1, 5
"""The part that changes twice a second, and the part that it then looks like."""
RESULTS = "{jsonl: '-', top_k: 10, min_score: 0}"
"""With all scores, which say what was seen."""
NEAR = 20
"""More than `off` of a picture and its JPEG; of two parts, or of one that is mirrored, it is 60."""
_SEEDS = (2, 32, 57, 104, 120, 166)
"""Of pictures whose scores differ by 0.3 in some class."""
_NETWORK, _RESOLUTION = "mobilenet_v1_0.25.onnx", 128


@cache
def tile(number: int) -> Pixels:
    square = golden_picture(_SEEDS[number])[:, 32:288]
    return cv2.resize(square, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def scene(moved: bool = False) -> Pixels:
    """uint8 (480, 720, 3): part 0 at the left top, part 5 at the right bottom."""
    numbers = [COMES if moved and each == MOVING else each for each in range(ROWS * COLUMNS)]
    rows = (numbers[row * COLUMNS : (row + 1) * COLUMNS] for row in range(ROWS))
    return np.concatenate([np.concatenate([*map(tile, row)], axis=1) for row in rows])


def part(number: int) -> Roi:
    row, column = divmod(number, COLUMNS)
    return column / COLUMNS, row / ROWS, 1 / COLUMNS, 1 / ROWS


def roi(number: int) -> str:
    """The part as YAML."""
    return str(list(part(number)))


def write_scene(path: Path, *, rotate: int = 0, flip: str | None = None, seconds: int = 2) -> Path:
    """A clip of H.264 that `rotate` and `flip` make upright, bare if the path ends in .h264."""
    pictures = [hung(scene(moved), rotate, flip) for moved in (False, True)]
    height, width, _ = pictures[0].shape
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"preset": "ultrafast", "tune": "zerolatency", "crf": "8", "g": str(FPS)}
        stream.options |= {"x264-params": "sliced-threads=0"}  # the server takes a slice for all
        for number in range(seconds * FPS):
            picture = pictures[number * 4 // FPS % 2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


@cache
def imagenette() -> Family:
    return load_family("imagenette", Path())


@cache
def _expected() -> NDArray[np.float32]:
    """Scores of each part: (parts, classes)."""
    family = imagenette()
    (network,) = (each for each in family.networks if each.path.name == _NETWORK)
    runner = OrtBackend().load(network, network.read(), 1)
    preprocess = Preprocessor(family.input, _RESOLUTION)
    return np.stack([runner.run(preprocess(tile(each))) for each in range(len(_SEEDS))])


def part_seen(top: Sequence[Mapping[str, Any]], prefix: str = "") -> int:
    """The part whose scores are nearest to those of a result of 0.25@128. prefix: of its labels."""
    scores = {each["label"]: each["score"] for each in top}
    seen = [scores[prefix + label] for label in imagenette().labels]
    return int(np.abs(_expected() - seen).max(axis=1).argmin())


def decoded(jpeg: bytes) -> Pixels:
    with Image.open(io.BytesIO(jpeg)) as image:
        return np.asarray(image.convert("RGB"))


def off(seen: Pixels, expected: Pixels) -> float:
    """Mean difference, of 255, of pictures of any size."""
    size = seen.shape[1], seen.shape[0]
    resized = cv2.resize(expected, size, interpolation=cv2.INTER_AREA)
    return float(np.abs(seen.astype(int) - resized).mean())
