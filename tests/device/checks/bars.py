"""The eight colour bars that every test camera shows, and how far a picture is from them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

COLOURS = (
    (255, 255, 255),
    (255, 255, 0),
    (0, 255, 255),
    (0, 255, 0),
    (255, 0, 255),
    (255, 0, 0),
    (0, 0, 255),
    (0, 0, 0),
)
"""RGB, from the left: the order of vivid's bars, which is that of their brightness."""
_LUMA = ((0.299, 0.587, 0.114), (0.2126, 0.7152, 0.0722))
"""ITU-R BT.601 and BT.709: which of them a grey camera means, it does not say."""


def picture(width: int, height: int) -> NDArray[np.uint8]:
    """uint8 (height, width, 3), RGB."""
    bars = np.arange(width) * len(COLOURS) // width
    row = np.array(COLOURS, np.uint8)[bars]
    pixels: NDArray[np.uint8] = np.broadcast_to(row, (height, width, 3)).copy()
    return pixels


def seen(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(8, 3): the mean colour around the middle of each bar."""
    height, width, _ = pixels.shape
    middle = pixels[height // 3 : 2 * height // 3]
    edges = [width * (2 * bar + 1) // (2 * len(COLOURS)) for bar in range(len(COLOURS))]
    half = max(1, width // 64)
    return np.array([middle[:, x - half : x + half].mean(axis=(0, 1)) for x in edges])


def furthest(colours: NDArray[np.float64], *, grey: bool = False) -> float:
    """Largest difference in any channel, of 255."""
    true = np.array(COLOURS, np.float64)
    expected = [np.repeat(true @ np.array([luma]).T, 3, axis=1) for luma in _LUMA]
    return min(float(np.abs(colours - each).max()) for each in (expected if grey else [true]))
