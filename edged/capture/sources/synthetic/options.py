"""Syntax of a synthetic source: `synthetic`, `synthetic:1280x720@30`, optionally with `?still`.

Imports nothing heavy.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from edged.capture.source import CaptureRequest
from edged.errors import InputError

DEFAULT_SIZE = (640, 480)
DEFAULT_FPS = 30.0
MOST_FPS = 1000
SIDES = range(16, 4097)
_SPEC = r"synthetic(?::(?=.)(?:(\d{1,5})x(\d{1,5}))?(?:@(\d{1,5}(?:\.\d{1,9})?))?(\?still)?)?"


def dimensions(request: CaptureRequest) -> tuple[tuple[int, int], float]:
    """((width, height), fps); the source string takes precedence over size and fps.

    Raises InputError for wrong syntax or values out of range.
    """
    fix = "write synthetic or synthetic:1280x720@30"
    spec = re.fullmatch(_SPEC, request.source)
    if spec is None:
        raise InputError("not a synthetic source", fix=fix)
    width, height, rate, _ = spec.groups()
    size = (int(width), int(height)) if width else request.size or DEFAULT_SIZE
    rate_fps = float(rate) if rate else request.fps or DEFAULT_FPS
    if size[0] not in SIDES or size[1] not in SIDES:
        what = f"expected sides of {SIDES[0]} to {SIDES[-1]} pixels"
        raise InputError(what, got=f"{size[0]}x{size[1]}", fix=fix)
    if not 0 < rate_fps <= MOST_FPS:
        what = f"expected a frame rate above 0, at most {MOST_FPS}"
        raise InputError(what, got=f"{rate_fps:g}", fix=fix)
    return size, rate_fps


def check(text: str) -> None:
    dimensions(CaptureRequest(text))


def errors(request: CaptureRequest) -> Iterator[tuple[str, InputError]]:
    """For a size out of range."""
    try:
        dimensions(request)
    except InputError as wrong:
        yield "size", InputError(wrong.what, got=wrong.got)


def fps(request: CaptureRequest) -> float:
    return dimensions(request)[1]


def size(request: CaptureRequest) -> tuple[int, int]:
    return dimensions(request)[0]
