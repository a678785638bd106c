"""RTSP cameras (H.264, H.265 and other codecs of FFmpeg) over TCP, or UDP if the camera refuses
TCP.

The stream is always drained (incoming.py), so that its delay cannot grow. Whether a frame is
decoded and delivered depends on the frames queued behind it, not on time stamps, which give only
its age. FFmpeg's `nobuffer` is not used: it drops the key frame that it reads while probing the
stream, which costs up to a group of pictures at each start. The few frames buffered instead are
decoded at once and overwritten.
"""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

import av

from edged.capture.admission import Admission
from edged.capture.decode.looks import Looks
from edged.capture.decode.timeline import KEYLESS_NS, ArrivalClock
from edged.capture.decode.video import OPTIONS, why_not_decodable
from edged.capture.source import CaptureRequest, Failure, Granted, Picture, SourceError
from edged.capture.sources.hardware.choice import track_of
from edged.capture.sources.rtsp.incoming import Arrival, Incoming
from edged.capture.sources.rtsp.server import RtspServer, other_transport
from edged.clock import Clock, monotonic_ns
from edged.printable import printable
from edged.secret import redact

UNDECODABLE_NS = 30_000_000_000
SHOWN_NS = 500_000_000
"""If decoding is so slow that newer frames always wait, deliver one this often."""
_REMEMBERED = 64
_OPTIONS = {
    **OPTIONS,
    "allowed_media_types": "video",
    # Probe only the first picture. FFmpeg measures the time by the stream's own stamps, which may
    # advance by 40 ms in 3 s.
    "analyzeduration": "1",
    "fpsprobesize": "0",
}


class Surplus(NamedTuple):
    """A frame too early for max_fps, delivered when due unless a newer one arrives."""

    frame: Any
    captured_ns: int
    arrived_ns: int
    due_ns: int


class StreamSource:
    def __init__(
        self, request: CaptureRequest, admission: Admission, *, clock: Clock = monotonic_ns
    ) -> None:
        self._request = request
        scheme, _, rest = request.source.partition("://")
        self._url = f"{scheme.lower()}://{rest}"  # FFmpeg knows no RTSP://
        self._where = redact(request.source)
        self._admission = admission
        self._clock = clock
        self._container: Any = None
        self._incoming: Incoming | None = None
        self._arrivals = ArrivalClock()
        self._looks = Looks(admission, self._where)
        self._dts_ns: int | None = None
        self._lost = True
        """The decoder lacks frames that the next ones refer to."""
        self._lost_ns = self._decoded_ns = self._shown_ns = 0
        self._surplus: Surplus | None = None
        self._sent: deque[tuple[int, int]] = deque(maxlen=_REMEMBERED)
        """(dts, arrival) of frames in ns, for a decoder that delays them."""

    def open(self) -> Granted:
        server = RtspServer(self._url)
        server.knock()
        begun_ns = self._clock()
        try:
            try:
                self._container = self._opened("tcp")
            except av.error.FFmpegError as error:
                if not other_transport(error):
                    raise
                self._container = self._opened("udp")
                self._admission.note(f"{self._where}: the camera refused TCP; using UDP")
        except av.error.FFmpegError as error:
            raise server.refusal(error, (self._clock() - begun_ns) / 1e9) from None
        finally:
            av.logging.set_level(None)
        if (what := why_not_decodable(self._container)) is not None:
            raise self._error(what, Failure.OPEN_FAILED, "set the camera to H.264 or H.265")
        self._track = track_of(
            self._container, self._request, self._admission, where=self._where, low_delay=True
        )
        self._incoming = Incoming(self._track.packets(), self._clock)
        self._lost_ns = self._decoded_ns = self._clock()
        while not self._track.size_known:  # only the first key frame states it
            arrival = self._next()
            assert arrival is not None
            self._admission.overwritten(len(self._decode(arrival)))
        return self._track.granted

    def read(self, wanted: int) -> Picture | None:
        while True:
            arrival = self._next(None if self._surplus is None else self._surplus.due_ns)
            if arrival is None:
                assert self._surplus is not None
                frame, captured_ns, arrived_ns, due_ns = self._surplus
                self._surplus = None
                self._admission.admit_late(captured_ns + due_ns - arrived_ns)
                if (pixels := self._track.rgb(frame, wanted)) is not None:
                    return Picture(pixels, captured_ns, arrived_ns)
                self._admission.broken()
                continue
            frames = self._decode(arrival)
            if not frames:
                continue
            self._drop_surplus()
            self._admission.overwritten(len(frames) - 1)
            stamp_ns = self._track.stamp_ns(frames[-1].pts)
            arrived_ns = self._arrived_ns(stamp_ns, arrival)
            captured_ns = self._arrivals.captured_ns(stamp_ns, arrived_ns)
            now_ns = self._clock()
            if arrival.waited or not arrival.newer:
                self._shown_ns = now_ns
            elif now_ns - self._shown_ns < SHOWN_NS:
                self._admission.overwritten()
                continue
            wait_seconds = self._admission.wait_seconds(captured_ns, alone=self._looks.resting)
            if wait_seconds:
                due_ns = arrived_ns + round(wait_seconds * 1e9)
                self._surplus = Surplus(frames[-1], captured_ns, arrived_ns, due_ns)
                continue
            self._shown_ns = now_ns
            pixels = self._track.rgb(frames[-1], wanted)
            if pixels is not None:
                return Picture(pixels, captured_ns, arrived_ns)
            self._admission.broken()

    def close(self) -> None:
        if self._container is not None:
            if self._incoming is not None:
                self._track.close()
            if self._incoming is None or self._incoming.close():
                self._container.close()
            self._container = None

    def _opened(self, transport: str) -> Any:
        av.logging.set_level(av.logging.ERROR)  # so that errors contain the camera's response
        with av.logging.Capture():
            return av.open(
                self._url,
                options={**_OPTIONS, "rtsp_transport": transport},
                timeout=(self._request.silent_seconds,) * 2,
                metadata_errors="replace",
            )

    def _decode(self, arrival: Arrival) -> list[Any]:
        """The frames of a packet: usually one, sometimes none or more."""
        packet, arrived_ns = arrival.packet, arrival.arrived_ns
        self._admission.captured(1 + arrival.dropped)
        self._admission.overwritten(arrival.dropped)
        stamp_ns = self._track.stamp_ns(packet.pts if packet.dts is None else packet.dts)
        if stamp_ns is not None:
            if self._dts_ns is not None and stamp_ns < self._dts_ns:
                self._arrivals.restart()  # dts never go back within a stream
            self._dts_ns = stamp_ns
            if self._track.delays:
                self._sent.append((stamp_ns, arrived_ns))
        if arrival.dropped and not self._lost:
            self._lost, self._lost_ns = True, arrived_ns
        if packet.is_keyframe or arrived_ns - self._lost_ns > KEYLESS_NS:
            self._lost = False
        frames: list[Any] = []
        if self._lost:
            self._admission.overwritten()
        else:
            frames, damaged, left_out = self._looks.decode(self._track, packet, arrived_ns)
            self._admission.skipped(left_out)
            if left_out:
                self._decoded_ns = arrived_ns
            if left_out and packet.is_keyframe:
                self._arrivals.captured_ns(self._track.stamp_ns(packet.pts), arrived_ns)
                self._drop_surplus()
            for _ in range(damaged):
                self._admission.broken()
        if frames:
            self._decoded_ns = arrived_ns
        elif arrived_ns - self._decoded_ns > UNDECODABLE_NS:
            what = f"no frame could be decoded for {UNDECODABLE_NS / 1e9:g} s"
            raise self._error(what, Failure.NO_PICTURES)
        return frames

    def _arrived_ns(self, stamp_ns: int | None, arrival: Arrival) -> int:
        """When the frame with this time stamp was complete; arrival: the latest."""
        if stamp_ns is None or not self._track.delays:
            return arrival.arrived_ns
        return max(
            (at_ns for dts_ns, at_ns in self._sent if dts_ns <= stamp_ns),
            default=arrival.arrived_ns,
        )

    def _drop_surplus(self) -> None:
        """A newer frame has arrived."""
        if self._surplus is not None:
            self._surplus = None
            self._admission.skipped()

    def _next(self, until_ns: int | None = None) -> Arrival | None:
        assert self._incoming is not None
        begun_ns = self._clock()
        try:
            arrival = self._incoming.next(until_ns)
        except av.error.FFmpegError as error:
            seconds = (self._clock() - begun_ns) / 1e9
            silent = f"no data for {seconds:.1f} s ({printable(error.strerror or '')})"
            raise self._error(silent, Failure.READ_FAILED) from None
        if arrival is not None and arrival.packet is None:
            raise self._error("the camera ended the stream", Failure.READ_FAILED)
        return arrival

    def _error(self, what: str, reason: Failure, fix: str | None = None) -> SourceError:
        return SourceError(reason, what, where=self._where, fix=fix)
