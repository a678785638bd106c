"""JPEG pictures at the smallest scale that will do.

The decoder (libjpeg-turbo) can leave out the finer frequencies and so give 1/2, 1/4 or 1/8 of the
size for a fraction of the time. OpenCV, which takes 10 MB of a capture process, is loaded for those
pictures only that need it: with four colours, or turned by their header.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np
import simplejpeg
from numpy.typing import NDArray

_BEGIN, _END = b"\xff\xd8", b"\xff\xd9"
_SIZE_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BARE_MARKERS = frozenset((0x01, *range(0xD0, 0xD9)))
_SCAN_MARKER = 0xDA
_SEGMENT = struct.Struct(">BBH")
"""0xFF, marker, length from here on."""
_FRAME = struct.Struct(">5xHHB")
"""Of a size marker's segment: height, width, number of colours."""
_SHORTEST_SEGMENT = 10
"""Of those that are looked into."""
_MOST_PIXELS = 7680 * 4320
"""8K: 100 MB decoded, 200 MB as coefficients. A few bytes may claim 65,500 x 65,500."""
_AT_ONCE = (0xC0, 0xC1)
"""Markers of pictures that come in one scan, unless it holds some of the colours only."""


class _Header(NamedTuple):
    """width and height as they are stored; scan: where the first one begins.

    at_once: the decoder need not hold the coefficients of the whole picture.
    """

    width: int
    height: int
    colours: int
    at_once: bool
    scan: int | None


def decode_jpeg(data: bytes, wanted: int, *, honour_exif: bool = False) -> NDArray[np.uint8] | None:
    """uint8 (height, width, 3), RGB, whose short side covers `wanted` (0: full size) as far as the
    picture does; None when it is cut short, otherwise undecodable, or larger than 8K: at the
    scale that will do, or, if it is progressive, as it is stored.
    """
    header = _header(data)
    # The decoder fills up what is missing with grey: a picture without its end mark is refused
    # here. A thumbnail in the header has one of its own, which says nothing.
    if header is None or header.scan is None or data.rfind(_END, header.scan) < 0:
        return None
    divisor = reduction(min(header.width, header.height), wanted)
    width, height = -(-header.width // divisor), -(-header.height // divisor)
    held = width * height if header.at_once else header.width * header.height
    if held > _MOST_PIXELS:
        return None
    if honour_exif or header.colours == 4:
        return _decode_with_opencv(data, divisor, honour_exif=honour_exif)
    try:
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(
            data,
            "RGB",
            min_width=width,
            min_height=height,
            strict=False,  # drivers put stray bytes between the markers
        )
    except (ValueError, MemoryError):
        return None
    return pixels


def _decode_with_opencv(
    data: bytes, divisor: int, *, honour_exif: bool
) -> NDArray[np.uint8] | None:
    import cv2

    # It has no name for reduced colour in RGB order; the flags are bits that combine.
    flags = (
        cv2.IMREAD_COLOR_RGB
        | {
            1: 0,
            2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
            4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
            8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
        }[divisor]
    )
    if not honour_exif:
        flags |= cv2.IMREAD_IGNORE_ORIENTATION
    try:
        pixels: NDArray[np.uint8] | None = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        return None
    return pixels


def encode_jpeg(pixels: NDArray[np.uint8], quality: int) -> bytes:
    """Of uint8 RGB (height, width, 3), in one piece; colour at half the resolution (4:2:0)."""
    data: bytes = simplejpeg.encode_jpeg(pixels, quality, "RGB", "420")
    return data


def reduction(short_side: int, wanted: int) -> int:
    """8, 4, 2 or 1: the largest whose short side (rounded up by the decoder) covers `wanted`."""
    if wanted == 0:
        return 1
    return next((n for n in (8, 4, 2) if -(-short_side // n) >= wanted), 1)


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) from the header, before any EXIF rotation; None when there is none."""
    header = _header(data)
    return None if header is None else (header.width, header.height)


def _header(data: bytes) -> _Header | None:
    """None when no size stands in it."""
    frame, scan, at_once = None, None, False
    position, last = 2 if data[:2] == _BEGIN else len(data), len(data) - _SHORTEST_SEGMENT
    while position <= last:
        begin, marker, length = _SEGMENT.unpack_from(data, position)
        if begin != 0xFF:
            break
        if marker == _SCAN_MARKER:
            scan = position
            break
        if marker == 0xFF:  # padding
            position += 1
        elif marker in _BARE_MARKERS:
            position += 2
        else:
            if marker in _SIZE_MARKERS:
                frame, at_once = position, marker in _AT_ONCE
            position += 2 + length
    if frame is None:
        return None
    height, width, colours = _FRAME.unpack_from(data, frame)
    if scan is not None:
        at_once = at_once and data[scan + 4] >= colours
    return _Header(width, height, colours, at_once, scan) if width and height else None
