"""USB and other V4L2 cameras, through OpenCV.

Large pictures are requested as MJPEG and read undecoded, to decode them at the smallest sufficient
scale; uncompressed formats are shrunk before conversion (raw_formats.py). The format is read back
after negotiation, because `set` reports success for formats that are then not used. A frame's time
is the driver's buffer time stamp.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edged.capture.admission import Admission, Decoding
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
"""Reads from a disconnected device fail at once; the pause avoids a busy loop."""
TIMED_OUT_NS = 1_000_000_000
"""A read that takes longer has timed out; OpenCV's limit is 10 s."""
OLDEST_STAMP_NS = 10_000_000_000
"""Older buffer stamps are from another clock, or missing."""
DEFAULT_SIZE, DEFAULT_FPS = (640, 480), 30.0
"""OpenCV's defaults."""
UNCOMPRESSED_BYTES_PER_SECOND = 10_000_000
"""Limit for uncompressed formats: two such cameras fit on one USB 2 bus."""
_BUFFERS = 2
_WAITED_NS = 1_000_000
"""After a longer wait the frame is new, not from a buffer."""
_COMPRESSED = ("MJPG", "JPEG")
_CONVERTED = "BGR3"
"""OpenCV's conversion of all other formats."""


class V4l2Source:
    def __init__(
        self,
        request: CaptureRequest,
        admission: Admission,
        *,
        clock: Clock = monotonic_ns,
        sleep: Callable[[float], None] = time.sleep,
        open_device: Opener = Device,
        open_capture: Callable[[str, int], Any] = cv2.VideoCapture,
    ) -> None:
        self._request = request
        self._path = request.source
        self._admission = admission
        self._clock = clock
        self._sleep = sleep
        self._open_device = open_device
        self._open_capture = open_capture
        self._capture: Any = None
        self._grabbed = False
        self._interval_ns = OLDEST_STAMP_NS
        self._decoding = Decoding(admission, self._no_pictures, clock())

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
            self._grab()  # isOpened is also true for a dead device
            self._grabbed = True
            for problem in apply(device.ioctl, self._request.controls):
                self._admission.note(f"{self._path}: {problem}")
        return granted

    def read(self, wanted: int) -> Picture | None:
        while True:
            captured_ns, received_ns = self._newest()
            if not self._admission.admits(captured_ns):
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
            Failure.NO_PICTURES, "the camera sends no complete picture", where=self._path, got=got
        )

    def _rgb(self, raw: NDArray[np.uint8], wanted: int) -> NDArray[np.uint8] | None:
        """None if the driver's data is incomplete."""
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
        """Distinguishes failures that OpenCV reports alike. Raises SourceError."""
        try:
            node = capability(device.ioctl)
        except OSError:
            raise self._error("not a V4L2 device") from None
        if not node.captures:
            raise self._error(
                f"this node of {node.card!r} does not capture video",
                fix="use another of its nodes: edged cameras",
            )
        return node

    def _unopened(self, offered: Sequence[PixelFormat]) -> SourceError:
        names = [each.name for each in offered]
        if names and not any(name in LAYOUTS or name in _COMPRESSED for name in names):
            return self._error(
                f"the camera only has raw sensor formats: {', '.join(names)}",
                fix="use source: picamera2 (Raspberry Pi) or csi (Jetson)",
            )
        return self._error(IN_USE, fix="see which: sudo edged cameras")

    def _negotiate(self, capture: Any, offered: Sequence[PixelFormat]) -> Granted:
        """Set the rate last: OpenCV forgets it when another setting restarts the device."""
        request = self._request
        capture.set(cv2.CAP_PROP_BUFFERSIZE, _BUFFERS)
        if request.size is not None:
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, request.size[0])
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, request.size[1])
        names = format_order(offered, request.size, request.fps)
        for name in names if request.format is None else [request.format, *names]:
            capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*name))
            if fourcc_name(int(capture.get(cv2.CAP_PROP_FOURCC))) == name:
                break
        if request.fps is not None:
            capture.set(cv2.CAP_PROP_FPS, request.fps)
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
            request.size not in (None, self._size)
            or request.format not in (None, granted.format)
            or (request.fps is not None and abs(fps - request.fps) > request.fps / 100)
        ):
            self._admission.note(
                f"{self._path}: the camera uses {granted} instead of the requested settings"
            )
        return granted

    def _newest(self) -> tuple[int, int]:
        """Grab the next frame; its (captured_ns, received_ns).

        If decoding takes longer than a frame interval, the frames in the driver's buffers are old
        and are dropped.
        """
        for left in reversed(range(_BUFFERS + 1)):
            begun_ns = self._clock()
            if not self._grabbed:
                self._grab()
            self._grabbed = False
            received_ns = self._clock()
            self._admission.captured()
            captured_ns = stamp_ns(self._capture.get(cv2.CAP_PROP_POS_MSEC), received_ns)
            waited = received_ns - begun_ns > _WAITED_NS
            if left == 0 or waited or received_ns - captured_ns <= self._interval_ns:
                break
            self._admission.overwritten()
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
            "the camera delivers no frames: unplugged, hung, or no USB bandwidth left",
            Failure.READ_FAILED,
            fix="if cameras share a USB bus: use format: MJPG, a smaller size or a lower fps",
        )

    def _error(
        self, what: str, reason: Failure = Failure.OPEN_FAILED, *, fix: str | None = None
    ) -> SourceError:
        return SourceError(reason, what, where=self._path, fix=fix)


def format_order(
    offered: Sequence[PixelFormat], size: tuple[int, int] | None, fps: float | None
) -> list[str]:
    """Names of the usable formats, best first.

    An uncompressed format that reaches the rate within UNCOMPRESSED_BYTES_PER_SECOND costs least;
    then MJPEG, then the other uncompressed ones; formats without the size and grey come last.
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
        light = rate >= 0.95 * wanted_fps and data_rate <= UNCOMPRESSED_BYTES_PER_SECOND
        return offer.name == "GREY", away, 0 if light else 2

    known = [each for each in offered if each.name in LAYOUTS or each.name in _COMPRESSED]
    return [each.name for each in sorted(known, key=rank)]


def stamp_ns(milliseconds: float, received_ns: int) -> int:
    """The driver's buffer stamp, or received_ns if that is not of the monotonic clock."""
    stamp = round(milliseconds * 1e6)
    return stamp if received_ns - OLDEST_STAMP_NS < stamp <= received_ns else received_ns
