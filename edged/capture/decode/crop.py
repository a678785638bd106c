"""Cuts the views out of a source's picture, and shrinks and rotates it for the mailbox.

Pixels are uint8 (height, width, 3), RGB, already upright according to their file or stream; the
user's rotation and flip follow. Crop, rotation and flip are views; only shrinking copies.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from edged.capture.decode.orientation import Orientation, of_user
from edged.capture.frame import Place
from edged.capture.source import CaptureRequest, Roi, ViewRequest

Region: TypeAlias = "tuple[int, int, int, int]"
"""Left, top, width and height in pixels."""


def cut(
    pixels: NDArray[np.uint8],
    places: Mapping[int, Place],
    factor: int,
    orientation: Orientation,
    slot_bytes: int,
    *,
    whole: bool = False,
) -> tuple[NDArray[np.uint8], dict[int, Place]]:
    """(the part of a source's picture that holds all places, the places in that part).

    It is shrunk by the factor, and as needed to fit into a slot, rotated and flipped. whole: not
    only the part.
    """
    bottom, right, _ = pixels.shape
    left = top = 0
    if not whole:
        left, top, right, bottom = right, bottom, 0, 0
        for x, y, width, height, _ in places.values():
            left, top = min(left, x), min(top, y)
            right, bottom = max(right, x + width), max(bottom, y + height)
    size = (right - left) // factor * factor, (bottom - top) // factor * factor
    pixels = pixels[top : top + size[1], left : left + size[0]]
    target = target_size(*size, factor, slot_bytes)
    if target != size:
        import cv2  # not needed for streams, which are scaled when they are converted

        pixels = cv2.resize(pixels, target, interpolation=cv2.INTER_AREA)
    moved = {}
    for view, (x, y, width, height, wanted) in places.items():
        column, columns = _scaled(x - left, width, size[0], target[0])
        row, rows = _scaled(y - top, height, size[1], target[1])
        moved[view] = Place(*orientation.shown((column, row, columns, rows), target), wanted)
    return orientation.upright(pixels), moved


def _scaled(first: int, pixels: int, side: int, target: int) -> tuple[int, int]:
    """(first pixel, number of pixels, at least 1) when a side is scaled to `target`."""
    if side == target:
        return first, pixels
    scaled = max(1, min(round(pixels * target / side), target))
    return min(round(first * target / side), target - scaled), scaled


def region(request: CaptureRequest, size: tuple[int, int]) -> Region:
    """`roi` in the source's picture, before rotation and flip. size: its (width, height)."""
    return _part(request.roi, of_user(request.rotate, request.flip), size)


def region_of(view: ViewRequest, orientation: Orientation, size: tuple[int, int]) -> Region:
    """What a view shows of the source's picture, before rotation and flip."""
    left, top, width, height = _part(view.roi, orientation, size)
    if not view.square:
        return left, top, width, height
    side = min(width, height)
    return left + (width - side) // 2, top + (height - side) // 2, side, side


def _part(roi: Roi | None, orientation: Orientation, size: tuple[int, int]) -> Region:
    if roi is None:
        return 0, 0, *size
    left, top, width, height = roi
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
    """The short side that the whole picture needs for each view to cover `wanted`; 0 for full size.

    size: (width, height) of the picture at any scale.
    """
    orientation = of_user(request.rotate, request.flip)
    regions = (region_of(view, orientation, size) for view in request.numbered.values())
    return max(side_for(wanted, region, size) for region in regions)


def side_for(wanted: int, region: Region, size: tuple[int, int]) -> int:
    """The short side that the whole picture, of `size`, needs for the region to cover `wanted`."""
    return -(-wanted * min(size) // min(region[2:])) if min(size) else wanted


def centre_square(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width, _ = pixels.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[top : top + side, left : left + side]


def shrinks_by(short_side: int, wanted: int) -> int:
    """The integer factor that leaves `wanted` pixels, 0 for full size."""
    return max(1, short_side // wanted) if wanted else 1


def target_size(width: int, height: int, factor: int, slot_bytes: int) -> tuple[int, int]:
    """(width, height) to shrink to: by a factor of both, which averages exactly and is cheapest,
    then as needed to fit into slot_bytes.
    """
    width, height = width // factor, height // factor
    if width * height * 3 > slot_bytes:
        ratio = math.sqrt(slot_bytes / (width * height * 3))
        width, height = max(1, int(width * ratio)), max(1, int(height * ratio))
    return width, height
