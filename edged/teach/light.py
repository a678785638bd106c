"""Lit copies of a picture: as a camera might see it at another hour.

Small networks lose much in other light than they were taught in; a lit copy of each picture gives
nearly all of it back (tests/benchmarks/teach.md). Night cannot be imitated: it must be taught.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

COPIES = 1
"""Lit copies that are taught beside each picture. The light of a copy depends on the picture, so
that the pictures of a class are lit in all ways together; more copies gain little."""

_LIGHTS: tuple[tuple[float, float, tuple[float, float, float]], ...] = (
    (0.42, 1.0, (1.15, 1.0, 0.8)),
    (1.0, 1.8, (0.85, 1.0, 1.1)),
    (0.8, 1.15, (1.3, 1.0, 0.68)),
    (0.75, 0.95, (0.7, 1.0, 1.28)),
    (1.35, 0.85, (1.0, 1.0, 1.0)),
)
"""Brightness, gamma, and gains of red, green and blue."""


def lit(pixels: NDArray[np.uint8], copy: int) -> NDArray[np.uint8]:
    """Copy number `copy` of an RGB picture (height, width, 3); 0 is the picture itself. The light
    of the first copy depends on the pixels, the next copies have the next lights."""
    if copy == 0:
        return pixels
    first = zlib.crc32(pixels.tobytes())
    brightness, gamma, gains = _LIGHTS[(first + copy) % len(_LIGHTS)]
    levels = brightness * (np.arange(256) / 255) ** gamma
    table = np.clip(np.rint(255 * np.outer(gains, levels)), 0, 255).astype(np.uint8)
    return np.stack([each[pixels[..., channel]] for channel, each in enumerate(table)], axis=-1)
