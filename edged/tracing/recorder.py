"""Writes a recorded trace beside a running pipeline, which it never delays.

The pipeline queues values; a thread writes them as lines. When the file is full it replaces
`<name>.1`, and a new one begins. Frames that the disk cannot take in time are dropped and counted,
and a new header follows, because decisions after a gap cannot be replayed from the state before.
"""

from __future__ import annotations

import contextlib
import io
import logging
import queue
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from edged.atomic_file import open_to_write
from edged.control.profile import Candidate
from edged.errors import EdgedError
from edged.tracing.recording import BEGINNING, Header, RecordedFrame, frame_line, header_line

FRAMES_PER_FILE = 50_000
"""About half an hour of one camera at 30 frames per second, and 20 MB."""
QUEUE_FRAMES = 512
"""Some seconds of several cameras: the longest write of a slow disk."""

log = logging.getLogger("edged.control.recorder")


class Recorder:
    """`header_due`, `begin` and `record` belong to one thread, the pipeline's.

    Before a decision: if `header_due(ladders)`, then `begin` with a snapshot. After it: `record`.
    ladders: by view; another mapping says that they changed. written, dropped: frames. Raises
    EdgedError when the file cannot be opened.
    """

    def __init__(
        self,
        path: Path,
        *,
        frames_per_file: int = FRAMES_PER_FILE,
        queue_frames: int = QUEUE_FRAMES,
    ) -> None:
        self.written = 0
        self.dropped = 0
        self._path = path
        self._frames_per_file = frames_per_file
        self._frames_left = 0
        self._ladders: Mapping[str, tuple[Candidate, ...]] | None = None
        self._gap = False
        self._failed = False
        self._queue: queue.Queue[tuple[Header, bool] | RecordedFrame | None]
        self._queue = queue.Queue(queue_frames)
        try:
            self._check(path)
            self._file = self._next_file()
        except OSError as error:
            raise EdgedError(
                "cannot write the trace", where=path, got=error.strerror, fix="name another file"
            ) from None
        self._thread = threading.Thread(target=self._run, name="trace", daemon=True)
        self._thread.start()

    def header_due(self, ladders: Mapping[str, tuple[Candidate, ...]]) -> bool:
        """The next decision needs a header: a new file, other ladders, or frames were dropped."""
        due = self._frames_left <= 0 or self._gap or ladders is not self._ladders
        return due and not self._failed

    def begin(self, header: Header, ladders: Mapping[str, tuple[Candidate, ...]]) -> None:
        """Frames from here on follow from this header. ladders: what `header_due` was asked."""
        new_file = self._frames_left <= 0 and self._ladders is not None
        try:
            self._queue.put_nowait((header, new_file))
        except queue.Full:
            self._gap = True
            return
        if self._frames_left <= 0:
            self._frames_left = self._frames_per_file
        self._ladders, self._gap = ladders, False

    def interrupt(self) -> None:
        """Settings or state change: a new header must follow."""
        self._gap = True

    def record(self, frame: RecordedFrame) -> None:
        """Queue a frame after `begin`; drop it if a header is missing."""
        self._frames_left -= 1
        if self._gap or self._failed:
            self.dropped += 1
            return
        try:
            self._queue.put_nowait(frame)
        except queue.Full:
            self.dropped += 1
            self._gap = True

    def close(self, timeout_seconds: float) -> None:
        """Write what is queued; a disk that hangs is left after the time-out."""
        with contextlib.suppress(queue.Full):
            self._queue.put(None, timeout=0 if self._failed else timeout_seconds)
        self._thread.join(timeout_seconds)

    def _run(self) -> None:
        try:
            self._write_entries()
            self._file.close()
        except Exception as error:  # whatever it is, frames go on without a trace
            self._failed = True
            reason = getattr(error, "strerror", None) or repr(error)
            log.warning("the trace ends: cannot write %s: %s", self._path, reason)
            with contextlib.suppress(OSError):
                self._file.close()

    def _write_entries(self) -> None:
        ladders: Mapping[str, tuple[Candidate, ...]] = {}
        while (entry := self._queue.get()) is not None:
            if isinstance(entry, RecordedFrame):
                self._file.write(frame_line(entry, ladders[entry.view]) + "\n")
                self.written += 1
            else:
                header, new_file = entry
                ladders = header.ladders
                if new_file:
                    self._file.close()
                    self._file = self._next_file()
                self._file.write(header_line(header) + "\n")
            if self._queue.empty():
                self._file.flush()

    @staticmethod
    def _check(path: Path) -> None:
        """Raise EdgedError unless an existing file is a trace, which then becomes `<name>.1`."""
        wrong, fix = None, "name another file"
        if path.suffix == ".gz":
            wrong, fix = "a trace is recorded uncompressed", f"name it {path.stem}"
        elif path.is_fifo():
            wrong = "a trace must be a regular file, not a named pipe"
        elif path.is_file():
            with path.open("rb") as file:
                begins = file.read(len(BEGINNING))
            if begins not in (b"", BEGINNING):
                wrong, fix = "the file exists and is not a trace", f"{fix}, or remove it"
        if wrong is not None:
            raise EdgedError(wrong, where=path, fix=fix)

    def _next_file(self) -> TextIO:
        if self._path.is_file():
            self._path.replace(self._path.with_name(self._path.name + ".1"))
        return io.TextIOWrapper(open_to_write(self._path, "wb"), encoding="utf-8")
