"""An HTTP camera: an MJPEG stream or single pictures, depending on its response."""

from __future__ import annotations

import time
from collections.abc import Callable
from http.client import HTTPResponse

from edged.capture.admission import Admission
from edged.capture.source import CaptureRequest, Failure, Granted, Picture, Source
from edged.capture.sources.http.client import HttpCamera
from edged.capture.sources.http.mjpeg import MjpegSource
from edged.capture.sources.http.multipart import (
    LONGEST_PART,
    MultipartSplitter,
    Part,
    boundary_of,
    described,
    is_multipart,
)
from edged.capture.sources.http.snapshot import SnapshotSource
from edged.clock import Clock, monotonic_ns

_PICTURE_TYPES = ("image/jpeg", "image/jpg", "image/pjpeg", "application/octet-stream", "")
"""With the last two the body decides."""
_BEGINNINGS = (b"\xff\xd8", b"--")
"""Of a picture, and of a multipart body."""


class HttpSource:
    def __init__(
        self,
        request: CaptureRequest,
        admission: Admission,
        *,
        clock: Clock = monotonic_ns,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._request = request
        self._admission = admission
        self._clock = clock
        self._sleep = sleep
        self._camera: HttpCamera | None = None
        self._source: Source | None = None

    def open(self) -> Granted:
        camera = self._camera = HttpCamera(self._request.source, self._request.silent_seconds)
        response = camera.get()
        content_type = response.headers.get("Content-Type", "")
        stream, begin = is_multipart(content_type), b""
        if not stream and (response.length is None or response.length > LONGEST_PART):
            stream, begin = self._detected(camera, response, content_type)
        if stream:
            response.length = None  # that of the first picture, or wrong
            boundary = boundary_of(content_type)
            self._source = MjpegSource(
                camera, response, begin, boundary, self._admission, self._clock
            )
        else:
            self._source = SnapshotSource(
                camera, response, begin, self._request, self._admission, self._clock, self._sleep
            )
        return self._source.open()

    def read(self, wanted: int) -> Picture | None:
        assert self._source is not None
        return self._source.read(wanted)

    def close(self) -> None:
        if self._camera is not None:
            self._camera.close()

    def _detected(
        self, camera: HttpCamera, response: HTTPResponse, content_type: str
    ) -> tuple[bool, bytes]:
        """(whether it is a stream, the bytes read) of a response of unknown length: in a stream,
        data follows the first picture.
        """
        response.length = None
        splitter = MultipartSplitter(None)
        pictures, begin = 0, b""
        while len(begin) <= LONGEST_PART:
            chunk = camera.read(response, Failure.OPEN_FAILED)
            if not chunk:
                return False, begin
            begin += chunk
            if begin.lstrip().startswith(b"--"):
                return True, begin
            known = content_type.partition(";")[0].strip().lower() in _PICTURE_TYPES
            if not known and not begin.lstrip().startswith(_BEGINNINGS):
                break
            found = splitter.feed(chunk, self._clock())
            pictures += sum(isinstance(each, Part) for each in found)
            if pictures > 1 or (pictures == 1 and splitter.in_picture):
                return True, begin
        raise camera.no_pictures(described(content_type))
