"""Results as JSON lines, on standard output or appended to a file.

Each line is written at once, so that `tail -f` and pipes see it. While the disk is full, entries
wait in the bounded backlog. With `max_bytes` a full file becomes FILE.1, FILE.1 becomes FILE.2, and
so on; lines are never split. If FILE is a symbolic link, its target is rotated. A file renamed by
logrotate is opened again; one that it truncated (`copytruncate`) is appended to.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from edged.errors import EdgedError
from edged.result import to_json_line
from edged.sinks.backlog import MOST_RESULTS, Entry
from edged.sinks.worker import Timing, Worker

TIMING = Timing(first_pause_seconds=0.5, longest_pause_seconds=5.0, spread=0.0)
"""Retries of writes to a full disk."""
MISSING_SECONDS = 1.0
"""Time allowed for logrotate between renaming the file and creating the next one."""
MODE = 0o640
"""Results may hold pictures."""


class DropReason(str, Enum):
    QUEUE_FULL = "queue_full"  # disk full, or disk or reader too slow; drops the oldest
    WRITE_ERROR = "write_error"  # not encodable as JSON, or the reader of the pipe has gone
    CLOSED = "closed"  # not written before the daemon ended


@dataclass(frozen=True, slots=True)
class Destination:
    """Where lines go. name: for messages. torn: the file ends inside a line. path, identity: of a
    regular file, which can be rotated."""

    fd: int
    name: str
    torn: bool = False
    path: Path | None = None
    identity: tuple[int, int] | None = None


def open_lines(path: Path | None, also: int = 0) -> Destination:
    """Open a file for appending, creating it if needed; standard output for None.

    also: further flags of open(2). Raises EdgedError.
    """
    if path is None:
        if sys.__stdout__ is None:
            raise EdgedError("standard output is closed", fix="set jsonl to a file")
        return Destination(1, "standard output")
    # Without O_NONBLOCK, opening a named pipe would block until it has a reader.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
    try:
        fd = os.open(path, flags | also, MODE)
    except OSError as error:
        raise EdgedError(
            "cannot append results", where=path, got=error.strerror, fix=_how_to_open(path, error)
        ) from None
    os.set_blocking(fd, True)
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        return Destination(fd, str(path))
    return Destination(fd, str(path), _ends_inside_line(path), path, _identity(found))


def _identity(file: os.stat_result) -> tuple[int, int]:
    return file.st_dev, file.st_ino


def _how_to_open(path: Path, error: OSError) -> str:
    if error.errno == errno.ENOENT:
        return f"create the folder: mkdir -p {path.parent}"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "allow the user edged runs as to write there; the service may use /var/lib/edged"
    if error.errno == errno.ENXIO:
        return "this is a pipe or socket without a reader; start the reader first"
    return "name a file in a folder that exists"


def _ends_inside_line(path: Path) -> bool:
    """Whether the last line is incomplete. path: of a regular file."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - 1))
            return end > 0 and file.read(1) != b"\n"
    except OSError:
        return False  # no permission to read


class Lines(Worker):
    """The sink. Its thread runs from construction, as readers of standard output wait for it."""

    def __init__(
        self,
        destination: Destination,
        render: Callable[[Entry], str] = to_json_line,
        *,
        max_bytes: int | None = None,
        keep: int = 0,
        most_results: int = MOST_RESULTS,
        timing: Timing = TIMING,
    ) -> None:
        super().__init__("jsonl", destination.name, DropReason, timing, most_results=most_results)
        self._destination = destination
        self._max_bytes = max_bytes if destination.path is not None else None
        self._keep = keep
        self._render = render
        self._torn = destination.torn
        self._renew = False
        self._missing_ns: int | None = None
        """Since when no file has the name."""
        self._thread.start()

    def renew(self) -> None:
        """Open the file again by name before the next line."""
        self._renew = True

    def close(self, timeout_seconds: float) -> None:
        super().close(timeout_seconds)
        # A thread that still blocks in a write needs the descriptor.
        if not self._thread.is_alive() and self._destination.fd != 1:
            os.close(self._destination.fd)

    def _send(self, put_ns: int, entry: Entry) -> float | None:
        try:
            line = self._render(entry).encode() + b"\n"
        except Exception:  # a score is NaN
            self._counts[DropReason.WRITE_ERROR.value] += 1
            self._log.debug("%s: a result or event cannot be encoded as JSON", self.name)
            return None
        try:
            self._write(line)
        except Exception as error:
            gone = isinstance(error, BrokenPipeError) and self._destination.fd == 1
            if gone:
                self.broken_pipe = True
                self._counts[DropReason.WRITE_ERROR.value] += 1
            else:
                self._backlog.put_back(put_ns, entry)
            reason = error.strerror if isinstance(error, OSError) else None
            self._outage.failed(f"cannot write: {reason or error}")
            return None if gone else 0.0
        self._deliver(put_ns)
        self._outage.worked()
        return None

    def _write(self, line: bytes) -> None:
        """Write a line, or raise OSError and undo a partial write. If it cannot be undone, the next
        write ends the torn line first."""
        self._follow_name()
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
        """Truncate a partial line, unless the file has another end meanwhile."""
        fd = self._destination.fd
        with contextlib.suppress(OSError):  # a pipe
            end = os.lseek(fd, 0, os.SEEK_CUR)
            if self._destination.path is not None and os.fstat(fd).st_size == end >= added:
                os.ftruncate(fd, end - added)
                return True
        return False

    def _follow_name(self) -> None:
        """Continue in the file that has the name now, if it was rotated by another program."""
        path = self._destination.path
        if path is None:
            return
        renew, self._renew = self._renew, False
        try:
            if _identity(path.stat()) == self._destination.identity:
                self._missing_ns = None
                return
        except FileNotFoundError:
            now_ns = self._clock()
            self._missing_ns = now_ns if self._missing_ns is None else self._missing_ns
            if not renew and now_ns - self._missing_ns < MISSING_SECONDS * 1e9:
                return
        self._missing_ns = None
        self._go_on_in(_opened(path))

    def _rotate(self) -> None:
        """Start a new file. Raises OSError; the size limit takes precedence over lines."""
        assert self._destination.path is not None
        path = Path(os.path.realpath(self._destination.path))  # a symbolic link stays one
        begun = path.with_name(f"{path.name}.new")
        with contextlib.suppress(OSError):  # left by a crash, or a link made by somebody else
            begun.unlink()
        fresh = _opened(begun, os.O_EXCL)
        try:
            os.fchmod(fresh.fd, stat.S_IMODE(os.fstat(self._destination.fd).st_mode))
            for number in range(self._keep, 0, -1):
                newer = path.with_name(f"{path.name}.{number - 1}") if number > 1 else path
                with contextlib.suppress(FileNotFoundError):
                    newer.replace(path.with_name(f"{path.name}.{number}"))
            begun.replace(path)
        except OSError:
            os.close(fresh.fd)
            raise
        self._go_on_in(replace(fresh, name=self._destination.name, path=self._destination.path))

    def _go_on_in(self, destination: Destination) -> None:
        os.close(self._destination.fd)
        self._destination, self._torn = destination, destination.torn


def _opened(path: Path, also: int = 0) -> Destination:
    try:
        return open_lines(path, also)
    except EdgedError as error:
        raise OSError(f"cannot open {path.name} ({error.got}); {error.fix}") from None
