"""Results as JSON lines, on standard output or appended to a file.

One thread turns results into text and writes each line at once, so that `tail -f` and pipes see
it. A disk that is full or a reader that is gone costs results, which are counted, never the
daemon. With `max_bytes` a file that is full becomes FILE.1, FILE.1 becomes FILE.2, and so on;
lines stay whole. logrotate's `copytruncate` works, too, because lines are appended.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import queue
import stat
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from edged.clock import Clock, monotonic_ns
from edged.errors import EdgedError
from edged.frame import Event, Result
from edged.sinks import to_json_line

QUEUE_RESULTS = 256
"""Some seconds of several cameras: what a slow disk may take for one write."""

log = logging.getLogger(__name__)


class DropReason(str, Enum):
    QUEUE_FULL = "queue_full"  # the reader or the disk is too slow
    WRITE_ERROR = "write_error"  # the disk is full, the reader is gone
    CLOSED = "closed"  # the daemon ended before the queue was written


@dataclass(frozen=True, slots=True)
class Destination:
    """Where lines go. torn: what is there ends inside a line. name: for messages. path: of a
    regular file, which can be rotated."""

    fd: int
    name: str
    torn: bool = False
    path: Path | None = None


def open_lines(path: Path | None) -> Destination:
    """Standard output for None, else the file, made if it is missing; its folder must be there.

    Raises EdgedError when it cannot be opened for appending.
    """
    if path is None:
        if sys.__stdout__ is None:
            raise EdgedError("standard output is closed", fix="give the sink a path, or a reader")
        return Destination(1, "standard output")
    # Without O_NONBLOCK, opening a named pipe would wait for its reader.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
    try:
        fd = os.open(path, flags, 0o644)
    except OSError as error:
        raise EdgedError(
            "cannot append results", where=path, got=error.strerror, fix=_how_to_open(path, error)
        ) from None
    os.set_blocking(fd, True)
    regular = stat.S_ISREG(os.fstat(fd).st_mode)
    return Destination(fd, str(path), _ends_inside_line(path), path if regular else None)


def _how_to_open(path: Path, error: OSError) -> str:
    if error.errno == errno.ENOENT:
        return f"make the folder: mkdir -p {path.parent}"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "let the user edged runs as write there; as a service it may write in /var/lib/edged"
    if error.errno == errno.ENXIO:
        return "this is a pipe or socket without a reader: start the reader first"
    return "name a file in a folder that exists"


def _ends_inside_line(path: Path) -> bool:
    """True when the last run was cut off while it wrote."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return False
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - 1))
            return end > 0 and file.read(1) != b"\n"
    except OSError:
        return False  # it may be written but not read


class Lines:
    """The sink. `publish` belongs to one thread, the pipeline's."""

    def __init__(
        self,
        destination: Destination,
        render: Callable[[Result | Event], str] = to_json_line,
        *,
        name: str = "jsonl",
        max_bytes: int | None = None,
        keep: int = 0,
        queue_results: int = QUEUE_RESULTS,
        clock: Clock = monotonic_ns,
    ) -> None:
        self.name = name
        self.observe_delivery: Callable[[float], None] = lambda seconds: None
        self.delivered = 0
        self._received = 0
        self.dropped = {reason.value: 0 for reason in DropReason}
        self._is_closed = False
        self.broken_pipe = False
        """Standard output has lost its reader (`| head`): nobody will see another result."""
        self._destination = destination
        self._max_bytes = max_bytes if destination.path is not None else None
        self._keep = keep
        self._render = render
        self._torn = destination.torn
        self._failing = False
        self._lost = 0
        self._clock = clock
        self._queue: queue.SimpleQueue[tuple[int, Result | Event] | None] = queue.SimpleQueue()
        self._queue_results = queue_results
        self._thread = threading.Thread(target=self._run, name=f"sink-{name}", daemon=True)
        self._thread.start()

    def start(self) -> None:
        """It is open already."""

    def publish(self, result: Result) -> None:
        self._put(result)

    def publish_event(self, event: Event) -> None:
        self._put(event)

    def _put(self, result: Result | Event) -> None:
        self._received += 1
        if self._queue.qsize() < self._queue_results:
            self._queue.put((self._clock(), result))
        else:
            self.dropped[DropReason.QUEUE_FULL.value] += 1

    def close(self, timeout_seconds: float) -> None:
        """Write what is queued. A reader that has stopped reading is left after the time-out."""
        self._queue.put(None)
        self._thread.join(timeout_seconds)
        self._is_closed = True
        settled = self.delivered + sum(self.dropped.values())
        self.dropped[DropReason.CLOSED.value] += self._received - settled
        # Inside a write, its descriptor must stay.
        if not self._thread.is_alive() and self._destination.fd != 1:
            os.close(self._destination.fd)

    def _run(self) -> None:
        while (entry := self._queue.get()) is not None and not self._is_closed:
            published_ns, result = entry
            try:
                self._write(self._render(result).encode() + b"\n")
            except (OSError, ValueError) as error:
                self._failed(error)
            else:
                self.delivered += 1
                self.observe_delivery((self._clock() - published_ns) / 1e9)
                self._worked()

    def _write(self, line: bytes) -> None:
        """All of it, or an OSError and nothing where that can be; else a line left torn is ended
        before the next begins."""
        if self._max_bytes is not None:
            size = os.fstat(self._destination.fd).st_size
            if size > 0 and size + len(line) + 1 > self._max_bytes:
                self._rotate()
        rest = b"\n" + line if self._torn else line
        was_torn, added = self._torn, 0
        try:
            while added < len(rest):
                added += os.write(self._destination.fd, rest[added:])
                self._torn = added < len(rest)
        except OSError:
            if added and self._take_back(added):
                self._torn = was_torn
            raise

    def _take_back(self, added: int) -> bool:
        """What has been written of a line; not where the file has another end meanwhile."""
        fd = self._destination.fd
        with contextlib.suppress(OSError):  # a pipe
            end = os.lseek(fd, 0, os.SEEK_CUR)  # after what was appended
            if self._destination.path is not None and os.fstat(fd).st_size == end >= added:
                os.ftruncate(fd, end - added)
                return True
        return False

    def _rotate(self) -> None:
        """Begin a new file. Where that fails, OSError: lines are lost rather than the bound."""
        path = self._destination.path
        assert path is not None
        begun = path.with_name(f"{path.name}.new")
        try:
            fd = open_lines(begun).fd
        except EdgedError as error:
            raise OSError(str(error)) from None
        try:
            for number in range(self._keep, 0, -1):
                newer = path.with_name(f"{path.name}.{number - 1}") if number > 1 else path
                with contextlib.suppress(FileNotFoundError):
                    newer.replace(path.with_name(f"{path.name}.{number}"))
            begun.replace(path)
        except OSError:
            os.close(fd)
            raise
        os.close(self._destination.fd)
        self._destination, self._torn = replace(self._destination, fd=fd), False

    def _failed(self, error: OSError | ValueError) -> None:
        self.dropped[DropReason.WRITE_ERROR.value] += 1
        self._lost += 1
        if isinstance(error, BrokenPipeError) and self._destination.fd == 1:
            self.broken_pipe = True
        if not self._failing:
            self._failing = True
            log.warning("results are lost, %s cannot be written: %s", self._destination.name, error)

    def _worked(self) -> None:
        if self._failing:
            self._failing = False
            log.info(
                "%s is written again, %d results were lost", self._destination.name, self._lost
            )
            self._lost = 0
