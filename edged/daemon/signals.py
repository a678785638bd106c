"""What the daemon has been told to do: stop, or read its configuration again.

Signals tell it, and so do its own threads.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
from collections.abc import Iterator
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Orders:
    """Given from any thread and inside signal handlers, carried out by the main thread.

    Holds no lock: a handler runs between any two steps of the main thread, also while that is in
    here.
    """

    def __init__(self) -> None:
        self.stopped = False
        self._reload = False
        self._wake_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def stop(self) -> None:
        self.stopped = True
        os.eventfd_write(self._wake_fd, 1)

    def wake(self) -> None:
        """End `wait` without an order."""
        os.eventfd_write(self._wake_fd, 1)

    def reload(self) -> None:
        self._reload = True
        os.eventfd_write(self._wake_fd, 1)

    def take_reload(self) -> bool:
        """Whether there was an order to reload; all that came until now are one."""
        if not self._reload:  # one that comes from here on is not lost
            return False
        self._reload = False
        return True

    def wait(self, seconds: float) -> None:
        """Until the next order, or for so long."""
        select.select([self._wake_fd], [], [], seconds)
        with contextlib.suppress(BlockingIOError):  # there was none
            os.eventfd_read(self._wake_fd)


@contextlib.contextmanager
def obeying_signals(orders: Orders) -> Iterator[None]:
    """SIGTERM and SIGINT stop, SIGHUP reloads. Call it in the main thread, as early as can be.

    A terminal that is closed sends SIGHUP as well: that stops, unless nohup(1) forbade it.
    Afterwards all three are ignored: the process is about to end, and nothing shall cut it short.
    """
    in_terminal = signal.getsignal(signal.SIGHUP) != signal.SIG_IGN and _has_terminal()

    def handle(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP and not (in_terminal and not _has_terminal()):
            orders.reload()
        else:
            _ignore_all()  # nothing more can be ordered, and a storm would pile up handlers
            orders.stop()

    for number in _SIGNALS:
        signal.signal(number, handle)
    try:
        yield
    finally:
        _ignore_all()


def _ignore_all() -> None:
    # One that came just before finds no handler, now or later: Python would tell of an OSError.
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
    """Whether the process has a terminal that signals come from."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
