"""A camera with views in simulated time: its worker, its mailbox and a reader, in one process."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import cv2

from edged.capture.admission import Admission
from edged.capture.decode.video import scaled_size
from edged.capture.frame import Frame
from edged.capture.mailbox import Mailbox, MailboxWriter
from edged.capture.messages import Status
from edged.capture.source import CaptureRequest, Granted, Picture
from edged.capture.worker import capture
from tests.rig.board import Pixels, board
from tests.rig.camera import FakeTime

BOARD = board()


class Film:
    """Plays at once when it is made.

    gaps_ms: before each frame. wanted: by view. picture: by number of the frame. takes: whether the
    reader takes what there is after so many pictures. whole: what it sets show_whole to. scales:
    the source decodes at the scale that it is asked for.
    """

    def __init__(
        self,
        request: CaptureRequest,
        gaps_ms: Iterable[float],
        wanted: list[int],
        *,
        picture: Callable[[int], Pixels] = lambda _: BOARD,
        takes: Callable[[int], bool] = lambda _: True,
        whole: bool = False,
        scales: bool = True,
    ) -> None:
        self.time = FakeTime()
        self.mailbox = Mailbox.create(640, len(wanted), clock=self.time.clock)
        for view, side in enumerate(wanted):
            self.mailbox.want(side, view)
        self.mailbox.show_whole = whole
        writer = MailboxWriter.attach(self.mailbox.memfd, self.mailbox.wake_fd)
        self._admission = Admission(writer, request.max_fps)
        self._gaps_ms = iter(gaps_ms)
        self._picture = picture
        self._takes = takes
        self._scales = scales
        self._begun_ns = self.time.now_ns
        self.sides: list[int] = []
        """Short side that was requested for each picture; 0 for full size."""
        self.frames: list[list[Frame]] = [[] for _ in wanted]
        """By view."""
        self.latest: list[Frame] = []
        """Without pixels that have changed since, but for the last one."""
        self.said: list[Status] = []
        capture(request, self, writer, self.said.append, clock=self.time.clock)

    def take(self) -> None:
        frames = self.mailbox.take()
        if frames and self.mailbox.latest is not None:
            self.latest.append(self.mailbox.latest)
        for seen, frame in zip(self.frames, frames, strict=bool(frames)):
            if frame is not None:
                seen.append(frame)

    def seconds(self, view: int) -> list[float]:
        """When the frames of a view were captured."""
        return [(frame.captured_ns - self._begun_ns) / 1e9 for frame in self.frames[view]]

    # the source

    def open(self) -> Granted:
        height, width, _ = self._picture(0).shape
        return Granted(width, height, None, "film")

    def read(self, wanted: int) -> Picture | None:
        if self._takes(len(self.sides)):
            self.take()
        for gap_ms in self._gaps_ms:
            self.time.sleep(gap_ms / 1000)
            now_ns = self.time.now_ns
            self._admission.captured()
            if self._admission.admits(now_ns):
                pixels = self._picture(len(self.sides))
                height, width, _ = pixels.shape
                self.sides.append(wanted)
                size = scaled_size(width, height, wanted if self._scales else 0)
                return Picture(
                    cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), now_ns, now_ns
                )
        return None

    def close(self) -> None: ...
