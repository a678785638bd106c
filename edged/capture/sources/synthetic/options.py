"""How a drawn scene is written: `synthetic`, `synthetic:1280x720@30`, with `?still` at the end.

For who checks a configuration as well as for who draws: nothing heavy is imported here.
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
    """((width, height), fps); what the source string says goes before the other wishes.

    Raises InputError for a scene that cannot be drawn.
    """
    fix = "write synthetic or synthetic:1280x720@30"
    spec = re.fullmatch(_SPEC, request.source)
    if spec is None:
        raise InputError("not a drawn scene", fix=fix)
    width, height, rate, _ = spec.groups()
    drawn = (int(width), int(height)) if width else request.size or DEFAULT_SIZE
    drawn_fps = float(rate) if rate else request.fps or DEFAULT_FPS
    if drawn[0] not in SIDES or drawn[1] not in SIDES:
        what = f"a drawn scene has sides of {SIDES[0]} to {SIDES[-1]} pixels"
        raise InputError(what, got=f"{drawn[0]}x{drawn[1]}", fix=fix)
    if not 0 < drawn_fps <= MOST_FPS:
        what = f"a drawn scene has up to {MOST_FPS} pictures a second, and more than none"
        raise InputError(what, got=f"{drawn_fps:g}", fix=fix)
    return drawn, drawn_fps


def check(text: str) -> None:
    dimensions(CaptureRequest(text))


def errors(request: CaptureRequest) -> Iterator[tuple[str, InputError]]:
    """For a size that the camera is asked for, and that the source string does not overrule."""
    try:
        dimensions(request)
    except InputError as wrong:
        yield "size", InputError(wrong.what, got=wrong.got)


def fps(request: CaptureRequest) -> float:
    return dimensions(request)[1]
