"""Video files, played in real time according to their time stamps.

A frame counts as captured when it is due, and is decoded only then, so that decoding and delays
show as the frame's age. If decoding is too slow, frames are dropped up to the next key frame;
playback does not slow down. Jumps of the time stamps are removed.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import Any

import av

from edged.capture.admission import Admission
from edged.capture.decode.looks import Looks
from edged.capture.decode.timeline import Backlog
from edged.capture.decode.video import OPTIONS, why_not_decodable
from edged.capture.source import CaptureRequest, Failure, Granted, Picture, SourceError
from edged.capture.sources.hardware.choice import track_of
from edged.clock import Clock, monotonic_ns
from edged.memory import return_free_memory

_FPS_UNKNOWN = 25.0
_LONGEST_STEP_NS = 1_500_000_000
"""Longer intervals are jumps, unless the frame rate is that low."""


class FileSource:
    def __init__(
        self,
        request: CaptureRequest,
        admission: Admission,
        *,
        clock: Clock = monotonic_ns,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._request = request
        self._path = request.source
        self._loop = request.loop
        self._admission = admission
        self._clock = clock
        self._sleep = sleep
        self._opened = ExitStack()
        """Closes the track and the container."""
        self._packets: Iterator[Any] = iter(())
        self._decoded: deque[Any] = deque()
        self._backlog = Backlog()
        self._looks = Looks(admission, request.source)
        self._origin_ns: int | None = None
        """The time of time stamp 0; None until the first packet."""
        self._dts: int | None = None
        """Of the previous packet, in the track's ticks, without jumps."""
        self._shift = 0
        """Added to time stamps to remove the jumps."""
        self._begin: int | None = None
        """The dts of the first packet; None before it, and without time stamps."""
        self._first_stamp_ns: int | None = None
        """Of the first frame, where a loop starts."""
        self._due_ns = 0
        self._begun_ns = 0
        self._lag_ns = 0
        """How late the last packet was decoded."""
        self._frames_of_pass = 0

    def open(self) -> Granted:
        try:
            known = Path(self._path).is_file()
        except OSError as error:  # such as no permission for a folder above it
            raise self._error(f"cannot be opened: {error.strerror}") from None
        if not known:
            raise self._error("no such file or folder, and not another kind of source")
        try:
            container = av.open(f"file:{self._path}", options=OPTIONS, metadata_errors="replace")
        except av.error.InvalidDataError:
            fix = "an MP4 can be read only after its recording has ended"
            raise self._error("not a video file, or its end is missing", fix) from None
        except av.error.FFmpegError as error:
            raise self._error(f"cannot be opened as a video: {error.strerror}") from None
        self._opened.callback(container.close)
        if (what := why_not_decodable(container)) is not None:
            raise self._error(what)
        self._track = track_of(container, self._request, self._admission, where=self._path)
        self._opened.callback(self._track.close)
        self._packets = self._track.packets()
        self._interval_ns = round(1e9 / (self._track.fps or _FPS_UNKNOWN))
        self._dts, self._shift = None, 0
        while not self._track.size_known:
            packet = self._next_packet()
            if packet is None:
                raise self._error("no picture could be decoded")
            self._decode(packet)
        return self._track.granted

    def read(self, wanted: int) -> Picture | None:
        os.sched_yield()  # let the reader of the last picture run first
        while True:
            if self._decoded:
                picture = self._present(self._decoded.popleft(), wanted)
                if picture is not None:
                    return picture
            elif (packet := self._next_packet()) is not None:
                self._decode(packet)
            elif not self._rewind():
                return None

    def close(self) -> None:
        self._opened.close()

    def _next_packet(self) -> Any:
        """None at the end, which includes damage in the container."""
        try:
            packet = next(self._packets, None)
        except av.error.FFmpegError as error:
            self._admission.note(f"{self._path}: stopped reading before the end: {error.strerror}")
            return None
        if packet is not None and packet.dts is not None:
            self._take_out_jump(packet)
        return packet

    def _take_out_jump(self, packet: Any) -> None:
        step, longest = (
            self._track.ticks(ns)
            for ns in (self._interval_ns, max(_LONGEST_STEP_NS, 3 * self._interval_ns))
        )
        dts = packet.dts + self._shift
        if self._dts is not None and not 0 <= dts - self._dts <= longest:
            self._shift += self._dts + step - dts
            dts = self._dts + step
        self._dts = dts
        if self._shift:
            packet.dts = dts
            if packet.pts is not None:
                packet.pts += self._shift

    def _decode(self, packet: Any) -> None:
        """Decode at the packet's time, which is its frame's unless frames are reordered."""
        ticks = packet.pts if packet.dts is None else packet.dts
        stamp_ns = self._track.stamp_ns(ticks)
        due_ns = self._next_ns()
        if stamp_ns is not None:
            if self._origin_ns is None:
                self._origin_ns = self._clock() - stamp_ns
                self._begin = packet.dts
            due_ns = self._origin_ns + stamp_ns
            self._wait_until(due_ns)
            if not self._backlog.decodes(self._clock() - due_ns, packet.is_keyframe):
                self._admission.captured()
                self._admission.overwritten()
                return
        self._begun_ns = self._clock()
        self._lag_ns = self._begun_ns - due_ns
        frames, damaged, left_out = self._looks.decode(self._track, packet, due_ns)
        self._decoded.extend(frames)
        if left_out:
            self._leave_out(left_out, self._track.stamp_ns(packet.pts))
        for _ in range(damaged):
            self._admission.captured()
            self._admission.broken()

    def _leave_out(self, frames: int, stamp_ns: int | None) -> None:
        """Count frames that max_fps does not permit, and keep the pace."""
        self._frames_of_pass += frames
        self._admission.captured(frames)
        self._admission.skipped(frames)
        if stamp_ns is None or self._origin_ns is None:
            self._due_ns += frames * self._interval_ns
            self._wait_until(self._due_ns)
        else:
            self._due_ns = max(self._due_ns, self._origin_ns + stamp_ns)

    def _present(self, frame: Any, wanted: int) -> Picture | None:
        """None if the frame is dropped."""
        self._frames_of_pass += 1
        self._due_ns = self._due(self._track.stamp_ns(frame.pts))
        self._wait_until(self._due_ns)
        self._admission.captured()
        lag_ns = self._lag_ns if self._track.delays else self._clock() - self._due_ns
        if not self._backlog.converts(lag_ns):
            self._admission.overwritten()
            return None
        if not self._admission.admits(self._due_ns):  # last, so that a dropped frame uses no quota
            return None
        received_ns = max(self._due_ns, self._begun_ns)
        pixels = self._track.rgb(frame, wanted)
        if pixels is None:
            self._frames_of_pass -= 1
            self._admission.broken()
            return None
        return Picture(pixels, self._due_ns, received_ns)

    def _due(self, stamp_ns: int | None) -> int:
        if stamp_ns is None or self._origin_ns is None:  # a bare stream without time stamps
            return self._next_ns()
        if self._first_stamp_ns is None:
            self._first_stamp_ns = stamp_ns
        return self._origin_ns + stamp_ns

    def _next_ns(self) -> int:
        """When the next frame of a stream without time stamps is due."""
        return self._due_ns + self._interval_ns if self._due_ns else self._clock()

    def _rewind(self) -> bool:
        """Restart after the last frame's interval; False if the file is not looped."""
        if self._frames_of_pass == 0:
            raise SourceError(Failure.READ_FAILED, "no picture could be decoded", where=self._path)
        if not self._loop:
            return False
        if not self._seek_begin():
            self.close()
            self.open()
            return_free_memory()
        self._dts, self._shift = None, 0
        self._frames_of_pass = 0
        if self._first_stamp_ns is not None:
            self._origin_ns = self._due_ns + self._interval_ns - self._first_stamp_ns
        return True

    def _seek_begin(self) -> bool:
        """Seek to the first packet, which is cheaper than opening the file again; False for raw
        streams, which cannot seek, and where seeking is inexact."""
        if self._begin is None:
            return False
        try:
            packets = self._track.packets_from(self._begin)
            packet = next(packets, None)
        except av.error.FFmpegError:
            return False
        self._packets = chain((packet,), packets)
        return packet is not None and packet.dts == self._begin

    def _wait_until(self, due_ns: int) -> None:
        seconds = (due_ns - self._clock()) / 1e9
        if seconds > 0:
            self._sleep(seconds)

    def _error(self, what: str, fix: str | None = None) -> SourceError:
        return SourceError(Failure.OPEN_FAILED, what, where=self._path, fix=fix)
