"""Turns a picture into a network's input: square, of its resolution, uint8 NHWC RGB.

Normalisation is part of the networks.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from edged.capture.decode.crop import centre_square
from edged.variants.family import Fit, InputContract

cv2.setNumThreads(1)  # a picture takes a millisecond; waking threads for it only adds jitter

LINEAR_UP_TO = 1.25
"""A picture so little larger than the resolution is shrunk by INTER_LINEAR: the four pixels that it
looks at are nearly all, and it takes a fifth of INTER_AREA's time. On 982 imagenette photos, top-1
of 0.25 and 0.5 is with the one .798 and .810 (from 135 to 128), .825 and .854 (from 224 to 192),
with the other .797, .809, .826 and .850; from 224 to 160, beyond the limit, it is .4 and .5 points
lower."""


class Preprocessor:
    """Writes into one array of its own: valid until the next call, nothing allocated per frame."""

    def __init__(self, contract: InputContract, resolution: int) -> None:
        self._fit = contract.fit
        self._crop_fraction = contract.crop_fraction
        self._image = np.empty((1, resolution, resolution, 3), np.uint8)

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A camera's picture, RGB (height, width, 3), taken whole; returns (1, side, side, 3)."""
        seen = centre_square(pixels) if self._fit is Fit.CROP else pixels
        side = self._image.shape[1]
        short, long = sorted(seen.shape[:2])
        # INTER_AREA averages all pixels that fall into one; enlarging it would repeat pixels.
        averages = short >= side and long > LINEAR_UP_TO * side
        interpolation = cv2.INTER_AREA if averages else cv2.INTER_LINEAR
        cv2.resize(seen, (side, side), dst=self._image[0], interpolation=interpolation)
        return self._image

    def photo(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A photo of an evaluation: its centre, bilinear, as accuracy figures are defined.

        Bilinear as Pillow and PyTorch mean it: when it shrinks, the triangle widens so that every
        pixel counts. cv2.INTER_LINEAR looks at four pixels only, which moves top-1 by up to five
        points (0.25 at 128 on 650 ImageNet photos: .589 against .546).
        """
        seen = centre_square(pixels) if self._fit is Fit.CROP else pixels
        seen = centre(seen, self._crop_fraction)
        side = self._image.shape[1]
        height, width = seen.shape[:2]
        rows = _product(triangle(height, side), seen.reshape(height, -1).astype(np.float32))
        turned = rows.reshape(side, width, 3).swapaxes(0, 1).reshape(width, -1)
        both = _product(triangle(width, side), turned).reshape(side, side, 3).swapaxes(0, 1)
        self._image[0] = np.clip(np.rint(both), 0, 255)
        return self._image


@lru_cache(maxsize=32)
def triangle(length: int, side: int) -> NDArray[np.float32]:
    """(side, length): how much each of `length` pixels weighs in each of `side`; rows sum to 1."""
    reach = max(length / side, 1.0)
    centres = (np.arange(side) + 0.5) * length / side
    distances = np.abs(np.arange(length) + 0.5 - centres[:, None])
    weights = np.maximum(0, 1 - distances / reach)
    shares: NDArray[np.float32] = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return shares


def _product(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float32]:
    """As fast as NumPy's, whose threads take ten times as long on a machine that is busy."""
    product: NDArray[np.float32] = cv2.gemm(left, right, 1.0, None, 0.0)
    return product


def centre(pixels: NDArray[np.uint8], fraction: float) -> NDArray[np.uint8]:
    """A view of the middle, `fraction` of each side, rounded to whole pixels."""
    height, width = pixels.shape[:2]
    rows, columns = max(1, round(height * fraction)), max(1, round(width * fraction))
    top, left = (height - rows) // 2, (width - columns) // 2
    return pixels[top : top + rows, left : left + columns]
