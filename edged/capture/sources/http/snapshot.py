"""Single JPEG pictures from an HTTP address, requested repeatedly (default: twice a second).

A picture counts as captured when the response starts; the delay before is unknown. An unchanged one
(status 304, or equal bytes) is not delivered again but counted as captured and overwritten, and is
a failure after `frozen_after_seconds`.
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable
from typing import NamedTuple

from edged.capture.admission import UNDECODABLE, Admission, Decoding
from edged.capture.decode.jpeg import decode_jpeg, jpeg_size
from edged.capture.source import CaptureRequest, Failure, Granted, Picture
from edged.capture.sources.http.client import HttpCamera
from edged.capture.sources.http.multipart import LONGEST_PART, MultipartSplitter, Part, described
from edged.clock import Clock

DEFAULT_FPS = 2.0
_BEGIN = b"\xff\xd8"
STEP_SECONDS = 1.0
"""A longer pause is made in steps, as a change of the views may end it."""


class _Arrival(NamedTuple):
    """received_ns: the end of the response. validators: headers to request only a changed
    picture."""

    picture: bytes
    captured_ns: int
    received_ns: int
    validators: dict[str, str]


class SnapshotSource:
    """response: the first one; begin: the part that has been read."""

    def __init__(
        self,
        camera: HttpCamera,
        response: http.client.HTTPResponse,
        begin: bytes,
        request: CaptureRequest,
        admission: Admission,
        clock: Clock,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._camera = camera
        self._response: http.client.HTTPResponse | None = response
        self._begin = begin
        self._admission = admission
        self._clock = clock
        self._sleep = sleep
        self._fps = request.fps or DEFAULT_FPS
        self._due_ns = clock()
        self._latest: _Arrival | None = None
        """The last picture that could be decoded."""
        self._frozen_after_seconds = request.frozen_after_seconds
        self._first: _Arrival | None = None
        self._decoding = Decoding(admission, camera.no_pictures, clock())
        self._got = ""
        """What arrived instead of the last picture."""

    def open(self) -> Granted:
        first = self._first = self._next()
        size = None if first is None else jpeg_size(first.picture)
        if size is None:
            raise self._camera.no_pictures(self._got or UNDECODABLE)
        interval_ns = max(round(1e9 / self._fps), self._admission.interval_ns)
        return Granted(*size, 1e9 / interval_ns, "JPEG pictures")

    def read(self, wanted: int) -> Picture | None:
        while True:
            arrival, self._first = self._first or self._next(), None
            if arrival is None or not self._admission.admits(arrival.captured_ns):
                continue
            pixels = decode_jpeg(arrival.picture, wanted)
            if pixels is not None:
                self._decoding.whole(arrival.received_ns)
                self._latest = arrival
                return Picture(pixels, arrival.captured_ns, arrival.received_ns)
            self._decoding.broken(arrival.received_ns)

    def close(self) -> None:
        self._camera.close()

    def _next(self) -> _Arrival | None:
        """None if there is no new picture."""
        response = self._response or self._ask()
        self._response = None
        captured_ns = self._clock()
        self._admission.captured()
        if response.status == 304:
            response.read()
            self._unchanged(captured_ns)
            return None
        body = self._body(response)
        received_ns = self._clock()
        picture = picture_in(body)
        if picture is None:
            self._got = _described(response, body)
            self._decoding.broken(received_ns, self._got)
            return None
        if self._latest is not None and picture == self._latest.picture:
            self._unchanged(captured_ns)
            return None
        return _Arrival(picture, captured_ns, received_ns, self._validators_of(response))

    def _unchanged(self, now_ns: int) -> None:
        self._decoding.whole(now_ns)
        self._admission.overwritten()
        patience_seconds = self._frozen_after_seconds
        if patience_seconds is None or self._latest is None:
            return
        if now_ns - self._latest.captured_ns >= patience_seconds * 1e9:
            what = f"the picture has not changed for {patience_seconds:g} s"
            fix = "if the source has no noise, remove frozen_after_seconds"
            raise self._camera.error(what, Failure.FROZEN, fix=fix)

    def _ask(self) -> http.client.HTTPResponse:
        """Send the next request when it is due; missed ones are not made up for."""
        asked_ns, self._due_ns = self._due_ns, max(self._next_ns(self._due_ns), self._clock())
        while (seconds := (self._due_ns - self._clock()) / 1e9) > 0:
            self._sleep(min(seconds, STEP_SECONDS))
            self._due_ns = min(self._due_ns, max(self._next_ns(asked_ns), self._clock()))
        self._admission.renewed = False
        validators = {} if self._latest is None else self._latest.validators
        return self._camera.get(validators, reason=Failure.READ_FAILED)

    def _next_ns(self, asked_ns: int) -> int:
        """When to ask again; a change of the views may bring it forward."""
        limit_ns = 0 if self._admission.renewed else self._admission.interval_ns
        return asked_ns + max(round(1e9 / self._fps), limit_ns)

    def _body(self, response: http.client.HTTPResponse) -> bytes:
        """The body; empty if it is truncated or too long."""
        body, self._begin = self._begin, b""
        try:
            while len(body) <= LONGEST_PART and (chunk := response.read(LONGEST_PART)):
                body += chunk
        except (OSError, http.client.HTTPException, ValueError):
            body = b""
        if len(body) <= LONGEST_PART and not response.length:
            return body
        self._camera.close()  # the rest would be read as the next response
        return b""

    def _validators_of(self, response: http.client.HTTPResponse) -> dict[str, str]:
        if etag := response.headers.get("ETag"):
            return {"If-None-Match": etag}
        modified = response.headers.get("Last-Modified")
        # In whole seconds, so a second picture in the same second would be missed.
        return {"If-Modified-Since": modified} if modified and self._fps <= 1 else {}


def picture_in(body: bytes) -> bytes | None:
    """The first picture: the body itself, or a part of it."""
    if body.startswith(_BEGIN):
        return body
    found = MultipartSplitter(None).feed(body, 0)
    return next((each.body for each in found if isinstance(each, Part)), None)


def _described(response: http.client.HTTPResponse, body: bytes) -> str:
    """What a response without a picture contains, for a message."""
    kind = response.headers.get("Content-Type", "").strip()
    is_picture = kind.lower().startswith("image/")
    if not body and (is_picture or not kind):
        return "an empty or truncated response"
    return f"{described(kind)} without JPEG data" if is_picture else described(kind)
