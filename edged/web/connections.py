"""Open connections: their deadlines, and which one to close when there are too many.

A new connection is always accepted. The oldest one that has sent no request is closed first, so
idle clients cannot block others.
"""

from __future__ import annotations

import contextlib
import math
import socket
import threading
from dataclasses import dataclass


@dataclass(slots=True)
class _Connection:
    """deadline: monotonic seconds. asked: its request has been read. endless: a stream, limited
    by streams.py."""

    deadline: float
    asked: bool = False
    endless: bool = False


class Connections:
    def __init__(self, most: int, seconds: float) -> None:
        self._most = most
        self._seconds = seconds
        self._lock = threading.Lock()
        self._open: dict[socket.socket, _Connection] = {}
        """Oldest first."""

    def admit(self, newcomer: socket.socket, now: float) -> bool:
        """Add a connection; True if another one was closed for it."""
        leaving = None
        with self._lock:
            bounded = [each for each, state in self._open.items() if not state.endless]
            if len(bounded) >= self._most:
                silent = (each for each in bounded if not self._open[each].asked)
                leaving = next(silent, bounded[0])
                del self._open[leaving]
            self._open[newcomer] = _Connection(now + self._seconds)
        if leaving is not None:
            cut(leaving)
        return leaving is not None

    def asked(self, connection: socket.socket) -> None:
        with self._lock:
            if connection in self._open:
                self._open[connection].asked = True

    def extend(self, connection: socket.socket, deadline: float) -> None:
        with self._lock:
            if connection in self._open:
                self._open[connection].deadline = deadline

    def never_ends(self, connection: socket.socket) -> None:
        with self._lock:
            if connection in self._open:
                self._open[connection].endless = True
                self._open[connection].deadline = math.inf

    def leave(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.pop(connection, None)

    def cut_off(self, now: float) -> None:
        """Close connections whose deadline has passed."""
        with self._lock:
            due = [each for each, state in self._open.items() if state.deadline <= now]
        for each in due:
            cut(each)


def cut(connection: socket.socket) -> None:
    """Shut the socket down, which wakes a thread that reads or writes it."""
    with contextlib.suppress(OSError):  # already closed
        # Not SSLSocket.shutdown, which would let the thread continue in plain text.
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
