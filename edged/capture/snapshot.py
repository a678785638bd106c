"""Single JPEG pictures at an HTTP address, asked for again and again.

Twice a second unless asked otherwise. A picture counts as captured when the camera's answer begins;
what lies between the sensor and that stays unseen. One that has not changed since (status 304, or
the same bytes) is not delivered again: it counts as captured and overwritten, and what hung for
`frozen_after_seconds` has failed.
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable

from edged.capture import CaptureRequest, Failure, Granted, Picture
from edged.capture.http_camera import ANSWER_SECONDS, HttpCamera
from edged.capture.intake import Decoding, Intake
from edged.capture.jpeg import decode_jpeg, jpeg_size
from edged.capture.multipart import LONGEST_PART
from edged.clock import Clock

DEFAULT_FPS = 2.0


class SnapshotSource:
    """response: the camera's first answer, a picture."""

    def __init__(
        self,
        camera: HttpCamera,
        response: http.client.HTTPResponse,
        request: CaptureRequest,
        intake: Intake,
        clock: Clock,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._camera = camera
        self._response: http.client.HTTPResponse | None = response
        self._intake = intake
        self._clock = clock
        self._sleep = sleep
        fps = request.fps or DEFAULT_FPS
        self._fps = fps if request.max_fps is None else min(fps, request.max_fps)
        self._due_ns = clock()
        self._validators: dict[str, str] = {}
        """Headers that ask for the picture only if it is not the latest one."""
        self._latest = b""
        self._new_ns = 0
        self._frozen_after_seconds = request.frozen_after_seconds
        self._first: tuple[int, int] | None = None
        self._decoding = Decoding(intake, camera.where)

    def open(self) -> Granted:
        self._first = self._next()
        size = jpeg_size(self._latest)
        if self._first is None or size is None:
            raise self._camera.error("not a JPEG picture", Failure.OPEN_FAILED)
        return Granted(*size, self._fps, "JPEG pictures")

    def read(self, wanted: int) -> Picture | None:
        while True:
            arrival, self._first = self._first or self._next(), None
            if arrival is None:
                continue
            captured_ns, received_ns = arrival
            if not self._intake.admits(captured_ns):
                continue
            pixels = decode_jpeg(self._latest, wanted)
            if pixels is not None:
                self._decoding.whole()
                return Picture(pixels, captured_ns, received_ns)
            self._decoding.broken()

    def close(self) -> None:
        self._camera.close()

    def _next(self) -> tuple[int, int] | None:
        """(begin of the answer, its end) of `_latest`; None when there is no new whole one."""
        response = self._response or self._ask()
        self._response = None
        captured_ns = self._clock()
        self._intake.captured()
        if response.status == 304:
            response.read()
            self._unchanged(captured_ns)
            return None
        body = self._body(response)
        if body is None:
            self._decoding.broken()
            return None
        if body == self._latest:
            self._unchanged(captured_ns)
            return None
        self._latest, self._new_ns = body, captured_ns
        self._validators = self._validators_of(response)
        return captured_ns, self._clock()

    def _unchanged(self, now_ns: int) -> None:
        self._intake.overwritten()
        patience_seconds = self._frozen_after_seconds
        if patience_seconds is not None and now_ns - self._new_ns >= patience_seconds * 1e9:
            what = f"nothing new in the picture for {patience_seconds:g} s"
            fix = "if the scene is that still, leave frozen_after_seconds out"
            raise self._camera.error(what, Failure.FROZEN, fix=fix)

    def _ask(self) -> http.client.HTTPResponse:
        """When it is time; what was missed meanwhile is not made up for."""
        self._due_ns += round(1e9 / self._fps)
        seconds = (self._due_ns - self._clock()) / 1e9
        if seconds > 0:
            self._sleep(seconds)
        else:
            self._due_ns = self._clock()
        return self._camera.get(self._validators, reason=Failure.READ_FAILED)

    def _body(self, response: http.client.HTTPResponse) -> bytes | None:
        """None when it is cut short or too long."""
        body = b""
        try:
            while len(body) <= LONGEST_PART and (chunk := response.read(LONGEST_PART)):
                body += chunk
        except TimeoutError:
            what = f"half a picture, then nothing for {ANSWER_SECONDS:g} s"
            raise self._camera.error(what, Failure.READ_FAILED) from None
        except (OSError, http.client.HTTPException):
            body = b""
        if body and len(body) <= LONGEST_PART and not response.length:
            return body
        self._camera.close()  # what is left of it would be taken for the next answer
        return None

    def _validators_of(self, response: http.client.HTTPResponse) -> dict[str, str]:
        if etag := response.headers.get("ETag"):
            return {"If-None-Match": etag}
        modified = response.headers.get("Last-Modified")
        # It counts in seconds: of two pictures in one of them the second would not be seen.
        return {"If-Modified-Since": modified} if modified and self._fps <= 1 else {}
