"""Crops, shrinks and rotates a source's picture for the mailbox.

Pixels are uint8 (height, width, 3), RGB, already upright according to their file or stream; the
user's rotation and flip follow. Crop, rotation and flip are views; only shrinking copies.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from edged.capture.decode.orientation import of_user
from edged.capture.source import CaptureRequest


def prepared(
    pixels: NDArray[np.uint8],
    request: CaptureRequest,
    wanted: int,
    slot_bytes: int,
    *,
    cropped: bool = False,
) -> NDArray[np.uint8]:
    """Cropped, rotated and flipped as requested, with a short side below twice `wanted`, and small
    enough for a slot. cropped: to `roi`, already.
    """
    if not cropped:
        left, top, width, height = region(request, (pixels.shape[1], pixels.shape[0]))
        pixels = pixels[top : top + height, left : left + width]
    if request.square:
        pixels = centre_square(pixels)
    height, width, _ = pixels.shape
    target = target_size(width, height, wanted, slot_bytes)
    if target != (width, height):
        import cv2  # not needed for streams, which are scaled when they are converted

        pixels = cv2.resize(pixels, target, interpolation=cv2.INTER_AREA)
    return of_user(request.rotate, request.flip).upright(pixels)


def region(request: CaptureRequest, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """`roi` as (left, top, width, height) in pixels of the source's picture, before rotation and
    flip. size: its (width, height).
    """
    if request.roi is None:
        return 0, 0, *size
    left, top, width, height = request.roi
    orientation = of_user(request.rotate, request.flip)
    left, top, right, bottom = orientation.stored(left, top, left + width, top + height)
    (begin, width_px), (first, height_px) = (
        _pixels(low, high, side)
        for low, high, side in ((left, right, size[0]), (top, bottom, size[1]))
    )
    return begin, first, width_px, height_px


def _pixels(low: float, high: float, side: int) -> tuple[int, int]:
    """(first pixel, number of pixels, at least 1) on a side."""
    first = max(0, min(round(low * side), side - 1))
    return first, max(1, min(side, round(high * side)) - first)


def whole_side(wanted: int, request: CaptureRequest, size: tuple[int, int]) -> int:
    """The short side that the whole picture needs for `roi` to cover `wanted`; 0 for full size.

    size: (width, height) of the picture at any scale.
    """
    if request.roi is None or not min(size):
        return wanted
    _, _, width, height = region(request, size)
    return -(-wanted * min(size) // min(width, height))


def centre_square(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width, _ = pixels.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[top : top + side, left : left + side]


def target_size(width: int, height: int, wanted: int, slot_bytes: int) -> tuple[int, int]:
    """(width, height) to shrink to: by an integer factor, which averages exactly and is cheapest,
    then as needed to fit into slot_bytes. wanted: short side in pixels, 0 for full size.
    """
    factor = max(1, min(width, height) // wanted) if wanted else 1
    width, height = max(1, width // factor), max(1, height // factor)
    if width * height * 3 > slot_bytes:
        ratio = math.sqrt(slot_bytes / (width * height * 3))
        width, height = max(1, int(width * ratio)), max(1, int(height * ratio))
    return width, height
