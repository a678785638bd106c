"""A camera at an HTTP address: an MJPEG stream or single pictures, told apart by its answer."""

from __future__ import annotations

import time
from collections.abc import Callable

from edged.capture import CaptureRequest, Failure, Granted, Picture, Source
from edged.capture.http_camera import HttpCamera
from edged.capture.intake import Intake
from edged.capture.mjpeg import MjpegSource
from edged.capture.multipart import boundary_of
from edged.capture.snapshot import SnapshotSource
from edged.clock import Clock, monotonic_ns

_PICTURE_TYPES = ("image/jpeg", "image/jpg", "image/pjpeg", "application/octet-stream", "")
"""The latter two say nothing: the picture itself tells."""


class HttpSource:
    def __init__(
        self,
        request: CaptureRequest,
        intake: Intake,
        *,
        clock: Clock = monotonic_ns,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._request = request
        self._intake = intake
        self._clock = clock
        self._sleep = sleep
        self._camera: HttpCamera | None = None
        self._source: Source | None = None

    def open(self) -> Granted:
        camera = self._camera = HttpCamera(self._request.source)
        response = camera.get()
        content_type = response.headers.get("Content-Type", "")
        boundary = boundary_of(content_type)
        if boundary is not None:
            self._source = MjpegSource(camera, response, boundary, self._intake, self._clock)
        elif content_type.partition(";")[0].strip().lower() in _PICTURE_TYPES:
            self._source = SnapshotSource(
                camera, response, self._request, self._intake, self._clock, self._sleep
            )
        else:
            raise camera.error(
                "neither a JPEG picture nor an MJPEG stream",
                Failure.OPEN_FAILED,
                got=f"Content-Type {content_type!r}",
                fix="look in the camera's manual for the address of its pictures",
            )
        return self._source.open()

    def read(self, wanted: int) -> Picture | None:
        assert self._source is not None
        return self._source.read(wanted)

    def close(self) -> None:
        if self._camera is not None:
            self._camera.close()
