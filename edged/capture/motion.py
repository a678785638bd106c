"""Detects motion since the last picture that was delivered.

A picture is reduced to CELLS x CELLS means of its green channel, which suppresses most of the
sensor's noise. The rest is learnt from consecutive pictures, so that a dark, noisy scene is not
motion. A change common to all cells (exposure, a cloud) is not motion either. The reference is the
last picture delivered, not the previous one, so that slow motion accumulates. Edges look different
at another scale: each scale has its own reference.

Motion smaller than a cell and fainter than the threshold is missed.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edged.capture.source import Quiet

CELLS: Final = 24
NOISE_FACTOR: Final = 8
"""Times the median noise: more than five standard deviations of Gaussian noise, which even the
noisiest cell does not reach."""
NOISE_GAIN: Final = 0.1
"""Weight of the newest picture in the noise estimate."""
NOISE_MOST: Final = 4.0
"""In grey levels, as a standard deviation of 25 gives in a picture of 160 pixels; more than that is
motion that fills the region."""
SCALES: Final = 4
"""References to keep."""


class Motion:
    def __init__(self, settings: Quiet) -> None:
        self._threshold = settings.threshold
        self._hold_ns = settings.hold_seconds * 1e9
        self._longest_ns = settings.at_least_every_seconds * 1e9
        self._before: NDArray[np.float32] | None = None
        self._delivered: dict[tuple[int, ...], NDArray[np.float32]] = {}
        """By shape of the picture."""
        self._delivered_ns = 0
        self._moved_ns = 0
        self._noise = 0.0
        self._shape: tuple[int, ...] = ()

    def delivers(self, pixels: NDArray[np.uint8], captured_ns: int) -> bool:
        """Whether to deliver this picture, uint8 (height, width, 3)."""
        cells, shape = cells_of(pixels), pixels.shape
        reference = self._delivered.pop(shape, None)
        if self._before is None:
            self._moved_ns = captured_ns
        elif shape == self._shape:
            self._learn_noise(cells - self._before)
        if reference is not None:
            change = _own(cells - reference)
            if change.max() > max(self._threshold, NOISE_FACTOR * self._noise):
                self._moved_ns = captured_ns
        elif len(self._delivered) == SCALES:
            del self._delivered[next(iter(self._delivered))]
        self._delivered[shape] = cells if reference is None else reference
        self._before, self._shape = cells, shape
        if (
            captured_ns - self._moved_ns > self._hold_ns
            and captured_ns - self._delivered_ns < self._longest_ns
        ):
            return False
        self._delivered[shape], self._delivered_ns = cells, captured_ns
        return True

    def _learn_noise(self, difference: NDArray[np.float32]) -> None:
        """Motion that fills less than half of the picture hardly raises the median."""
        noise = float(_median(_own(difference)))
        self._noise = min(NOISE_MOST, self._noise + NOISE_GAIN * (noise - self._noise))


def _own(difference: NDArray[np.float32]) -> NDArray[np.float32]:
    """The absolute change of each cell, without the change common to all."""
    own: NDArray[np.float32] = np.abs(difference - _median(difference))
    return own


def _median(values: NDArray[np.float32]) -> np.float32:
    """The upper median; takes a quarter of np.median's time."""
    middle = values.size // 2
    found: np.float32 = np.partition(values, middle, axis=None)[middle]
    return found


def cells_of(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Means of the green channel, float32 (CELLS, CELLS); fewer if there are fewer pixels."""
    rows, heights = _parts(pixels.shape[0])
    columns, widths = _parts(pixels.shape[1])
    sums = np.add.reduceat(pixels[:, :, 1], rows, axis=0, dtype=np.uint32)
    sums = np.add.reduceat(sums, columns, axis=1)
    means: NDArray[np.float32] = (sums / np.outer(heights, widths)).astype(np.float32)
    return means


@lru_cache(maxsize=16)
def _parts(side: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(first pixel, number of pixels) of each cell along a side."""
    count = min(CELLS, side)
    first = np.arange(count) * side // count
    return first, np.diff(first, append=side)
