"""Counters, a simulated clock and running cameras for the tests of capture."""

from __future__ import annotations

import os
import re
import select
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edged.capture.admission import Admission
from edged.capture.frame import Frame
from edged.capture.liveness import TimeLimits
from edged.capture.mailbox import Mailbox, MailboxWriter, Place
from edged.capture.process import Starter
from edged.capture.source import CaptureRequest
from edged.capture.supervisor import Camera
from edged.clock import Clock, monotonic_ns


@dataclass
class Counts:
    """A tally in memory."""

    captured: int = 0
    overwritten: int = 0
    skipped: int = 0
    off: int = 0
    broken: int = 0

    def count(
        self,
        *,
        captured: int = 0,
        overwritten: int = 0,
        skipped: int = 0,
        off: int = 0,
        broken: int = 0,
    ) -> None:
        self.captured += captured
        self.overwritten += overwritten
        self.skipped += skipped
        self.off += off
        self.broken += broken


class Notes(list[str]):
    """An admission that records its notes, and what decodes or why it is not hardware."""

    def __init__(self, max_fps: float | None = None) -> None:
        super().__init__()
        self.counts = Counts()
        self.decoders: list[str] = []
        self.admission = Admission(
            self.counts,
            max_fps,
            self.append,
            lambda decoder, why: self.decoders.append(why or decoder),
        )


class FakeTime:
    """A clock that only advances in `sleep`, or explicitly."""

    def __init__(self, now_ns: int = 1_000_000_000_000) -> None:
        self.now_ns = now_ns

    def clock(self) -> int:
        return self.now_ns

    def sleep(self, seconds: float) -> None:
        self.now_ns += max(1, round(seconds * 1e9))


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    """Whether the condition became true in that time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


def taken(mailbox: Mailbox) -> Frame | None:
    """What `take` returns of the only view."""
    return next(iter(mailbox.take()), None)


def next_frame(mailbox: Mailbox, seconds: float = 20.0) -> Frame:
    """The next picture; fails if none arrives."""
    end = time.monotonic() + seconds
    while True:
        mailbox.clear_wake()
        frame = taken(mailbox)
        if frame is not None:
            return frame
        left = end - time.monotonic()
        assert left > 0, f"no picture within {seconds} s"
        select.select([mailbox.wake_fd], [], [], left)


def publish(
    writer: MailboxWriter,
    pixels: NDArray[np.uint8],
    captured_ns: int,
    received_ns: int,
    wanted: int = 0,
    *,
    clock: Clock = monotonic_ns,
) -> None:
    """The whole picture for the only view."""
    height, width, _ = pixels.shape
    places = {0: Place(0, 0, width, height, wanted)}
    writer.publish(pixels, captured_ns, received_ns, places, clock=clock)


def workers_of(parent: int) -> list[int]:
    """The capture processes that this process has started."""
    pids: list[int] = []
    for children in Path(f"/proc/{parent}/task").glob("*/children"):
        with suppress(OSError):  # a thread that has just ended
            pids += [int(pid) for pid in children.read_text().split()]
    return [pid for pid in pids if b"edged.capture.worker" in command_line(pid)]


def command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def only_worker() -> int:
    (pid,) = workers_of(os.getpid())
    return pid


@contextmanager
def running(
    request: CaptureRequest,
    *,
    wanted: int = 0,
    longest_side: int = 640,
    device: Path | None = None,
    limits: TimeLimits | None = None,
    starter: Starter | None = None,
) -> Iterator[tuple[Camera, Mailbox]]:
    """A supervised camera, which is stopped at the end."""
    views = range(len(request.numbered))
    mailbox = Mailbox.create(longest_side, len(views))
    for view in views:
        mailbox.want(wanted, view)
    camera = Camera("porch", request, mailbox, device=device, limits=limits, starter=starter)
    camera.start()
    try:
        yield camera, mailbox
    finally:
        camera.stop()
        mailbox.close()


A_DAEMON = """
import sys, time
from edged.capture.source import CaptureRequest
from edged.capture.mailbox import Mailbox, MailboxWriter, Place
from edged.capture.supervisor import Camera
from edged.clock import Clock, monotonic_ns
mailbox = Mailbox.create(320)
camera = Camera("porch", CaptureRequest(sys.argv[1]), mailbox)
camera.start()
time.sleep(600)
"""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def descriptors_of(pid: int) -> list[str]:
    """What they lead to, without the numbers that say which one it is."""
    found: list[str] = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):  # the one that lists them, or one that has just been closed
            found.append(re.sub(r"\d+", "", str(link.readlink())))
    return sorted(found)
