"""The size to request from a camera that scales in hardware. Pure."""

from __future__ import annotations

COVERED_SIDE = 256
"""Short side in pixels: 224, MobileNet v1's largest resolution, is 0.875 of it."""


def covering_size(width: int, height: int, short_side: int) -> tuple[int, int]:
    """(width, height), even, of the same aspect ratio, whose short side is the smallest even number
    that covers `short_side`; never larger than the picture.
    """
    short = min(width, height)
    if short <= short_side:
        return width // 2 * 2, height // 2 * 2
    side = -(-short_side // 2) * 2
    return _even(width * side / short, width), _even(height * side / short, height)


def _even(side: float, most: int) -> int:
    return min(round(side / 2), most // 2) * 2
