"""A file source on a clock that only advances when it sleeps."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from edged.capture.source import CaptureRequest, Picture
from edged.capture.sources.file import FileSource
from tests.rig.camera import FakeTime, Notes

MS = 1_000_000


class Player:
    """A file source on a clock that moves only as it sleeps."""

    def __init__(self, path: Path, **request: object) -> None:
        self.time = FakeTime()
        self.notes = Notes(request.pop("max_fps", None))  # type: ignore[arg-type]
        self.counts = self.notes.counts
        self.source = FileSource(
            CaptureRequest(str(path), **request),  # type: ignore[arg-type]
            self.notes.admission,
            clock=self.time.clock,
            sleep=self.time.sleep,
        )
        self.granted = self.source.open()

    def pictures(self, most: int = 1000, wanted: int = 0) -> list[Picture]:
        taken: list[Picture] = []
        while len(taken) < most and (picture := self.source.read(wanted)) is not None:
            assert picture.captured_ns <= picture.received_ns <= self.time.now_ns
            taken.append(Picture(picture.pixels.copy(), picture.captured_ns, picture.received_ns))
        return taken


def gaps_ms(pictures: list[Picture]) -> list[float]:
    times = [picture.captured_ns for picture in pictures]
    return [(b - a) / MS for a, b in pairwise(times)]
