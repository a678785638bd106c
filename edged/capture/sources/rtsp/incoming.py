"""Reads compressed frames in a thread, so that they queue here and not in the camera or kernel.

The length of this queue shows that decoding is behind, without time stamps. A key frame makes the
queued frames before it obsolete.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

from edged.clock import Clock

MOST_BYTES = 32 * 1024 * 1024
MOST_PACKETS = 3000
CLOSE_SECONDS = 0.5


class Arrival(NamedTuple):
    """packet: None at the end of the stream. newer: number of packets queued behind it. dropped:
    number of packets dropped before it, which were not decoded. waited: the queue was empty."""

    packet: Any
    arrived_ns: int
    newer: int
    dropped: int
    waited: bool


class Incoming:
    """packets: blocks for the next packet; `next` raises its exceptions."""

    def __init__(
        self,
        packets: Iterator[Any],
        clock: Clock,
        most_bytes: int = MOST_BYTES,
        most_packets: int = MOST_PACKETS,
    ) -> None:
        self._packets = packets
        self._clock = clock
        self._most_bytes = most_bytes
        self._most_packets = most_packets
        self._queue: deque[tuple[Any, int]] = deque()
        self._bytes = 0
        self._dropped = 0
        self._end: BaseException | None = None
        self._ended = False
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._read, name="packets", daemon=True)

    def next(self, until_ns: int | None = None) -> Arrival | None:
        """The next packet; None if none arrives before the given time. After the last packet it
        raises the exception that ended reading."""
        if self._thread.ident is None:
            self._thread.start()
        with self._changed:
            waited = not self._queue
            while not (self._queue or self._ended):
                seconds = None if until_ns is None else (until_ns - self._clock()) / 1e9
                if seconds is not None and seconds <= 0:
                    return None
                self._changed.wait(seconds)
            dropped, self._dropped = self._dropped, 0
            if not self._queue:
                if self._end is not None:
                    raise self._end
                return Arrival(None, self._clock(), 0, dropped, waited)
            packet, arrived_ns = self._queue.popleft()
            self._bytes -= packet.size
            return Arrival(packet, arrived_ns, len(self._queue), dropped, waited)

    def close(self) -> bool:
        """Whether the thread has ended; a silent camera blocks it."""
        self._closing = True
        if self._thread.ident is not None:
            self._thread.join(CLOSE_SECONDS)
        return not self._thread.is_alive()

    def _read(self) -> None:
        try:
            for packet in self._packets:
                if self._closing or packet.size == 0:
                    break
                self._put(packet, self._clock())
        except BaseException as error:  # `next` raises it
            self._end = error
        with self._changed:
            self._ended = True
            self._changed.notify()

    def _put(self, packet: Any, arrived_ns: int) -> None:
        with self._changed:
            full = self._bytes > self._most_bytes or len(self._queue) >= self._most_packets
            if packet.is_keyframe or full:
                self._dropped += len(self._queue)
                self._queue.clear()
                self._bytes = 0
            self._queue.append((packet, arrived_ns))
            self._bytes += packet.size
            self._changed.notify()
