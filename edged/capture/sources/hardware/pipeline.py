"""A child process that decodes: compressed frames in, pictures out, both with time stamps."""

from __future__ import annotations

import os
import selectors
import shutil
import signal
import subprocess
from collections import deque
from contextlib import suppress

from edged.capture.process import LineReader
from edged.capture.source import Failure
from edged.capture.sources.gstreamer.launch import complaint
from edged.capture.sources.gstreamer.process import END_SECONDS, Process
from edged.capture.sources.hardware import gdp
from edged.capture.sources.hardware.decoders import Decoder, arguments

_FORMAT = "stream-format=(string)byte-stream, alignment=(string)au"
_CHUNK = 1 << 20
_LINES = 40


class LostError(Exception):
    """The hardware does not decode, or not any more. Its text says why."""


class Pipeline:
    """size: (width, height) of the pictures. Raises LostError, as its methods do."""

    def __init__(self, decoder: Decoder, size: tuple[int, int]) -> None:
        program = shutil.which("gst-launch-1.0")
        if program is None:
            raise LostError("gst-launch-1.0 is not installed")
        self._out, write_fd = os.pipe()
        try:
            words = arguments(decoder, size, write_fd)
            self._process = Process(program, words, write_fd, subprocess.PIPE)
        except OSError as error:
            os.close(self._out)
            raise LostError(f"{program}: {error.strerror}") from None
        finally:
            os.close(write_fd)
        popen = self._process.popen
        assert popen.stdin is not None
        assert popen.stdout is not None
        assert popen.stderr is not None
        self._popen, self._stdin = popen, popen.stdin
        self._in = popen.stdin.fileno()
        os.set_blocking(self._in, False)
        os.set_blocking(self._out, False)
        self._errors: deque[str] = deque(maxlen=_LINES)
        self._unpacker = gdp.Unpacker()
        self._unsent = bytearray(gdp.beginning(f"video/x-{decoder.codec}, {_FORMAT}"))
        self._finishing = False
        self.ended = False
        """No more pictures come."""
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._out, selectors.EVENT_READ)
        for stream in (popen.stdout, popen.stderr):
            reader = LineReader(stream)
            self._selector.register(reader.fd, selectors.EVENT_READ, reader)

    def put(self, frame: bytes, pts_ns: int) -> None:
        """Send a frame as far as the process takes it; the rest follows in `pictures`."""
        self._unsent += gdp.buffer(frame, pts_ns)
        self._send()

    def finish(self) -> None:
        """No more frames come: the decoder gives what it holds, and the process ends."""
        self._finishing = True
        self._send()

    def pictures(self, seconds: float) -> list[tuple[int, bytes]]:
        """(time stamp in nanoseconds, picture in NV12) of those that are ready; if there are none,
        wait for a part of one, or to send, at most so long."""
        self._watch_input()
        data = b""
        for key, events in self._selector.select(seconds):
            if events & selectors.EVENT_WRITE:
                self._send()
            elif key.data is None:
                data = self._read()
            else:
                self._hear(key.data)
        try:
            return list(self._unpacker.buffers(data))
        except ValueError as error:
            raise LostError(str(error)) from None

    def why_ended(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            self._popen.wait(END_SECONDS)
        for key in [*self._selector.get_map().values()]:
            if isinstance(key.data, LineReader):
                self._hear(key.data)
        status = self._popen.returncode
        how = {
            None: "closed its output",
            -signal.SIGKILL: "was killed",
        }.get(status, f"ended with status {status}")
        error = complaint(Failure.READ_FAILED, [*self._errors], f"gst-launch-1.0 {how}")
        return error.what if error.fix is None else f"{error.what}; {error.fix}"

    def close(self) -> None:
        self._selector.close()
        self._stdin.close()
        self._process.end(self._out)

    def _watch_input(self) -> None:
        watched = self._in in self._selector.get_map()
        if self._unsent and not watched:
            self._selector.register(self._in, selectors.EVENT_WRITE)
        elif watched and not self._unsent:
            self._selector.unregister(self._in)

    def _send(self) -> None:
        try:
            while self._unsent:
                del self._unsent[: os.write(self._in, self._unsent)]
        except BlockingIOError:
            return
        except BrokenPipeError:  # it has ended, which its output shows
            self._unsent.clear()
        if self._finishing:
            self._watch_input()
            self._stdin.close()

    def _read(self) -> bytes:
        with suppress(BlockingIOError):
            data = os.read(self._out, _CHUNK)
            if not data:
                self.ended = True
                self._selector.unregister(self._out)
            return data
        return b""

    def _hear(self, reader: LineReader) -> None:
        self._errors += reader.read()
        if reader.closed:
            self._selector.unregister(reader.fd)
