"""A picture of coloured fields, to see which part of it arrives."""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

from edged.capture.source import Roi

Pixels = NDArray[np.uint8]
HANGS = list(product((0, 90, 180, 270), (None, "horizontal", "vertical")))
COLUMNS, ROWS = 4, 3


def colour(column: int, row: int) -> tuple[int, int, int]:
    return 30 + 60 * column, 30 + 90 * row, 225 - 60 * column


def board(width: int = 640, height: int = 480) -> Pixels:
    """4 x 3 fields, each of its own colour."""
    picture = np.zeros((height, width, 3), np.uint8)
    for column, row in product(range(COLUMNS), range(ROWS)):
        ys = slice(row * height // ROWS, (row + 1) * height // ROWS)
        xs = slice(column * width // COLUMNS, (column + 1) * width // COLUMNS)
        picture[ys, xs] = colour(column, row)
    return picture


def field(column: int, row: int, columns: int = COLUMNS, rows: int = ROWS) -> Roi:
    return column / columns, row / rows, 1 / columns, 1 / rows


def hung(picture: Pixels, rotate: int, flip: str | None) -> Pixels:
    """What a camera gives whose picture `rotate` and `flip` make upright."""
    if flip == "horizontal":
        picture = picture[:, ::-1]
    elif flip == "vertical":
        picture = picture[::-1]
    return np.ascontiguousarray(np.rot90(picture, rotate // 90))


def is_field(pixels: Pixels, column: int, row: int, tolerance: int = 12) -> bool:
    """All of it but its edge, where compression smears."""
    edge = len(pixels) // 8
    inner = pixels[edge : len(pixels) - edge, edge : pixels.shape[1] - edge].astype(int)
    return bool(np.abs(inner - colour(column, row)).max() <= tolerance)
