"""USB and other V4L2 cameras, through OpenCV.

MJPEG is preferred and taken undecoded, so that it can be decoded at the smallest scale that will
do; YUYV, NV12 and other plain formats are converted here. What the driver says after negotiation
counts: `set` reports success for formats it then does not use. A frame's time is the driver's own
buffer stamp.
"""

from __future__ import annotations

import errno
import fcntl
import grp
import os
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edged.capture import CaptureRequest, Failure, Granted, Picture, SourceError
from edged.capture.intake import Decoding, Intake
from edged.capture.jpeg import decode_jpeg
from edged.clock import Clock, monotonic_ns

FAILED_IN_A_ROW = 5
FAILED_PAUSE_SECONDS = 0.02
"""A read from a dead device fails at once: without a pause that would be a busy loop."""
OLDEST_STAMP_NS = 10_000_000_000
"""Buffer stamps from another clock, or none at all, are further from the present than this."""
_BUFFERS = 2
_PREFERRED = ("MJPG", "YUYV")
_WAITED_NS = 1_000_000
"""A frame that had to be waited for this long was not standing in a buffer."""

_QUERYCAP = 0x80685600  # _IOR('V', 0, struct v4l2_capability), linux/videodev2.h
_CAPABILITY = struct.Struct("=16s32s32sIII12x")
_CAN_CAPTURE = 0x1 | 0x1000  # V4L2_CAP_VIDEO_CAPTURE, V4L2_CAP_VIDEO_CAPTURE_MPLANE
_HAS_DEVICE_CAPS = 0x80000000


@dataclass(frozen=True, slots=True)
class Capability:
    """What a driver says about a device node."""

    driver: str
    card: str
    captures: bool

    @classmethod
    def parse(cls, answer: bytes) -> Capability:
        """Of VIDIOC_QUERYCAP: a camera has further nodes, for metadata, that give no pictures."""
        driver, card, _, _, whole, node = _CAPABILITY.unpack(answer)
        flags = node if whole & _HAS_DEVICE_CAPS else whole
        return cls(_text(driver), _text(card), bool(flags & _CAN_CAPTURE))


@dataclass(frozen=True, slots=True)
class _Layout:
    """How a plain format lies in memory: rows per picture row, bytes per pixel, conversion."""

    rows: float
    bytes_per_pixel: int
    conversion: int | None


_PLAIN = {
    "YUYV": _Layout(1, 2, cv2.COLOR_YUV2RGB_YUYV),
    "YVYU": _Layout(1, 2, cv2.COLOR_YUV2RGB_YVYU),
    "UYVY": _Layout(1, 2, cv2.COLOR_YUV2RGB_UYVY),
    "NV12": _Layout(1.5, 1, cv2.COLOR_YUV2RGB_NV12),
    "NV21": _Layout(1.5, 1, cv2.COLOR_YUV2RGB_NV21),
    "YU12": _Layout(1.5, 1, cv2.COLOR_YUV2RGB_I420),
    "YV12": _Layout(1.5, 1, cv2.COLOR_YUV2RGB_YV12),
    "GREY": _Layout(1, 1, cv2.COLOR_GRAY2RGB),
    "BGR3": _Layout(1, 3, cv2.COLOR_BGR2RGB),
    "RGB3": _Layout(1, 3, None),
}
_COMPRESSED = frozenset(("MJPG", "JPEG"))
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
    ) -> None:
        self._request = request
        self._path = request.source
        self._intake = intake
        self._clock = clock
        self._sleep = sleep
        self._capture: Any = None
        self._grabbed = False
        self._interval_ns = OLDEST_STAMP_NS
        self._decoding = Decoding(intake, self._path)

    def open(self) -> Granted:
        self._check_device()
        capture = self._capture = cv2.VideoCapture(self._path, cv2.CAP_V4L2)
        if not capture.isOpened():
            raise self._error(
                "cannot be opened for capture; another program may be using it",
                fix=f"see which: fuser -v {self._path}",
            )
        granted = self._negotiate(capture)
        self._grab()  # isOpened is true for a dead device: only a frame proves that it lives
        self._grabbed = True
        return granted

    def read(self, wanted: int) -> Picture | None:
        while True:
            captured_ns, received_ns = self._newest()
            if not self._intake.admits(captured_ns):
                continue
            taken, raw = self._capture.retrieve()
            pixels = to_rgb(raw, self._format, self._width, self._height, wanted) if taken else None
            if pixels is not None:
                self._decoding.whole()
                return Picture(pixels, captured_ns, received_ns)
            self._decoding.broken()

    def close(self) -> None:
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def _check_device(self) -> None:
        """What OpenCV reports as one and the same failure, told apart."""
        try:
            fd = os.open(self._path, os.O_RDWR | os.O_NONBLOCK)
        except OSError as error:
            raise open_error(error, self._path) from None
        try:
            answer = fcntl.ioctl(fd, _QUERYCAP, bytes(_CAPABILITY.size))
        except OSError:
            raise self._error("not a V4L2 device") from None
        finally:
            os.close(fd)
        capability = Capability.parse(answer)
        if not capability.captures:
            raise self._error(
                f"this node of {capability.card!r} gives no pictures",
                fix="use another of its nodes: v4l2-ctl --list-devices",
            )

    def _negotiate(self, capture: Any) -> Granted:
        wish = self._request
        for name in _PREFERRED:
            capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*name))
            if fourcc_name(int(capture.get(cv2.CAP_PROP_FOURCC))) == name:
                break
        if wish.size is not None:
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, wish.size[0])
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, wish.size[1])
        if wish.fps is not None:
            capture.set(cv2.CAP_PROP_FPS, wish.fps)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, _BUFFERS)
        self._format = fourcc_name(int(capture.get(cv2.CAP_PROP_FOURCC)))
        self._width = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH))
        self._height = int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        fps = float(capture.get(cv2.CAP_PROP_FPS))
        self._interval_ns = round(1e9 / fps) if fps > 0 else OLDEST_STAMP_NS
        granted = Granted(self._width, self._height, fps if fps > 0 else None, self._format)
        if self._format in _COMPRESSED or self._format in _PLAIN:
            capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)
        else:
            self._format = _CONVERTED
        if wish.size not in (None, (self._width, self._height)) or wish.fps not in (None, fps):
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
            if self._capture.grab():
                return
            self._sleep(FAILED_PAUSE_SECONDS)
        raise self._error("gives no frames; unplugged, or hung", Failure.READ_FAILED)

    def _error(
        self, what: str, reason: Failure = Failure.OPEN_FAILED, *, fix: str | None = None
    ) -> SourceError:
        return SourceError(reason, what, where=self._path, fix=fix)


def open_error(error: OSError, path: str) -> SourceError:
    """Why a device node cannot be opened, and what to do about it."""
    group = _group(path)
    join = f"add the user to the group {group}: sudo usermod -aG {group} $USER"
    what, fix = {
        errno.ENOENT: ("no such device: is the camera plugged in?", "see ls /dev/v4l/by-id"),
        errno.EACCES: (
            "no permission to use the camera",
            f"{join} (for a service: SupplementaryGroups={group})",
        ),
        errno.EBUSY: ("another program is using the camera", f"see which: fuser -v {path}"),
        errno.ENODEV: ("the camera is gone: unplugged?", None),
        errno.ENXIO: ("the camera is gone: unplugged?", None),
    }.get(error.errno or 0, (f"cannot be opened: {error.strerror}", None))
    return SourceError(Failure.OPEN_FAILED, what, where=path, fix=fix)


def _group(path: str) -> str:
    """That owns the device: `video` on every distribution in use."""
    try:
        return grp.getgrgid(Path(path).stat().st_gid).gr_name
    except (OSError, KeyError):
        return "video"


def stamp_ns(milliseconds: float, received_ns: int) -> int:
    """The driver's buffer stamp, or received_ns where that is none of the monotonic clock."""
    stamp = round(milliseconds * 1e6)
    return stamp if received_ns - OLDEST_STAMP_NS < stamp <= received_ns else received_ns


def to_rgb(
    raw: NDArray[np.uint8], fourcc: str, width: int, height: int, wanted: int
) -> NDArray[np.uint8] | None:
    """uint8 (height, width, 3), RGB, of what the driver delivered; None when it is incomplete.

    MJPEG comes at the smallest scale whose short side covers `wanted`; the rest in full size.
    """
    if fourcc in _COMPRESSED:
        return decode_jpeg(raw.tobytes(), wanted)
    layout = _PLAIN[fourcc]
    rows = int(height * layout.rows)
    if raw.size != rows * width * layout.bytes_per_pixel:
        return None
    shaped = raw.reshape(rows, width, layout.bytes_per_pixel)
    if layout.conversion is None:
        return shaped
    pixels: NDArray[np.uint8] = cv2.cvtColor(shaped, layout.conversion)
    return pixels


def fourcc_name(code: int) -> str:
    return _text((code & 0xFFFFFFFF).to_bytes(4, "little")).strip()


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("latin-1")
