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
    size = jpeg_size(data)
    # OpenCV fills up what is missing with grey: a picture without its end mark is refused here.
    if size is None or _END not in data:
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
    if data[:2] != _BEGIN:
        return None
    position = 2
    while position + 9 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # padding
            position += 1
        elif marker in _BARE_MARKERS:
            position += 2
        elif marker in _SIZE_MARKERS:
            height = int.from_bytes(data[position + 5 : position + 7], "big")
            width = int.from_bytes(data[position + 7 : position + 9], "big")
            return (width, height) if width and height else None
        elif marker == _SCAN_MARKER:
            return None
        else:
            position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return None
