"""RTSP cameras (H.264, H.265 and what else FFmpeg decodes), over TCP, or UDP where a camera refuses
that.

The stream is always drained (incoming.py), so that its delay cannot grow. Whether a frame is
decoded and shown follows from what waits behind it, never from its time stamps: those tell how old
it is. FFmpeg's `nobuffer` is not used: it throws away the key frame that it reads while it looks at
the stream, and costs up to a whole group of pictures at each start; the few frames that are
buffered instead are decoded at once and overwritten.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import av

from edged.capture.admission import Intake
from edged.capture.decode.timeline import ArrivalClock
from edged.capture.decode.video import OPTIONS, VideoTrack, why_not_decodable
from edged.capture.source import CaptureRequest, Failure, Granted, Picture, SourceError
from edged.capture.sources.rtsp.incoming import Arrival, Incoming
from edged.capture.sources.rtsp.server import RtspServer, other_transport
from edged.clock import Clock, monotonic_ns
from edged.printable import printable
from edged.secret import redact

UNDECODABLE_NS = 30_000_000_000
KEYLESS_NS = 10_000_000_000
"""A stream without key frames is decoded all the same: its pictures are renewed in other ways."""
SHOWN_NS = 500_000_000
"""While newer frames always wait, because decoding is slow, one is shown this often."""
_OPTIONS = {
    **OPTIONS,
    "allowed_media_types": "video",
    # Do not look at the stream for longer than its first picture: the time is counted by its own
    # stamps, which may stand for 40 ms where 3 s have passed.
    "analyzeduration": "1",
    "fpsprobesize": "0",
}


class Surplus(NamedTuple):
    """A frame that came too early for max_fps, shown when nothing newer comes until it is due."""

    frame: Any
    captured_ns: int
    arrived_ns: int
    due_ns: int


class StreamSource:
    def __init__(
        self, request: CaptureRequest, intake: Intake, *, clock: Clock = monotonic_ns
    ) -> None:
        scheme, _, rest = request.source.partition("://")
        self._url = f"{scheme.lower()}://{rest}"  # FFmpeg knows no RTSP://
        self._where = redact(request.source)
        self._silent_seconds = request.silent_seconds
        self._intake = intake
        self._clock = clock
        self._container: Any = None
        self._incoming: Incoming | None = None
        self._arrivals = ArrivalClock()
        self._dts_ns: int | None = None
        self._lost = True
        """The decoder lacks what the next frames refer to."""
        self._lost_ns = self._decoded_ns = self._shown_ns = 0
        self._surplus: Surplus | None = None

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
                self._intake.note(f"{self._where}: it refuses TCP, its stream comes over UDP")
        except av.error.FFmpegError as error:
            raise server.refusal(error, (self._clock() - begun_ns) / 1e9) from None
        finally:
            av.logging.set_level(None)
        if (what := why_not_decodable(self._container)) is not None:
            raise self._error(what, Failure.OPEN_FAILED, "set the camera to H.264 or H.265")
        self._track = VideoTrack(self._container, where=self._where, low_delay=True)
        self._incoming = Incoming(self._track.packets(), self._clock)
        self._lost_ns = self._decoded_ns = self._clock()
        while not self._track.size_known:  # it stands in the first key frame only
            arrival = self._next()
            assert arrival is not None
            self._intake.overwritten(len(self._decode(arrival)))
        return self._track.granted

    def read(self, wanted: int) -> Picture | None:
        while True:
            arrival = self._next(None if self._surplus is None else self._surplus.due_ns)
            if arrival is None:
                assert self._surplus is not None
                frame, captured_ns, arrived_ns, due_ns = self._surplus
                self._surplus = None
                self._intake.admit_late(captured_ns + due_ns - arrived_ns)
                if (pixels := self._track.rgb(frame, wanted)) is not None:
                    return Picture(pixels, captured_ns, arrived_ns)
                self._intake.broken()
                continue
            frames = self._decode(arrival)
            if not frames:
                continue
            if self._surplus is not None:
                self._surplus = None
                self._intake.skipped()
            self._intake.overwritten(len(frames) - 1)
            stamp_ns = self._track.stamp_ns(frames[-1].pts)
            captured_ns = self._arrivals.captured_ns(stamp_ns, arrival.arrived_ns)
            now_ns = self._clock()
            if arrival.waited or not arrival.newer:
                self._shown_ns = now_ns
            elif now_ns - self._shown_ns < SHOWN_NS:
                self._intake.overwritten()
                continue
            wait_seconds = self._intake.wait_seconds(captured_ns)
            if wait_seconds:
                due_ns = arrival.arrived_ns + round(wait_seconds * 1e9)
                self._surplus = Surplus(frames[-1], captured_ns, arrival.arrived_ns, due_ns)
                continue
            self._shown_ns = now_ns
            pixels = self._track.rgb(frames[-1], wanted)
            if pixels is not None:
                return Picture(pixels, captured_ns, arrival.arrived_ns)
            self._intake.broken()

    def close(self) -> None:
        if self._container is not None:
            if self._incoming is None or self._incoming.close():
                self._container.close()
            self._container = None

    def _opened(self, transport: str) -> Any:
        av.logging.set_level(av.logging.ERROR)  # or errors do not hold what the camera answered
        with av.logging.Capture():
            return av.open(
                self._url,
                options={**_OPTIONS, "rtsp_transport": transport},
                timeout=(self._silent_seconds, self._silent_seconds),
                metadata_errors="replace",
            )

    def _decode(self, arrival: Arrival) -> list[Any]:
        """What a packet brings: often one frame, sometimes none, or more."""
        packet, arrived_ns = arrival.packet, arrival.arrived_ns
        self._intake.captured(1 + arrival.dropped)
        self._intake.overwritten(arrival.dropped)
        stamp_ns = self._track.stamp_ns(packet.pts if packet.dts is None else packet.dts)
        if stamp_ns is not None:
            if self._dts_ns is not None and stamp_ns < self._dts_ns:
                self._arrivals.begin_anew()  # frames are decoded in the order of these
            self._dts_ns = stamp_ns
        if arrival.dropped and not self._lost:
            self._lost, self._lost_ns = True, arrived_ns
        if packet.is_keyframe or arrived_ns - self._lost_ns > KEYLESS_NS:
            self._lost = False
        frames: list[Any] = []
        if self._lost:
            self._intake.overwritten()
        else:
            frames, damaged = self._track.decode(packet)
            for _ in range(damaged):
                self._intake.broken()
        if frames:
            self._decoded_ns = arrived_ns
        elif arrived_ns - self._decoded_ns > UNDECODABLE_NS:
            what = f"frames arrive, but none could be decoded for {UNDECODABLE_NS / 1e9:g} s"
            raise self._error(what, Failure.NO_PICTURES)
        return frames

    def _next(self, until_ns: int | None = None) -> Arrival | None:
        assert self._incoming is not None
        begun_ns = self._clock()
        try:
            arrival = self._incoming.next(until_ns)
        except av.error.FFmpegError as error:
            seconds = (self._clock() - begun_ns) / 1e9
            silent = f"nothing came for {seconds:.1f} s ({printable(error.strerror or '')})"
            raise self._error(silent, Failure.READ_FAILED) from None
        if arrival is not None and arrival.packet is None:
            raise self._error("the server ended the stream", Failure.READ_FAILED)
        return arrival

    def _error(self, what: str, reason: Failure, fix: str | None = None) -> SourceError:
        return SourceError(reason, what, where=self._where, fix=fix)
