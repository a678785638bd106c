"""Raspberry Pi cameras through Picamera2: `picamera2`, or `picamera2:1` for the second one.

The image processor shrinks to what the largest variant needs and converts to RGB; the sensor mode
covers the whole field of view. Picamera2 is a system package. Written from its source
(github.com/raspberrypi/picamera2) and tested with a stand-in, not on a Raspberry Pi.

A frame's time is the sensor's time stamp, which Picamera2 compares with the monotonic clock.
libcamera specifies CLOCK_BOOTTIME, which is the same until the device is suspended; a frame with a
stamp that is off counts as captured on arrival.
"""

from __future__ import annotations

import concurrent.futures
import importlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from edged.capture.admission import Admission
from edged.capture.decode.covering import COVERED_SIDE, covering_size
from edged.capture.decode.crop import whole_side
from edged.capture.source import CaptureRequest, Failure, Granted, Picture, SourceError
from edged.clock import Clock, monotonic_ns

ANSWER_SECONDS = 5.0
DEFAULT_FPS = 30.0
OLDEST_STAMP_NS = 10_000_000_000
_RGB = "BGR888"
"""RGB in memory: libcamera names the bytes of a pixel in reverse."""


def load_picamera2() -> Any:
    os.environ.setdefault("LIBCAMERA_LOG_LEVELS", "*:WARN")  # the default logs each step
    return importlib.import_module("picamera2")


class PicameraSource:
    """load: returns the module `picamera2` or raises ImportError."""

    def __init__(
        self,
        request: CaptureRequest,
        admission: Admission,
        *,
        clock: Clock = monotonic_ns,
        load: Callable[[], Any] = load_picamera2,
    ) -> None:
        self._request = request
        self._where = request.source
        self._admission = admission
        self._clock = clock
        self._load = load
        self._camera: Any = None
        self._first: Picture | None = None

    def open(self) -> Granted:
        number = int(self._request.source.partition(":")[2] or 0)
        camera = self._camera = self._opened(number)
        width, height = self._request.size or camera.sensor_resolution
        fps = self._request.fps or DEFAULT_FPS
        side = whole_side(COVERED_SIDE, self._request, (width, height))
        stream = covering_size(width, height, side)
        mode = whole_field_mode(modes_of(camera.sensor_modes), stream, fps)
        if mode is not None:
            fps = min(fps, mode.fps)
        sensor = {} if mode is None else {"output_size": mode.size, "bit_depth": mode.bit_depth}
        frame_us = round(1e6 / fps)
        try:
            camera.configure(
                camera.create_video_configuration(
                    main={"size": stream, "format": _RGB},
                    raw=None,  # not used
                    sensor=sensor,
                    controls={"FrameDurationLimits": (frame_us, frame_us)},
                    display=None,
                    encode=None,
                )
            )
            given = camera.camera_configuration()["main"]
            if given["format"] != _RGB:
                fix = "for a USB camera write its device, such as a link in /dev/v4l/by-id"
                raise self._error("does not deliver RGB", got=given["format"], fix=fix)
            camera.start()
        except (RuntimeError, OSError, ValueError) as error:
            raise self._error(f"cannot be started: {error}") from None
        self._first = self._next()
        width, height = given["size"]
        return Granted(width, height, fps, "RGB from Picamera2")

    def read(self, wanted: int) -> Picture | None:
        while True:
            picture, self._first = self._first or self._next(), None
            if self._admission.admits(picture.captured_ns):
                return picture

    def close(self) -> None:
        if self._camera is not None:
            self._camera.close()
            self._camera = None

    def _opened(self, number: int) -> Any:
        try:
            picamera2 = self._load()
        except ImportError as error:
            raise self._error(
                f"could not import Picamera2: {error}",
                fix="sudo apt install python3-picamera2, and give edged access to system packages: "
                "python3 -m venv --system-site-packages",
            ) from None
        attached = len(picamera2.Picamera2.global_camera_info())
        if number >= attached:
            fix = "rpicam-hello --list-cameras lists the attached cameras"
            raise self._error(f"no camera {number}", got=f"{attached} cameras", fix=fix)
        try:
            return picamera2.Picamera2(number)
        except (RuntimeError, OSError) as error:
            what = f"cannot be opened: {error}; it may be in use by another program"
            raise self._error(what) from None

    def _next(self) -> Picture:
        """The newest frame, or the next one if none is new."""
        try:
            request = self._camera.capture_request(wait=ANSWER_SECONDS)
        except (TimeoutError, concurrent.futures.TimeoutError):
            self._camera.cancel_all_and_flush()  # otherwise `close` would wait for the frame
            what = f"no frame for {ANSWER_SECONDS:g} s; is its cable loose?"
            raise self._error(what, Failure.READ_FAILED) from None
        try:
            received_ns = self._clock()
            self._admission.captured()
            stamp_ns = request.get_metadata().get("SensorTimestamp", 0)
            recent = received_ns - OLDEST_STAMP_NS < stamp_ns <= received_ns
            pixels = request.make_array("main")
            return Picture(pixels, stamp_ns if recent else received_ns, received_ns)
        finally:
            request.release()

    def _error(
        self,
        what: str,
        reason: Failure = Failure.OPEN_FAILED,
        *,
        got: str | None = None,
        fix: str | None = None,
    ) -> SourceError:
        return SourceError(reason, what, where=self._where, got=got, fix=fix)


@dataclass(frozen=True, slots=True)
class Mode:
    """A readout mode of a sensor. size: (width, height) of its pictures; field: the area of the
    sensor that it covers, in sensor pixels.
    """

    size: tuple[int, int]
    bit_depth: int
    field: int
    fps: float


def modes_of(sensor_modes: Sequence[dict[str, Any]]) -> list[Mode]:
    """From `Picamera2.sensor_modes`; empty for a USB camera."""
    return [
        Mode(mode["size"], mode["bit_depth"], mode["crop_limits"][2] * mode["crop_limits"][3], fps)
        for mode in sensor_modes
        if (fps := mode.get("fps"))
    ]


def whole_field_mode(modes: Sequence[Mode], stream: tuple[int, int], fps: float) -> Mode | None:
    """The cheapest mode with the largest field, among those that reach `fps` and are not smaller
    than `stream`; without any, the fastest.
    """
    enough = [mode for mode in modes if mode.fps >= fps * 0.99 and _covers(mode.size, stream)]
    if not enough:
        return max(modes, key=lambda mode: (mode.fps, mode.field), default=None)
    return max(enough, key=lambda mode: (mode.field, -mode.size[0] * mode.size[1], mode.bit_depth))


def _covers(size: tuple[int, int], stream: tuple[int, int]) -> bool:
    return size[0] >= stream[0] and size[1] >= stream[1]
