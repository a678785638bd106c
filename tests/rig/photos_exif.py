"""JPEG files with EXIF data, as a camera writes them."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from edged.capture.decode.jpeg import encode_jpeg


def with_time(
    pixels: NDArray[np.uint8], taken: str, zone: str | None = None, *, order: bytes = b"MM"
) -> bytes:
    """taken: as EXIF writes it, `2026:11:30 10:15:00`."""
    sign = ">" if order == b"MM" else "<"
    texts = [(0x9003, taken.encode() + b"\0")]
    if zone is not None:
        texts.append((0x9011, zone.encode() + b"\0"))
    first = 8
    inner = first + 2 + 12 + 4
    text_at = inner + 2 + 12 * len(texts) + 4
    tiff = order + struct.pack(sign + "HI", 42, first)
    tiff += struct.pack(sign + "HHHII", 1, 0x8769, 4, 1, inner) + bytes(4)
    tiff += struct.pack(sign + "H", len(texts))
    for tag, text in texts:
        place = struct.pack(sign + "I", text_at) if len(text) > 4 else text.ljust(4, b"\0")
        tiff += struct.pack(sign + "HHI", tag, 2, len(text)) + place
        text_at += len(text) if len(text) > 4 else 0
    tiff += bytes(4) + b"".join(text for _, text in texts if len(text) > 4)
    body = b"Exif\0\0" + tiff
    jpeg = encode_jpeg(pixels, 90)
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]
