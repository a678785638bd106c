"""Reads picture files: JPEG, PNG, WebP, TIFF, BMP, GIF and PNM.

Size and orientation are read from the header before decoding. Other formats are rejected, because
their size would not be known.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edged.capture.decode import jpeg
from edged.capture.decode.orientation import UPRIGHT, Orientation, of_exif
from edged.capture.decode.pictures import MOST_PIXELS, BrokenPictureError, too_large
from edged.capture.decode.tiff import (
    HEIGHT,
    ORIENTATION,
    TIFF_BEGINS,
    TILE_HEIGHT,
    TILE_WIDTH,
    WIDTH,
    first_directory,
)

MOST_BYTES: Final = 128 * 1024 * 1024
"""Of a file: MOST_PIXELS uncompressed with transparency."""
_SILENT = 0
_NO_PICTURE = "incomplete picture"
_PNM = re.compile(rb"P[1-6](?:\s|#[^\n]*\n)+(\d{1,9})(?:\s|#[^\n]*\n)+(\d{1,9})\s")
_PNM_HEADER = 4096
_MOST_CHUNKS = 65_536


def read_picture(path: Path) -> bytes:
    """The content of a picture file. Raises BrokenPictureError."""
    try:
        if not path.is_file():  # opening a FIFO would block
            raise BrokenPictureError("not a file" if path.exists() else "no such file")
        if path.stat().st_size > MOST_BYTES:
            raise _too_long()
        return path.read_bytes()
    except OSError as error:
        raise BrokenPictureError(f"cannot be read: {error.strerror}") from None


def decode_picture(data: bytes, wanted: int) -> NDArray[np.uint8]:
    """uint8 (height, width, 3), RGB, upright; JPEG at a scale whose short side covers `wanted`
    (0: full size) if the picture does. Grey, CMYK, 16-bit and transparent pictures are converted.
    Raises BrokenPictureError for a damaged, truncated or too large picture.
    """
    if len(data) > MOST_BYTES:
        raise _too_long()
    if data[:2] == jpeg.BEGIN:
        return jpeg.decoded(data, wanted)
    size, orientation = _header(data)
    if size[0] * size[1] > MOST_PIXELS:
        raise too_large(*size)
    import cv2  # 10 MB, which JPEG does not need

    # edged reports broken pictures itself. OpenCV 5 moved the function.
    (getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel)(_SILENT)
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        pixels: NDArray[np.uint8] | None = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        pixels = None
    if pixels is None:
        raise BrokenPictureError(_NO_PICTURE)
    # OpenCV applies a TIFF's orientation despite the flag.
    return pixels if data[:2] in TIFF_BEGINS else orientation.upright(pixels)


def picture_size(data: bytes) -> tuple[int, int]:
    """(width, height) of the upright picture, from its header. Raises BrokenPictureError."""
    if data[:2] == jpeg.BEGIN:
        size = jpeg.jpeg_size(data)
        if size is None:
            raise BrokenPictureError(_NO_PICTURE)
        return size
    stored, orientation = _header(data)
    return orientation.size(*stored)


def _too_long() -> BrokenPictureError:
    return BrokenPictureError(f"the file is larger than {MOST_BYTES >> 20} MB")


def _header(data: bytes) -> tuple[tuple[int, int], Orientation]:
    """((width, height) as stored, orientation) of all formats but JPEG."""
    try:
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            return struct.unpack_from(">II", data, 16), _png_orientation(data)
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _webp_header(data)
        if data[:2] in TIFF_BEGINS:
            tags = first_directory(data)
            # libtiff allocates whole tiles.
            size = tags[WIDTH], tags[HEIGHT]
            tile = tags.get(TILE_WIDTH, 1), tags.get(TILE_HEIGHT, 1)
            if tile[0] * tile[1] > MOST_PIXELS:
                raise too_large(*tile)
            return size, of_exif(tags.get(ORIENTATION))
        if data[:2] == b"BM":
            if struct.unpack_from("<I", data, 14) == (12,):
                return struct.unpack_from("<HH", data, 18), UPRIGHT
            width, height = struct.unpack_from("<ii", data, 18)
            return (abs(width), abs(height)), UPRIGHT
        if data[:4] == b"GIF8":
            return struct.unpack_from("<HH", data, 6), UPRIGHT
        if match := _PNM.match(data[:_PNM_HEADER]):
            return (int(match[1]), int(match[2])), UPRIGHT
    except (struct.error, KeyError):
        raise BrokenPictureError(_NO_PICTURE) from None
    if not data:
        raise BrokenPictureError(_NO_PICTURE)
    raise BrokenPictureError("not a picture of a supported format")


def _png_orientation(data: bytes) -> Orientation:
    """From the eXIf chunk, if any. Raises BrokenPictureError for a chunk longer than the file, for
    which OpenCV would allocate up to 4 GB.
    """
    at, orientation = 8, UPRIGHT
    for _ in range(_MOST_CHUNKS):
        (length,) = struct.unpack_from(">I", data, at)
        kind, end = data[at + 4 : at + 8], at + 12 + length
        if kind == b"IEND":
            return orientation
        if end > len(data):
            break
        if kind == b"eXIf":
            orientation = of_exif(first_directory(data[at + 8 : end]).get(ORIENTATION))
        at = end
    raise BrokenPictureError(_NO_PICTURE)


def _webp_header(data: bytes) -> tuple[tuple[int, int], Orientation]:
    kind = data[12:16]
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return (width & 0x3FFF, height & 0x3FFF), UPRIGHT
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return ((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1), UPRIGHT
    if kind != b"VP8X":
        raise BrokenPictureError(_NO_PICTURE)
    width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
    at, orientation = 12, UPRIGHT
    for _ in range(_MOST_CHUNKS):
        if at + 8 > len(data):
            break
        (length,) = struct.unpack_from("<I", data, at + 4)
        if data[at : at + 4] == b"EXIF":
            tiff = data[at + 8 : at + 8 + length].removeprefix(b"Exif\0\0")
            orientation = of_exif(first_directory(tiff).get(ORIENTATION))
            break
        at += 8 + length + length % 2
    return (width, height), orientation
