"""Uncompressed pixel formats of cameras: cropped and shrunk before the conversion to RGB.

A network uses about a fifth of the sides of a 720p picture, so averaging Y, U and V first saves
most of the conversion.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

_MOST_AVERAGED = 257
"""Number of bytes whose sum fits into 16 bits."""
_PAYS_FROM = 3
"""Halving is cheaper after the conversion: OpenCV has vector code for it."""


@dataclass(frozen=True, slots=True)
class Plane:
    """`group` bytes encode `columns` pixels of a row; the plane has one row for every `rows`.

    luma: the index of Y0 in a group of four bytes, with Y1 two further on and U and V between; None
    if the bytes of a group belong to the same pixels.
    """

    group: int = 1
    columns: int = 1
    rows: int = 1
    luma: int | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """The planes of a format in memory, and its OpenCV conversion to RGB (None if it is RGB)."""

    planes: tuple[Plane, ...]
    conversion: int | None

    @property
    def unit(self) -> int:
        """Corners and sides of a crop are multiples of it."""
        return max(max(plane.columns, plane.rows) for plane in self.planes)

    @property
    def bytes_per_pixel(self) -> float:
        return sum(plane.group / (plane.columns * plane.rows) for plane in self.planes)

    def strides(self, width: int, bytes_per_line: int) -> list[int]:
        """Bytes per row of each plane. bytes_per_line: of the first plane, 0 for no padding."""
        first = self.planes[0]
        line = max(bytes_per_line, width * first.group // first.columns)
        return [
            line * first.columns * plane.group // (first.group * plane.columns)
            for plane in self.planes
        ]


_CHROMA_PAIRS = Plane(2, 2, 2)
_CHROMA = Plane(1, 2, 2)

LAYOUTS = {
    "YUYV": Layout((Plane(4, 2, luma=0),), cv2.COLOR_YUV2RGB_YUYV),
    "YVYU": Layout((Plane(4, 2, luma=0),), cv2.COLOR_YUV2RGB_YVYU),
    "UYVY": Layout((Plane(4, 2, luma=1),), cv2.COLOR_YUV2RGB_UYVY),
    "NV12": Layout((Plane(), _CHROMA_PAIRS), cv2.COLOR_YUV2RGB_NV12),
    "NV21": Layout((Plane(), _CHROMA_PAIRS), cv2.COLOR_YUV2RGB_NV21),
    "YU12": Layout((Plane(), _CHROMA, _CHROMA), cv2.COLOR_YUV2RGB_I420),
    "YV12": Layout((Plane(), _CHROMA, _CHROMA), cv2.COLOR_YUV2RGB_YV12),
    "GREY": Layout((Plane(),), cv2.COLOR_GRAY2RGB),
    "BGR3": Layout((Plane(3),), cv2.COLOR_BGR2RGB),
    "RGB3": Layout((Plane(3),), None),
}
"""By V4L2 name."""


def raw_to_rgb(
    raw: NDArray[np.uint8],
    layout: Layout,
    size: tuple[int, int],
    wanted: int,
    *,
    region: tuple[int, int, int, int] | None = None,
    square: bool = False,
    bytes_per_line: int = 0,
) -> NDArray[np.uint8] | None:
    """uint8 (height, width, 3), RGB; None if `raw` is incomplete.

    size: (width, height) of the picture in `raw`. region: (left, top, width, height) in pixels of
    the part to use, None for all. wanted: the short side in pixels that it must cover, 0 for full
    size. square: use only its centre square. bytes_per_line: of the first plane with padding, 0 for
    no padding. A crop starts at an even pixel; shrinking by n loses up to 2n - 1 pixels of a side.
    """
    width, height = size
    seen_left, seen_top, *seen_size = region or (0, 0, width, height)
    short = min(seen_size)
    factor = shrink_factor(short, wanted, layout.unit)
    crop_width, crop_height = (
        side - side % (layout.unit * factor) for side in ((short,) * 2 if square else seen_size)
    )
    if not crop_width or not crop_height or not min(size):
        return None
    left, top = (
        (begin + (whole - side) // 2) // layout.unit * layout.unit
        for begin, whole, side in zip(
            (seen_left, seen_top), seen_size, (crop_width, crop_height), strict=True
        )
    )
    flat, offset = raw.reshape(-1), 0
    parts = []
    for plane, stride in zip(layout.planes, layout.strides(width, bytes_per_line), strict=True):
        lines = height // plane.rows
        held = flat[offset : offset + lines * stride]
        offset += lines * stride
        if held.size < lines * stride:
            return None
        begin, bytes_wide = (pixels * plane.group // plane.columns for pixels in (left, crop_width))
        seen = held.reshape(lines, stride)[
            top // plane.rows : (top + crop_height) // plane.rows, begin : begin + bytes_wide
        ]
        parts.append(seen if factor == 1 else _shrunk(seen, plane, factor))
    rows, columns = crop_height // factor, crop_width // factor
    return _converted(parts, layout, columns, rows)


def shrink_factor(short_side: int, wanted: int, unit: int) -> int:
    """The largest n for which the side, a multiple of `unit`, covers `wanted`; 1 if shrinking
    before the conversion saves nothing."""
    factor = min(short_side // wanted, _MOST_AVERAGED) if wanted else 1
    while factor >= _PAYS_FROM and short_side // (factor * unit) * unit < wanted:
        factor -= 1
    return factor if factor >= _PAYS_FROM else 1


def _shrunk(seen: NDArray[np.uint8], plane: Plane, factor: int) -> NDArray[np.uint8]:
    """The same layout; each byte is the mean of factor x factor bytes of its kind."""
    summed = np.add(seen[0::factor], seen[1::factor], dtype=np.uint16)
    for row in range(2, factor):
        summed += seen[row::factor]
    weights = _weights(plane, factor)
    groups = summed.reshape(-1, weights.shape[0]).astype(np.float32)
    means = cv2.gemm(groups, weights, 1.0, None, 0.0)
    bytes_again: NDArray[np.uint8] = cv2.convertScaleAbs(means)
    return bytes_again.reshape(len(summed), -1)


@lru_cache(maxsize=16)
def _weights(plane: Plane, factor: int) -> NDArray[np.float32]:
    """(group * factor, group): weights of the bytes of `factor` groups in the resulting group."""
    weights = np.tile(np.eye(plane.group, dtype=np.float32), (factor, 1))
    if plane.luma is not None:  # Y0 takes the left half of all Y, Y1 the right one
        first, second = plane.luma, plane.luma + 2
        weights[:, (first, second)] = 0
        for index in range(2 * factor):
            weights[2 * index + first, first if index < factor else second] = 1
    weights /= factor * factor
    return weights


def _converted(
    parts: list[NDArray[np.uint8]], layout: Layout, columns: int, rows: int
) -> NDArray[np.uint8]:
    shape = (-1, columns) if len(parts) > 1 else (rows, columns, -1)
    together = np.concatenate([part.reshape(-1) for part in parts]).reshape(shape)
    if layout.conversion is None:
        return together
    pixels: NDArray[np.uint8] = cv2.cvtColor(together, layout.conversion)
    return pixels
