"""MJPEG over HTTP: a stream of JPEG pictures, as from network cameras and mjpg-streamer.

A picture counts as captured when its first bytes arrive; the delay before is unknown.
"""

from __future__ import annotations

import http.client
import select

from edged.capture.admission import Admission, Decoding
from edged.capture.decode.jpeg import decode_jpeg, jpeg_size
from edged.capture.source import Failure, Granted, Picture, SourceError
from edged.capture.sources.http.client import HttpCamera
from edged.capture.sources.http.multipart import MultipartSplitter, NoPicture, Part
from edged.clock import Clock

_DRAIN_CHUNKS = 64


class MjpegSource:
    """response: the stream; begin: the part that has been read."""

    def __init__(
        self,
        camera: HttpCamera,
        response: http.client.HTTPResponse,
        begin: bytes,
        boundary: str | None,
        admission: Admission,
        clock: Clock,
    ) -> None:
        self._camera = camera
        self._response = response
        self._begin = begin
        self._splitter = MultipartSplitter(boundary)
        self._admission = admission
        self._clock = clock
        self._first: tuple[Part, int] | None = None
        self._decoding = Decoding(admission, camera.no_pictures, clock())
        self._opened = False
        self._text_between = False
        """A part without a picture has arrived since the last picture."""

    def open(self) -> Granted:
        while True:
            self._first = self._newest_part()
            assert self._first is not None
            size = jpeg_size(self._first[0].body)
            if size is not None:
                self._opened = True
                return Granted(*size, None, "MJPEG")
            self._decoding.broken(self._clock())

    def read(self, wanted: int) -> Picture | None:
        while True:
            arrival, self._first = self._first or self._newest_part(), None
            assert arrival is not None
            part, received_ns = self._in_time(*arrival)
            pixels = decode_jpeg(part.body, wanted)
            if pixels is not None:
                self._decoding.whole(received_ns)
                return Picture(pixels, part.begun_ns, received_ns)
            self._decoding.broken(received_ns)

    def close(self) -> None:
        self._camera.close()

    def _in_time(self, part: Part, received_ns: int) -> tuple[Part, int]:
        """The first picture that max_fps permits. One that is too early waits, and is dropped if a
        newer one arrives meanwhile, so that the last one of a burst is used."""
        while wait_seconds := self._admission.wait_seconds(part.begun_ns):
            due_ns = received_ns + round(wait_seconds * 1e9)
            try:
                newer = self._newest_part(due_ns)
            except SourceError:  # use the picture before the end first
                newer = None
            if newer is None:
                self._admission.admit_late(part.begun_ns + due_ns - received_ns)
                break
            self._admission.skipped()
            part, received_ns = newer
        return part, received_ns

    def _newest_part(self, until_ns: int | None = None) -> tuple[Part, int] | None:
        """(part, time it was complete); earlier queued pictures are overwritten. None if none
        arrives before the given time."""
        newest: Part | None = None
        drained = 0
        while newest is None or (drained < _DRAIN_CHUNKS and self._more_is_waiting()):
            if newest is None and until_ns is not None:
                seconds = (until_ns - self._clock()) / 1e9
                if seconds <= 0 or not self._more_is_waiting(seconds):
                    return None
            try:
                chunk = self._chunk()
            except SourceError:
                if newest is None:
                    raise
                break  # use the picture before the end first
            drained += 1
            for each in self._splitter.feed(chunk, self._clock()):
                if isinstance(each, NoPicture):
                    self._no_picture(each, newest)
                    continue
                self._text_between = False
                self._admission.captured()
                self._admission.overwritten(int(newest is not None))
                newest = each
        return newest, self._clock()

    def _no_picture(self, part: NoPicture, newest: Part | None) -> None:
        """Count it as a broken picture, unless it is a single part between two pictures."""
        if not (part.begun or self._text_between):
            self._text_between = True
            return
        self._admission.captured()
        if newest is None:
            self._decoding.broken(self._clock(), part.got)
        else:
            self._admission.broken()

    def _chunk(self) -> bytes:
        """The next data, as soon as it arrives."""
        chunk, self._begin = self._begin, b""
        chunk = chunk or self._camera.read(self._response, Failure.READ_FAILED)
        if not chunk and not self._opened:
            raise self._camera.no_pictures("the end of the stream")
        if not chunk:
            raise self._camera.error("the camera ended the stream", Failure.READ_FAILED)
        return chunk

    def _more_is_waiting(self, seconds: float = 0) -> bool:
        readable, _, _ = select.select([self._response], [], [], seconds)
        return bool(readable)
