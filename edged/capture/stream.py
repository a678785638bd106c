"""RTSP cameras (H.264, H.265 and what else FFmpeg decodes), over TCP.

The stream is always drained, so that its delay cannot grow: what cannot be decoded in time is left
out, up to the next key frame. FFmpeg's `nobuffer` is not used: it throws away the key frame that
it reads while it looks at the stream, and costs up to a whole group of pictures at each start; the
few frames that are buffered instead are decoded at once and overwritten.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import av

from edged.capture import CaptureRequest, Failure, Granted, Picture, SourceError
from edged.capture.intake import Intake
from edged.capture.timeline import ArrivalClock, Backlog
from edged.capture.video import OPTIONS, VideoTrack
from edged.clock import Clock, monotonic_ns
from edged.secret import redact

ANSWER_SECONDS = 5.0
UNDECODABLE_NS = 30_000_000_000
_PORTS = {"rtsp": 554, "rtsps": 322}
_OPTIONS = {
    **OPTIONS,
    "rtsp_transport": "tcp",
    "allowed_media_types": "video",
    "analyzeduration": "500000",  # microseconds to look at the stream before it is handed out
}
_WAITED_NS = 5_000_000
"""A packet that had to be waited for this long was not standing in a queue."""


class StreamSource:
    def __init__(
        self, request: CaptureRequest, intake: Intake, *, clock: Clock = monotonic_ns
    ) -> None:
        self._url = request.source
        self._where = redact(request.source)
        self._intake = intake
        self._clock = clock
        self._container: Any = None
        self._packets: Iterator[Any] = iter(())
        self._arrivals = ArrivalClock()
        self._backlog = Backlog(awaits_key_frame=True)
        self._decoded_ns = 0

    def open(self) -> Granted:
        self._knock()
        begun_ns = self._clock()
        try:
            self._container = av.open(
                self._url, options=_OPTIONS, timeout=(ANSWER_SECONDS, ANSWER_SECONDS)
            )
        except av.error.FFmpegError as error:
            seconds = (self._clock() - begun_ns) / 1e9
            raise self._refusal(error, seconds) from None
        if not self._container.streams.video:
            raise self._error("the stream has no video")
        self._track = VideoTrack(self._container, where=self._where, low_delay=True)
        self._packets = self._track.packets()
        self._decoded_ns = self._clock()
        return self._track.granted

    def read(self, wanted: int) -> Picture | None:
        while True:
            packet, arrived_ns, waited = self._next_packet()
            self._intake.captured()
            stamp_ns = self._track.stamp_ns(packet.pts)
            lag_ns = 0 if waited else self._arrivals.lag_ns(stamp_ns, arrived_ns)
            if not self._backlog.decodes(lag_ns, packet.is_keyframe):
                self._intake.overwritten()
                continue
            frames, damaged = self._track.decode(packet)
            for _ in range(damaged):
                self._intake.broken()
            if not frames:
                self._check_decoding(arrived_ns)
                continue
            self._decoded_ns = arrived_ns
            self._intake.overwritten(len(frames) - 1)
            stamp_ns = self._track.stamp_ns(frames[-1].pts)
            captured_ns = self._arrivals.captured_ns(stamp_ns, arrived_ns)
            if not self._intake.admits(captured_ns):
                continue
            if not self._backlog.converts(lag_ns):
                self._intake.overwritten()
                continue
            pixels = self._track.rgb(frames[-1], wanted)
            if pixels is not None:
                return Picture(pixels, captured_ns, arrived_ns)
            self._intake.broken()

    def close(self) -> None:
        if self._container is not None:
            self._container.close()
            self._container = None

    def _knock(self) -> None:
        """FFmpeg calls nearly everything an input/output error; the socket tells what it is."""
        try:
            parts = urlsplit(self._url)
            host, port = parts.hostname, parts.port or _PORTS[parts.scheme.lower()]
        except ValueError:
            host = None
        if not host:
            fix = "in the user and password write / ? # as %2F %3F %23"
            raise self._error("not an address", fix=fix)
        try:
            socket.create_connection((host, port), ANSWER_SECONDS).close()
        except socket.gaierror as error:
            raise self._error(f"the host is not known: {error.strerror}") from None
        except TimeoutError:
            raise self._error(f"no answer within {ANSWER_SECONDS:g} s") from None
        except OSError as error:
            raise self._error(f"cannot be reached: {error.strerror}") from None

    def _refusal(self, error: Exception, seconds: float) -> SourceError:
        if isinstance(error, av.error.HTTPUnauthorizedError | av.error.HTTPForbiddenError):
            return SourceError(
                Failure.UNAUTHORIZED,
                "the camera refuses the login",
                where=self._where,
                fix="check the user and password in the URL",
            )
        if isinstance(error, av.error.HTTPNotFoundError):
            return self._error("the camera has no such stream", fix="check the path of the URL")
        if seconds > ANSWER_SECONDS * 0.95:
            return self._error(f"no answer within {ANSWER_SECONDS:g} s")
        return self._error(f"cannot be opened: {error.strerror}")  # type: ignore[attr-defined]

    def _error(self, what: str, *, fix: str | None = None) -> SourceError:
        return SourceError(Failure.OPEN_FAILED, what, where=self._where, fix=fix)

    def _next_packet(self) -> tuple[Any, int, bool]:
        """(packet, when it was there, whether it had to be waited for)."""
        begun_ns = self._clock()
        try:
            packet = next(self._packets, None)
        except av.error.FFmpegError as error:
            seconds = (self._clock() - begun_ns) / 1e9
            silent = f"nothing came for {seconds:.1f} s ({error.strerror})"
            raise SourceError(Failure.READ_FAILED, silent, where=self._where) from None
        if packet is None or packet.size == 0:
            raise SourceError(Failure.READ_FAILED, "the server ended the stream", where=self._where)
        arrived_ns = self._clock()
        return packet, arrived_ns, arrived_ns - begun_ns > _WAITED_NS

    def _check_decoding(self, now_ns: int) -> None:
        if now_ns - self._decoded_ns > UNDECODABLE_NS:
            raise SourceError(
                Failure.READ_FAILED,
                f"frames arrive, but none could be decoded for {UNDECODABLE_NS / 1e9:g} s",
                where=self._where,
            )
