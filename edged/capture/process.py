"""Starts a capture process, reads its output at a limited rate, and ends it."""

from __future__ import annotations

import os
import select
import selectors
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from edged.capture.messages import shown
from edged.capture.source import CaptureRequest
from edged.effort import Effort, Observed
from edged.process import child_environment, own_python

Starter = Callable[[int, int], "subprocess.Popen[bytes]"]
"""(memfd, wake_fd) of the mailbox → a process with pipes for stdin, stdout and stderr."""

LINE_BYTES = 16384
"""Longer than any status as JSON."""
NOISE_BURST = 5
NOISE_EVERY_NS = 10_000_000_000
_KILL_SECONDS = 1.0
_ENVIRONMENT = {
    # One heap and one thread keep it small and leave the cores to inference.
    "MALLOC_ARENA_MAX": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "OPENCV_FOR_THREADS_NUM": "1",
    # OpenCV warns about an absent camera at each try; the sources report it better.
    "OPENCV_LOG_LEVEL": "ERROR",
}


def start_worker(
    memfd: int,
    wake_fd: int,
    *,
    whole_environment: bool = False,
    program: Sequence[str] = ("-m", "edged.capture.worker"),
) -> subprocess.Popen[bytes]:
    environment = os.environ if whole_environment else child_environment(os.environ)
    return subprocess.Popen(
        [*own_python(), *program, str(memfd), str(wake_fd)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        pass_fds=(memfd, wake_fd),
        start_new_session=True,  # Ctrl-C in a terminal is for the daemon
        env={**environment, **_ENVIRONMENT},
    )


class LineReader:
    """Reads lines from a pipe without blocking; truncates a line to LINE_BYTES."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self.fd = pipe.fileno()
        self.closed = False
        self._rest = b""
        os.set_blocking(self.fd, False)

    def read(self) -> list[str]:
        """The complete lines; at the end of the pipe also an incomplete one."""
        try:
            chunk = os.read(self.fd, 65536)
        except BlockingIOError:
            return []
        self.closed = not chunk
        *lines, rest = (self._rest + chunk).split(b"\n")
        if self.closed:
            lines.append(rest)
        self._rest = rest[:LINE_BYTES]
        return [line[:LINE_BYTES].decode(errors="replace") for line in lines if line]


class Child:
    """A running capture process. Leaving its context kills and reaps it and closes the pipes."""

    def __init__(self, process: subprocess.Popen[bytes], stop_fd: int) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._process = process
        self._observed = Observed.of_new(
            Path(f"/proc/{process.pid}")
        )  # before it refuses inspection
        self._stdin = process.stdin
        self._status = LineReader(process.stdout)
        self._chatter = LineReader(process.stderr)
        self._selector = selectors.DefaultSelector()
        self._selector.register(stop_fd, selectors.EVENT_READ)
        for reader in (self._status, self._chatter):
            self._selector.register(reader.fd, selectors.EVENT_READ, reader)

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()
        self._observed.close()
        self._process.kill()
        self.wait(_KILL_SECONDS)
        for pipe in (self._stdin, self._process.stdout, self._process.stderr):
            assert pipe is not None
            pipe.close()

    @property
    def effort(self) -> Effort | None:
        return self._observed.effort_of_all()

    def send(self, request: CaptureRequest) -> bool:
        """False while the process reads nothing and the pipe is full."""
        if not select.select((), (self._stdin,), (), 0)[1]:
            return False
        with suppress(BrokenPipeError):  # it has died; `closed` reports that
            self._stdin.write(request.to_json().encode() + b"\n")
        return True

    def listen(self, seconds: float) -> tuple[list[str], list[str]]:
        """(lines of stdout, lines of stderr); returns at once when there are some, or on
        `stop_fd`."""
        status: list[str] = []
        chatter: list[str] = []
        for key, _ in self._selector.select(seconds):
            if isinstance(key.data, LineReader):
                lines = status if key.data is self._status else chatter
                lines += key.data.read()
                if key.data.closed:
                    self._selector.unregister(key.data.fd)
        return status, chatter

    @property
    def closed(self) -> bool:
        """Whether both pipes are closed: it has ended or is about to."""
        return self._status.closed and self._chatter.closed

    def terminate(self, seconds: float) -> None:
        """Ask it to release the hardware and exit; wait at most `seconds`."""
        self._process.terminate()
        self.wait(seconds)

    def wait(self, seconds: float) -> int | None:
        """The return code as of `subprocess`, or None if it has not ended in time."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None


class Noise:
    """Logs a few lines of a library's output and counts the rest.

    A line that repeats the previous one is not logged, however much later it comes.
    """

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log = log
        self._allowance = NOISE_BURST
        self._refilled_ns = 0
        self._suppressed = 0
        self._latest = ""

    def line(self, text: str, now_ns: int) -> None:
        earned = (now_ns - self._refilled_ns) // NOISE_EVERY_NS
        if earned > 0:
            self._allowance = min(NOISE_BURST, self._allowance + earned)
            self._refilled_ns = now_ns
        if self._allowance == 0 or text == self._latest:
            self._suppressed += 1
            return
        self._allowance -= 1
        self._latest = text
        suppressed, self._suppressed = self._suppressed, 0
        hidden = f" (and {suppressed} lines before it)" if suppressed else ""
        self._log(shown(text) + hidden)
