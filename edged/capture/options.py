"""Reads and checks the keys of a camera, and warns about them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from edged.capture.schema import SETTINGS
from edged.capture.source import CaptureRequest, Roi
from edged.capture.sources.grammar import camera_source, source_from
from edged.capture.sources.table import kind_of
from edged.capture.sources.v4l2.discovery import stable_link
from edged.document.values import path_from
from edged.errors import InputError
from edged.state import in_container

LARGEST_SIZE = (7680, 4320)
SMALLEST_SIDE = 16
SMALLEST_SHARE = 0.05
"""Of the picture's width and height."""
_ROUNDED = 1e-6
"""Rounding error to accept in shares written by hand."""


def capture_formats(base: Path) -> dict[str, Callable[[str], object]]:
    """base: where relative paths start."""
    return {
        "camera-source": lambda text: camera_source(text, base),
        "source-file": lambda text: source_from(path_from(text, base), base),
        "picture-size": picture_size,
    }


def capture_request(source: str, own: Mapping[str, Any]) -> CaptureRequest:
    """own: the camera's section, checked."""
    settings = {key: own[key] for key in own.keys() & SETTINGS.keys()}
    if "size" in settings:
        settings["size"] = picture_size(settings["size"])
    return CaptureRequest.of({"source": source, **settings})


def capture_errors(request: CaptureRequest) -> Iterator[tuple[str, InputError]]:
    """(key, error) for keys that the source does not support or that need another key."""
    kind = kind_of(request.source)
    for key in ("format", "controls"):
        if getattr(request, key) and not kind.device:
            yield key, InputError("only a V4L2 device (/dev/…) supports this")
    if request.decode != "auto" and not kind.video:
        fix = "remove it"
        yield "decode", InputError("only RTSP streams and video files support this", fix=fix)
    yield from kind.errors(request)


def roi_errors(roi: Roi) -> Iterator[InputError]:
    """For a part that reaches beyond the picture or is too small."""
    left, top, width, height = roi
    if min(width, height) < SMALLEST_SHARE:
        what = f"expected a width and a height of at least {SMALLEST_SHARE:g}"
    elif left + width > 1 + _ROUNDED:
        what = "extends beyond the right edge of the picture: left + width is above 1"
    elif top + height > 1 + _ROUNDED:
        what = "extends beyond the lower edge of the picture: top + height is above 1"
    else:
        return
    got = "[" + ", ".join(f"{share:g}" for share in roi) + "]"
    fix = "write left, top, width, height as shares of the picture, such as [0.5, 0, 0.5, 1]"
    yield InputError(what, got=got, fix=fix)


def capture_warnings(source: str, dev: Path) -> Iterator[str]:
    """One line each. dev: the folder of devices."""
    path = Path(source)
    if path.is_absolute():
        device = dev / path.relative_to("/dev") if path.is_relative_to("/dev") else path
        if re.fullmatch(r"/dev/video\d+", source):
            better = stable_link(device, dev.parent) or "a link in /dev/v4l/by-id"
            if in_container(os.environ):
                better = f"--device /dev/v4l/by-id/…:{path} where the container is started"
            yield f"{path} may name another camera after a restart; use {better}"
        try:
            device.stat()
        except OSError as error:
            what = "device" if path.is_relative_to("/dev") else "file"
            yield f"{path}: {error.strerror}; edged waits for the {what}"
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
