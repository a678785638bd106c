"""The size that a camera which scales by itself is asked for. Pure."""

from __future__ import annotations

COVERED_SIDE = 256
"""Short side in pixels: MobileNet v1's largest resolution is 224, and 224 is 0.875 of it."""


def covering_size(width: int, height: int, short_side: int) -> tuple[int, int]:
    """(width, height) of the same shape, even, whose short side is the first even number that
    covers `short_side`; never larger than the picture is.
    """
    short = min(width, height)
    if short <= short_side:
        return width // 2 * 2, height // 2 * 2
    side = -(-short_side // 2) * 2
    return _even(width * side / short), _even(height * side / short)


def _even(side: float) -> int:
    return round(side / 2) * 2
