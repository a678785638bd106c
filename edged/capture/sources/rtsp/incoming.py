"""Compressed frames as they come: read in a thread of its own, so that nothing piles up before it.

What waits here is known, other than what waits in a camera's or the kernel's buffers; no time stamp
is needed to see that decoding is behind. A key frame makes what waits before it needless.
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
    """packet: None at the end of the stream. newer: packets that wait behind it. dropped: that were
    let go before it; the decoder has not seen them. waited: nothing had been there."""

    packet: Any
    arrived_ns: int
    newer: int
    dropped: int
    waited: bool


class Incoming:
    """packets: blocks until the next comes, and raises what `next` is to raise."""

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
        """Raises what reading ended with, after the last packet before that. None when there is
        nothing until the given time."""
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
        """Whether nobody reads any more; a camera that is silent keeps the thread waiting."""
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
        except BaseException as error:  # whoever asks for the next packet raises it
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
