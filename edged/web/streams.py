"""Results as server-sent events; each client has its own bounded queue.

A client that reads too slowly loses the oldest results, and its stream reports how many. A new
client is always accepted; above the limit it displaces another one.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections import Counter
from collections.abc import Callable, Iterator

from edged.result import Result, to_json_line
from edged.view import camera_of

QUEUE_RESULTS = 128
"""A few seconds of one camera."""
HEARTBEAT_SECONDS = 5.0
"""Interval of comments while there is no result: they keep proxies from closing the stream, and
detect clients that are gone."""
_DISPLACED = b'retry: 30000\nevent: end\ndata: {"reason":"displaced"}\n\n'
"""The long retry lets too many clients take turns."""
_REMOVED = b'event: end\ndata: {"reason":"camera_removed"}\n\n'


class ResultStreams:
    """Passes each result to every stream. One thread at a time may call `publish`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._open: tuple[ResultStream, ...] = ()
        """Oldest first."""

    def open(
        self,
        names: frozenset[str] = frozenset(),
        client: str = "",
        is_over: Callable[[], bool] = lambda: False,
    ) -> ResultStream:
        """A stream of these views, and of all views of these cameras; of all if empty. is_over:
        asked while there is no result.

        Above the limit it displaces the oldest stream of the client that has the most. Whether a
        client still reads is not known, as its kernel buffers; one that does will reconnect.
        """
        stream = ResultStream(self, names, client, is_over)
        with self._lock:
            if len(self._open) >= self._most:
                have = Counter(each.client for each in (*self._open, stream))
                most = max(have.values())
                leaving = next(each for each in self._open if have[each.client] == most)
                self._open = tuple(each for each in self._open if each is not leaving)
                leaving.displace()
            self._open = (*self._open, stream)
        return stream

    def publish(self, result: Result) -> None:
        for stream in self._open:
            stream.put(result)

    def leave(self, stream: ResultStream) -> None:
        with self._lock:
            self._open = tuple(each for each in self._open if each is not stream)


class ResultStream:
    def __init__(
        self,
        streams: ResultStreams,
        names: frozenset[str],
        client: str,
        is_over: Callable[[], bool],
    ) -> None:
        self.client = client
        self._streams = streams
        self._names = names
        self._is_over = is_over
        self._displaced = False
        self._queue: queue.SimpleQueue[Result | None] = queue.SimpleQueue()
        """None only wakes the reader."""
        self._dropped = 0
        self._reported = 0
        """What `parts` has reported of `_dropped`, which another thread counts."""

    def put(self, result: Result) -> None:
        if self._names and self._names.isdisjoint((result.view, camera_of(result.view))):
            return
        if self._queue.qsize() >= QUEUE_RESULTS:
            with contextlib.suppress(queue.Empty):  # the reader has just taken it
                self._queue.get_nowait()
                self._dropped += 1
        self._queue.put(result)

    def displace(self) -> None:
        """End the stream without sending what is queued."""
        self._displaced = True
        self._queue.put(None)

    def parts(self, heartbeat_seconds: float = HEARTBEAT_SECONDS) -> Iterator[bytes]:
        yield b"retry: 2000\n\n"
        while True:
            try:
                result = self._queue.get(timeout=heartbeat_seconds)
            except queue.Empty:
                if self._is_over():
                    yield _REMOVED
                    return
                yield b": nothing new\n\n"
                continue
            if result is None or self._displaced:
                yield _DISPLACED
                return
            dropped = self._dropped
            if dropped != self._reported:
                lost = dropped - self._reported
                yield f'event: dropped\ndata: {{"results":{lost}}}\n\n'.encode()
                self._reported = dropped
            yield f"data: {to_json_line(result)}\n\n".encode()

    def close(self) -> None:
        self._streams.leave(self)
