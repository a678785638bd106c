"""Photos: two colours, CMYK as Adobe writes it, and drawn pictures in folders of classes."""

from __future__ import annotations

import base64
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edged.variants.golden import golden_picture

Picture = NDArray[np.uint8]


RED, BLUE = (200, 40, 30), (20, 90, 210)
# 16 x 8 pixels in CMYK as Adobe writes it (inverted), the left half RED, the right half BLUE.
CMYK = base64.b85decode(
    "|JeWT01iQ9Z(?NtWB>pF0095n07C!+0s;d90s{jB0|WyD1O*5M1q1{I3I_)U2n-"
    "4g3=0Yi3k?nu5Dg9y4hstq77!5=6crT}3=bC=78Do~6crTzzyK5o00;mO1Va%3O%VWD5dcdO0RO}Q761VO0RR91000"
    "0000000000RH0RO}Q6c7Ob00000000000000000030+5ip&LjX+xSpZ7_06ze*5TN=hV0}X#27mwA"
)


def halves(height: int = 40, width: int = 60) -> Picture:
    """Red left, blue right, and white at the top left corner, so that every turn shows."""
    picture = np.empty((height, width, 3), np.uint8)
    picture[:, : width // 2], picture[:, width // 2 :] = RED, BLUE
    picture[: height // 4, : width // 4] = 255
    return picture


def coded(picture: Picture, suffix: str = ".png") -> bytes:
    bgr = picture[:, :, ::-1] if picture.ndim == 3 and picture.shape[2] == 3 else picture
    return cv2.imencode(suffix, np.ascontiguousarray(bgr))[1].tobytes()


def drawn_photos(root: Path, labels: tuple[str, ...], count: int) -> Path:
    """Drawn pictures of many sizes, spread over the classes."""
    for number in range(count):
        picture = golden_picture(100 + number)[: 150 + number, : 200 + number]
        path = root / labels[number % len(labels)] / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), picture[:, :, ::-1])
    return root
