"""What all readers of pictures share: the names of picture files, and how large a picture may be.

Nothing here imports a heavy library.
"""

from __future__ import annotations

from typing import Final

SUFFIXES: Final = frozenset((".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"))
MOST_PIXELS: Final = 7680 * 4320
"""8K, 100 MB decoded. Of a JPEG at the scale that it is decoded at. Headers of a few bytes may
claim 65,500 x 65,500, and that is found out before anything is allocated."""


class BrokenPictureError(ValueError):
    """Says what is wrong with a picture, without naming it."""


def too_large(width: int, height: int) -> BrokenPictureError:
    most = f"{MOST_PIXELS:,} pixels (7680x4320)"
    return BrokenPictureError(f"{width}x{height} is too large: at most {most} are decoded")
