"""The newest picture of one camera, in memory shared with its capture process.

A picture is for some of the camera's views: for each of these, the record has the rectangle that
the view shows. A view for which the picture before it was meant, but which has not seen that, is
served by the new one.

The writer (child) never waits for a slow reader and never touches the slot that the reader holds.
The reader (daemon) never waits for a writer, even a stopped or dead one. The memory is a memfd,
which has no name and so leaves nothing behind. It also holds the counters and the sequence number,
which therefore continue when the child is replaced. The reader does not trust the child: an invalid
record is counted as broken.

Header, 64-bit words in native order:
    0 magic   1 version   2 slots   3 bytes of a slot
    4 newest: sequence << 8 | slot, in one word, so that it is written atomically
    5 held: the slot that the reader uses, or NO_SLOT   6 seen: the value of `newest` last taken
    7 show whole: 1 if the reader needs the whole picture
    8 captured   9 overwritten   10 skipped   11 broken: all before decoding
    12 unneeded: decoded, but for no view   13 views   14 off: before decoding, as no view is on
    16 + view: wanted, short side in pixels
    48 + 3 * view: overwritten, skipped, quiet: of this view alone
    144 + 168 * slot: width, height, captured_ns, received_ns, ready_ns, leader: the view that
        determined the scale, whole: 1 if nothing is cut off, edition: of the views that it was
        made for; then for each view left, top, width, height, wanted; width 0 if the picture is
        not for it
"""

from __future__ import annotations

import mmap
import struct
from typing import Final

import numpy as np
from numpy.typing import NDArray

MAGIC: Final = int.from_bytes(b"edgedbox", "little")
VERSION: Final = 2
SLOTS: Final = 3
"""One being written, one newest, one with the reader."""
HEADER_BYTES: Final = 8192
NO_SLOT: Final = 255
NUMBERS: Final = 32
"""Of views: twice as many as a camera may have, so that one that changes gets another number."""

MAGIC_AT, VERSION_AT, SLOTS_AT, SLOT_BYTES_AT, NEWEST, HELD, SEEN, SHOW_WHOLE = range(8)
CAPTURED, OVERWRITTEN, SKIPPED, BROKEN, UNNEEDED, VIEWS, OFF = range(8, 15)
WANTED = 16
VIEW_COUNTS, COUNTS = WANTED + NUMBERS, 3
RECORDS = VIEW_COUNTS + COUNTS * NUMBERS
HEAD, PLACE = struct.Struct("=8Q"), struct.Struct("=5Q")
RECORD_WORDS = (HEAD.size + NUMBERS * PLACE.size) // 8


def pages(size: int) -> int:
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE


def record_at(slot: int) -> int:
    """Offset in bytes of the head; the places follow it."""
    return 8 * (RECORDS + RECORD_WORDS * slot)


def slot_pixels(
    memory: mmap.mmap | memoryview, slot_bytes: int, slot: int, height: int, width: int
) -> NDArray[np.uint8]:
    """Its picture; writable if the memory is."""
    offset = HEADER_BYTES + slot * pages(slot_bytes)
    pixels: NDArray[np.uint8] = np.ndarray((height, width, 3), np.uint8, memory, offset)
    return pixels
