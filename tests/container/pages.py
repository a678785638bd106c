"""The largest pages of memory that programs and libraries can be loaded with.

A Raspberry Pi 5 has pages of 16 KiB, where a file that is laid out for 4 KiB does not load.
"""

from __future__ import annotations

import struct
from pathlib import Path

_LOADED = 1
"""PT_LOAD of elf(5)."""


def largest_page(path: Path) -> int | None:
    """In bytes: the smallest alignment of its loaded segments. None for another kind of file."""
    with path.open("rb") as file:
        header = file.read(64)
        if header[:6] != b"\x7fELF\x02\x01":
            return None
        (start,) = struct.unpack_from("<Q", header, 32)
        size, count = struct.unpack_from("<HH", header, 54)
        file.seek(start)
        segments = file.read(size * count)
    kinds = (struct.unpack_from("<I", segments, at)[0] for at in range(0, len(segments), size))
    aligned = (
        struct.unpack_from("<Q", segments, at + 48)[0] for at in range(0, len(segments), size)
    )
    return min(
        (by for kind, by in zip(kinds, aligned, strict=True) if kind == _LOADED), default=None
    )
