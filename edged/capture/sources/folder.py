"""The pictures of a folder, sorted by name, at a constant rate (default: 1 per second).

A loop lists the folder again. A picture that cannot be decoded is counted, and logged when it is
new. A single picture file is a folder of one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from edged.capture.admission import Admission
from edged.capture.decode.pictures import SUFFIXES, BrokenPictureError
from edged.capture.decode.still import decode_picture, picture_size, read_picture
from edged.capture.device_watch import is_folder
from edged.capture.source import CaptureRequest, Failure, Granted, Picture, SourceError
from edged.clock import Clock, monotonic_ns
from edged.printable import printable

DEFAULT_FPS = 1.0


class FolderSource:
    def __init__(
        self,
        request: CaptureRequest,
        admission: Admission,
        *,
        clock: Clock = monotonic_ns,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._folder = Path(request.source)
        self._loop = request.loop
        self._fps = request.fps or DEFAULT_FPS
        self._admission = admission
        self._clock = clock
        self._sleep = sleep
        self._paths: list[Path] = []
        self._next = 0
        self._broken: set[Path] = set()
        """In this pass of the loop."""
        self._named: set[Path] = set()
        """Pictures that were broken in the previous pass."""
        self._in_vain: set[Path] = set()
        """Pictures that were broken since the last one that was not."""
        self._due_ns = 0

    def open(self) -> Granted:
        self._paths = self._listed()
        size = self._first_size()
        self._due_ns = self._clock()
        count = len(self._paths)
        return Granted(*size, self._fps, f"{count} picture{'s' if count > 1 else ''}")

    def read(self, wanted: int) -> Picture | None:
        while self._next < len(self._paths) or self._rewind():
            path = self._paths[self._next]
            self._next += 1
            due_ns, self._due_ns = self._due_ns, self._due_ns + round(1e9 / self._fps)
            seconds = (due_ns - self._clock()) / 1e9
            if seconds > 0:
                self._sleep(seconds)
            self._admission.captured()
            if not self._admission.admits(due_ns):
                continue
            try:
                pixels = decode_picture(read_picture(path), wanted)
            except BrokenPictureError as error:
                self._admission.broken()
                self._broken.add(path)
                self._in_vain.add(path)
                if path not in self._named:
                    self._admission.note(f"{printable(str(path))}: {error}; skipped")
                continue
            self._in_vain.clear()
            return Picture(pixels, due_ns, due_ns)
        return None

    def close(self) -> None:
        pass

    def _first_size(self) -> tuple[int, int]:
        """Of the first picture that can be decoded."""
        broken: list[BrokenPictureError] = []
        for path in self._paths:
            try:
                data = read_picture(path)
                decode_picture(data, 1)
                return picture_size(data)
            except BrokenPictureError as error:  # noqa: PERF203
                broken = broken or [error]
        what = str(broken[0])
        if self._paths != [self._folder]:
            first = printable(self._paths[0].name)
            what = f"none of its pictures can be decoded; the first, {first}: {what}"
        raise self._error(Failure.OPEN_FAILED, what)

    def _rewind(self) -> bool:
        if not self._loop:
            return False
        if self._in_vain.issuperset(self._paths):  # of those that are not due none was tried
            raise self._error(Failure.READ_FAILED, "no picture can be decoded any more")
        self._paths = self._listed()
        self._next = 0
        self._named, self._broken = self._broken, set()
        return True

    def _listed(self) -> list[Path]:
        if self._folder.suffix.lower() in SUFFIXES and not is_folder(self._folder):
            return [self._folder]
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
