"""The eight orientations of a stored picture.

EXIF, the display matrix of a video and the user's `rotate` and `flip` are converted to an
`Orientation`; that of the file or stream is applied first. It is a view of the pixels, not a copy.
A display matrix with another angle is rounded to a quarter turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edged.capture.source import Flip


class Orientation(NamedTuple):
    """Exchange rows and columns if `transposed`, then reverse the rows if `upside_down` and the
    columns if `mirrored`."""

    transposed: bool = False
    upside_down: bool = False
    mirrored: bool = False

    def upright(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A view of `pixels` (height, width, channels)."""
        if self.transposed:
            pixels = pixels.swapaxes(0, 1)
        if self.upside_down or self.mirrored:
            pixels = pixels[:: -1 if self.upside_down else 1, :: -1 if self.mirrored else 1]
        return pixels

    def size(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) of the upright picture."""
        return (height, width) if self.transposed else (width, height)

    def shown(
        self, region: tuple[int, int, int, int], size: tuple[int, int]
    ) -> tuple[int, int, int, int]:
        """A region (left, top, width, height) of a stored picture of `size` in the upright one."""
        left, top, width, height = region
        if self.transposed:
            left, top, width, height = top, left, height, width
        wide, tall = self.size(*size)
        if self.mirrored:
            left = wide - left - width
        if self.upside_down:
            top = tall - top - height
        return left, top, width, height

    def stored(
        self, left: float, top: float, right: float, bottom: float
    ) -> tuple[float, float, float, float]:
        """A part of the upright picture in the stored one, as shares of a side."""
        if self.mirrored:
            left, right = 1 - right, 1 - left
        if self.upside_down:
            top, bottom = 1 - bottom, 1 - top
        return (top, left, bottom, right) if self.transposed else (left, top, right, bottom)


UPRIGHT: Final = Orientation()

_BY_EXIF: Final = {
    1: UPRIGHT,
    2: Orientation(mirrored=True),
    3: Orientation(upside_down=True, mirrored=True),
    4: Orientation(upside_down=True),
    5: Orientation(transposed=True),
    6: Orientation(transposed=True, mirrored=True),
    7: Orientation(transposed=True, upside_down=True, mirrored=True),
    8: Orientation(transposed=True, upside_down=True),
}
_BY_DEGREES: Final = {0: _BY_EXIF[1], 90: _BY_EXIF[6], 180: _BY_EXIF[3], 270: _BY_EXIF[8]}


def of_exif(number: int | None) -> Orientation:
    """number: EXIF tag 0x0112. Undefined numbers count as upright."""
    return UPRIGHT if number is None else _BY_EXIF.get(number, UPRIGHT)


def of_user(rotate: int, flip: Flip | None) -> Orientation:
    """rotate: degrees clockwise, a multiple of 90; flip is applied after it."""
    turned = _BY_DEGREES[rotate % 360]
    if flip == "horizontal":
        return turned._replace(mirrored=not turned.mirrored)
    if flip == "vertical":
        return turned._replace(upside_down=not turned.upside_down)
    return turned


def of_matrix(matrix: Sequence[int]) -> Orientation:
    """FFmpeg's display matrix, row by row: x' = a x + c y, y' = b x + d y, y counts downwards."""
    a, b, _, c, d = (int(value) for value in matrix[:5])
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Orientation(upside_down=d < 0, mirrored=a < 0)
    return Orientation(transposed=True, upside_down=b < 0, mirrored=c < 0)
