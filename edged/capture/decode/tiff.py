"""Reads the first directory of a TIFF structure: a TIFF picture or EXIF data."""

from __future__ import annotations

import struct
from typing import Final

TIFF_BEGINS: Final = (b"II", b"MM")
WIDTH: Final = 0x0100
HEIGHT: Final = 0x0101
ORIENTATION: Final = 0x0112
TILE_WIDTH: Final = 0x0142
TILE_HEIGHT: Final = 0x0143
_WANTED = frozenset((WIDTH, HEIGHT, ORIENTATION, TILE_WIDTH, TILE_HEIGHT))
_NUMBERS = {1: "B", 3: "H", 4: "I", 16: "Q"}
"""struct format by type."""
_MOST_ENTRIES = 4096


def first_directory(data: bytes) -> dict[int, int]:
    """Single numbers of the tags above, as far as they are readable. Raises nothing."""
    order = {b"II": "<", b"MM": ">"}.get(bytes(data[:2]))
    if order is None or len(data) < 8:
        return {}
    big = struct.unpack_from(order + "H", data, 2)[0] == 43
    head, entry, value_at = ("Q", "HHQ", 12) if big else ("H", "HHI", 8)
    found: dict[int, int] = {}
    try:
        (at,) = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)
        (count,) = struct.unpack_from(order + head, data, at)
        at += struct.calcsize(order + head)
        for _ in range(min(count, _MOST_ENTRIES)):
            tag, kind, many = struct.unpack_from(order + entry, data, at)
            if tag in _WANTED and kind in _NUMBERS and many == 1:
                (found[tag],) = struct.unpack_from(order + _NUMBERS[kind], data, at + value_at)
            at += 20 if big else 12
    except (struct.error, OverflowError):
        pass
    return found
