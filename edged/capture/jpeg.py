"""JPEG pictures at the smallest scale that will do.

The decoder (libjpeg inside OpenCV) can leave out the finer frequencies and so give 1/2, 1/4 or 1/8
of the size for a fraction of the time.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_BEGIN, _END = b"\xff\xd8", b"\xff\xd9"
_SIZE_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BARE_MARKERS = frozenset((0x01, *range(0xD0, 0xD9)))
_SCAN_MARKER = 0xDA
# OpenCV has no name for reduced colour in RGB order; the flags are bits that combine.
_REDUCED = {
    1: 0,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
}


def decode_jpeg(data: bytes, wanted: int, *, honour_exif: bool = False) -> NDArray[np.uint8] | None:
    """uint8 (height, width, 3), RGB, whose short side covers `wanted` (0: full size) as far as the
    picture does; None when it is cut short or otherwise undecodable.
    """
    size, scan = _header(data)
    # OpenCV fills up what is missing with grey: a picture without its end mark is refused here.
    # A thumbnail in the header has one of its own, which says nothing.
    if size is None or scan is None or data.rfind(_END, scan) < 0:
        return None
    flags = cv2.IMREAD_COLOR_RGB | _REDUCED[reduction(min(size), wanted)]
    if not honour_exif:
        flags |= cv2.IMREAD_IGNORE_ORIENTATION
    try:
        pixels: NDArray[np.uint8] | None = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        return None
    return pixels


def reduction(short_side: int, wanted: int) -> int:
    """8, 4, 2 or 1: the largest whose short side (rounded up by the decoder) covers `wanted`."""
    if wanted == 0:
        return 1
    return next((n for n in (8, 4, 2) if -(-short_side // n) >= wanted), 1)


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) from the header, before any EXIF rotation; None when there is none."""
    return _header(data)[0]


def _header(data: bytes) -> tuple[tuple[int, int] | None, int | None]:
    """((width, height), where the first scan begins); None for what is not there."""
    size = None
    position = 2 if data[:2] == _BEGIN else len(data)
    while position + 9 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # padding
            position += 1
        elif marker in _BARE_MARKERS:
            position += 2
        elif marker == _SCAN_MARKER:
            return size, position
        else:
            if marker in _SIZE_MARKERS:
                size = _dimensions(data[position : position + 9])
            position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return size, None


def _dimensions(frame: bytes) -> tuple[int, int] | None:
    """Of a frame header, whose marker is its first two bytes."""
    height, width = int.from_bytes(frame[5:7], "big"), int.from_bytes(frame[7:9], "big")
    return (width, height) if width and height else None
