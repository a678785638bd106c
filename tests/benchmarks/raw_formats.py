"""What it saves to crop and shrink plain formats before they become RGB, not after.

python tests/benchmarks/raw_formats.py    1280x720, the centre square, both ways in turn
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from edged.capture.decode.raw_formats import LAYOUTS, raw_to_rgb
from edged.capture.source import CaptureRequest
from tests.rig.pictures import prepared

SIZE = (1280, 720)
RUNS = 200


def main() -> None:
    cv2.setNumThreads(1)
    noise = np.random.default_rng(0)
    print(f"{'format':6}  wanted  {'after, ms':>9}  {'before, ms':>10}  ratio")
    for name in ("YUYV", "NV12", "YU12", "GREY"):
        size_bytes = int(SIZE[0] * SIZE[1] * LAYOUTS[name].bytes_per_pixel)
        raw = noise.integers(0, 256, size_bytes, np.uint8)
        for wanted in (224, 160, 128):
            after, before = in_turn(
                partial(picture, raw, name, wanted, shrink_first=False),
                partial(picture, raw, name, wanted, shrink_first=True),
            )
            print(f"{name:6}  {wanted:6}  {after:9.3f}  {before:10.3f}  {after / before:5.2f}")


def picture(raw: NDArray[np.uint8], name: str, wanted: int, *, shrink_first: bool) -> None:
    """As the capture process makes it."""
    rgb = raw_to_rgb(raw, LAYOUTS[name], SIZE, wanted * shrink_first, square=shrink_first)
    assert rgb is not None
    prepared(rgb, CaptureRequest("/dev/video0"), wanted)


def in_turn(*ways: Callable[[], object]) -> list[float]:
    """Median milliseconds of each."""
    times: list[list[float]] = [[] for _ in ways]
    for _ in range(RUNS):
        for way, taken in zip(ways, times, strict=True):
            begun = time.perf_counter()
            way()
            taken.append(time.perf_counter() - begun)
    return [1e3 * statistics.median(taken) for taken in times]


if __name__ == "__main__":
    main()
