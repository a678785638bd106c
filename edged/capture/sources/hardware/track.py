"""A video track that hardware decodes, and software once the hardware fails.

The child process may hold frames: until their order is known, for its own buffers, or because it is
behind. `decode` waits for as many pictures as frames were sent, beyond those that it has held
until now, so that a picture comes as early as it can and a slow decoder works on several frames.

The packets since the last key frame are kept. If the hardware fails, software decodes them again
and continues without waiting for the next key frame.
"""

from __future__ import annotations

import re
from collections import deque
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from edged.capture.admission import Admission
from edged.capture.decode.covering import COVERED_SIDE, covering_size
from edged.capture.decode.crop import whole_side
from edged.capture.decode.orientation import Orientation
from edged.capture.decode.video import VideoTrack
from edged.capture.source import CaptureRequest
from edged.capture.sources.hardware.decoders import SOFTWARE, Decoder
from edged.capture.sources.hardware.pipeline import LostError, Pipeline
from edged.clock import Clock, monotonic_ns

_WAIT_NS = 100_000_000
_SILENT_NS = 3_000_000_000
_SILENT = f"no picture for {_SILENT_NS / 1e9:g} s"
_MOST_HELD = 16
"""Frames that H.264 and H.265 let a decoder hold. One with more of them that is silent is hung."""
_GRAIN_NS = 1000
"""V4L2 passes time stamps in microseconds."""
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
        """(width, height) of the pictures of the process."""
        self._side = 0
        """The longest short side that was asked for."""
        self._sent: dict[int, int | None] = {}
        """pts by time stamp in the pipeline, of the frames that have not come back."""
        self._shift_ns: int | None = None
        """From the track's time stamps to the pipeline's."""
        self._newest_ns = self._due_ns = self._heard_ns = 0
        self._ready: list[Any] = []
        self._damaged = 0
        """Frames, and the number of lost ones, since the last call of `decode`."""
        self._kept: deque[tuple[int, Any]] = deque()
        """(time stamp, packet), from the key frame of the oldest frame that has not come back."""
        self._kept_bytes = 0

    @property
    def delays(self) -> bool:
        return self._works is not False

    def close(self) -> None:
        if self._pipeline is not None:
            self._pipeline.close()
            self._pipeline = None

    def reset(self) -> None:
        self._forget()
        super().reset()

    def decode(self, packet: Any) -> tuple[list[Any], int]:
        if self._works is False:
            return super().decode(packet)
        try:
            if packet.size == 0 or (packet.is_keyframe and self._outgrown):
                self._rest()
            if packet.size == 0:
                pass
            elif self._pipeline is None and not self._begin(packet):
                self._damaged += 1
            else:
                self._exchange(packet)
        except LostError as error:
            self._fall_back(str(error), packet)
        frames, damaged = self._ready, self._damaged
        self._ready, self._damaged = [], 0
        return frames, damaged

    def rgb(self, frame: Any, wanted: int) -> NDArray[np.uint8] | None:
        self._side = max(self._side, wanted)
        return super().rgb(frame, wanted)

    def _begin(self, packet: Any) -> bool:
        """Start the process; False if this packet does not state the size of the pictures."""
        if self._first is None:
            frames, _ = super().decode(packet)
            frames += self._codec.decode(None)
            super().reset()
            if not frames:
                return False
            self._first = frames[0]
        self._size = self._needed
        self._pipeline = Pipeline(self._decoder, self._size)
        self._filter = av.BitStreamFilterContext(f"{self._codec.name}_mp4toannexb", self._stream)
        self._heard_ns = self._clock()
        return True

    @property
    def _needed(self) -> tuple[int, int]:
        """(width, height) for the views of the request, and for those that came later."""
        size = self._codec.width, self._codec.height
        side = max(self._side, whole_side(COVERED_SIDE, self._request, size))
        width, height = covering_size(*size, side)
        return -(-width // _ROW_PIXELS) * _ROW_PIXELS, height

    @property
    def _outgrown(self) -> bool:
        return self._pipeline is not None and self._size != self._needed

    def _exchange(self, packet: Any) -> None:
        """Send a frame and take the pictures that are ready."""
        self._take(0)
        held = self._overdue
        if not self._sent:
            self._heard_ns = self._clock()
        self._send(packet)
        end_ns = self._clock() + _WAIT_NS
        while self._overdue > held and (left_ns := end_ns - self._clock()) > 0:
            self._take(left_ns / 1e9)
        if len(self._sent) > _MOST_HELD and self._clock() - self._heard_ns > _SILENT_NS:
            raise LostError(_SILENT)

    @property
    def _overdue(self) -> int:
        """Frames that have not come back although those before them in the order of presentation
        were sent."""
        return sum(ns <= self._due_ns for ns in self._sent)

    def _send(self, packet: Any) -> None:
        assert self._pipeline is not None
        sent_ns = self._stamp(packet)
        self._newest_ns = max(self._newest_ns, sent_ns)
        self._sent[sent_ns] = packet.pts
        self._keep(sent_ns, packet)
        copy = av.Packet(bytes(packet))  # the filter takes it
        copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
        data = b"".join(map(bytes, self._filter.filter(copy)))
        if packet.is_keyframe:
            data = self._with_parameters(data)
        self._pipeline.put(data, sent_ns)

    def _keep(self, sent_ns: int, packet: Any) -> None:
        self._kept.append((sent_ns, packet))
        self._kept_bytes += packet.size
        if packet.is_keyframe:
            oldest_ns, kept = min(self._sent), enumerate(self._kept)
            begins = [at for at, (ns, each) in kept if each.is_keyframe and ns <= oldest_ns]
            for _ in range(begins[-1] if begins else 0):
                self._kept_bytes -= self._kept.popleft()[1].size
        if self._kept_bytes > _KEPT_BYTES:
            self._kept.clear()
            self._kept_bytes = 0

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
        return (pts_ns + shift_ns) // _GRAIN_NS * _GRAIN_NS

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

    def _take(self, seconds: float, *, ends: bool = False) -> None:
        """Take the pictures that are ready, or wait for the first one. ends: the process is
        expected to end."""
        assert self._pipeline is not None
        for stamp_ns, data in self._pipeline.pictures(seconds):
            if stamp_ns not in self._sent:  # of before a reset
                continue
            self._heard_ns = self._clock()
            if not self._works:
                self._works = True
                self._admission.decodes_with(self._decoder.element, "")
            frame = self._frame(data, self._sent.pop(stamp_ns))
            skipped = [each for each in self._sent if each < stamp_ns]
            for each in skipped:
                del self._sent[each]
            self._damaged += len(skipped)
            self._ready.append(frame)
        if self._pipeline.ended and not ends:
            raise LostError(self._pipeline.why_ended())

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

    def _rest(self) -> None:
        """Take what is left at the end of the stream. A looped file starts another process."""
        if self._pipeline is None:
            return
        self._pipeline.finish()
        end_ns = self._clock() + _SILENT_NS
        while not self._pipeline.ended:
            if self._clock() > end_ns:
                raise LostError(_SILENT)
            self._take(_WAIT_NS / 1e9, ends=True)
        if not self._works and self._sent:
            raise LostError(self._pipeline.why_ended())
        self._damaged += len(self._sent)
        self._forget()
        self.close()

    def _fall_back(self, why: str, packet: Any) -> None:
        """Continue in software, with what the hardware has not given back."""
        self.close()
        self._works = False
        self._admission.decodes_with(SOFTWARE, f"{self._decoder.element} failed: {why}")
        super().reset()
        missing = {*self._sent.values(), packet.pts}
        packets = [each for _, each in self._kept if each is not packet]
        for each in (*packets, packet):
            frames, damaged = super().decode(each)
            self._ready += [frame for frame in frames if frame.pts in missing]
            self._damaged += damaged
        self._forget()

    def _forget(self) -> None:
        self._sent.clear()
        self._kept.clear()
        self._kept_bytes = 0

    def _orientation_of(self, frame: Any) -> Orientation:
        given = self._first if frame.format.name == _PIXELS else frame
        return super()._orientation_of(given)
