"""When a photo was taken, according to its EXIF data."""

from __future__ import annotations

import struct
from contextlib import suppress
from datetime import datetime

_FRONT = 256 * 1024
_EXIF = b"Exif\0\0"
_DATE, _DIRECTORY = 0x0132, 0x8769
_TAKEN, _OFFSET = 0x9003, 0x9011
_ASCII, _LONG = 2, 4
_MOST_ENTRIES = 512


def taken_unix(jpeg: bytes) -> float | None:
    """Seconds since 1970; without a time zone in the file the camera's clock counts as UTC. None
    if unknown. Raises nothing."""
    at = jpeg.find(_EXIF, 0, _FRONT)
    if at < 0:
        return None
    tiff = jpeg[at + len(_EXIF) : at + len(_EXIF) + 65536]
    with suppress(struct.error, ValueError, OverflowError, LookupError):
        order = {b"II": "<", b"MM": ">"}[tiff[:2]]
        first = _directory(tiff, order, struct.unpack_from(order + "I", tiff, 4)[0])
        inner = {}
        if _DIRECTORY in first:
            (begin,) = struct.unpack(order + "I", first[_DIRECTORY])
            inner = _directory(tiff, order, begin)
        text = inner.get(_TAKEN) or first[_DATE]
        zone = inner.get(_OFFSET, b"").decode("ascii").strip("\0 ") or "+00:00"
        stamp = text.decode("ascii").strip("\0 ")
        return datetime.strptime(f"{stamp} {zone}", "%Y:%m:%d %H:%M:%S %z").timestamp()
    return None


def _directory(tiff: bytes, order: str, begin: int) -> dict[int, bytes]:
    """The values of texts and numbers, by tag. Raises struct.error."""
    (count,) = struct.unpack_from(order + "H", tiff, begin)
    found = {}
    for index in range(min(count, _MOST_ENTRIES)):
        at = begin + 2 + 12 * index
        tag, kind, length = struct.unpack_from(order + "HHI", tiff, at)
        if kind == _LONG and length == 1:
            found[tag] = tiff[at + 8 : at + 12]
        elif kind == _ASCII:
            (place,) = (at + 8,) if length <= 4 else struct.unpack_from(order + "I", tiff, at + 8)
            found[tag] = tiff[place : place + min(length, 64)]
    return found
