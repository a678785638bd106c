"""How a source's picture becomes the one in the mailbox: its part, centre square, smaller, upright.

Pixels are uint8 (height, width, 3), RGB, upright as far as their file or stream tells; the user's
rotation and flip come after that. Crop, rotation and flip are views;
only shrinking copies.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from edged.capture.decode.orientation import of_user
from edged.capture.source import CaptureRequest


def shaped(
    pixels: NDArray[np.uint8],
    request: CaptureRequest,
    wanted: int,
    slot_bytes: int,
    *,
    cropped: bool = False,
) -> NDArray[np.uint8]:
    """As the request says; the short side below twice `wanted`, and small enough for a slot.

    cropped: to the part that counts, already.
    """
    if not cropped:
        left, top, width, height = region(request, (pixels.shape[1], pixels.shape[0]))
        pixels = pixels[top : top + height, left : left + width]
    if request.square:
        pixels = centre_square(pixels)
    height, width, _ = pixels.shape
    target = target_size(width, height, wanted, slot_bytes)
    if target != (width, height):
        import cv2  # streams scale while they convert and need no OpenCV here

        pixels = cv2.resize(pixels, target, interpolation=cv2.INTER_AREA)
    return of_user(request.rotate, request.flip).upright(pixels)


def region(request: CaptureRequest, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """(left, top, width, height) in pixels of the part that counts, in a picture as the source
    gives it: neither rotated nor mirrored yet. size: its width and height.
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
    """(the first, how many) of a side: at least one, none beyond its end."""
    first = max(0, min(round(low * side), side - 1))
    return first, max(1, min(side, round(high * side)) - first)


def whole_side(wanted: int, request: CaptureRequest, size: tuple[int, int]) -> int:
    """The short side of the whole picture with which the part that counts covers `wanted`.

    size: (width, height) of the picture at any scale. 0 stands for all there is.
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
    """(width, height) to shrink to: by a whole factor, which averages exactly and is cheapest,
    then by whatever it takes to fit into slot_bytes. wanted: short side in pixels, 0 for all.
    """
    factor = max(1, min(width, height) // wanted) if wanted else 1
    width, height = max(1, width // factor), max(1, height // factor)
    if width * height * 3 > slot_bytes:
        ratio = math.sqrt(slot_bytes / (width * height * 3))
        width, height = max(1, int(width * ratio)), max(1, int(height * ratio))
    return width, height
