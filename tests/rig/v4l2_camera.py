"""A V4L2 source with a simulated driver and capture object."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edged.capture.source import CaptureRequest, SourceError
from edged.capture.sources.v4l2.device import fourcc_name
from edged.capture.sources.v4l2.v4l2 import V4l2Source
from tests.rig.camera import FakeTime, Notes
from tests.rig.v4l2_driver import WEBCAM, PaperDriver, Sizes

FRAME_NS = 33_000_000


def fourcc(name: str) -> int:
    return cv2.VideoWriter.fourcc(*name.ljust(4))


class PaperCapture:
    """OpenCV's capture object, as far as the source uses it, with frames every 33 ms.

    Negotiates as the real one does: whatever is set, it says yes; a new size, format or number of
    buffers begins anew and forgets the rate; only what the device offers comes true.
    """

    def __init__(self, time: FakeTime, offers: dict[str, Sizes], frame: bytes = b"") -> None:
        self.time = time
        self.offers = offers
        self.frame = frame
        self.opened = True
        self.busy = False
        self.frames = 1000
        self.wait_seconds = 0.0
        self.released = False
        self.rate = 30.0
        self.format = next(iter(offers), "")
        self.converts = True
        self.asked: dict[int, float] = {}
        self.buffers: list[int] = []
        self.stamp_ns = self.next_ns = time.now_ns

    def isOpened(self) -> bool:  # noqa: N802
        return self.opened

    def set(self, prop: int, value: float) -> bool:
        self.asked[prop] = value
        if prop == cv2.CAP_PROP_FOURCC:
            if self.busy:
                self.opened = False
            elif fourcc_name(int(value)) in self.offers:
                self.format = fourcc_name(int(value))
        if prop == cv2.CAP_PROP_CONVERT_RGB:
            self.converts = bool(value)
        elif prop == cv2.CAP_PROP_FPS:
            self.rate = value
        else:
            self.rate = 30.0
        return True

    def get(self, prop: int) -> float:
        width, height = self._granted()
        return {
            cv2.CAP_PROP_FOURCC: fourcc(self.format),
            cv2.CAP_PROP_FRAME_WIDTH: width,
            cv2.CAP_PROP_FRAME_HEIGHT: height,
            cv2.CAP_PROP_FPS: self._fps(),
            cv2.CAP_PROP_POS_MSEC: self.stamp_ns / 1e6,
        }[prop]

    def _granted(self) -> tuple[int, int]:
        """The size that is offered and nearest to what was asked."""
        asked = (
            int(self.asked.get(cv2.CAP_PROP_FRAME_WIDTH, 640)),
            int(self.asked.get(cv2.CAP_PROP_FRAME_HEIGHT, 480)),
        )
        sizes = [(sides[0], sides[1]) for sides in self.offers.get(self.format, {})]
        return min(sizes, key=lambda size: abs(size[0] - asked[0]), default=asked)

    def _fps(self) -> float:
        rates = self.offers.get(self.format, {}).get(self._granted(), [self.rate])
        return min(rates, key=lambda rate: abs(rate - self.rate))

    def grab(self) -> bool:
        self.time.sleep(self.wait_seconds)
        if self.frames == 0:
            return False
        self.frames -= 1
        while self.next_ns <= self.time.now_ns:  # what the driver did meanwhile
            if len(self.buffers) < 2:
                self.buffers.append(self.next_ns)
            self.next_ns += FRAME_NS
        if not self.buffers:
            self.time.now_ns = self.next_ns
            self.buffers.append(self.next_ns)
            self.next_ns += FRAME_NS
        self.stamp_ns = self.buffers.pop(0)
        return True

    def retrieve(self) -> tuple[bool, NDArray[np.uint8]]:
        return True, np.frombuffer(self.frame, np.uint8)[None]

    def release(self) -> None:
        self.released = True


class Rig:
    """A source with simulated device, driver and capture."""

    def __init__(
        self, offers: dict[str, Sizes] = WEBCAM, frame: bytes = b"", **wishes: Any
    ) -> None:
        self.time = FakeTime()
        self.notes = Notes()
        self.driver = PaperDriver(offers)
        self.capture = PaperCapture(self.time, offers, frame)
        self.source = V4l2Source(
            CaptureRequest("/dev/video9", **wishes),
            self.notes.admission,
            clock=self.time.clock,
            sleep=self.time.sleep,
            open_device=lambda _: self.driver,
            open_capture=lambda path, backend: self.capture,
        )

    def fails(self) -> SourceError:
        with pytest.raises(SourceError) as caught:
            self.source.open()
        self.source.close()
        assert self.driver.closed
        return caught.value
