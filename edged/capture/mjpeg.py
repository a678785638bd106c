"""MJPEG over HTTP: a stream of JPEG pictures, as network cameras and mjpg-streamer give it.

The time of capture is when a picture's first bytes arrive; what lies between the sensor and that
stays unseen. How the stream was asked for is not known here.
"""

from __future__ import annotations

import http.client
import select

from edged.capture import Failure, Granted, Picture, SourceError
from edged.capture.http_camera import ANSWER_SECONDS, HttpCamera
from edged.capture.intake import Decoding, Intake
from edged.capture.jpeg import decode_jpeg, jpeg_size
from edged.capture.multipart import MultipartSplitter, Part
from edged.clock import Clock

_CHUNK_BYTES = 256 * 1024
_DRAIN_CHUNKS = 64


class MjpegSource:
    """response: the camera's answer, a multipart stream with this boundary."""

    def __init__(
        self,
        camera: HttpCamera,
        response: http.client.HTTPResponse,
        boundary: str,
        intake: Intake,
        clock: Clock,
    ) -> None:
        self._camera = camera
        self._response = response
        self._splitter = MultipartSplitter(boundary)
        self._intake = intake
        self._clock = clock
        self._first: tuple[Part, int] | None = None
        self._decoding = Decoding(intake, camera.where)

    def open(self) -> Granted:
        self._first = self._newest_part()
        size = jpeg_size(self._first[0].body)
        if size is None:
            raise self._camera.error("its parts are not JPEG pictures", Failure.OPEN_FAILED)
        return Granted(*size, None, "MJPEG")

    def read(self, wanted: int) -> Picture | None:
        while True:
            part, received_ns = self._first or self._newest_part()
            self._first = None
            if not self._intake.admits(part.begun_ns):
                continue
            pixels = decode_jpeg(part.body, wanted)
            if pixels is not None:
                self._decoding.whole()
                return Picture(pixels, part.begun_ns, received_ns)
            self._decoding.broken()

    def close(self) -> None:
        self._camera.close()

    def _newest_part(self) -> tuple[Part, int]:
        """(part, when it was complete). Pictures that queue behind each other are overwritten."""
        newest: Part | None = None
        drained = 0
        while newest is None or (drained < _DRAIN_CHUNKS and self._more_is_waiting()):
            try:
                chunk = self._chunk()
            except SourceError:
                if newest is None:
                    raise
                break  # first the picture that came before the end
            drained += 1
            oversized = self._splitter.oversized
            parts = self._splitter.feed(chunk, self._clock())
            for _ in range(self._splitter.oversized - oversized):
                self._intake.captured()
                self._intake.broken()
            for part in parts:
                self._intake.captured()
                self._intake.overwritten(int(newest is not None))
                newest = part
        return newest, self._clock()

    def _chunk(self) -> bytes:
        """What is there, as soon as something is."""
        try:
            chunk = self._response.read1(_CHUNK_BYTES)
        except TimeoutError:
            silent = f"nothing came for {ANSWER_SECONDS:g} s"
            raise self._camera.error(silent, Failure.READ_FAILED) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            what = f"the stream broke: {error}"
            raise self._camera.error(what, Failure.READ_FAILED) from None
        if not chunk:
            raise self._camera.error("the server ended the stream", Failure.READ_FAILED)
        return chunk

    def _more_is_waiting(self) -> bool:
        readable, _, _ = select.select([self._response], [], [], 0)
        return bool(readable)
