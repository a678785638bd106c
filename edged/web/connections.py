"""Which connections there are, how long each may last, and which one goes when there are too many.

A newcomer is never turned away: the oldest that has not even asked makes room, so that clients that
only hold connections open do not keep out those that ask.
"""

from __future__ import annotations

import contextlib
import math
import socket
import threading
from dataclasses import dataclass


@dataclass(slots=True)
class _Connection:
    """deadline: monotonic seconds. asked: its request has been read. endless: a stream, whose
    number others bound."""

    deadline: float
    asked: bool = False
    endless: bool = False


class Connections:
    def __init__(self, most: int, seconds: float) -> None:
        self._most = most
        self._seconds = seconds
        self._lock = threading.Lock()
        self._open: dict[socket.socket, _Connection] = {}
        """The oldest first."""

    def admit(self, newcomer: socket.socket, now: float) -> bool:
        """Whether another one had to go for it."""
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

    def never_ends(self, connection: socket.socket) -> None:
        with self._lock:
            if connection in self._open:
                self._open[connection].endless = True
                self._open[connection].deadline = math.inf

    def leave(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.pop(connection, None)

    def cut_off(self, now: float) -> None:
        """End those whose deadline has come."""
        with self._lock:
            due = [each for each, state in self._open.items() if state.deadline <= now]
        for each in due:
            cut(each)


def cut(connection: socket.socket) -> None:
    """Its thread, wherever it waits for the other side, finds that nothing comes any more."""
    with contextlib.suppress(OSError):  # it has just gone by itself
        # Not TLS' own shutdown: that would turn what its thread still writes into plain text.
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
