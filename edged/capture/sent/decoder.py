"""Decodes sent pictures in a confined process, which runs only while there are some."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError  # Python 3.10's own
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from edged.capture.decode.pictures import BrokenPictureError
from edged.capture.sent.bounds import PICTURE_SECONDS
from edged.capture.sent.process import DecodeProcess, EndedError
from edged.errors import EdgedError
from edged.printable import printable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

IDLE_SECONDS = 60.0
"""How long the process waits for the next picture before it ends."""
_WORKER = ("-m", "edged.capture.sent.worker")


class Wanted(NamedTuple):
    """As what a picture is to come out.

    wanted: short side in pixels that it must have, if it has as many; the largest of a family's
    resolutions, so that every variant can run on it. square: the centre square instead of all.
    """

    wanted: int
    square: bool

    @property
    def slot_bytes(self) -> int:
        """At most, as in a camera's mailbox: twice the wanted size."""
        return 3 * (2 * self.wanted) ** 2


@dataclass(slots=True)
class _Job:
    """fd: a descriptor of its own, which is closed after the job."""

    fd: int
    wanted: Wanted
    done: Future[NDArray[np.uint8]] = field(default_factory=Future)


class PictureDecoder:
    """One process, one picture at a time, in the order of the calls. Any thread may call.

    idle_seconds: without a picture for so long, the process ends; the next picture starts another.
    program: arguments of Python that start it.
    """

    def __init__(
        self, idle_seconds: float = IDLE_SECONDS, program: Sequence[str] = _WORKER
    ) -> None:
        self._idle_seconds = idle_seconds
        self._program = program
        self._lock = threading.Lock()
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self.pid: int | None = None
        """Of the process, while there is one."""

    def frame(self, file: BinaryIO, wanted: Wanted, seconds: float) -> NDArray[np.uint8]:
        """A picture file as uint8 (height, width, 3), RGB, upright.

        file: a regular file or memfd. seconds: how long to wait. Raises BrokenPictureError for a
        picture that cannot be decoded, TimeoutError, and EdgedError if no process can be confined.
        """
        job = _Job(os.dup(file.fileno()), wanted)
        with self._lock:
            self._jobs.put(job)
            if self._thread is None:
                # A thread of its own: the process ends with the one that starts it.
                self._thread = threading.Thread(target=self._work, name="pictures", daemon=True)
                self._thread.start()
        try:
            return job.done.result(seconds)
        except FutureTimeoutError:
            job.done.cancel()  # if it has not begun
            raise TimeoutError from None

    def close(self) -> None:
        """End the process after the pictures that wait; it may be used again."""
        with self._lock:
            thread = self._thread
            if thread is not None:
                self._jobs.put(None)
        if thread is not None:
            thread.join()

    def _work(self) -> None:
        child: DecodeProcess | None = None
        while True:
            try:
                job = self._jobs.get(timeout=self._idle_seconds)
            except Empty:
                job = None
            if job is None:
                with self._lock:
                    if not self._jobs.empty():
                        continue
                    self._thread = None
                    _end(child)
                    self.pid = None
                return
            try:
                if job.done.set_running_or_notify_cancel():
                    child = self._carry_out(job, child)
            finally:
                os.close(job.fd)

    def _carry_out(self, job: _Job, child: DecodeProcess | None) -> DecodeProcess | None:
        """The process for the next picture; None if this one has ended it."""
        try:
            if child is None:
                child = DecodeProcess(self._program, job.wanted.slot_bytes)
                self.pid = child.pid
            child.most_bytes = job.wanted.slot_bytes
            frame = _asked(child, job)
        except BrokenPictureError as error:
            job.done.set_exception(error)
            return child
        except BaseException as error:
            _end(child)
            job.done.set_exception(_told(error))
            return None
        job.done.set_result(frame)
        return child


def _asked(child: DecodeProcess, job: _Job) -> NDArray[np.uint8]:
    import numpy as np

    order: dict[str, Any] = {**job.wanted._asdict(), "slot_bytes": job.wanted.slot_bytes}
    ((values, content),) = child.ask(order, job.fd, PICTURE_SECONDS)
    if "rejected" in values:
        raise BrokenPictureError(printable(str(values["rejected"])))
    shape = int(values["height"]), int(values["width"]), 3
    if min(shape) < 1:
        raise ValueError("not a picture")
    return np.frombuffer(content, np.uint8).reshape(shape)


def _told(error: BaseException) -> BaseException:
    """What a picture's sender is to know of an error of the process."""
    if isinstance(error, EndedError):
        return BrokenPictureError(str(error))
    if isinstance(error, (ValueError, LookupError, TypeError)):  # nonsense from a hijacked process
        return BrokenPictureError("cannot be decoded")
    if isinstance(error, OSError):
        what = "the process that decodes pictures could not be started"
        return EdgedError(what, got=error.strerror)
    return error


def _end(child: DecodeProcess | None) -> None:
    if child is not None:
        child.close()
