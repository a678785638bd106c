"""Any GStreamer pipeline: a `gst-launch-1.0` child writes uncompressed pictures to a pipe.

Sources: `gst:` and a description, `csi` or `csi:1`, `libcamera` or `libcamera:NAME`.

A pipe carries no time stamps, so a frame counts as captured when its first byte arrives. The delay
before is unknown, as is up to one frame interval in the pipeline if this process reads late; older
frames are dropped. A pipeline that is not live (a file) runs by its time stamps without loss; its
end is the end of the source. The end of a live pipeline is a failure.
"""

from __future__ import annotations

import os
import select
import selectors
import shutil
import subprocess
from collections import deque

import numpy as np
from numpy.typing import NDArray

from edged.capture.admission import Admission
from edged.capture.process import LineReader
from edged.capture.source import CaptureRequest, Failure, Granted, Picture, SourceError
from edged.capture.sources.gstreamer.launch import (
    Caps,
    arguments,
    caps_of,
    complaint,
    liveness_of,
    pipe_size,
)
from edged.capture.sources.gstreamer.process import END_SECONDS, Process
from edged.clock import Clock, monotonic_ns

_CAPS_SECONDS = 0.2
_MOST_WAITING = 3
"""Limit of frames to drop in a row because they are old."""
_LINES = 40


class GstreamerSource:
    """launcher: name of the program on PATH."""

    def __init__(
        self,
        request: CaptureRequest,
        admission: Admission,
        *,
        clock: Clock = monotonic_ns,
        launcher: str = "gst-launch-1.0",
    ) -> None:
        self._request = request
        self._admission = admission
        self._clock = clock
        self._launcher = launcher
        self._launched: Launched | None = None
        self._size = width, height = pipe_size(request)
        self._buffer = bytearray(width * height * 3)
        self._first: tuple[int, int] | None = None

    def open(self) -> Granted:
        launched = self._launch(live=True)
        if not launched.live:
            self.close()
            launched = self._launch(live=False)
        self._first = self._newest(launched)
        if self._first is None:
            raise self._end_of(launched, Failure.OPEN_FAILED)
        given = launched.given_caps() or Caps(*self._size, "raw video", None)
        return Granted(given.width, given.height, given.fps, f"{given.format} from GStreamer")

    def read(self, wanted: int) -> Picture | None:
        launched = self._launched
        assert launched is not None
        waited = False
        while True:
            arrival, self._first = self._first or self._newest(launched, waited=waited), None
            if arrival is None:
                if launched.status() == 0 and not launched.live:
                    return None
                raise self._end_of(launched, Failure.READ_FAILED)
            captured_ns, received_ns = arrival
            if wait_seconds := self._admission.wait_seconds(captured_ns):
                due_ns = received_ns + round(wait_seconds * 1e9)
                waited = self._more_comes(launched, due_ns)
                if waited:
                    self._admission.skipped()
                    continue
                self._admission.admit_late(captured_ns + due_ns - received_ns)
            return Picture(self._pixels(), captured_ns, received_ns, cropped=True)

    def close(self) -> None:
        if self._launched is not None:
            self._launched.end()
            self._launched = None

    def _launch(self, *, live: bool) -> Launched:
        """Start the pipeline and wait until it reports whether it is live."""
        program = shutil.which(self._launcher)
        if program is None:
            raise SourceError(
                Failure.OPEN_FAILED,
                f"{self._launcher} is not installed",
                fix="sudo apt install gstreamer1.0-tools gstreamer1.0-plugins-base "
                "gstreamer1.0-plugins-good",
            )
        launched = self._launched = Launched(program, self._request, live=live)
        while launched.live is None:
            if launched.silent:
                raise self._end_of(launched, Failure.OPEN_FAILED)
            launched.listen(None)
        return launched

    def _newest(self, launched: Launched, *, waited: bool = False) -> tuple[int, int] | None:
        """Read a picture into the buffer; (arrival of its first byte, of its last), None at the
        end.

        waited: the data in the pipe has just arrived.
        """
        most_waiting = _MOST_WAITING if launched.live else 0
        for left in reversed(range(most_waiting + 1)):
            had_to_wait = waited or not launched.listen(0)
            if not waited and had_to_wait:
                self._wait(launched)
            waited = False
            captured_ns = self._clock()
            if not self._fill(launched):
                return None
            self._admission.captured()
            if left == 0 or had_to_wait:
                break
            self._admission.overwritten()
        return captured_ns, self._clock()

    def _more_comes(self, launched: Launched, until_ns: int) -> bool:
        """Whether data, or the end, arrives before the given time."""
        while (left_ns := until_ns - self._clock()) > 0:
            if launched.listen(left_ns / 1e9):
                return True
        return False

    def _wait(self, launched: Launched) -> None:
        """Block until data, or the end, arrives; the supervisor enforces the time limit."""
        while not launched.listen(None):
            pass
        for line in launched.take_warnings():
            self._admission.note(line)

    def _fill(self, launched: Launched) -> bool:
        """Read one picture into the buffer; False at the end, also after a part of one."""
        view = memoryview(self._buffer)
        while view:
            count = launched.read_into(view)
            if count == 0:
                return False
            if count is None:
                self._wait(launched)
            else:
                view = view[count:]
        return True

    def _end_of(self, launched: Launched, reason: Failure) -> SourceError:
        status = launched.status()
        otherwise = {
            None: "the pipeline closed its output",
            0: "the pipeline ended",
        }.get(status, f"the pipeline ended with status {status}")
        return complaint(reason, [*launched.errors], otherwise)

    def _pixels(self) -> NDArray[np.uint8]:
        """uint8 (height, width, 3), RGB: a view of the buffer."""
        width, height = self._size
        return np.frombuffer(self._buffer, np.uint8).reshape(height, width, 3)


class Launched:
    """A running gst-launch-1.0: its pictures, output and exit."""

    def __init__(self, program: str, request: CaptureRequest, *, live: bool) -> None:
        self.live: bool | None = None
        """Whether its source is live; None until it reports that."""
        self._given: Caps | None = None
        self.errors: deque[str] = deque(maxlen=_LINES)
        """The last lines of its standard error."""
        self._warnings: deque[str] = deque(maxlen=_LINES)
        self._pipe, write_fd = os.pipe()
        try:
            words = arguments(request, write_fd, live=live)
            self._child = Process(program, words, write_fd, subprocess.DEVNULL)
        except BaseException:
            os.close(self._pipe)
            raise
        finally:
            os.close(write_fd)
        self._process = self._child.popen
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        os.set_blocking(self._pipe, False)
        self._out = LineReader(self._process.stdout)
        self._err = LineReader(self._process.stderr)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._pipe, selectors.EVENT_READ)
        for reader in (self._out, self._err):
            self._selector.register(reader.fd, selectors.EVENT_READ, reader)

    @property
    def silent(self) -> bool:
        """Whether its output is closed: it has ended or is about to."""
        return self._out.closed and self._err.closed

    def listen(self, seconds: float | None) -> bool:
        """Read its output; whether the pipe has data, or is at its end."""
        waiting = False
        for key, _ in self._selector.select(seconds):
            if key.data is None:
                waiting = True
            else:
                self._hear(key.data)
                if key.data.closed:
                    self._selector.unregister(key.fd)
        return waiting

    def given_caps(self) -> Caps | None:
        """What the source delivers. It may be reported shortly after the first picture, and on a
        busy machine sometimes not at all.
        """
        readable = [self._out.fd]
        while self._given is None and not self._out.closed and readable:
            readable, _, _ = select.select([self._out.fd], [], [], _CAPS_SECONDS)
            self._hear(self._out)
        return self._given

    def take_warnings(self) -> list[str]:
        """The warnings since the last call."""
        lines = list(self._warnings)
        self._warnings.clear()
        return lines

    def read_into(self, view: memoryview) -> int | None:
        """Number of bytes read; 0 at the end of the pipe, None if there is no data yet."""
        try:
            return os.readv(self._pipe, [view])
        except BlockingIOError:
            return None

    def status(self) -> int | None:
        """Its exit status, after its output was read; None if it does not exit."""
        try:
            status = self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            return None
        for reader in (self._out, self._err):
            while not reader.closed and self._hear(reader):
                pass
        return status

    def end(self) -> None:
        """Ask it to release the hardware and exit; kill it if it does not."""
        self._child.end(self._pipe)
        self._selector.close()

    def _hear(self, reader: LineReader) -> int:
        """Number of lines read."""
        lines = reader.read()
        for line in lines:
            if reader is self._err:
                self.errors.append(line)
                if line.startswith("WARNING"):  # errors are reported at the end
                    self._warnings.append(line)
                continue
            if self.live is None:
                self.live = liveness_of(line)
            self._given = caps_of(line) or self._given
        return len(lines)
