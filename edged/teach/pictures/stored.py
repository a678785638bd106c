"""The form in which pictures are stored."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edged.capture.decode.jpeg import encode_jpeg
from edged.teach.pictures.bounds import QUALITY, SHORT_SIDE


def stored_jpeg(pixels: NDArray[np.uint8]) -> tuple[bytes, NDArray[np.uint8]]:
    """The JPEG of an RGB picture (height, width, 3), and what it shows: shrunk to a short side of
    SHORT_SIDE if that is longer."""
    height, width, _ = pixels.shape
    if min(width, height) > SHORT_SIDE:
        scale = SHORT_SIDE / min(width, height)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return encode_jpeg(np.ascontiguousarray(pixels), QUALITY), pixels
