"""How a source's picture becomes the one in the mailbox: centre square, smaller, upright.

Pixels are uint8 (height, width, 3), RGB. Crop, rotation and flip are views; only shrinking copies.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edged.capture import CaptureRequest


def shaped(
    pixels: NDArray[np.uint8], request: CaptureRequest, wanted: int, slot_bytes: int
) -> NDArray[np.uint8]:
    """As the request says; the short side below twice `wanted`, and small enough for a slot."""
    if request.square:
        pixels = centre_square(pixels)
    height, width, _ = pixels.shape
    target = target_size(width, height, wanted, slot_bytes)
    if target != (width, height):
        import cv2  # streams scale while they convert and need no OpenCV here

        pixels = cv2.resize(pixels, target, interpolation=cv2.INTER_AREA)
    return upright(pixels, request)


def centre_square(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width, _ = pixels.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[top : top + side, left : left + side]


def target_size(width: int, height: int, wanted: int, slot_bytes: int) -> tuple[int, int]:
    """(width, height) to shrink to: by a whole factor, which averages exactly and is cheapest,
    then by whatever it takes to fit into slot_bytes. wanted: short side in pixels, 0 for all.
    """
    factor = max(1, min(width, height) // wanted) if wanted else 1
    width, height = max(1, width // factor), max(1, height // factor)
    if width * height * 3 > slot_bytes:
        ratio = math.sqrt(slot_bytes / (width * height * 3))
        width, height = max(1, int(width * ratio)), max(1, int(height * ratio))
    return width, height


def upright(pixels: NDArray[np.uint8], request: CaptureRequest) -> NDArray[np.uint8]:
    """rotate is clockwise; flip horizontal exchanges left and right, vertical top and bottom."""
    if request.rotate:
        pixels = np.rot90(pixels, k=-request.rotate // 90)
    if request.flip == "horizontal":
        pixels = pixels[:, ::-1]
    elif request.flip == "vertical":
        pixels = pixels[::-1]
    return pixels
