"""The pictures of a folder, sorted by name, at a steady rate (1 a second unless asked otherwise).

The folder is listed anew at each repetition. A picture that cannot be decoded is counted, and named
once. EXIF orientation is honoured.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edged.capture import CaptureRequest, Failure, Granted, Picture, SourceError
from edged.capture.intake import Intake
from edged.capture.jpeg import decode_jpeg
from edged.clock import Clock, monotonic_ns

SUFFIXES = frozenset((".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"))
DEFAULT_FPS = 1.0


class FolderSource:
    def __init__(
        self,
        request: CaptureRequest,
        intake: Intake,
        *,
        clock: Clock = monotonic_ns,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._folder = Path(request.source)
        self._loop = request.loop
        self._fps = request.fps or DEFAULT_FPS
        self._intake = intake
        self._clock = clock
        self._sleep = sleep
        self._paths: list[Path] = []
        self._next = 0
        self._first_pass = True
        self._sound = 0
        self._due_ns = 0

    def open(self) -> Granted:
        self._paths = self._listed()
        first = next((p for path in self._paths if (p := decoded(path, 0)) is not None), None)
        if first is None:
            raise self._error(Failure.OPEN_FAILED, "none of its pictures can be decoded")
        self._due_ns = self._clock()
        height, width, _ = first.shape
        return Granted(width, height, self._fps, f"{len(self._paths)} pictures")

    def read(self, wanted: int) -> Picture | None:
        while self._next < len(self._paths) or self._rewind():
            path = self._paths[self._next]
            self._next += 1
            due_ns, self._due_ns = self._due_ns, self._due_ns + round(1e9 / self._fps)
            seconds = (due_ns - self._clock()) / 1e9
            if seconds > 0:
                self._sleep(seconds)
            self._intake.captured()
            if not self._intake.admits(due_ns):
                continue
            pixels = decoded(path, wanted)
            if pixels is None:
                self._intake.broken()
                if self._first_pass:
                    self._intake.note(f"{path} cannot be decoded: skipped")
                continue
            self._sound += 1
            return Picture(pixels, due_ns, due_ns)
        return None

    def close(self) -> None:
        pass

    def _rewind(self) -> bool:
        if not self._loop:
            return False
        if self._sound == 0:
            raise self._error(Failure.READ_FAILED, "none of its pictures can be decoded any more")
        self._paths = self._listed()
        self._next = self._sound = 0
        self._first_pass = False
        return True

    def _listed(self) -> list[Path]:
        try:
            paths = [path for path in self._folder.iterdir() if path.suffix.lower() in SUFFIXES]
        except OSError as error:
            raise self._error(Failure.OPEN_FAILED, f"cannot be listed: {error.strerror}") from None
        if not paths:
            fix = f"put pictures into it: {', '.join(sorted(SUFFIXES))}"
            raise self._error(Failure.OPEN_FAILED, "no pictures in this folder", fix)
        return sorted(paths)

    def _error(self, reason: Failure, what: str, fix: str | None = None) -> SourceError:
        return SourceError(reason, what, where=str(self._folder), fix=fix)


def decoded(path: Path, wanted: int) -> NDArray[np.uint8] | None:
    """uint8 (height, width, 3), RGB; JPEG at a scale that covers `wanted`. None when broken."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    if data[:2] == b"\xff\xd8":
        return decode_jpeg(data, wanted, honour_exif=True)
    if not data:
        return None
    try:
        pixels: NDArray[np.uint8] | None = cv2.imdecode(
            np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB
        )
    except cv2.error:
        return None
    return pixels
