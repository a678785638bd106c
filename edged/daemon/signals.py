"""Requests to stop or reload, from signals and from the daemon's own threads."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
from collections.abc import Iterator
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Signals:
    """Set from any thread or signal handler, read by the main thread.

    Uses no lock: a handler may interrupt the main thread inside any of these methods.
    """

    def __init__(self) -> None:
        self.stopped = False
        self._reload = False
        self._wake_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def stop(self) -> None:
        self.stopped = True
        os.eventfd_write(self._wake_fd, 1)

    def wake(self) -> None:
        """End `wait` without a request."""
        os.eventfd_write(self._wake_fd, 1)

    def reload(self) -> None:
        self._reload = True
        os.eventfd_write(self._wake_fd, 1)

    def take_reload(self) -> bool:
        """Whether a reload was requested since the last call."""
        if not self._reload:  # a request from here on is kept for the next call
            return False
        self._reload = False
        return True

    def wait(self, seconds: float) -> None:
        """Wait for a request, for at most `seconds`."""
        select.select([self._wake_fd], [], [], seconds)
        with contextlib.suppress(BlockingIOError):  # no request
            os.eventfd_read(self._wake_fd)


@contextlib.contextmanager
def handling_signals(signals: Signals) -> Iterator[None]:
    """SIGTERM and SIGINT stop, SIGHUP reloads. Enter it early, in the main thread.

    SIGHUP from a terminal that closes stops as well, unless nohup(1) ignores it. After leaving,
    all three are ignored, so that the process can finish.
    """
    in_terminal = signal.getsignal(signal.SIGHUP) != signal.SIG_IGN and _has_terminal()

    def handle(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP and not (in_terminal and not _has_terminal()):
            signals.reload()
        else:
            _ignore_all()  # nothing else can be requested; more signals would stack up handlers
            signals.stop()

    for number in _SIGNALS:
        signal.signal(number, handle)
    try:
        yield
    finally:
        _ignore_all()


def _ignore_all() -> None:
    # A signal that came just before finds no handler: Python would print an OSError.
    if sys.unraisablehook is not _tell:
        global _tell_before
        _tell_before, sys.unraisablehook = sys.unraisablehook, _tell
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


_tell_before = sys.unraisablehook


def _tell(said: sys.UnraisableHookArgs) -> None:
    if not (said.exc_type is OSError and "race condition" in str(said.exc_value)):
        _tell_before(said)


def _has_terminal() -> bool:
    """Whether the process has a controlling terminal."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
