"""Suffixes of picture files and the size limit of pictures. Imports no heavy library."""

from __future__ import annotations

from typing import Final

SUFFIXES: Final = frozenset((".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"))
MOST_PIXELS: Final = 7680 * 4320
"""8K, 100 MB decoded; for JPEG at the scale of decoding. Checked before memory is allocated,
because a header may claim 65,500 x 65,500."""


class BrokenPictureError(ValueError):
    """What is wrong with a picture, without its name."""


def too_large(width: int, height: int) -> BrokenPictureError:
    most = f"{MOST_PIXELS:,} pixels (7680x4320)"
    return BrokenPictureError(f"{width}x{height} is too large; the limit is {most}")
