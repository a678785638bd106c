"""A video track that hardware decodes, and software once the hardware fails.

The child process may hold frames: until their order is known, for its own buffers, or because it is
behind. `decode` waits for as many pictures as frames were sent, beyond those that it has held
until now, so that a picture comes as early as it can and a slow decoder works on several frames.

The packets since the last key frame are kept. If the hardware fails, software decodes them again
and continues without waiting for the next key frame.
"""

from __future__ import annotations

import re
from typing import Any

import av
import numpy as np

from edged.capture.admission import Admission
from edged.capture.decode.covering import COVERED_SIDE, covering_size
from edged.capture.decode.crop import whole_side
from edged.capture.decode.orientation import Orientation
from edged.capture.decode.video import VideoTrack
from edged.capture.source import CaptureRequest
from edged.capture.sources.hardware.decoders import CODECS, SOFTWARE, Decoder, found
from edged.capture.sources.hardware.pipeline import LostError, Pipeline
from edged.clock import Clock, monotonic_ns

_WAIT_NS = 100_000_000
_SILENT_NS = 3_000_000_000
_MOST_HELD = 16
"""Frames that H.264 and H.265 let a decoder hold. One with more of them that is silent is hung."""
_KEPT_BYTES = 8 * 1024 * 1024
_BACK_NS = 1_000_000_000
"""Time stamps that jump back further start again; within it, frames are reordered."""
_ROW_PIXELS = 4
"""GStreamer pads rows to multiples of these."""
_PIXELS = "nv12"
_PARAMETERS = {  # up to the next start code
    "h264": re.compile(rb"\x00\x00\x01[\x07\x27\x47\x67].*?(?=\x00\x00\x01|\Z)", re.DOTALL),
    "h265": re.compile(rb"\x00\x00\x01\x42.*?(?=\x00\x00\x01|\Z)", re.DOTALL),
}
"""The sequence parameter set, which states the size."""


def track_of(
    container: Any,
    request: CaptureRequest,
    admission: Admission,
    *,
    where: str,
    low_delay: bool = False,
) -> VideoTrack:
    """The track that decodes as the request says. Raises SourceError as VideoTrack does."""
    track = VideoTrack(container, where=where, low_delay=low_delay)
    if request.decode != "hardware":  # auto: no hardware has been measured yet
        admission.decodes_with(SOFTWARE, "")
    elif track.codec not in CODECS:
        known = "hardware decodes H.264 and H.265 only"
        admission.decodes_with(SOFTWARE, f"{known}, and this is {track.codec}")
    elif (decoder := found(CODECS[track.codec])) is None:
        fix = "edged doctor tells what GStreamer lacks"
        admission.decodes_with(SOFTWARE, f"no hardware decoder for {track.codec} was found; {fix}")
    else:
        return HardwareTrack(
            container, decoder, request, admission, where=where, low_delay=low_delay
        )
    return track


class HardwareTrack(VideoTrack):
    """decoder: of the container's codec."""

    def __init__(
        self,
        container: Any,
        decoder: Decoder,
        request: CaptureRequest,
        admission: Admission,
        *,
        where: str,
        low_delay: bool = False,
        clock: Clock = monotonic_ns,
    ) -> None:
        super().__init__(container, where=where, low_delay=low_delay)
        self._decoder = decoder
        self._request = request
        self._admission = admission
        self._clock = clock
        self._pipeline: Pipeline | None = None
        self._works: bool | None = None
        """Whether the hardware decodes; None until its first picture."""
        self._first: Any = None
        """The first frame, decoded in software: it states what those of the hardware lack."""
        self._parameters = b""
        self._size = 0, 0
        self._sent: dict[int, int | None] = {}
        """pts by time stamp in the pipeline, of the frames that have not come back."""
        self._shift_ns: int | None = None
        """From the track's time stamps to the pipeline's."""
        self._newest_ns = self._due_ns = self._heard_ns = 0
        self._kept: list[Any] = []
        self._kept_bytes = 0

    @property
    def delays(self) -> bool:
        return self._works is not False

    def close(self) -> None:
        if self._pipeline is not None:
            self._pipeline.close()
            self._pipeline = None

    def reset(self) -> None:
        self._sent.clear()
        self._kept.clear()
        super().reset()

    def decode(self, packet: Any) -> tuple[list[Any], int]:
        if self._works is False:
            return super().decode(packet)
        self._keep(packet)
        try:
            if packet.size == 0:
                return self._rest()
            if self._pipeline is None and not self._begin(packet):
                return [], 1
            return self._exchange(packet)
        except LostError as error:
            return self._fall_back(str(error))

    def _keep(self, packet: Any) -> None:
        if packet.is_keyframe or self._kept_bytes > _KEPT_BYTES:
            self._kept, self._kept_bytes = [], 0
        self._kept.append(packet)
        self._kept_bytes += packet.size

    def _begin(self, packet: Any) -> bool:
        """Start the process; False if this packet does not state the size of the pictures."""
        if self._first is None:
            frames, _ = super().decode(packet)
            frames += self._codec.decode(None)
            super().reset()
            if not frames:
                return False
            self._first = frames[0]
            size = self._codec.width, self._codec.height
            side = whole_side(COVERED_SIDE, self._request, size)
            width, height = covering_size(*size, side)
            self._size = -(-width // _ROW_PIXELS) * _ROW_PIXELS, height
        self._pipeline = Pipeline(self._decoder, self._size)
        self._filter = av.BitStreamFilterContext(f"{self._codec.name}_mp4toannexb", self._stream)
        self._heard_ns = self._clock()
        return True

    def _exchange(self, packet: Any) -> tuple[list[Any], int]:
        """Send a frame and take the pictures that are ready."""
        assert self._pipeline is not None
        frames, damaged = self._taken(0)
        held = self._overdue
        if not self._sent:
            self._heard_ns = self._clock()
        self._send(packet)
        end_ns = self._clock() + _WAIT_NS
        while self._overdue > held and (left_ns := end_ns - self._clock()) > 0:
            more, lost = self._taken(left_ns / 1e9)
            frames += more
            damaged += lost
        if len(self._sent) > _MOST_HELD and self._clock() - self._heard_ns > _SILENT_NS:
            raise LostError(f"no picture for {_SILENT_NS / 1e9:g} s")
        return frames, damaged

    @property
    def _overdue(self) -> int:
        """Frames that have not come back although those before them in the order of presentation
        were sent."""
        return sum(ns <= self._due_ns for ns in self._sent)

    def _send(self, packet: Any) -> None:
        assert self._pipeline is not None
        copy = av.Packet(bytes(packet))  # the filter takes it
        copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
        data = b"".join(map(bytes, self._filter.filter(copy)))
        if packet.is_keyframe:
            data = self._with_parameters(data)
        sent_ns = self._stamp(packet)
        self._newest_ns = max(self._newest_ns, sent_ns)
        self._sent[sent_ns] = packet.pts
        self._pipeline.put(data, sent_ns)

    def _stamp(self, packet: Any) -> int:
        """The time stamp of a packet in the pipeline, where those never start again."""
        pts_ns, dts_ns = self.stamp_ns(packet.pts), self.stamp_ns(packet.dts)
        if pts_ns is None:  # that of an RTSP stream's first frame is not known yet
            if self._newest_ns:
                raise LostError("the stream has no time stamps")
            self._due_ns = _BACK_NS
            return _BACK_NS
        shift_ns = self._shift_ns
        if shift_ns is None or pts_ns + shift_ns < self._newest_ns - _BACK_NS:
            shift_ns = self._shift_ns = self._newest_ns + _BACK_NS - pts_ns
        self._due_ns = (pts_ns if dts_ns is None else dts_ns) + shift_ns
        return pts_ns + shift_ns

    def _with_parameters(self, data: bytes) -> bytes:
        """A key frame behind the parameters of the session's description. Raises LostError if the
        stream has changed them: its pictures may have another size."""
        given = self._codec.extradata or b""
        if given.startswith(b"\x00\x00"):  # otherwise the filter inserts them
            data = given + data
        stated = _PARAMETERS[self._decoder.codec].findall(data)
        parameters = stated[-1].rstrip(b"\x00") if stated else self._parameters
        if self._parameters not in (b"", parameters):
            raise LostError("the stream has changed")
        self._parameters = parameters
        return data

    def _taken(self, seconds: float) -> tuple[list[Any], int]:
        """(frames, number of those that never come), after waiting for the first one."""
        assert self._pipeline is not None
        frames, damaged = [], 0
        for stamp_ns, data in self._pipeline.pictures(seconds):
            self._heard_ns = self._clock()
            if not self._works:
                self._works = True
                self._admission.decodes_with(self._decoder.element, "")
            if stamp_ns not in self._sent:  # of before a reset
                continue
            pts = self._sent.pop(stamp_ns)
            skipped = [each for each in self._sent if each < stamp_ns]
            for each in skipped:
                del self._sent[each]
            damaged += len(skipped)
            frames.append(self._frame(data, pts))
        if self._pipeline.ended and not frames:
            raise LostError(self._pipeline.why_ended())
        return frames, damaged

    def _frame(self, data: bytes, pts: int | None) -> Any:
        width, height = self._size
        if len(data) != width * height * 3 // 2:
            raise LostError(
                f"its pictures have {len(data)} bytes instead of {width}x{height} pixels"
            )
        pixels = np.frombuffer(data, np.uint8).reshape(height * 3 // 2, width)
        frame = av.VideoFrame.from_ndarray(pixels, format=_PIXELS)
        frame.pts = pts
        frame.colorspace, frame.color_range = self._first.colorspace, self._first.color_range
        return frame

    def _rest(self) -> tuple[list[Any], int]:
        """What is left at the end of the stream. A looped file starts another process."""
        frames: list[Any] = []
        if self._pipeline is None:
            return frames, 0
        self._pipeline.finish()
        end_ns = self._clock() + _SILENT_NS
        damaged = 0
        while self._sent and self._clock() < end_ns:
            try:
                more, lost = self._taken(_WAIT_NS / 1e9)
            except LostError:
                break  # it has ended, as it should
            frames += more
            damaged += lost
        damaged += len(self._sent)
        self._sent.clear()
        self.close()
        return frames, damaged

    def _fall_back(self, why: str) -> tuple[list[Any], int]:
        """Continue in software, with what the hardware has not given back."""
        self.close()
        self._works = False
        self._admission.decodes_with(SOFTWARE, f"{self._decoder.element} failed: {why}")
        super().reset()
        frames, damaged, missing = [], 0, {*self._sent.values()}
        for packet in self._kept:
            decoded, broken = super().decode(packet)
            frames += [frame for frame in decoded if frame.pts in missing]
            damaged += broken
        self._sent.clear()
        self._kept.clear()
        return frames, damaged

    def _orientation_of(self, frame: Any) -> Orientation:
        given = self._first if frame.format.name == _PIXELS else frame
        return super()._orientation_of(given)
