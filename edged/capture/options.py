"""The configuration of a capture process: reading it, what is wrong in it, what will surprise."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from edged.capture.schema import WISHES
from edged.capture.source import CaptureRequest, Roi
from edged.capture.sources.grammar import camera_source, source_from
from edged.capture.sources.table import kind_of
from edged.capture.sources.v4l2.discovery import stable_link
from edged.document.values import path_from
from edged.errors import InputError

LARGEST_SIZE = (7680, 4320)
SMALLEST_SIDE = 16
SMALLEST_SHARE = 0.05
"""Of the picture's width and height: less of it is no picture any more."""
_ROUNDED = 1e-6
"""What numbers written by hand may exceed the picture by."""


def capture_formats(base: Path) -> dict[str, Callable[[str], object]]:
    """base: where relative paths start."""
    return {
        "camera-source": lambda text: camera_source(text, base),
        "source-file": lambda text: source_from(path_from(text, base), base),
        "picture-size": picture_size,
    }


def capture_request(source: str, own: Mapping[str, Any]) -> CaptureRequest:
    """own: the camera's section, checked."""
    wishes = {key: own[key] for key in own.keys() & WISHES.keys()}
    if "size" in wishes:
        wishes["size"] = picture_size(wishes["size"])
    return CaptureRequest.of({"source": source, **wishes})


def capture_errors(request: CaptureRequest) -> Iterator[tuple[str, InputError]]:
    """With their keys: where a source does not support one, or does not say enough for it."""
    kind = kind_of(request.source)
    for key in ("format", "controls"):
        if getattr(request, key) and not kind.device:
            yield key, InputError("only a V4L2 device (/dev/…) has that")
    yield from kind.errors(request)
    if request.roi is not None:
        yield from (("roi", error) for error in _roi_errors(request.roi))


def _roi_errors(roi: Roi) -> Iterator[InputError]:
    """For a part that reaches beyond the picture, or is hardly there."""
    left, top, width, height = roi
    if min(width, height) < SMALLEST_SHARE:
        what = f"expected a width and a height of at least {SMALLEST_SHARE:g}"
    elif left + width > 1 + _ROUNDED:
        what = "reaches beyond the right edge of the picture: left + width is above 1"
    elif top + height > 1 + _ROUNDED:
        what = "reaches beyond the lower edge of the picture: top + height is above 1"
    else:
        return
    got = "[" + ", ".join(f"{share:g}" for share in roi) + "]"
    fix = "left, top, width, height are shares of the picture, such as [0.5, 0, 0.5, 1]"
    yield InputError(what, got=got, fix=fix)


def capture_warnings(source: str, dev: Path) -> Iterator[str]:
    """One line each. dev: where devices are looked for."""
    path = Path(source)
    if path.is_absolute():
        device = dev / path.relative_to("/dev") if path.is_relative_to("/dev") else path
        if re.fullmatch(r"/dev/video\d+", source):
            better = stable_link(device, dev.parent) or "a link in /dev/v4l/by-id"
            yield f"{path} may be another camera after a restart; {better} stays the same"
        try:
            device.stat()
        except OSError as error:
            yield f"{path}: {error.strerror}; the camera waits for it"
    yield from kind_of(source).warnings(source)


def picture_size(text: str) -> tuple[int, int]:
    """Raises InputError."""
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    size = (int(match[1]), int(match[2])) if match else (0, 0)
    if not all(
        SMALLEST_SIDE <= side <= most for side, most in zip(size, LARGEST_SIZE, strict=True)
    ):
        width, height = LARGEST_SIZE
        raise InputError(
            f"expected width x height, {SMALLEST_SIDE}x{SMALLEST_SIDE} to {width}x{height}",
            got=repr(text),
            fix="for example 1280x720",
        )
    return size
