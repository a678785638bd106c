"""Pictures in the formats that drivers give."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


def delivered(rgb: Pixels, name: str, padding: int = 0) -> Pixels:
    """`rgb`, of even sides, as a driver gives it: planes one after another, rows padded."""
    if name in ("RGB3", "BGR3"):
        packed = rgb if name == "RGB3" else rgb[..., ::-1]
        return padded(packed.reshape(len(rgb), -1), padding)
    if name == "GREY":
        return padded(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), padding)
    height, width, _ = rgb.shape
    planes = cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420).reshape(-1)
    y, u, v = np.split(planes, [width * height, width * height * 5 // 4])
    y, u, v = y.reshape(height, width), *(c.reshape(height // 2, width // 2) for c in (u, v))
    if name in ("YU12", "YV12"):
        chroma = (u, v) if name == "YU12" else (v, u)
        return np.concatenate([padded(y, padding), *(padded(c, padding // 2) for c in chroma)])
    if name in ("NV12", "NV21"):
        pairs = np.stack((u, v) if name == "NV12" else (v, u), axis=-1).reshape(height // 2, -1)
        return np.concatenate([padded(y, padding), padded(pairs, padding)])
    u, v = u.repeat(2, axis=0), v.repeat(2, axis=0)
    order = {
        "YUYV": (y[:, ::2], u, y[:, 1::2], v),
        "YVYU": (y[:, ::2], v, y[:, 1::2], u),
        "UYVY": (u, y[:, ::2], v, y[:, 1::2]),
    }[name]
    return padded(np.stack(order, axis=-1).reshape(height, -1), padding)


def padded(rows: Pixels, padding: int) -> Pixels:
    return np.pad(rows, ((0, 0), (0, padding)), constant_values=77).reshape(-1)
