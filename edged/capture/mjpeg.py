"""MJPEG over HTTP: a stream of JPEG pictures, as network cameras and mjpg-streamer give it.

The time of capture is when a picture's first bytes arrive; what lies between the sensor and that
stays unseen. User and password come from the URL and are sent when the camera asks (Basic, Digest).
"""

from __future__ import annotations

import http.client
import select
import ssl
import urllib.error
import urllib.request
from urllib.parse import unquote, urlsplit, urlunsplit

from edged.capture import CaptureRequest, Failure, Granted, Picture, SourceError
from edged.capture.intake import Decoding, Intake
from edged.capture.jpeg import decode_jpeg, jpeg_size
from edged.capture.multipart import MultipartSplitter, Part, boundary_of
from edged.clock import Clock, monotonic_ns
from edged.secret import redact

ANSWER_SECONDS = 10.0
_CHUNK_BYTES = 256 * 1024
_DRAIN_CHUNKS = 64


class MjpegSource:
    def __init__(
        self, request: CaptureRequest, intake: Intake, *, clock: Clock = monotonic_ns
    ) -> None:
        self._url = request.source
        self._where = redact(request.source)
        self._intake = intake
        self._clock = clock
        self._response: http.client.HTTPResponse | None = None
        self._first: tuple[Part, int] | None = None
        self._decoding = Decoding(intake, self._where)

    def open(self) -> Granted:
        self._response = self._request()
        content_type = self._response.headers.get("Content-Type", "")
        boundary = boundary_of(content_type)
        if boundary is None:
            raise self._error("not an MJPEG stream", got=f"Content-Type {content_type!r}")
        self._splitter = MultipartSplitter(boundary)
        self._first = self._newest_part()
        size = jpeg_size(self._first[0].body)
        if size is None:
            raise self._error("its parts are not JPEG pictures")
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
        if self._response is not None:
            self._response.close()
            self._response = None

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
        assert self._response is not None
        try:
            chunk = self._response.read1(_CHUNK_BYTES)
        except TimeoutError:
            silent = f"nothing came for {ANSWER_SECONDS:g} s"
            raise self._error(silent, Failure.READ_FAILED) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._error(f"the stream broke: {error}", Failure.READ_FAILED) from None
        if not chunk:
            raise self._error("the server ended the stream", Failure.READ_FAILED)
        return chunk

    def _more_is_waiting(self) -> bool:
        assert self._response is not None
        readable, _, _ = select.select([self._response], [], [], 0)
        return bool(readable)

    def _request(self) -> http.client.HTTPResponse:
        try:
            url, user, password = without_login(self._url)
        except ValueError:
            fix = "in the user and password write / ? # as %2F %3F %23"
            raise self._error("not an address", fix=fix) from None
        opener = urllib.request.build_opener()
        if user is not None:
            logins = urllib.request.HTTPPasswordMgrWithDefaultRealm()
            logins.add_password(None, url, user, password)
            digest = urllib.request.HTTPDigestAuthHandler(logins)
            # One try of the five it has: cameras lock accounts after a few wrong passwords.
            digest.retried = 5  # type: ignore[attr-defined]
            opener.add_handler(_HangUp())
            opener.add_handler(digest)
            opener.add_handler(urllib.request.HTTPBasicAuthHandler(logins))
        try:
            response: http.client.HTTPResponse = opener.open(url, timeout=ANSWER_SECONDS)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code in (401, 403):
                raise SourceError(
                    Failure.UNAUTHORIZED,
                    "the camera refuses the login",
                    where=self._where,
                    got=f"HTTP status {error.code}",
                    fix="check the user and password in the URL",
                ) from None
            raise self._error("the camera refuses", got=f"HTTP status {error.code}") from None
        except urllib.error.URLError as error:
            raise self._unreachable(error.reason) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._unreachable(error) from None
        return response

    def _unreachable(self, reason: object) -> SourceError:
        if isinstance(reason, TimeoutError):
            return self._error(f"no answer within {ANSWER_SECONDS:g} s")
        if isinstance(reason, ssl.SSLCertVerificationError):
            fix = "add it to the system's certificates, or use http:// inside your own network"
            return self._error("its certificate is not trusted", got=reason.verify_message, fix=fix)
        text = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
        return self._error(f"cannot be reached: {text}")

    def _error(
        self,
        what: str,
        reason: Failure = Failure.OPEN_FAILED,
        *,
        got: str | None = None,
        fix: str | None = None,
    ) -> SourceError:
        return SourceError(reason, what, where=self._where, got=got, fix=fix)


class _HangUp(urllib.request.BaseHandler):
    """Closes the connection that asked for a login: the answer to it takes a new one."""

    handler_order = 100  # before the handlers that answer

    def http_error_401(
        self, request: object, response: http.client.HTTPResponse, *_: object
    ) -> None:
        response.close()


def without_login(url: str) -> tuple[str, str | None, str]:
    """(the URL without user and password, user, password). ValueError when it has no host."""
    parts = urlsplit(url)
    if not parts.hostname or (parts.port or 1) < 1:
        raise ValueError(url)
    _, _, host = parts.netloc.rpartition("@")
    user = None if parts.username is None else unquote(parts.username)
    return urlunsplit(parts._replace(netloc=host)), user, unquote(parts.password or "")
