"""USB and other V4L2 cameras, through OpenCV.

Large pictures are asked for as MJPEG and taken undecoded, so that they can be decoded at the
smallest scale that will do; plain formats are shrunk as they are (raw_formats.py). What the driver
says after negotiation counts: `set` reports success for formats it then does not use. A frame's
time is the driver's own buffer stamp.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edged.capture.admission import Decoding, Intake
from edged.capture.decode.crop import region
from edged.capture.decode.jpeg import decode_jpeg
from edged.capture.decode.raw_formats import LAYOUTS, raw_to_rgb
from edged.capture.source import CaptureRequest, Failure, Granted, Picture, SourceError
from edged.capture.sources.v4l2.controls import apply
from edged.capture.sources.v4l2.device import (
    Capability,
    Device,
    PixelFormat,
    bytes_per_line,
    capability,
    formats,
    fourcc_name,
    open_error,
)
from edged.capture.sources.v4l2.discovery import IN_USE, OpenDevice, Opener
from edged.clock import Clock, monotonic_ns

FAILED_IN_A_ROW = 5
FAILED_PAUSE_SECONDS = 0.02
"""A read from a dead device fails at once: without a pause that would be a busy loop."""
TIMED_OUT_NS = 1_000_000_000
"""A read that failed after so long has waited in vain; OpenCV gives up after 10 s."""
OLDEST_STAMP_NS = 10_000_000_000
"""Buffer stamps from another clock, or none at all, are further from the present than this."""
DEFAULT_SIZE, DEFAULT_FPS = (640, 480), 30.0
"""What OpenCV asks for when it is not told."""
PLAIN_BYTES_PER_SECOND = 10_000_000
"""Two such cameras fit on one USB 2 bus. Above it MJPEG is asked for."""
_BUFFERS = 2
_WAITED_NS = 1_000_000
"""A frame that had to be waited for this long was not standing in a buffer."""
_COMPRESSED = ("MJPG", "JPEG")
_CONVERTED = "BGR3"
"""What OpenCV makes of the formats that are not known here."""


class V4l2Source:
    def __init__(
        self,
        request: CaptureRequest,
        intake: Intake,
        *,
        clock: Clock = monotonic_ns,
        sleep: Callable[[float], None] = time.sleep,
        open_device: Opener = Device,
        open_capture: Callable[[str, int], Any] = cv2.VideoCapture,
    ) -> None:
        self._request = request
        self._path = request.source
        self._intake = intake
        self._clock = clock
        self._sleep = sleep
        self._open_device = open_device
        self._open_capture = open_capture
        self._capture: Any = None
        self._grabbed = False
        self._interval_ns = OLDEST_STAMP_NS
        self._decoding = Decoding(intake, self._no_pictures, clock())

    def open(self) -> Granted:
        try:
            opened = self._open_device(self._path)
        except OSError as error:
            raise open_error(error, self._path) from None
        with opened as device:
            node = self._checked(device)
            offered = formats(device.ioctl, node.buffer_type)
            capture = self._capture = self._open_capture(self._path, cv2.CAP_V4L2)
            if not capture.isOpened():
                raise self._unopened(offered)
            granted = self._negotiate(capture, offered)
            self._stride = bytes_per_line(device.ioctl, node.buffer_type)
            self._grab()  # isOpened is true for a dead device: only a frame proves that it lives
            self._grabbed = True
            for problem in apply(device.ioctl, self._request.controls):
                self._intake.note(f"{self._path}: {problem}")
        return granted

    def read(self, wanted: int) -> Picture | None:
        while True:
            captured_ns, received_ns = self._newest()
            if not self._intake.admits(captured_ns):
                continue
            taken, raw = self._capture.retrieve()
            pixels = self._rgb(raw, wanted) if taken and raw is not None else None
            if pixels is not None:
                self._decoding.whole(received_ns)
                cropped = self._format not in _COMPRESSED
                return Picture(pixels, captured_ns, received_ns, cropped)
            self._decoding.broken(received_ns, "incomplete pictures")

    def close(self) -> None:
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def _no_pictures(self, got: str) -> SourceError:
        return SourceError(
            Failure.NO_PICTURES, "it sends no whole picture", where=self._path, got=got
        )

    def _rgb(self, raw: NDArray[np.uint8], wanted: int) -> NDArray[np.uint8] | None:
        """None when what the driver delivered is incomplete."""
        if self._format in _COMPRESSED:
            return decode_jpeg(raw.tobytes(), wanted)
        seen = region(self._request, self._size)
        return raw_to_rgb(
            raw,
            LAYOUTS[self._format],
            self._size,
            wanted * min(seen[2:]) // max(1, min(self._size)),
            region=seen,
            square=self._request.square,
            bytes_per_line=self._stride,
        )

    def _checked(self, device: OpenDevice) -> Capability:
        """What OpenCV reports as one and the same failure, told apart."""
        try:
            node = capability(device.ioctl)
        except OSError:
            raise self._error("not a V4L2 device") from None
        if not node.captures:
            raise self._error(
                f"this node of {node.card!r} gives no pictures",
                fix="use another of its nodes: edged cameras",
            )
        return node

    def _unopened(self, offered: Sequence[PixelFormat]) -> SourceError:
        names = [each.name for each in offered]
        if names and not any(name in LAYOUTS or name in _COMPRESSED for name in names):
            return self._error(
                f"its formats are those of a bare sensor: {', '.join(names)}",
                fix="take it as source: picamera2 (Raspberry Pi) or csi (Jetson)",
            )
        return self._error(IN_USE, fix="see which: sudo edged cameras")

    def _negotiate(self, capture: Any, offered: Sequence[PixelFormat]) -> Granted:
        """In this order: each of the others begins anew and forgets the rate."""
        wish = self._request
        capture.set(cv2.CAP_PROP_BUFFERSIZE, _BUFFERS)
        if wish.size is not None:
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, wish.size[0])
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, wish.size[1])
        names = format_order(offered, wish.size, wish.fps)
        for name in names if wish.format is None else [wish.format, *names]:
            capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*name))
            if fourcc_name(int(capture.get(cv2.CAP_PROP_FOURCC))) == name:
                break
        if wish.fps is not None:
            capture.set(cv2.CAP_PROP_FPS, wish.fps)
        if not capture.isOpened():  # it closes itself when the device is busy
            raise self._unopened(())
        self._format = fourcc_name(int(capture.get(cv2.CAP_PROP_FOURCC)))
        width = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH))
        height = int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        self._size = width, height
        fps = float(capture.get(cv2.CAP_PROP_FPS))
        known = 0 < fps < float("inf")
        self._interval_ns = round(1e9 / fps) if known else OLDEST_STAMP_NS
        granted = Granted(width, height, fps if known else None, self._format)
        if self._format in _COMPRESSED or self._format in LAYOUTS:
            capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)
        else:
            self._format = _CONVERTED
        if (
            wish.size not in (None, self._size)
            or wish.format not in (None, granted.format)
            or (wish.fps is not None and abs(fps - wish.fps) > wish.fps / 100)
        ):
            self._intake.note(f"{self._path} gives {granted} instead of what was asked for")
        return granted

    def _newest(self) -> tuple[int, int]:
        """(captured_ns, received_ns) of the frame that can be retrieved now.

        When decoding takes longer than a frame, what the driver filled its buffers with meanwhile
        is old: it is let go for the frame that comes next.
        """
        for left in reversed(range(_BUFFERS + 1)):
            begun_ns = self._clock()
            if not self._grabbed:
                self._grab()
            self._grabbed = False
            received_ns = self._clock()
            self._intake.captured()
            captured_ns = stamp_ns(self._capture.get(cv2.CAP_PROP_POS_MSEC), received_ns)
            waited = received_ns - begun_ns > _WAITED_NS
            if left == 0 or waited or received_ns - captured_ns <= self._interval_ns:
                break
            self._intake.overwritten()
        return captured_ns, received_ns

    def _grab(self) -> None:
        for _ in range(FAILED_IN_A_ROW):
            begun_ns = self._clock()
            if self._capture.grab():
                return
            if self._clock() - begun_ns > TIMED_OUT_NS:
                break
            self._sleep(FAILED_PAUSE_SECONDS)
        raise self._error(
            "gives no frames; unplugged, hung, or no bandwidth is left on its USB bus",
            Failure.READ_FAILED,
            fix="where cameras share a bus: format: MJPG, a smaller size or a lower fps",
        )

    def _error(
        self, what: str, reason: Failure = Failure.OPEN_FAILED, *, fix: str | None = None
    ) -> SourceError:
        return SourceError(reason, what, where=self._path, fix=fix)


def format_order(
    offered: Sequence[PixelFormat], size: tuple[int, int] | None, fps: float | None
) -> list[str]:
    """Which formats to ask for, the best first, as the device lists them.

    A plain format that reaches the rate within PLAIN_BYTES_PER_SECOND costs least; then MJPEG,
    then the other plain ones, those that have the size before those that do not, grey last.
    """
    wanted_size, wanted_fps = size or DEFAULT_SIZE, fps or DEFAULT_FPS
    if not offered:
        return ["MJPG", "YUYV"]

    def rank(offer: PixelFormat) -> tuple[bool, bool, int]:
        mode = offer.at(wanted_size)
        away = bool(offer.sizes) and mode is None
        if offer.name in _COMPRESSED:
            return False, away, 1
        rate = 0.0 if mode is None else max(mode.fps, default=0.0)
        pixels = wanted_size[0] * wanted_size[1]
        data_rate = pixels * LAYOUTS[offer.name].bytes_per_pixel * wanted_fps
        light = rate >= 0.95 * wanted_fps and data_rate <= PLAIN_BYTES_PER_SECOND
        return offer.name == "GREY", away, 0 if light else 2

    known = [each for each in offered if each.name in LAYOUTS or each.name in _COMPRESSED]
    return [each.name for each in sorted(known, key=rank)]


def stamp_ns(milliseconds: float, received_ns: int) -> int:
    """The driver's buffer stamp, or received_ns where that is none of the monotonic clock."""
    stamp = round(milliseconds * 1e6)
    return stamp if received_ns - OLDEST_STAMP_NS < stamp <= received_ns else received_ns
