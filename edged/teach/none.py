"""Photos of nothing in particular, from which every head learns the class `none`.

They come with edged, small, under licences that allow it (none_photos/LICENSES.md), and are
sharpened before use: of blurred photos a head learns that what is sharp is no stranger.
tests/benchmarks/teach.md has what they are worth, beside drawn pictures.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edged.capture.decode.still import decode_picture

PHOTOS = tuple(sorted((Path(__file__).parent / "none_photos").glob("*.webp")))
PICTURES = len(PHOTOS)
_SHORT_SIDE = 224
_BLUR, _GRAIN = 1.5, 4.0
"""Of the sharpening, in pixels; standard deviation, in levels."""


def none_picture(number: int) -> NDArray[np.uint8]:
    """Picture `number`, from 0 to PICTURES - 1: RGB (height, width, 3)."""
    small = decode_picture(PHOTOS[number].read_bytes(), 0).astype(np.float32)
    height, width = small.shape[:2]
    scale = _SHORT_SIDE / min(height, width)
    size = round(width * scale), round(height * scale)
    picture = cv2.resize(small, size, interpolation=cv2.INTER_CUBIC)
    picture = 2 * picture - cv2.GaussianBlur(picture, (0, 0), _BLUR)
    grain = np.random.default_rng(number).normal(0, _GRAIN, picture.shape)
    return np.asarray(np.clip(picture + grain, 0, 255), np.uint8)
